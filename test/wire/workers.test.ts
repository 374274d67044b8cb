// `run` with several workers over a real Redis: one port, one session on all of them, a killed worker that costs only its own exchanges, one drain,
// and probes that are answered while the store is not there.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { verifyTrail } from '../../src/audit/verify.ts'
import { trailFiles } from '../../src/audit/tail.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { freePort } from '../support/free-port.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const BOUND = 20_000

type Line = { readonly msg: string; readonly [field: string]: unknown }
type Answer = { readonly status: number; readonly text: string }
/** An open event stream: how it began, and how it ended. */
type Stream = { readonly status: number; readonly text: () => string; readonly over: () => boolean; readonly close: () => void }

let directory: string
let redis: RedisServer
let upstream: RecordingUpstream
let issuer: TokenIssuer
let running: ChildProcess | null
let lines: Line[]
let streams: Stream[]
let ports: { readonly main: number; readonly admin: number; readonly ops: number }

const config = (url: string, drain: string): string => `
version: 1
stateDir: ${directory}/state
store: { redis: { url: "${url}" } }
server:
  workers: 2
  listeners:
    - { name: main, address: "127.0.0.1:${ports.main}", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:${ports.admin}", serves: [admin] }
    - { name: ops, address: "127.0.0.1:${ports.ops}", serves: [health, metrics] }
  drain: { timeout: ${drain} }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams: { api: { url: "${upstream.origin}" } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules: [{ allow: {}, scope: base:read }]
`

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-workers-'))
  ;[redis, upstream, issuer] = await Promise.all([RedisServer.start(), RecordingUpstream.start(), TokenIssuer.create()])
  ports = { main: await freePort(), admin: await freePort(), ops: await freePort() }
  await issuer.writeJwks(join(directory, 'jwks.json'))
  lines = []
  streams = []
  running = null
})
afterEach(async () => {
  for (const stream of streams) stream.close()
  if (running !== null && running.exitCode === null && running.signalCode === null) {
    running.kill('SIGKILL')
    await once(running, 'exit')
  }
  await Promise.all([redis.dispose(), upstream.close()])
  rmSync(directory, { recursive: true, force: true })
})

function command(...words: readonly string[]): ChildProcess {
  const { NODE_OPTIONS: _, ...env } = process.env
  return spawn(process.execPath, [MAIN, ...words, '-c', join(directory, 'gateway.yaml')], { env, stdio: ['ignore', 'pipe', 'inherit'] })
}

async function install(drain = '500ms'): Promise<void> {
  writeFileSync(join(directory, 'gateway.yaml'), config(redis.url, drain))
  const [code] = (await once(command('store', 'init'), 'exit')) as [number] // what an exit event carries
  expect(code).toBe(0)
}

function run(): void {
  running = command('run')
  if (running.stdout === null) throw new Error('its output is a pipe')
  createInterface({ input: running.stdout }).on('line', line => void lines.push(JSON.parse(line) as Line)) // the log's lines are objects
}

const told = (msg: string): readonly Line[] => lines.filter(line => line.msg === msg)
const ready = async (count: number): Promise<readonly number[]> => {
  const over = running === null ? Promise.reject(new Error('it was not started')) : once(running, 'exit').then(([code]) => { throw new Error(`it ended with ${String(code)}: ${JSON.stringify(lines)}`) })
  over.catch(() => undefined) // an end that comes later is the test's own doing
  await Promise.race([over, eventually(`${count} workers are ready`, BOUND, async () => (told('a worker is ready').length >= count ? true : null))])
  return told('a worker is ready').map(({ pid }) => Number(pid))
}

async function ask(port: number, path: string, { method = 'GET', headers = {}, body = '' }: { readonly method?: string; readonly headers?: { readonly [name: string]: string }; readonly body?: string } = {}): Promise<Answer> {
  const sent = request({ host: '127.0.0.1', port, path, method, headers: { host: 'api.test', connection: 'close', ...headers }, agent: false })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what a response event carries
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: response.statusCode ?? 0, text }
}

