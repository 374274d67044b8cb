// Valid WebSocket exchanges over both protocols with octets of the frames changed on either side, and of the handshake, thousands of them: the gateway
// opens the next good tunnel, keeps no exchange and no socket, and asks its upstream nothing without a recorded Permit. `SEED=… RUNS=…` goes elsewhere.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { FLAG, FRAME, frame, FrameClient, headers } from '../support/http2-frames.ts'
import { unpermitted } from '../support/permit-account.ts'
import { RawClient } from '../support/raw-client.ts'
import { pause, until } from './support.ts'

const SEED = Number(process.env['SEED'] ?? 41)
const RUNS = Number(process.env['RUNS'] ?? 2_000)
const AT_ONCE = 32
/** Tunnels between two looks at whether all is well. */
const BATCH = 400
/** No connection outlives its caller's end of it for longer, in milliseconds. */
const PATIENCE = 20_000
/** How long a caller waits for the last of what the upstream says. */
const ANSWERED_IN = 60

// ---- an upstream that switches properly, says what the case has for it, and echoes nothing

const asked: { readonly method: string; readonly url: string }[] = []
const saying = new Map<string, string>()
const open = new Set<Duplex>()
let server: Server

function switchOver(message: IncomingMessage, socket: Duplex): void {
  const { method = '', url = '' } = message
  asked.push({ method, url })
  open.add(socket)
  socket.on('error', () => undefined).on('close', () => open.delete(socket)).on('end', () => socket.end()).resume()
  const accept = createHash('sha1').update(`${message.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  socket.write(Buffer.from(saying.get(url) ?? '\x81\x02ok', 'latin1'))
}

let gate: TestGateway
let token: string

beforeAll(async () => {
  server = createServer((message, answer) => {
    asked.push({ method: message.method ?? '', url: message.url ?? '' })
    answer.end('no tunnel')
  }).on('upgrade', switchOver).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number } // it listens on a port
  gate = await TestGateway.start({
    routes: '',
    config: ({ directory, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", protocols: [http1, http2], serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [metrics] }
  limits: { headersTimeout: 2s, idleTimeout: 2s }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: [{ scopes: [base:read] }]
upstreams:
  api: { url: "http://127.0.0.1:${port}", timeout: 5s }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { paths: [/ws/**], upgrade: websocket }, scope: base:read }
      - { allow: { paths: [/**] }, scope: base:read }
`,
  })
  token = await gate.token()
})
afterAll(async () => {
  await gate.stop()
  for (const socket of open) socket.destroy()
  server.close()
})

// ---- what is changed, and how

const masked = (opcode: number, payload: string): string => `${String.fromCharCode(opcode)}${String.fromCharCode(0x80 | payload.length)}\x01\x02\x03\x04${Array.from(payload, (char, i) => String.fromCharCode(char.charCodeAt(0) ^ (1 + (i % 4)))).join('')}`
const plain = (opcode: number, payload: string): string => `${String.fromCharCode(opcode)}${String.fromCharCode(payload.length)}${payload}`

const UP: readonly (readonly string[])[] = [
  [masked(0x81, 'hello'), masked(0x88, '\x03\xe8')],
  [masked(0x82, '\x00\x01\x02'.repeat(30)), masked(0x89, 'ping'), masked(0x81, 'more')],
  [masked(0x01, 'first, '), masked(0x00, 'second, '), masked(0x89, 'between'), masked(0x80, 'last'), masked(0x88, '')],
  [masked(0x8a, 'pong'), masked(0x81, ''), masked(0x81, 'x'.repeat(120))],
]
const DOWN: readonly (readonly string[])[] = [
  [plain(0x81, 'ok')],
  [plain(0x82, 'ok'.repeat(50)), plain(0x89, 'ping'), plain(0x81, 'done')],
  [plain(0x01, 'o'), plain(0x80, 'k'), plain(0x88, '\x03\xe8bye')],
]
const DICTIONARY: readonly string[] = ['\x81\x80\0\0\0\0', '\x81\0', '\x88\x80\0\0\0\0', '\x88\x81\0\0\0\0x', '\x88\0', '\x81\xfe\0\x05', '\x81\xff\0\0\0\0\0\0\0\x05', '\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff', '\xc1\x82\0\0\0\0ab', '\xf1\x80\0\0\0\0',
  '\x83\x80\0\0\0\0', '\x8b\x80\0\0\0\0', '\x09\x80\0\0\0\0', '\x89\xfe\0\x80', '\x80\x80\0\0\0\0', '\x01\x80\0\0\0\0', 'GET /ws/smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n', '\0', '\xff\xff\xff\xff']

