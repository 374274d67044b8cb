// The stage of a scenario: a gateway that runs an example of config/examples with only addresses, keys and files of its own, one upstream that
// plays every API of it, and what every scenario asserts about the log. For tests only.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { parse, stringify } from 'yaml'
import { trailFiles } from '../../src/audit/tail.ts'
import { readTimeline } from '../../src/audit/timeline.ts'
import { verifyTrail } from '../../src/audit/verify.ts'
import { load } from '../../src/config/load.ts'
import type { Policy } from '../../src/core/policy.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { RawClient, type RawHead, request, type RawResponse } from '../support/raw-client.ts'
import type { ShiftedClock } from '../support/shifted-clock.ts'
import { testAuthority } from '../support/tls.ts'
import type { TokenClaims, TokenIssuer } from '../support/token-issuer.ts'

export type Line = { readonly [name: string]: unknown }
export type Headers = { readonly [name: string]: string }

const EXAMPLES = new URL('../../config/examples/', import.meta.url)

type Example = {
  stateDir?: string
  server?: object
  telemetry?: object
  admin?: { auth: { tokenFile: string } }
  readonly authn: Authn
  readonly signals?: Transmitted
  readonly routes: { upstream: string }[]
}

type Authn = { readonly [name: string]: { readonly [kind in 'jwt' | 'jwtSvid' | 'kubernetes']?: object } }

/** Who tells the example of changes in trust. */
export type Transmitted = { readonly ssf?: readonly { readonly name: string; jwksFile?: string; authorizationFile?: string }[] }

/** What an example needs of its stage beside addresses. */
export type Staging = {
  /** File with the authorities of its callers' certificates; its data listener then speaks TLS. */
  readonly clientsCaFile?: string
  /** Files with the authorities of trust domains, by their names; likewise. */
  readonly trustDomains?: { readonly [domain: string]: string }
  /** Files with the keys of providers, and of transmitters, that do not sign with the stage's own, by their names. */
  readonly keySets?: { readonly [provider: string]: string }
  /** What time it is on the stage; never with a store that gateways share, whose time is its own. Tokens are issued by it too (`issuedIn`). */
  readonly clock?: ShiftedClock
  /** What else of the example stands for something outside: addresses, secrets, keys. Nothing of what it decides. */
  readonly adapt?: (example: Adapted, directory: string) => void
}

/** The example as it was parsed: any of its sections. */
export type Adapted = ReturnType<typeof parse>

export const speaksTls = ({ clientsCaFile, trustDomains }: Staging): boolean => clientsCaFile !== undefined || trustDomains !== undefined

/** Listeners of addresses of their own. @param more of the data listener */
export async function listeners(staging: Staging, more: object = {}): Promise<readonly object[]> {
  const at = (name: string, serves: readonly string[], rest: object = {}): object => ({ name, address: '127.0.0.1:0', serves, ...rest })
  const plain = [at('news', ['signals']), at('admin', ['admin']), at('ops', ['health', 'metrics'])]
  if (!speaksTls(staging)) return [at('main', ['proxy', 'keys'], more), ...plain]
  const { clientsCaFile: caFile, trustDomains } = staging
  const { server: { certFile, keyFile } } = await testAuthority()
  const clients = { ...(caFile === undefined ? {} : { caFile }), ...(trustDomains === undefined ? {} : { trustDomains }) }
  return [at('main', ['proxy', 'keys'], { ...more, tls: { certFile, keyFile, clients } }), ...plain]
}

/** Gives the providers keys that tests sign with. */
export function useKeys(authn: Authn, { keySets = {} }: Staging, issuer: string, jwksFile: string): void {
  for (const [name, { jwt, jwtSvid, kubernetes }] of Object.entries(authn)) {
    const own = keySets[name]
    if (own === undefined) Object.assign(jwt ?? {}, { issuer, jwksFile })
    else Object.assign(jwt ?? jwtSvid ?? kubernetes ?? {}, { jwksFile: own })
  }
}

/** What transmitters send as `Authorization`. */
export const OF_TRANSMITTERS = 'Bearer of a transmitter, which nobody else has'