async function open(token: string): Promise<Stream> {
  const sent = request({ host: '127.0.0.1', port: ports.main, path: '/sse/feed', headers: { host: 'api.test', authorization: `Bearer ${token}` }, agent: false })
  sent.on('error', () => undefined) // how it ended is told by `over`
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what a response event carries
  let [text, over] = ['', false]
  response.on('data', (chunk: Buffer) => { text += chunk.toString() }).on('error', () => undefined).on('close', () => { over = true })
  const stream = { status: response.statusCode ?? 0, text: () => text, over: () => over, close: () => void sent.destroy() }
  streams.push(stream)
  return stream
}

const operator = (): string => readFileSync(join(directory, 'state/admin.token'), 'utf8').trim()
const admin = (method: string, path: string, body: object | null = null): Promise<Answer> => {
  const text = body === null ? '' : JSON.stringify(body)
  return ask(ports.admin, path, { method, body: text, headers: { host: `127.0.0.1:${ports.admin}`, authorization: `Bearer ${operator()}`, ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }) } })
}
const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
const stop = async (): Promise<number | null> => {
  const ended = running === null ? Promise.resolve([0]) : once(running, 'exit')
  running?.kill('SIGTERM')
  const [code] = (await ended) as [number | null] // what an exit event carries
  return code
}
const sample = (text: string, start: string): number => text.split('\n').filter(line => line.startsWith(start)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)

test('[ADM20, ENF9] an end through any worker is enforced on all of them before it is answered, and a drain ends with 0', async () => {
  await install()
  run()
  await ready(2)
  const token = await issuer.sign({ sub: 'agent-1', jti: 'a' })
  const opened = await Promise.all(Array.from({ length: 8 }, () => open(token)))
  expect(opened.map(({ status }) => status)).toEqual(Array(8).fill(200))
  const { text } = await admin('GET', '/v1/sessions')
  const [id] = /ses_[a-z2-7]{26}/.exec(text) ?? []
  const ended = await admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'test' })
  const told = JSON.parse(ended.text) as { readonly exchanges: { readonly cut: number }; readonly exchangesUnknown: number } // as the contract has it
  expect([ended.status, told]).toEqual([200, expect.objectContaining({ enforced: true, gateways: { total: 2, acknowledged: 2, expired: 0 } })])
  if (told.exchangesUnknown === 0) expect(told.exchanges.cut).toBe(8) // on a busy machine a worker may say that it is done before it says how many
  upstream.feed('feed').emit('late')
  await eventually('every stream is cut', 5_000, async () => (opened.every(({ over }) => over()) ? true : null))
  expect(opened.filter(stream => stream.text().includes('late'))).toEqual([])
  for (let i = 0; i < 4; i++) expect((await ask(ports.main, '/json', { headers: { authorization: `Bearer ${token}` } })).status).toBe(401)
  expect(await stop()).toBe(0)
})

