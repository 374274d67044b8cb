// An elevated request is on record before its first byte goes upstream, and does not go where it cannot be put on record;
// nobody without a credential can bring that about. SPEC: AUD2, AUD7, AUD9, RULES 24
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { SYSTEM_DISK } from '../../src/audit/appender.ts'
import { trailFiles } from '../../src/audit/tail.ts'
import { verifyTrail } from '../../src/audit/verify.ts'
import type { HttpRelay } from '../../src/proxy/http/relay.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { answersAndEnds, type RawExchange, RawUpstream } from '../support/raw-upstream.ts'

const plan = (audit: string, extra = ''): GatewayPlan => ({
  routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - allow: { methods: [GET], paths: [/public/**] }
    - allow: { methods: [GET, POST], paths: [/write/**] }
      scope: api:write${extra}`,
  elevations: 'writer: { adds: [api:write], for: 10m }',
  more: `audit: ${audit}`,
})

type Line = Record<string, unknown>
const linesNow = (file: string): readonly Line[] => readFileSync(file, 'utf8').trim().split('\n').map(text => JSON.parse(text) as Line) // written by our own writer

let made = 0
async function elevated(gate: TestGateway): Promise<{ readonly [name: string]: string }> {
  const name = `writer-${++made}`
  const token = await gate.token({ sub: name })
  await gate.elevate(token, 'writer')
  return { authorization: `Bearer ${token}` }
}

const recordFailed = (answer: Answer): void => {
  expect(answer.status, answer.text).toBe(503)
  expect(answer.headers['content-type']).toBe('application/problem+json')
  expect(answer.headers['retry-after']).toBe('1')
  expect(answer.json).toMatchObject({ reason: 'record_failed', status: 503 })
}

/** Everything written to sockets towards this port until the test ends, at the last place before the kernel. */
function onEveryWrite(port: number, hear: (bytes: string) => void): void {
  const write = Reflect.get(Socket.prototype, 'write')
  const listening = function (this: Socket, ...args: Parameters<Socket['write']>): boolean {
    if (this.remotePort === port) hear(Buffer.from(args[0] as string, 'latin1').toString('latin1')) // bytes, or the latin-1 text undici writes
    return Reflect.apply(write, this, args) as boolean
  }
  Socket.prototype.write = listening as typeof write // passes on whatever it was called with
  onTestFinished(() => void Reflect.deleteProperty(Socket.prototype, 'write')) // it is inherited
}

describe('the order', () => {
  let gate: TestGateway
  let raw: RawUpstream
  let script: (exchange: RawExchange) => void = () => undefined
  beforeAll(async () => {
    raw = await RawUpstream.start(exchange => script(exchange))
    gate = await TestGateway.start(plan('{}', `
- name: raw
  match: { host: raw.test }
  upstream: { url: "${raw.origin}" }
  rules: [{ allow: { methods: [GET, POST] }, scope: api:write }]`))
  })
  afterAll(async () => {
    await gate.stop()
    await raw.close()
  })

  test('[AUD2] the upstream finds the record in the file when the request arrives', async () => {
    const headers = await elevated(gate)
    const found: (readonly Line[])[] = []
    script = exchange => {
      found.push(linesNow(gate.trailFile).filter(line => line['kind'] === 'exchange.opened' && line['path'] === '/arrives'))
      answersAndEnds('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')(exchange)
    }
    const answer = await gate.ask('GET', '/arrives?secret=1', { ...headers, host: 'raw.test' })
    expect(answer.text).toBe('ok')
    expect(found).toMatchObject([[{ kind: 'exchange.opened', route: 'raw', rule: 'raw#1', method: 'GET', decision: 'permit', elevation: { profile: 'writer' } }]])
    expect(JSON.stringify(found)).not.toContain('secret')
  })

  test('[AUD2] the record is in the file before the request is handed to the upstream, and before a byte of it is written to a socket', async () => {
    const headers = await elevated(gate)
    const handed: string[] = []
    const written: string[] = []
    const early: string[] = []
    const note = (list: string[], path: string): void => {
      list.push(path)
      if (!readFileSync(gate.trailFile, 'utf8').includes(`"path":"${path}"`)) early.push(path)
    }
    const dispatch = Reflect.get(Upstream.prototype, 'send')
    vi.spyOn(Upstream.prototype, 'send').mockImplementation(function (this: Upstream, relay) {
      note(handed, (relay as HttpRelay).exchange?.evaluation.resource.path ?? '') // the one handler there is
      Reflect.apply(dispatch, this, [relay])
    })
    onEveryWrite(gate.upstream.port, bytes => {
      const path = /^[A-Z]+ (\/write\/\S+) HTTP/.exec(bytes)?.[1]
      if (path !== undefined) note(written, path)
    })
    const paths = Array.from({ length: 20 }, (_, i) => `/write/ordered-${i}`)
    for (const path of paths.slice(0, 10)) expect((await gate.ask('GET', path, headers)).status).toBe(200)
    const together = await Promise.all(paths.slice(10).map(path => gate.ask('POST', path, headers, 'body')))
    expect(together.map(({ status }) => status)).toEqual(paths.slice(10).map(() => 200))
    expect([...handed].sort()).toEqual([...paths].sort())
    expect([...written].sort()).toEqual([...paths].sort())
    expect(early).toEqual([])
  })
})

describe.each([['written at once', '{}'], ['on stable storage first', '{ trail: { fsync: true } }']])('a trail that cannot be written, %s', (_, audit) => {
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start(plan(audit))
  })
  afterAll(() => gate.stop())

  test('[FAIL-003, AUD2] refuses what is elevated and lets the baseline pass; heals by itself, and tells what did not go', async () => {
    const headers = await elevated(gate)
    expect((await gate.ask('GET', '/write/before', headers)).status).toBe(200)
    const disk = vi.spyOn(SYSTEM_DISK, 'write').mockImplementation(() => {
      throw Object.assign(new Error('input/output error'), { code: 'EIO' })
    })
    const received = gate.upstream.requests.length
    const answers = await Promise.all(['/write/a', '/write/b'].map(path => gate.ask('GET', path, headers)))
    answers.push(await gate.ask('POST', '/write/c', headers, 'body'))
    answers.forEach(recordFailed)
    expect(gate.upstream.requests).toHaveLength(received)
    const read = await gate.ask('GET', '/public/still', headers)
    expect(read.status, read.text).toBe(200)
    expect(gate.upstream.bytes()).not.toMatch(/\/write\/[abc] /)
    expect(gate.parts.trail.healthy).toBe(false)
    expect((await gate.ops('/readyz')).text).toContain('elevated requests cannot be recorded')
    expect(gate.parts.inflight.size).toBe(0)

    disk.mockRestore()
    const after = await gate.ask('GET', '/write/after', headers)
    expect(after.status, after.text).toBe(200)
    expect(gate.parts.trail.healthy).toBe(true)
    const lines = await gate.trail()
    expect(lines.filter(line => line['kind'] === 'request.refused').map(line => line['reason'])).toEqual(['record_failed', 'record_failed', 'record_failed'])
    const sent = new Set(lines.filter(line => line['kind'] === 'exchange.closed').map(line => line['exchange']))
    const unsent = new Set(lines.filter(line => line['kind'] === 'request.not_dispatched').map(line => line['exchange']))
    for (const line of lines.filter(({ kind }) => kind === 'exchange.opened')) expect(sent.has(line['exchange']) !== unsent.has(line['exchange']), String(line['path'])).toBe(true)
    expect(await verifyTrail(trailFiles(gate.trailFile), gate.parts.trail.head)).toMatchObject({ ok: true })
  })

  test('[AUD2] a disk that takes half a line and then nothing leaves no half line behind', async () => {
    const headers = await elevated(gate)
    const own = SYSTEM_DISK.write
    const disk = vi.spyOn(SYSTEM_DISK, 'write')
      .mockImplementationOnce((fd, bytes, offset, length) => own(fd, bytes, offset, Math.ceil(length / 2)))
      .mockImplementation(() => {
        throw Object.assign(new Error('input/output error'), { code: 'EIO' })
      })
    recordFailed(await gate.ask('GET', '/write/half', headers))
    disk.mockRestore()
    expect((await gate.ask('GET', '/write/whole', headers)).status).toBe(200)
    expect(await verifyTrail(trailFiles(gate.trailFile), gate.parts.trail.head)).toMatchObject({ ok: true })
    expect(gate.upstream.bytes()).not.toContain('/write/half ')
  })
})

test('[FAIL-003, AUD2] a trail that does not reach stable storage refuses what is elevated where that is asked for', async () => {
  const gate = await TestGateway.start(plan('{ trail: { fsync: true } }'))
  const headers = await elevated(gate)
  const disk = vi.spyOn(SYSTEM_DISK, 'datasync').mockRejectedValue(Object.assign(new Error('input/output error'), { code: 'EIO' }))
  recordFailed(await gate.ask('GET', '/write/unsynced', headers))
  expect((await gate.ask('GET', '/public/still', headers)).status).toBe(200)
  disk.mockRestore()
  expect(gate.upstream.bytes()).not.toContain('/write/unsynced')
  expect((await gate.ask('GET', '/write/synced', headers)).status).toBe(200)
  await gate.stop()
})

test('[FAIL-003, AUD2] storage that stalls lets nothing elevated through and keeps nobody waiting for ever; the baseline does not notice', async () => {
  const gate = await TestGateway.start(plan('{ trail: { fsync: true } }'))
  const headers = await elevated(gate)
  const stalled = Promise.withResolvers<void>()
  const disk = vi.spyOn(SYSTEM_DISK, 'datasync').mockReturnValue(stalled.promise)
  const asked = gate.ask('GET', '/write/stalled', headers)
  await expect.poll(() => disk.mock.calls.length).toBeGreaterThan(0)
  expect((await gate.ask('GET', '/public/still', headers)).status).toBe(200)
  recordFailed(await asked)
  expect(gate.upstream.bytes()).not.toContain('/write/stalled')
  disk.mockRestore()
  stalled.resolve()
  await expect.poll(async () => (await gate.ask('GET', '/write/again', headers)).status, { timeout: 10_000 }).toBe(200)
  expect(gate.upstream.bytes()).not.toContain('/write/stalled')
  await gate.stop()
})

/** Fewer than a connection may send ahead. */
const PIPELINED = 20

/** Requests without a credential, one behind the other on one connection from that address; their statuses. */
async function refusals(port: number, localAddress: string, count: number): Promise<readonly number[]> {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  await once(socket, 'connect')
  const send = (): boolean => socket.write('GET /public/x HTTP/1.1\r\nHost: api.test\r\n\r\n'.repeat(PIPELINED))
  send()
  let text = ''
  const statuses: number[] = []
  for await (const chunk of socket) {
    text += String(chunk)
    statuses.push(...[...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)))
    text = text.slice(-12) // shorter than what is looked for
    if (statuses.length >= count) break
    if (statuses.length % PIPELINED === 0) send()
  }
  socket.destroy()
  return statuses
}

test('[AUD9, AUD2] 50,000 refusals from nobody leave the trail as it was, the noise within its limit, and elevated requests at 200', async () => {
  const KIB = 1024
  const limit = 64 * KIB
  const gate = await TestGateway.start(plan(`{ noise: { maxBytes: ${limit} } }`))
  const headers = await elevated(gate)
  expect((await gate.ask('GET', '/write/before', headers)).status).toBe(200)
  await vi.waitFor(() => expect(gate.parts.inflight.size).toBe(0))
  const trailSize = statSync(gate.trailFile).size
  const { records } = gate.parts.trail.counts

  const prefixes = 500
  const each = 100
  let elevatedMeanwhile = 0
  for (let first = 0; first < prefixes; first += 50) {
    const flood = Promise.all(Array.from({ length: 50 }, (_, i) => refusals(gate.target.port, `127.${1 + Math.floor((first + i) / 250)}.${(first + i) % 250}.1`, each)))
    const [statuses, answer] = await Promise.all([flood, gate.ask('GET', `/write/during-${first}`, headers)])
    expect(statuses.flat().every(status => status === 401)).toBe(true)
    expect(statuses.flat()).toHaveLength(50 * each)
    expect(answer.status, answer.text).toBe(200)
    elevatedMeanwhile++
  }
  await gate.parts.noise.flush()
  const noise = join(gate.directory, 'state', 'noise.jsonl')
  const kept = [noise, `${noise}.1`].filter(existsSync).reduce((sum, file) => sum + statSync(file).size, 0)
  expect(kept).toBeGreaterThan(0)
  expect(kept).toBeLessThan(8 * limit) // two files, each over its limit by one batch at most; the flood itself is some 16 MiB
  expect(gate.parts.noise.tracked).toBeLessThanOrEqual(10_000 + 100)
  await vi.waitFor(() => expect(gate.parts.inflight.size).toBe(0))
  expect(gate.parts.trail.counts).toMatchObject({ records: records + 2 * elevatedMeanwhile, dropped: 0 }) // each opened and closed, nothing else
  expect(statSync(gate.trailFile).size - trailSize).toBeLessThan(64 * KIB)
  expect(linesNow(gate.trailFile).filter(line => line['kind'] === 'request.refused')).toEqual([])
  expect((await gate.ask('GET', '/write/after', headers)).status).toBe(200)
  expect(await verifyTrail(trailFiles(gate.trailFile), gate.parts.trail.head)).toMatchObject({ ok: true })
  await gate.stop()
})
