// What the micro-benchmarks judge: a configuration of a dozen routes, a session with two elevations, requests that differ in path.
import { NOT_BOUND } from '../../src/core/binding.ts'
import type { Case } from '../../src/core/checks/check.ts'
import type { Condition } from '../../src/core/condition.ts'
import { effective } from '../../src/core/effective.ts'
import { type Elevation, type ElevationId, PLAIN } from '../../src/core/elevation.ts'
import type { Evaluation } from '../../src/core/evaluation.ts'
import type { AnchorView } from '../../src/core/footing.ts'
import { NO_LOCKS } from '../../src/core/locks.ts'
import { pathPattern } from '../../src/core/path-pattern.ts'
import { baselineOf, type Policy, type Profile } from '../../src/core/policy.ts'
import type { Claims, Principal } from '../../src/core/principal.ts'
import { placeOf, type Route, routeTable, type Rule } from '../../src/core/route.ts'
import { LIVE, NO_CAP, type Session, type SessionId, type SessionKey } from '../../src/core/session.ts'
import { duration, FOREVER, instant } from '../../src/core/time.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_PROFILE, PLAIN_ROUTE, PLAIN_RULE } from '../support/plain.ts'

/** The real present: admission reads the system's clock. */
export const NOW = instant(Date.now())
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const HOST = 'api.internal'

const condition: Condition = { source: 'subject.kind == "ci" && request.method == "GET" && elevation.profile == "release"', readsElevation: true, readsBody: false, readsMcp: false, readsArguments: false, test: () => 'true' }

const rule = (name: string, methods: readonly string[], paths: readonly string[], scope: string | null, asks: Condition | null): Rule => ({
  name, effect: 'allow', methods: new Set(methods), paths: paths.map(pathPattern), upgrade: null, anonymous: false, scope, condition: asks, messages: null, requireAuth: null, ...PLAIN_RULE,
})

const route = (i: number): Route => ({
  name: `service-${i}`,
  host: { is: 'exact', host: HOST },
  path: pathPattern(`/v1/service-${i}/**`),
  upstream: `service-${i}`,
  authn: ['ci'],
  mode: 'enforce',
  staleness: duration(0),
  encodedSlash: 'reject',
  upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [
    rule(`service-${i}#1`, ['GET'], [`/v1/service-${i}/health`], null, null),
    rule(`service-${i}#2`, ['POST', 'DELETE'], [`/v1/service-${i}/{tenant}/releases/**`], `service-${i}:write`, null),
    rule(`service-${i}#3`, ['GET'], [`/v1/service-${i}/{tenant}/releases/{id}`], `service-${i}:read`, condition),
  ],
})

const profile = (name: string, adds: readonly string[]): Profile => ({
  ...PLAIN_PROFILE, name, title: name, adds, for: duration(HOUR), max: duration(2 * HOUR), purposes: ['ticket'],
})

function makePolicy(): Policy {
  const routes = Array.from({ length: 12 }, (_, i) => route(i))
  const release = profile('release', routes.map(({ name }) => `${name}:read`).toSorted())
  const deploy = profile('deploy', ['service-0:write', 'service-1:write'])
  return {
    digest: 'bench',
    routes,
    table: routeTable(routes),
    profiles: new Map([release, deploy].map(p => [p.name, p])),
    purposes: new Map([['ticket', { kind: 'ticket', from: { is: 'header', header: 'narrowgate-ticket' }, source: 'manual' }]]),
    sessions: {
      key: [], aliases: {}, credentialEnd: 'cut', bind: { key: 'required', workload: 'required', device: 'required', source: 'off', tenant: 'required' }, idle: duration(10 * MINUTE), max: duration(8 * HOUR), frozenFor: duration(15 * MINUTE),
      baseline: [{ when: null, scopes: ['artifacts:list', 'artifacts:read'] }], exchangesPerSession: 1_000,
    },
    brokers: new Map(),
    identities: [],
    windows: new Map(), streams: [],
    connectors: new Map(),
    risk: NO_RISK,
  }
}

export const policy: Policy = makePolicy()
export const principal: Principal = { kind: 'ci', issuer: 'https://ci.example', tenant: 'acme', subject: 'pipeline-1', client: 'runner', owner: null, actor: null }
export const claims: Claims = { repository: 'acme/shop', ref: 'refs/heads/main' }

const elevation = (id: string, { name, adds }: Profile, ticket: string, until: number): Elevation => ({
  ...PLAIN,
  id: id as ElevationId, // ids are made outside core
  profile: name,
  adds,
  purposes: { ticket },
  ties: [{ anchor: { kind: 'ticket', name: `manual/acme/${ticket}` }, generation: instant(0), reason: 'ticket_closed', position: null, level: null }],
  params: {},
  for: duration(HOUR),
  max: duration(2 * HOUR),
  startsAt: null,
  requestedAt: NOW,
  requestedBy: 'https://ci.example|pipeline-1',
  barred: [],
  because: 'bench',
  state: { is: 'active', since: NOW, until: instant(NOW + until) },
})

const profiles = [...policy.profiles.values()]

export const session: Session = {
  record: 'session',
  key: 'bench-session-key' as SessionKey, // a digest made outside core
  id: 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa' as SessionId, // ids are made outside core
  epoch: 'bench',
  version: 7,
  principal,
  bindings: NOT_BOUND,
  aliases: [], overlay: [], demand: null, brokered: null,
  drifts: [], stepUps: [], taints: [],
  openedAt: NOW,
  credential: { id: 'credential-1', keyId: 'key-1', issuedAt: NOW, expiresAt: instant(NOW + HOUR) },
  endsAt: instant(NOW + 8 * HOUR),
  cap: NO_CAP,
  barred: [],
  frozen: null,
  elevations: profiles.map((p, i) => elevation(`elv_${'ab'[i] ?? 'c'}`, p, `OPS-${i + 1}`, (i + 1) * 10 * MINUTE)),
  state: LIVE,
  notBefore: null,
}

const noAnchors: AnchorView = { find: () => null }
export const standing = effective(session, baselineOf(policy, principal, claims), noAnchors, NO_LOCKS, policy, NOW)

function evaluation(i: number): Evaluation {
  const segments = ['v1', `service-${i}`, 'acme', 'releases', `${4_200 + i}`]
  return {
    evidence: { provider: 'login', fingerprint: 'f', credential: 'credential-1', issuer: principal.issuer, keyId: 'key-1', issuedAt: NOW, expiresAt: instant(NOW + HOUR), keyThumbprint: null, device: null, claimed: {} },
    action: { method: 'GET', upgrade: null, call: null },
    resource: { host: HOST, path: `/${segments.join('/')}`, segments, query: '' },
    context: { protocol: 'http', source: '127.0.0.1', secure: false, workload: null, certified: null, purposes: { ticket: 'OPS-1' }, ...PLAIN_CONTEXT, headers: ['accept', 'application/json', 'user-agent', 'bench'] },
  }
}

/** Requests that an elevation carries, one per route. */
export const cases: readonly Case[] = policy.routes.map((place, i) => {
  const asked = evaluation(i)
  return { now: NOW, confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy, place: placeOf(place, asked.action, asked.resource), evaluation: asked, locks: NO_LOCKS, standing, claims, held: null, exchange: null, paid: null, external: null }
})
