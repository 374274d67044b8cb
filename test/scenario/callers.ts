// Callers of a scenario with what each of them has: a certificate on its connection, a token, an address. And where a story is played: on one gateway with the
// embedded store, then on two over Redis. For tests only.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type ClientHttp2Session, connect as connect2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'
import type { Answer, GatewayPair, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { eventually } from '../support/redis-server.ts'
import type { Certificate } from '../support/tls.ts'
import type { TokenIssuer } from '../support/token-issuer.ts'
import { raisePair } from './pair.ts'
import { factsIn, type Headers, type Line, outcome, raise, type Staging } from './stage.ts'

/** Two gateways, or one that is both. */
export type Setting = GatewayPair

async function alone(name: string, staging: Staging): Promise<Setting> {
  const gate = await raise(name, staging)
  return { a: gate, b: gate, trail: () => gate.trail(), stop: () => gate.stop() }
}

export const SETTINGS = [['on one gateway with the embedded store', alone], ['on two gateways over Redis', raisePair]] as const

/** A file with the keys of an issuer, for as long as the process runs. @param use what they say they are for, such as `jwt-svid` in a SPIFFE bundle */
export function keySetOf(issuer: TokenIssuer, use = 'sig'): string {
  const directory = mkdtempSync(join(tmpdir(), 'ng-keys-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'jwks.json')
  writeFileSync(file, JSON.stringify({ keys: issuer.jwks().keys.map(key => ({ ...key, use })) }))
  return file
}

/** What the runner of a pipeline signs for a step of a run. */
export const signedStep = (runner: TokenIssuer, run: string, step: string, seq: number): Promise<string> =>
  runner.sign({ iss: undefined, aud: undefined, client_id: undefined, sub: undefined, run_id: run, step, seq, jti: crypto.randomUUID() }, { header: { typ: 'purpose+jwt' } })

/** @param from the address it connects from, where it is another than usual */
export type Caller = { readonly leaf: Certificate | null; readonly headers: Headers; readonly from?: string }
export type Said = Pick<Answer, 'status' | 'json'>

/** A connection that stays, with the caller's certificate where TLS is spoken. By its address: the names of examples are in no certificate here. */
export function connect({ target }: TestGateway, { leaf, from }: Caller): Promise<RawClient> {
  return RawClient.connect({ ...target, ...(from === undefined ? {} : { from }), ...(target.tls === undefined ? {} : { tls: { ...target.tls, servername: '', leaf } }) })
}

/** The same by HTTP/2. */
export function connectHttp2({ target: { port, tls } }: TestGateway, { leaf, from }: Caller): ClientHttp2Session {
  const shown = { ...(tls === undefined ? {} : { ca: tls.ca }), ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }), ...(from === undefined ? {} : { localAddress: from }) }
  const session = connect2(`${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, shown)
  session.on('error', () => undefined) // shows at the request
  return session
}

/** One request on a connection, its path written as it is. */
export async function on(client: RawClient, { headers }: Caller, method: string, path: string, body: object | null = null): Promise<Said> {
  await client.send(request(method, path, body === null ? headers : { ...headers, 'content-type': 'application/json' }, body === null ? '' : JSON.stringify(body)))
  const { status, body: text } = await client.response(method)
  return { status, json: text.at(0) === 0x7b ? (JSON.parse(text.toString()) as Said['json']) : {} } // an object: it begins with a brace
}

/** One request on a connection of its own. */
export async function asked(gate: TestGateway, caller: Caller, method: string, path: string, body: object | null = null): Promise<Said> {
  const client = await connect(gate, caller)
  try {
    return await on(client, caller, method, path, body)
  } finally {
    client.close()
  }
}

/** The same through A, then through B. */
export const through = async ({ a, b }: Setting, caller: Caller, method: string, path: string, body: object | null = null): Promise<readonly string[]> =>
  [outcome(await asked(a, caller, method, path, body)), outcome(await asked(b, caller, method, path, body))]

/** Through either it has this answer. */
export const both = (told: string): readonly string[] => [told, told]

export const sessionAt = async (gate: TestGateway, caller: Caller): Promise<string> => String((await asked(gate, caller, 'GET', '/.narrowgate/session')).json['id'])

/** Asks for an elevation that is given at once. Its id. */
export async function elevatedAt(gate: TestGateway, caller: Caller, ask: object): Promise<string> {
  const { status, json } = await asked(gate, caller, 'POST', '/.narrowgate/elevations', ask)
  if (status !== 201) throw new Error(`not given: ${status} ${JSON.stringify(json)}`)
  return String(json['id'])
}

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
/** What an answer shows of a key (RFC 6455 §1.3). */
const acceptOf = (key: string): string => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const UPGRADE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': KEY }

/** Asks for a WebSocket: `101`, or what refused it. */
export async function upgraded(gate: TestGateway, caller: Caller, path: string): Promise<string> {
  const said = await asked(gate, { ...caller, headers: { ...caller.headers, ...UPGRADE } }, 'GET', path)
  return said.status === 101 ? '101' : outcome(said)
}

/** The upstream takes every upgrade. The paths of those it took, as they come. */
export function takesUpgrades({ upstream }: TestGateway): readonly string[] {
  const taken: string[] = []
  upstream.upgrades(({ url, headers }, socket) => {
    taken.push(url ?? '')
    socket.on('error', () => undefined) // the caller goes first
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptOf(String(headers['sec-websocket-key']))}\r\n\r\n`)
  })
  return taken
}

/** The upstream takes every upgrade and says when, as long as it lasts. */
export function speaks({ upstream }: TestGateway): void {
  const server = new WebSocketServer({ noServer: true })
  upstream.upgrades((message, socket, head) => {
    socket.on('error', () => undefined) // shows at the caller
    server.handleUpgrade(message, socket, head, console => {
      const pace = setInterval(() => console.send(`at ${performance.now()} .`), 5)
      console.on('close', () => clearInterval(pace)).on('error', () => undefined)
    })
  })
}

/** Resolves when the session has this many drifts told of it: what was refused for one does not wait for that. */
export const driftsKept = (gate: TestGateway, session: string, count: number): Promise<boolean> =>
  eventually(`${count} drifts told of ${session}`, 10_000, async () => ((gate.parts.mirror.byId(session)?.record.drifts.length ?? 0) >= count ? true : null))

/** What the facts of a session tell of its bindings: only its opening names it, the rest go by its record. */
export function driftsOf(lines: readonly Line[], session: string): readonly unknown[] {
  const opened = lines.find(({ kind, session: of, fact }) => kind === 'fact' && of === session && (fact as Line)['what'] === 'session.opened') // a fact line has one
  const name = (line: Line | undefined): unknown => (line?.['record'] as Line | undefined)?.['name'] // of which record it is
  if (name(opened) === undefined) throw new Error(`the opening of ${session} is not on record`)
  return factsIn(lines.filter(line => name(line) === name(opened)), 'binding.drifted').map(({ drift }) => drift)
}