type Change = (frames: readonly string[]) => readonly string[]
const spot = fc.noBias(fc.nat(10_000))
const put = (text: string, at: number, what: string, over: number): string => text.slice(0, at % (text.length + 1)) + what + text.slice((at % (text.length + 1)) + over)
const one = (where: number, how: (text: string) => readonly string[]): Change => frames => frames.flatMap((each, i) => (i === where % frames.length ? how(each) : [each]))
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(spot, spot, fc.nat(255)).map(([where, at, octet]) => one(where, text => [put(text, at, String.fromCharCode(octet), 1)])) },
  { weight: 3, arbitrary: fc.tuple(spot, fc.nat(1), fc.nat(7)).map(([where, at, bit]) => one(where, text => [put(text, at, String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << bit)), 1)])) },
  { weight: 2, arbitrary: fc.tuple(spot, spot, fc.constantFrom(...DICTIONARY), fc.nat(3)).map(([where, at, what, over]) => one(where, text => [put(text, at, what, over)])) },
  { weight: 2, arbitrary: fc.tuple(spot, fc.constantFrom(...DICTIONARY)).map(([where, what]) => one(where, text => [text, what])) },
  fc.tuple(spot, spot, fc.integer({ min: 1, max: 8 })).map(([where, at, over]) => one(where, text => [put(text, at, '', over)])),
  fc.tuple(spot, fc.boolean()).map(([where, twice]) => one(where, text => (twice ? [text, text] : []))),
)
const changed = (valid: readonly (readonly string[])[], most: number) => fc.tuple(fc.constantFrom(...valid), fc.array(change, { maxLength: most })).map(([frames, changes]) => changes.reduce((all, each) => (all.length === 0 ? all : each(all)), frames).join(''))

type Case = {
  readonly up: string
  readonly down: string
  /** One octet of the handshake's fields; null for none. */
  readonly spoilt: { readonly at: number; readonly octet: number } | null
  readonly http2: boolean
  /** Frames are sent with the handshake, or behind its answer. */
  readonly early: boolean
  readonly split: number
  readonly leaving: 'waits' | 'fin' | 'gone'
}
const cases: fc.Arbitrary<Case> = fc.record({
  up: changed(UP, 3), down: changed(DOWN, 2), spoilt: fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, fc.record({ at: spot, octet: fc.nat(255) })),
  http2: fc.boolean(), early: fc.boolean(), split: spot, leaving: fc.constantFrom('waits', 'waits', 'waits', 'fin', 'gone'),
})

// ---- one of them

type Peer = { readonly push: (bytes: Buffer) => boolean; readonly end: () => void; readonly close: () => void; readonly ended: Promise<unknown>; readonly until: (holds: () => boolean, ms: number) => Promise<void> }
type Caller = { readonly peer: Peer; /** Head of the answer is there. */ readonly answered: () => boolean; readonly got: () => string; readonly framed: (text: string) => Buffer; readonly opening: Buffer }

const spoil = (text: string, { spoilt }: Case): string => (spoilt === null ? text : put(text, spoilt.at, String.fromCharCode(spoilt.octet), 1))

