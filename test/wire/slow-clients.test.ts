// slowhttptest in its four modes against the whole gateway with short limits: heads, bodies, readers and ranges without end. Each is ended by a limit, and
// whoever else calls meanwhile is served as ever. SPEC: WIRE14, WIRE7, WIRE3
import { execFile } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { FLAG, FRAME, FrameClient, headers, requestFields, windowUpdate } from '../support/http2-frames.ts'
import { pause, until } from './support.ts'

const CROWD = 100
/** Fewer, as their upstream works for them in this process. */
const READERS = 15
/** The program asks whole requests now and then, to see how its target is. */
const PROBES = 10
/** How long another caller may wait at worst, and half of the time, in milliseconds: caller, gateway and upstream share one process, on a machine that is busy. */
const PATIENCE = { worst: 6_000, median: 1_000 }
let gate: TestGateway

beforeAll(async () => {
  gate = await TestGateway.start({
    listener: 'protocols: [http1, http2]',
    server: 'limits: { headersTimeout: 1s, idleTimeout: 1s, connections: 400 }',
    routes: ['api.test', 'localhost'].map(host => `
- name: ${host.replace('.', '-')}
  match: { host: ${host} }
  upstream: api
  rules:
    - { allow: { paths: ["/download/**", "/upload/**", "/ranges"] }, anonymous: true }
    - { allow: {}, scope: base:read }`).join(''),
  })
})
afterEach(() => gate.upstream.forget())
afterAll(() => gate.stop())

const slowhttptest = inject('slowhttptest')

/** Runs it until nobody is connected any more, or its time is up. @returns what it says of its connections */
function attack(path: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(slowhttptest ?? 'slowhttptest', ['-c', String(CROWD), '-r', String(CROWD), '-l', '15', ...args, '-p', '3', '-v', '1', '-u', `http://localhost:${gate.target.port}${path}`], { timeout: 40_000 }, (error, out) => {
      if (error !== null && typeof error.code === 'string') reject(error)
      else resolve(out)
    })
  })
}

/** What others had to wait for an answer while it lasted, longest first. */
async function meanwhile<T>(running: Promise<T>): Promise<{ readonly waits: readonly number[]; readonly statuses: ReadonlySet<number>; readonly of: T }> {
  const authorization = `Bearer ${await gate.token({ sub: 'bystander' })}`
  const [waits, statuses] = [[] as number[], new Set<number>()]
  let over = false
  const ended = running.finally(() => (over = true))
  while (!over) {
    const at = performance.now()
    statuses.add((await gate.ask('GET', '/json', { authorization })).status)
    waits.push(performance.now() - at)
    await pause(10)
  }
  return { waits: waits.toSorted((a, b) => b - a), statuses, of: await ended }
}

async function counted(pattern: RegExp): Promise<number> {
  const { text } = await gate.ops('/metrics')
  return text.split('\n').filter(line => pattern.test(line)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
const timedOut = (): Promise<number> => counted(/^narrowgate_limit_reached_total\{limit="request_time"\}/)

async function unharmed(path: string, ...args: readonly string[]): Promise<string> {
  const { waits, statuses, of } = await meanwhile(attack(path, ...args))
  expect([...statuses]).toEqual([200])
  expect(waits.length).toBeGreaterThan(2)
  expect(waits[0]).toBeLessThan(PATIENCE.worst)
  expect(waits[waits.length >> 1]).toBeLessThan(PATIENCE.median)
  await until(() => gate.parts.inflight.size === 0, 'nothing is open any more')
  return of
}

const ALL_CLOSED = /No open connections left/

describe.skipIf(slowhttptest === null)('slowhttptest', () => {
  test('[FAIL-006, WIRE14] with heads that never end is answered 408 and closed, and nobody else notices', async () => {
    const before = await timedOut()
    expect(await unharmed('/download/9', '-H', '-i', '3', '-x', '8')).toMatch(ALL_CLOSED)
    expect(await timedOut() - before).toBeGreaterThanOrEqual(CROWD)
    expect(gate.upstream.requests.filter(({ path }) => path !== '/json').length).toBeLessThan(PROBES)
  })

  test('[FAIL-006, WIRE14] with bodies that never end is answered 408 and closed, upstream as well', async () => {
    const before = await timedOut()
    expect(await unharmed('/upload/slow', '-B', '-i', '3', '-s', '8192', '-x', '10')).toMatch(ALL_CLOSED)
    expect(await timedOut() - before).toBeGreaterThanOrEqual(CROWD)
    const uploads = gate.upstream.requests.filter(({ path, method }) => path === '/upload/slow' && method === 'POST')
    await until(() => uploads.every(({ abortedAt }) => abortedAt > 0), 'the upstream sees every end')
    expect(uploads.length).toBeGreaterThanOrEqual(CROWD)
  })

  test('[FAIL-006, WIRE14, WIRE7] that hardly reads is cut, and the upstream with it', async () => {
    const before = await timedOut()
    await unharmed('/download/16777216', '-X', '-c', String(READERS), '-r', String(READERS), '-l', '8', '-w', '1', '-y', '64', '-n', '3', '-z', '5') // it does not look whether it is cut
    expect(await timedOut() - before).toBeGreaterThanOrEqual(READERS)
    const cut = gate.upstream.requests.filter(({ path, abortedAt }) => path.startsWith('/download/') && abortedAt > 0)
    expect(cut.length).toBeGreaterThanOrEqual(READERS)
    for (const { arrivedAt, abortedAt } of cut) expect(abortedAt - arrivedAt).toBeLessThan(7_500)
  })

  test('[FAIL-006, WIRE3] with thousands of ranges in a head gets an answer like any other', async () => {
    expect(await unharmed('/ranges', '-R', '-a', '1', '-b', '3000', '-t', 'HEAD')).toMatch(ALL_CLOSED)
    const asked = gate.upstream.requests.filter(({ path }) => path === '/ranges')
    for (const { answeredAt } of asked) expect(answeredAt).toBeGreaterThan(0)
  })
})

describe('over HTTP/2', () => {
  test('[FAIL-006, WIRE14, WIRE16] streams whose bodies never end, and those that nobody reads, are ended by the same limit, and other streams of the connection are served', async () => {
    const client = await FrameClient.connect(gate.target)
    client.push(Buffer.concat([windowUpdate(0, 1_000_000), headers(1, requestFields('POST', '/upload/idle'), FLAG.endHeaders)]))
    client.push(headers(3, requestFields('GET', '/download/16777216')))
    const [unread, unsent] = await Promise.all([gate.upstream.request('/download/16777216'), gate.upstream.request('/upload/idle')])
    const ended = (stream: number): boolean => client.frames.some(frame => frame.stream === stream && (frame.type === FRAME.reset || (frame.flags & FLAG.endStream) === FLAG.endStream && frame.type !== FRAME.settings))
    await client.until(() => ended(1) && ended(3))
    expect(client.frames.filter(({ type, stream }) => type === FRAME.data && stream === 3).reduce((sum, { payload }) => sum + payload.length, 0)).toBeLessThanOrEqual(65_535)
    await until(() => unread.abortedAt > 0 && unsent.abortedAt > 0, 'the upstream sees both ends')
    client.push(headers(5, requestFields('GET', '/ranges')))
    await client.until(() => ended(5))
    expect(client.over).toBe(false)
    client.close()
  })
})