test('[ADM20] a killed worker costs its own exchanges alone: they are accounted for, another takes its seat and its trail, the others run on', async () => {
  await install()
  run()
  const [first = 0] = await ready(2)
  const token = await issuer.sign({ sub: 'agent-1', jti: 'a' })
  const opened = await Promise.all(Array.from({ length: 8 }, () => open(token)))
  expect(sample((await ask(ports.ops, '/metrics')).text, 'narrowgate_exchanges_active{')).toBe(8)
  process.kill(first, 'SIGKILL')
  await ready(3)
  const left = opened.filter(({ over }) => !over())
  expect([left.length > 0, left.length < 8]).toEqual([true, true])
  upstream.feed('feed').emit('on')
  await eventually('the others run on', 5_000, async () => (left.every(({ text }) => text().includes('on')) ? true : null))
  expect(told('a worker died; the exchanges it had open are over')).toEqual([expect.objectContaining({ pid: first, signal: 'SIGKILL' })])
  const { text } = await ask(ports.ops, '/metrics')
  expect([sample(text, 'narrowgate_worker_exits_total{state="ready"}'), sample(text, 'narrowgate_exchanges_active{')]).toEqual([1, left.length])
  for (const stream of streams) stream.close()
  expect(await stop()).toBe(0)
  for (const seat of [1, 2]) {
    const trail = join(directory, `state/trail.w${seat}.jsonl`)
    expect(await verifyTrail(trailFiles(trail), null)).toMatchObject({ ok: true })
    expect(existsSync(join(directory, `state/gateway.w${seat}.id`))).toBe(true)
    const [code] = (await once(command('audit', 'verify', '--file', trail), 'exit')) as [number] // what an exit event carries
    expect(code).toBe(0)
    const asked = command('audit', 'head', '--file', trail)
    const [head, [found]] = await Promise.all([asked.stdout?.toArray(), once(asked, 'exit')]) as [Buffer[], [number]] // a pipe's, and what an exit event carries
    expect([found, Buffer.concat(head).toString()]).toEqual([0, expect.stringMatching(new RegExp(`^${readFileSync(trail, 'utf8').trim().split('\n').length}:[\\w-]{43}\n$`))])
  }
  expect(new Set(readFileSync(join(directory, 'state/trail.w1.jsonl'), 'utf8').trim().split('\n').map(line => (JSON.parse(line) as { gateway: string }).gateway)).size).toBe(1) // our own line
})

test('[ADM20, ADM10] a second signal ends the primary and every worker at once, with 1', async () => {
  await install('60s')
  run()
  const pids = await ready(2)
  const stream = await open(await issuer.sign({ sub: 'agent-1', jti: 'a' }))
  running?.kill('SIGTERM')
  await eventually('both drain', BOUND, async () => (told('draining').length === 2 ? true : null))
  expect(stream.over()).toBe(false)
  expect(await stop()).toBe(1)
  await eventually('no worker is left', 5_000, async () => (pids.some(alive) ? null : true))
  expect(stream.over()).toBe(true)
})

test('[ADM21] what one scrape tells is the sum over workers, whichever answers', async () => {
  await install()
  run()
  await ready(2)
  const token = await issuer.sign({ sub: 'agent-1', jti: 'a' })
  for (let i = 0; i < 10; i++) expect((await ask(ports.main, '/json', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200)
  for (let i = 0; i < 4; i++) expect(sample((await ask(ports.ops, '/metrics')).text, 'narrowgate_requests_total{')).toBe(10)
  expect(await stop()).toBe(0)
})

test('[ADM19] while the store is not there, probes are answered: alive and not ready, with the reason; a lapse later leaves the gateway ready', { timeout: 90_000 }, async () => {
  await install()
  await redis.kill()
  run()
  const state = async (): Promise<{ readonly status: number; readonly store: string } | null> => {
    const { status, text } = await ask(ports.ops, '/readyz')
    return { status, store: String((JSON.parse(text) as { checks: { store: string } }).checks.store) } // what /readyz answers
  }
  const waiting = await eventually('probes are answered', BOUND, state)
  expect([waiting.status, waiting.store === '']).toEqual([503, false])
  expect((await ask(ports.ops, '/livez')).status).toBe(200)
  await expect(ask(ports.main, '/json')).rejects.toThrow()
  await redis.restart()
  await ready(2)
  await eventually('it is ready', BOUND, async () => ((await state())?.status === 200 ? true : null))
  await redis.kill()
  const lapsed = await eventually('it has lapsed', BOUND, async () => {
    const now = await state()
    return now !== null && now.store === 'lapsed' ? now : null
  })
  expect(lapsed.status).toBe(200)
})

test('[ADM19, ADM10] a stop while the store is not there ends the program, with 0', { timeout: 60_000 }, async () => {
  await install()
  await redis.kill()
  run()
  await eventually('probes are answered', BOUND, async () => ((await ask(ports.ops, '/livez')).status === 200 ? true : null))
  expect(await stop()).toBe(0)
})
