// The eventsource package as a caller: it comes back by itself with the last id it has seen, and stops coming where the gateway has cut it. SPEC: WIRE10, ENF7
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { EventSource } from 'eventsource'
import { TestGateway } from '../support/gateway.ts'
import { operate, until } from './support.ts'

let gate: TestGateway
let open: EventSource | null = null
let turn = 0
beforeAll(async () => {
  gate = await TestGateway.start({
    routes: ['api.test', 'localhost'].map(host => `
- name: ${host.replace('.', '-')}
  match: { host: ${host} }
  upstream: api
  rules: [{ allow: {}, scope: base:read }]`).join(''),
  })
})
afterEach(() => open?.close())
afterAll(() => gate.stop())

/** What a page would have of it. */
type Heard = { readonly source: EventSource; readonly events: string[]; readonly faults: (number | undefined)[]; readonly asked: number[] }

function listen(path: string, token: string): Heard {
  const heard: Heard = {
    events: [], faults: [], asked: [],
    source: new EventSource(`http://localhost:${gate.target.port}${path}`, {
      fetch: async (url, init) => {
        const answer = await fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } })
        heard.asked.push(answer.status)
        return answer
      },
    }),
  }
  heard.source.addEventListener('message', ({ data, lastEventId }) => heard.events.push(`${lastEventId}=${String(data)}`))
  heard.source.addEventListener('error', ({ code }) => heard.faults.push(code))
  open = heard.source
  return heard
}

async function listening() {
  const token = await gate.token({ sub: `reader-${++turn}` })
  const path = `/sse/feed${turn}`
  const feed = gate.upstream.feed(`feed${turn}`)
  const heard = listen(path, token)
  await until(() => feed.listeners === 1, 'the upstream has its listener')
  feed.write('retry: 50\n\n')
  feed.emit('one', { id: '1' })
  feed.emit('two\nlines', { id: '2' })
  await until(() => heard.events.length === 2, 'two events')
  return { token, path, feed, heard }
}

describe('an event stream', () => {
  test('[WIRE10] that its upstream ends is asked for again with the last id, and goes on from there', async () => {
    const { path, feed, heard } = await listening()
    feed.end()
    await until(() => feed.listeners === 1 && heard.asked.length === 2, 'it is back')
    feed.emit('three', { id: '3' })
    await until(() => heard.events.length === 3, 'the third event')
    expect([heard.events, heard.asked]).toEqual([['1=one', '2=two\nlines', '3=three'], [200, 200]])
    expect(gate.upstream.requests.filter(request => request.path === path).map(request => request.header('last-event-id'))).toEqual([[], ['2']])
  })

  test('[ENF7, WIRE8, WIRE10] of a session that is ended ends between two events; the client comes back once, is refused, and gives up', async () => {
    const { token, path, feed, heard } = await listening()
    await operate(gate, (await gate.session(token)).id, 'terminate')
    await until(() => heard.source.readyState === heard.source.CLOSED, 'it gives up')
    feed.emit('never', { id: '9' })
    expect([heard.events, heard.asked, heard.faults.at(-1)]).toEqual([['1=one', '2=two\nlines'], [200, 401], 401])
    expect(gate.upstream.requests.filter(request => request.path === path)).toHaveLength(1)
  })

  test('[ENF6, WIRE10] of a frozen session stands still and goes on with the very events when it is resumed', async () => {
    const { token, feed, heard } = await listening()
    const { id } = await gate.session(token)
    await operate(gate, id, 'freeze')
    feed.emit('three', { id: '3' })
    const refused = await gate.ask('GET', '/sse/other', { authorization: `Bearer ${token}` })
    expect([refused.json['reason'], heard.events.length]).toEqual(['frozen', 2])
    await operate(gate, id, 'resume', { reason: 'test' })
    await until(() => heard.events.length === 3, 'the third event')
    expect([heard.events.at(-1), heard.asked]).toEqual(['3=three', [200]])
  })
})
