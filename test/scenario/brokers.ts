// The stage of scenarios with a broker: gateways that run an example of config/examples, with somebody among their operators who may open sessions for others,
// and callers who hold the token of such a session. For tests only.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { type GatewayPair, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { call, type DpopKey, seconds, type Sent, type Way } from '../support/possession.ts'
import { RedisServer } from '../support/redis-server.ts'
import type { Certificate } from '../support/tls.ts'
import { until } from '../wire/support.ts'
import type { Setting } from './callers.ts'
import { asHolder } from './operators.ts'
import type { Raised } from './pair.ts'
import { type Adapted, APPROVER, type Headers, type Line, listeners, type Staging, type Transmitted, useKeys, useTransmitters } from './stage.ts'

const EXAMPLES = new URL('../../config/examples/', import.meta.url)
const OPERATOR = `nga_${'b'.repeat(43)}`
const BROKER = `nga_${'e'.repeat(43)}`
/** Who opens sessions, as the actor of each. */
export const ENGINE = 'engine'
const entry = (name: string, token: string, role: string, subject: string) => ({ name, sha256: createHash('sha256').update(token).digest('hex'), roles: [role], identity: `https://login.example|${subject}` })
const OPERATORS = { tokens: [entry('operator', OPERATOR, 'operator', 'olga'), entry('on-call', APPROVER, 'approver', 'ann'), entry('orchestrator', BROKER, 'broker', ENGINE)] }
/** As in pair.ts. */
const STORE = 'lease: 2s, hold: { requests: 200ms, streams: 30s }'

type Example = { stateDir?: string; server?: object; telemetry?: object; admin?: object; readonly authn: Parameters<typeof useKeys>[0]; readonly signals?: Transmitted; readonly routes: { upstream: string }[] }

/** The example with addresses, keys and files of its own; nothing of what it decides is changed. */
async function planOf(name: string, staging: Staging): Promise<GatewayPlan> {
  const server = { listeners: await listeners(staging, { protocols: ['http1', 'http2'] }) }
  return {
    ...(staging.clock === undefined ? {} : { clock: staging.clock }), routes: '', tls: staging.clientsCaFile !== undefined,
    config: ({ directory, upstream, issuer }) => {
      const example = parse(readFileSync(new URL(name, EXAMPLES), 'utf8')) as Example // our own file
      const tokenFile = join(directory, 'operators.json')
      Object.assign(example, { stateDir: join(directory, 'state'), server, telemetry: { logs: { level: 'silent' } }, admin: { auth: { tokenFile } } })
      useKeys(example.authn, staging, issuer.issuer, join(directory, 'jwks.json'))
      useTransmitters(example.signals, staging, directory)
      for (const route of example.routes) route.upstream = upstream.origin
      staging.adapt?.(example as Adapted, directory)
      mkdirSync(join(directory, 'state'), { recursive: true })
      writeFileSync(join(directory, 'state', 'admin.token'), OPERATOR, { mode: 0o600 })
      writeFileSync(tokenFile, JSON.stringify(OPERATORS), { mode: 0o600 })
      return stringify(example)
    },
  }
}

/** Proofs name whole seconds, and one from before the birth of a data set counts for nothing. */
async function bornBefore<T>(made: T): Promise<T> {
  const by = Date.now()
  await until(() => seconds() * 1000 > by, 'the next whole second')
  return made
}

export const raiseBrokered = async (name: string, staging: Staging = {}): Promise<TestGateway> => bornBefore(await TestGateway.start(await planOf(name, staging)))

export async function raiseBrokeredPair(name: string, staging: Staging = {}): Promise<Raised> {
  const server = await RedisServer.start()
  const pair: GatewayPair = await TestGateway.pair(server, { ...(await planOf(name, staging)), store: STORE })
  return bornBefore({ ...pair, server, stop: () => pair.stop().then(() => server.dispose()) })
}