/** Gives the transmitters keys that tests sign with, and what they show when they push. */
export function useTransmitters(signals: Transmitted | undefined, { keySets = {} }: Staging, directory: string): void {
  for (const transmitter of signals?.ssf ?? []) {
    transmitter.jwksFile = keySets[transmitter.name] ?? join(directory, 'jwks.json')
    transmitter.authorizationFile = join(directory, `push-${transmitter.name}`)
    writeFileSync(transmitter.authorizationFile, OF_TRANSMITTERS, { mode: 0o600 })
  }
}

/** The example as it stands loads: what an operator would start from. */
export function loadsAsItStands(name: string): void {
  const result = load(readFileSync(new URL(name, EXAMPLES), 'utf8'), name, { directory: '/', variable: () => undefined, read: () => null, exists: () => true, cores: 4 })
  expect(result.ok ? [] : result.problems).toEqual([])
}

const OPERATOR = `nga_${'o'.repeat(43)}`
export const APPROVER = `nga_${'a'.repeat(43)}`
/** Approves too, and answers for some of the callers. */
export const OWNER = `nga_${'w'.repeat(43)}`
const digest = (token: string): string => createHash('sha256').update(token).digest('hex')
const OPERATORS = { tokens: [
  { name: 'operator', sha256: digest(OPERATOR), roles: ['operator'], identity: 'https://login.example|olga' },
  { name: 'on-call', sha256: digest(APPROVER), roles: ['approver'], identity: 'https://login.example|ann' },
  { name: 'owner', sha256: digest(OWNER), roles: ['approver'], identity: 'https://login.example|omar' },
] }

/** Starts the gateway with the example. The names of its upstreams do not exist here: one upstream plays them all. */
export async function raise(name: string, staging: Staging = {}): Promise<TestGateway> {
  const server = { listeners: await listeners(staging, { protocols: ['http1', 'http2'] }) }
  return TestGateway.start({
    ...(staging.clock === undefined ? {} : { clock: staging.clock }), routes: '', tls: speaksTls(staging),
    config: ({ directory, upstream, issuer }) => {
      const example = parse(readFileSync(new URL(name, EXAMPLES), 'utf8')) as Example // our own file
      example.stateDir = join(directory, 'state')
      example.server = server
      example.telemetry = { logs: { level: 'silent' } }
      useKeys(example.authn, staging, issuer.issuer, join(directory, 'jwks.json'))
      useTransmitters(example.signals, staging, directory)
      for (const route of example.routes) route.upstream = upstream.origin
      mkdirSync(example.stateDir, { recursive: true })
      writeFileSync(join(example.stateDir, 'admin.token'), OPERATOR, { mode: 0o600 })
      staging.adapt?.(example, directory)
      if (example.admin !== undefined) {
        example.admin.auth.tokenFile = join(directory, 'operators.json')
        writeFileSync(example.admin.auth.tokenFile, JSON.stringify(OPERATORS), { mode: 0o600 })
      }
      return stringify(example)
    },
  })
}

export const bearer = (token: string, more: Headers = {}): Headers => ({ authorization: `Bearer ${token}`, ...more })
export const outcome = ({ status, json }: Pick<Answer, 'status' | 'json'>): string => (status === 200 ? '200' : `${status} ${String(json['reason'])}`)

/** A token of a session of its own, unless `sid` says otherwise, issued so many milliseconds from now. */
export const tokenFor = (issuer: TokenIssuer, sub: string, claims: TokenClaims = {}, issuedIn = 0): Promise<string> =>
  issuer.sign({ sub, org: 'acme', jti: Math.random().toString(36), act: { sub: 'scheduler', act: { sub: 'olga' } }, ...claims }, { now: Date.now() + issuedIn, lifetime: 6 * 3600 })

/** An operator's word; anything but 200 fails the test. */
export async function word(gate: TestGateway, path: string, body: object = {}, method = 'POST'): Promise<Answer> {
  const answer = await gate.admin(method, path, { reason: 'as the scenario says', ...body })
  expect(answer.status, `${path}: ${answer.text}`).toBe(200)
  return answer
}

