// Who is let in at the door for pushed events: by what its file says, by what its stream was told to send, or by its signature alone. A real server, a receiver that takes everything.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { EventTokens } from '../../../../src/identity/security-event-token.ts'
import { keysOfText } from '../../../../src/identity/keys.ts'
import { openLog } from '../../../../src/runtime/log.ts'
import { PushDoor } from '../../../../src/signals/ssf/push.ts'
import { instant } from '../../../../src/core/time.ts'
import { loaded, SMALL } from '../../config/fixture.ts'

const closing: (() => void)[] = []
afterEach(() => { for (const close of closing.splice(0)) close() })

type Given = { readonly manage: boolean; readonly file: string | null; readonly told: string | null; readonly delivery?: 'push' | 'poll' }

async function door({ manage, file, told, delivery = 'push' }: Given) {
  const settings = loaded(`${SMALL}\nserver: { listeners: [{ name: main, address: ":8080", serves: [proxy] }, { name: news, address: ":8081", serves: [signals] }] }\nsignals: { ssf: [{ name: idp, transmitter: "https://idp.example", delivery: ${delivery}, audience: gw, manage: ${manage}${manage && delivery === 'push' ? ', endpoint: "https://gw.example/ssf/events/idp"' : ''} }] }`).ssf.get('idp')
  if (settings === undefined) throw new Error('it is not there')
  const clock = { now: () => instant(0), elapsed: () => 0 }
  const tokens = new EventTokens({ issuer: '', algorithms: [], audience: () => null }, keysOfText('{"keys":[{"kty":"OKP"}]}'), clock)
  const received: string[] = []
  const counted: string[] = []
  const push = new PushDoor({
    clock, log: openLog('silent'), sources: () => new Map([['idp', { settings, tokens, authorization: file }]]), news: { authorizationOf: () => told }, count: (_, __, outcome) => counted.push(outcome), refused: (_, fault) => counted.push(fault),
    receiver: { receive: (source, text) => { received.push(`${source} ${text}`); return Promise.resolve({ is: 'taken' }) } },
  })
  const server = createServer((request, response) => void push.handle(request, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => server.close())
  const send = async (authorization: string | null): Promise<number> =>
    (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/ssf/events/idp`, { method: 'POST', body: 'token', headers: { 'content-type': 'application/secevent+jwt', ...(authorization === null ? {} : { authorization }) } })).status
  return { send, received, counted }
}

test('[SSF2] what its file says is what it has to send, whatever its stream was told', async () => {
  const { send, received } = await door({ manage: true, file: 'Bearer file', told: 'Bearer stream' })
  expect([await send('Bearer file'), await send('Bearer stream'), await send(null)]).toEqual([202, 401, 401])
  expect(received).toEqual(['idp token'])
})

test('[SSF2] without a file it has to send what its stream was told', async () => {
  const { send } = await door({ manage: true, file: null, told: 'Bearer stream' })
  expect([await send('Bearer stream'), await send('Bearer'), await send(null)]).toEqual([202, 401, 401])
})

test('[SSF2] before it is known what that is nobody is let in, and everybody may come again', async () => {
  const { send, received } = await door({ manage: true, file: null, told: null })
  expect([await send('Bearer stream'), await send(null)]).toEqual([503, 503])
  expect(received).toEqual([])
})

test('[SSF2] one whose stream is not managed here, and that was given nothing to send, is known by its signature alone', async () => {
  const { send, received, counted } = await door({ manage: false, file: null, told: null })
  expect([await send(null), await send('Bearer anything')]).toEqual([202, 202])
  expect({ received: received.length, counted }).toEqual({ received: 2, counted: [] })
})

test('[SSF2] at one that is polled nobody pushes', async () => {
  const { send, counted } = await door({ manage: true, file: null, told: 'Bearer stream', delivery: 'poll' })
  expect(await send('Bearer stream')).toBe(404)
  expect(counted).toEqual(['unknown'])
})