/** Where a story with a broker is played. */
export const BROKERED_SETTINGS = [
  ['on one gateway with the embedded store', (name: string, staging: Staging = {}): Promise<Setting> => raiseBrokered(name, staging).then(gate => ({ a: gate, b: gate, trail: () => gate.trail(), stop: () => gate.stop() }))],
  ['on two gateways over Redis', (name: string, staging: Staging = {}): Promise<Setting> => raiseBrokeredPair(name, staging)],
] as const

/** The broker's word, and what it is told. */
export const asBroker = (gate: TestGateway, path: string, body: Line = {}): Promise<{ readonly status: number; readonly json: Line }> => asHolder(gate, BROKER, path, body)

export type Opened = { readonly token: string; readonly session: string; readonly endsAt: number }

/** Asks for a session; anything but 201 is a fault. */
export async function opened(gate: TestGateway, body: Line): Promise<Opened> {
  const { status, json } = await asBroker(gate, '/v1/sessions', body)
  if (status !== 201) throw new Error(`not opened: ${status} ${JSON.stringify(json)}`)
  return { token: String(json['token']), session: String(json['session']), endsAt: Date.parse(String(json['endsAt'])) }
}

/** `200`, or the status and the reason of a refusal. */
const toldOf = async (gate: TestGateway, way: Way, sent: Sent): Promise<string> => {
  const { status, reason } = await call(gate, way, sent)
  return reason === '' ? String(status) : `${status} ${reason}`
}

/** One request from this address, on a connection of its own. */
export const outcomeFrom = (gate: TestGateway, from: string, method: string, path: string, { host = 'api.test', ...headers }: Headers): Promise<string> => toldOf(gate, { from }, { method, path, host, headers })

/** What shows of a request of a runner; what is left out is as it should be. */
export type Shown = Way & { readonly method?: string; readonly headers?: Headers; readonly key?: DpopKey; /** A proof that was made before. */ readonly proof?: string }

/** Holds a token, the key it is bound to, and the certificate of the workload it runs as. */
export class Runner {
  readonly token: string
  readonly key: DpopKey
  readonly leaf: Certificate

  constructor(token: string, key: DpopKey, leaf: Certificate) {
    this.token = token
    this.key = key
    this.leaf = leaf
  }

  async headers(method: string, path: string, key = this.key): Promise<Headers> {
    return { authorization: `DPoP ${this.token}`, dpop: await key.proof(method, `https://api.test${path}`, this.token) }
  }

  async ask(gate: TestGateway, path: string, { method = 'GET', headers = {}, key, proof, ...way }: Shown = {}): Promise<string> {
    const own = await this.headers(method, path, key)
    return toldOf(gate, { leaf: this.leaf, ...way }, { method, path, headers: { ...own, ...(proof === undefined ? {} : { dpop: proof }), ...headers } })
  }
}

/** Refusals without a session, on record beside the trail. */
export async function refusedBeside(gate: TestGateway): Promise<readonly Line[]> {
  await gate.parts.noise.flush()
  return readFileSync(join(gate.directory, 'state', 'noise.jsonl'), 'utf8').trim().split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Line)
}

/** Text with the time at which the upstream wrote it, on all of these feeds, until it is told to stop. */
export function paced({ upstream }: TestGateway, ...feeds: readonly string[]): () => void {
  const pace = setInterval(() => { for (const feed of feeds) upstream.feed(feed).emit(`at ${performance.now()} .`) }, 5)
  return () => clearInterval(pace)
}

/** Those times, in what came. */
export const timesIn = (text: string): readonly number[] => [...text.matchAll(/at ([\d.]+) \./g)].map(([, at]) => Number(at))

/** What happened to a session, as the log tells it: facts name their record. */
export function factsOf(lines: readonly Line[], session: string): readonly Line[] {
  const nameOf = (line: Line): unknown => (line['record'] as Line | undefined)?.['name'] // every fact line has one
  const birth = lines.find(line => line['kind'] === 'fact' && line['session'] === session)
  if (birth === undefined) throw new Error(`the log does not tell of ${session}`)
  return lines.filter(line => line['kind'] === 'fact' && nameOf(line) === nameOf(birth)).map(({ fact }) => fact as Line) // likewise
}