/** Asks for an elevation as the caller; anything but 201 or 202 fails the test. Its id. */
export async function elevate(gate: TestGateway, headers: Headers, ask: object): Promise<string> {
  const answer = await gate.ask('POST', '/.narrowgate/elevations', { ...headers, 'content-type': 'application/json' }, JSON.stringify(ask))
  expect([201, 202], answer.text).toContain(answer.status)
  return String(answer.json['id'])
}

/** An exchange that stays open: its head has come, and whoever asks is told what follows. */
export class OpenStream {
  readonly client: RawClient
  readonly head: RawHead

  private constructor(client: RawClient, head: RawHead) {
    this.client = client
    this.head = head
  }

  static async open(gate: TestGateway, path: string, headers: Headers): Promise<OpenStream> {
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', path, headers))
    const head = await client.head()
    expect(head.status, client.bytes().toString()).toBe(200)
    return new OpenStream(client, head)
  }

  /** The body so far, without its chunk framing. */
  get text(): string { return this.client.bytes().toString('latin1').replace(/^[^]*?\r\n\r\n/, '').replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n/g, '') }

  async says(part: string): Promise<void> {
    await this.client.until(() => this.text.includes(part))
  }

  /** Resolves when the gateway has ended it: in the protocol's own way between two events, else by a reset. */
  cut(): Promise<RawResponse> {
    return this.client.response()
  }
}

export async function linesOf(gate: TestGateway, kind: string | null = null): Promise<readonly Line[]> {
  const lines = await gate.trail()
  return kind === null ? lines : lines.filter(line => line['kind'] === kind)
}

/** Facts as they stand in the trail, by what they say. */
export const factsIn = (lines: readonly Line[], what: string): readonly Line[] => lines.filter(({ kind, fact }) => kind === 'fact' && (fact as Line)['what'] === what).map(({ fact }) => fact as Line) // a fact line has one

const filled = (line: Line, names: readonly string[]): void => {
  for (const name of names) expect(line, JSON.stringify(line)).toHaveProperty(name)
  for (const name of names) expect(line[name], `${name} of ${JSON.stringify(line)}`).not.toBeNull()
}

/** 'Each record names …' for every exchange and refusal of a session. */
export function recordsAreWhole(lines: readonly Line[], session: string, { tenant = 'acme', actors = ['scheduler', 'olga'] } = {}): void {
  const own = lines.filter(line => line['session'] === session)
  const opened = own.filter(({ kind }) => kind === 'exchange.opened')
  const closed = new Map(own.filter(({ kind }) => kind === 'exchange.closed').map(line => [line['exchange'], line]))
  expect(opened.length).toBeGreaterThan(0)
  const everywhere = ['session', 'subject', 'actors', 'tenant', 'credential', 'source', 'route', 'method', 'host', 'path', 'decision', 'purposes', 'gateway', 'at']
  for (const line of opened) {
    filled(line, [...everywhere, 'rule', 'exchange', 'grant', 'until', 'upstream'])
    expect(line).toMatchObject({ decision: 'permit', tenant, source: '127.0.0.1', gateway: expect.stringMatching(/^gw_/) })
    expect((line['actors'] as readonly string[]).map(actor => actor.split('|')[1])).toEqual(actors) // `issuer|subject`
    const end = closed.get(line['exchange'])
    if (end === undefined) throw new Error(`exchange ${String(line['exchange'])} has no end on record`)
    filled(end, ['bytesUp', 'bytesDown', 'ms', 'grant', 'gateway', 'at'])
    expect(end).toHaveProperty('status')
    expect(end).toHaveProperty('reason')
  }
  const refused = own.filter(({ kind }) => kind === 'request.refused')
  expect(refused.length).toBeGreaterThan(0)
  for (const line of refused.filter(({ route }) => route !== null)) {
    filled(line, [...everywhere, 'reason', 'evaluation'])
    expect(line).toMatchObject({ decision: 'refuse', tenant })
  }
}

/** Can anything of what is configured move a score, or is a level there for what others tell? */
const movesRisk = ({ risk: { rules, levels }, routes }: Policy): boolean =>
  rules.length > 0 || levels.length > 0 || routes.some(({ onMiss, rules: of }) => [onMiss, ...of.map(({ onHit }) => onHit)].some(hit => hit !== null && hit.addRisk > 0))

const isPoints = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0
/** What is added may have begun to fall, and records have tenths. */
const fallen = (points: number): number => points * 0.98 - 0.11