async function over1(each: Case, path: string): Promise<Caller> {
  const peer = await RawClient.connect({ port: gate.target.port })
  const fields = spoil('Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n', each)
  const opening = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\n${fields}\r\n`, 'latin1')
  const got = (): string => peer.bytes().toString('latin1')
  return { peer, answered: () => got().includes('\r\n\r\n'), got, framed: text => Buffer.from(text, 'latin1'), opening }
}

async function over2(each: Case, path: string): Promise<Caller> {
  const peer = await FrameClient.connect({ port: gate.target.port })
  const version = spoil('13', each)
  const opening = headers(1, [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', 'http'], [':authority', 'api.test'], [':path', path], ['authorization', `Bearer ${token}`], ['sec-websocket-version', version]], FLAG.endHeaders)
  const got = (): string => Buffer.concat(peer.frames.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload)).toString('latin1')
  return { peer, answered: () => peer.over || peer.frames.some(({ type }) => type === FRAME.headers || type === FRAME.reset), got, framed: text => frame(FRAME.data, 0, 1, text), opening }
}

async function play(each: Case, number: number): Promise<boolean> {
  const path = `/ws/${number}`
  saying.set(path, each.down)
  const caller = await (each.http2 ? over2(each, path) : over1(each, path))
  const { peer } = caller
  peer.push(caller.opening)
  if (!each.early) await peer.until(caller.answered, 5_000).catch(() => undefined)
  const cut = each.split % (each.up.length + 1)
  peer.push(caller.framed(each.up.slice(0, cut)))
  await new Promise(resolve => setImmediate(resolve))
  peer.push(caller.framed(each.up.slice(cut)))
  if (each.leaving === 'waits') await peer.until(() => /ok|done|bye|"type"/.test(caller.got()), ANSWERED_IN).catch(() => undefined)
  if (each.leaving === 'gone') peer.close()
  else peer.end()
  await Promise.race([peer.ended, pause(PATIENCE).then(() => { throw new Error(`still open ${PATIENCE} ms behind the caller's FIN`) })])
  saying.delete(path)
  const text = caller.got()
  if (text.includes('internal_error') || text.includes(token)) throw new Error(text)
  return text.includes('ok')
}

/** All of them, so many at once. @returns how many were told something by the upstream, and every case that went wrong */
async function playAll(all: readonly Case[], from: number): Promise<{ readonly told: number; readonly faults: readonly string[] }> {
  const faults: string[] = []
  let told = 0
  const waiting = all.entries()
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const [i, each] of waiting) {
      try {
        if (await play(each, from + i)) told++
      } catch (error) {
        faults.push(`${from + i} ${JSON.stringify(each)}: ${String(error)}`)
      }
    }
  }))
  return { told, faults }
}

// ---- all is well

const sockets = (): number => process.getActiveResourcesInfo().filter(kind => kind === 'TCPSocketWrap').length

async function isWell(context: string): Promise<void> {
  await until(() => gate.parts.inflight.size === 0, `no exchange to be open (${context})`, PATIENCE)
  await until(() => open.size === 0, `no tunnel to be open upstream (${context})`, PATIENCE)
  const good: Case = { up: UP[0]?.join('') ?? '', down: '\x81\x02ok', spoilt: null, http2: false, early: false, split: 0, leaving: 'waits' }
  for (const http2 of [false, true]) expect(await play({ ...good, http2, up: masked(0x81, 'hello') }, -1), context).toBe(true)
}

test(`[WIRE14, WIRE16, WIRE18] ${RUNS} tunnels with changed octets leave the gateway as it was (SEED=${SEED})`, async () => {
  await isWell('before')
  const all = fc.sample(cases, { seed: SEED, numRuns: RUNS })
  const before = sockets()
  let told = 0
  for (let from = 0; from < all.length; from += BATCH) {
    const context = `SEED=${SEED} RUNS=${RUNS}, cases ${from} to ${from + BATCH}`
    const played = await playAll(all.slice(from, from + BATCH), from)
    expect(played.faults, context).toEqual([])
    told += played.told
    await isWell(context)
  }
  await until(() => sockets() <= before, `no socket to be left behind (SEED=${SEED}): ${before} before`, PATIENCE)
  expect(await unpermitted(gate, asked), `SEED=${SEED}`).toEqual([])
  expect(asked.filter(({ url }) => url.includes('smuggled'))).toEqual([])
  expect((await gate.ops('/metrics')).text).not.toMatch(/reason="internal_error"\S* [1-9]/)
  expect([asked.length > RUNS / 2, told > RUNS / 8], `${asked.length} tunnels, ${told} told`).toEqual([true, true])
}, 180_000)
