// SPEC: FWA3
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ForwardAnswer } from '../../../src/proxy/forward-auth/forward-answer.ts'
import { refusalText } from '../../../src/proxy/refusal.ts'

let act: (answer: ForwardAnswer) => void = () => undefined
const outcomes: string[] = []
const server = createServer((_: IncomingMessage, response: ServerResponse) => act(new ForwardAnswer(response, proxy, outcome => outcomes.push(outcome))))
let proxy: 'nginx' | 'traefik' | 'envoy' = 'nginx'

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => void server.close())

/** The status of the answer; 0 where there is none. */
async function answered(to: typeof proxy, does: (answer: ForwardAnswer) => void): Promise<number> {
  proxy = to
  act = does
  const { port } = server.address() as AddressInfo // it listens on a port
  const sent = request({ host: '127.0.0.1', port, agent: false }).end()
  return new Promise(resolve => {
    sent.once('response', response => resolve(response.resume().statusCode ?? 0))
    sent.once('error', () => resolve(0))
  })
}

test('[FWA3] only the relay\'s own word lets a request through: whatever else is answered refuses it', async () => {
  expect(await answered('envoy', answer => answer.allow([]))).toBe(200)
  const others: readonly ((answer: ForwardAnswer) => void)[] = [answer => answer.sendHead(), answer => answer.sendWhole(), answer => answer.refuse(refusalText('internal_error'))]
  for (const other of others) expect(await answered('envoy', other)).toBe(500)
  expect(outcomes).toEqual(['allowed', 'refused', 'refused', 'refused'])
})

test('[FWA3] what was refused cannot be let through behind that, nor what was cut', async () => {
  const twice = (answer: ForwardAnswer): void => {
    answer.refuse(refusalText('frozen'))
    answer.allow([])
  }
  expect(await answered('traefik', twice)).toBe(403)
  const cut = (answer: ForwardAnswer): void => {
    answer.cut()
    answer.allow([])
  }
  expect(await answered('traefik', cut)).toBe(0)
  expect(outcomes.filter(outcome => outcome === 'allowed')).toHaveLength(1)
})

test('[FWA3] a value that no header can hold is no answer at all', async () => {
  expect(await answered('nginx', answer => answer.allow(['x-static', 'one\r\ntwo: three']))).toBe(0)
})

test('[FWA3] nginx gets 401 and 403, and our own faults as such; the others every status as it is', async () => {
  const REASONS = ['no_credential', 'frozen', 'no_route', 'rate_limited', 'bad_request', 'stale', 'internal_error'] as const
  const statuses = async (to: typeof proxy): Promise<readonly number[]> => {
    const heard: number[] = []
    for (const reason of REASONS) heard.push(await answered(to, answer => answer.refuse(refusalText(reason))))
    return heard
  }
  expect(await statuses('nginx')).toEqual([401, 403, 403, 403, 403, 503, 500])
  expect(await statuses('traefik')).toEqual([401, 403, 404, 429, 400, 503, 500])
})