/** 'Each record names the risk before and after', for every request and refusal of a known session; where nothing is configured that moves it both are 0, else somebody's rose. */
export function risksAreNamed(lines: readonly Line[], { parts: { mirror: { policy } } }: TestGateway): void {
  const judged = lines.filter(({ kind }) => kind === 'exchange.opened' || kind === 'request.refused' || kind === 'request.intended')
  const known = judged.filter(({ session }) => session !== null)
  const risks = known.map(line => {
    const { before, after } = (line['risk'] ?? {}) as Line // an object where there is one
    if (!isPoints(before) || !isPoints(after)) throw new Error(`no risk on ${JSON.stringify(line)}`)
    expect(after, JSON.stringify(line)).toBeGreaterThanOrEqual(fallen(before))
    return [before, after] as const
  })
  for (const kind of ['exchange.opened', 'request.refused']) expect(known.some(line => line['kind'] === kind), kind).toBe(true)
  expect(risks.some(([, after]) => after > 0), 'a risk that moved').toBe(movesRisk(policy))
  for (const line of judged.filter(({ session }) => session === null)) expect(line, 'of nobody known').toMatchObject({ risk: null })
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** 'Each record has the digest of the arguments', by this one among a session's requests: of its query when it was admitted, of its body when that had gone upstream. */
export function argumentsAreDigested(lines: readonly Line[], session: string, { path, query, body }: { readonly path: string; readonly query: string; readonly body: string }): void {
  const opened = lines.filter(line => line['kind'] === 'exchange.opened' && line['session'] === session)
  const refused = lines.filter(({ kind, session: of }) => kind === 'request.refused' && of === session)
  for (const line of [...opened, ...refused]) for (const name of ['queryDigest', 'bodyDigest']) expect(line).toHaveProperty(name)
  const asked = opened.filter(line => line['path'] === path && line['queryDigest'] === sha256(query))
  expect(asked, `${path}${query}`).toHaveLength(1)
  const closed = lines.filter(({ kind, exchange }) => kind === 'exchange.closed' && exchange === asked[0]?.['exchange'])
  expect(closed).toMatchObject([{ requestDigest: sha256(body), answerDigest: expect.stringMatching(/^[\w-]{43}$/) }])
  const others = opened.filter(line => line !== asked[0])
  expect([...new Set(others.map(({ queryDigest }) => queryDigest))]).toEqual([null]) // none of them has a query
  expect(JSON.stringify(opened)).not.toContain(query)
}

/** `narrowgate audit verify` with what the operator fetched before; then without each record in turn. */
export async function verifyFindsEveryMissingRecord(gate: TestGateway): Promise<void> {
  await gate.trail()
  const checkpoint = await gate.admin('GET', '/v1/audit/checkpoint')
  const head = checkpoint.json as Parameters<typeof verifyTrail>[1] // the contract's shape
  const verdict = await verifyTrail(trailFiles(gate.trailFile), head)
  expect(verdict).toMatchObject({ ok: true, problem: null })
  const lines = readFileSync(gate.trailFile, 'utf8').split('\n').slice(0, -1)
  const sealed = lines.length - verdict.unsealed
  const copy = join(gate.directory, 'trail.jsonl')
  for (let missing = 0; missing < sealed; missing++) {
    writeFileSync(copy, `${lines.toSpliced(missing, 1).join('\n')}\n`)
    const without = await verifyTrail([copy], head)
    expect(without.ok, `without record ${missing + 1}`).toBe(false)
    expect(without.problem?.seq).toBe(missing + 1)
  }
}

/** What the log alone makes of a session is what the gateway has: the two as text. Asked while the life is the newest of its key. */
export async function toldAndKept(gate: TestGateway, session: string): Promise<readonly [told: string, kept: string]> {
  await gate.trail()
  const { session: folded, gap } = await readTimeline(trailFiles(gate.trailFile), session)
  if (gap !== null) throw new Error(`version ${gap.after + 1} is missing`)
  const live = gate.parts.mirror.byId(session)
  if (live === null) throw new Error('the session is not in memory')
  return [JSON.stringify(folded), JSON.stringify(live.record)]
}
