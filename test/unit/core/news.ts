// Random news about one session, for the properties of core: every kind, often about the same few elevations, at times that matter.
import * as fc from 'fast-check'
import type { AnchorRef } from '../../../src/core/anchor.ts'
import { BINDING_KINDS, type Bindings, NOT_BOUND } from '../../../src/core/binding.ts'
import { type Elevation, type ElevationId, NO_LIMITS, PLAIN, type Then } from '../../../src/core/elevation.ts'
import type { SessionFact } from '../../../src/core/fact.ts'
import { scopeOf } from '../../../src/core/scope.ts'
import type { Brokered, Credential, Session, SessionId, SessionKey } from '../../../src/core/session.ts'
import type { SessionNews, SessionSignal, SignalId } from '../../../src/core/signal.ts'
import { type Duration, duration, type Instant, instant } from '../../../src/core/time.ts'
import { MEANS, type StepUp, type StepUpId } from '../../../src/core/step-up.ts'
import { transition } from '../../../src/core/transition.ts'
import type { SessionTransition } from '../../../src/core/transitions/rule.ts'

export const START = instant(1_800_000_000_000)
export const REQUESTER = 'https://idp.test|boss'
export const CALLER = 'https://idp.test|agent'
export const APPROVERS = ['https://idp.test|ann', 'https://idp.test|bob', 'https://idp.test|cy', REQUESTER, CALLER]
export const TICKET: AnchorRef = { kind: 'ticket', name: 'jira/acme/OPS-1' }

/** One piece of news, in seconds from the instant at which it comes. */
export type Step = { readonly wait: number; readonly news: (now: Instant, turn: number) => SessionNews; readonly by: string; readonly toString: () => string }

// Brands of test words.
export const elevationId = (n: number): ElevationId => `elv_${n}` as ElevationId
export const followerOf = (id: ElevationId): ElevationId => `${id}_after` as ElevationId
const sessionId = (turn: number): SessionId => `ses_${turn}` as SessionId
const KEY = 'key' as SessionKey
const at = (now: Instant, seconds: number): Instant => instant(now + seconds * 1_000)
const seconds = (n: number): Duration => duration(n * 1_000)

const span = fc.integer({ min: 1, max: 60 })
const offset = fc.integer({ min: -30, max: 90 })
const nullable = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null })
const scope = fc.subarray(['db:read', 'db:write', 'mail:send', 'net:open']).map(scopeOf)
const bindings: fc.Arbitrary<Bindings> = fc.record({ key: nullable(fc.constantFrom('k1', 'k2')), workload: nullable(fc.constant('spiffe://test/agent')), device: nullable(fc.constant('laptop')), source: nullable(fc.constant('192.0.2.1')) })
const brokered: fc.Arbitrary<Brokered> = fc.record({
  broker: fc.constant('factory'), by: fc.constant(REQUESTER), claims: fc.constant({ task: 'OPS-1' }), possession: nullable(fc.constantFrom('dpop', 'certificate')), scopes: nullable(scope), profiles: fc.subarray(['fix', 'read']), purposes: fc.constantFrom({}, { ticket: 'OPS-1' }), barred: fc.constantFrom([], [REQUESTER]),
  parent: nullable(fc.record({ key: fc.constant('above' as SessionKey), id: fc.constant('ses_above' as SessionId), baseline: scope, depth: fc.integer({ min: 0, max: 3 }) })),
})
const which = fc.integer({ min: 0, max: 2 }).map(elevationId)
const any = fc.oneof({ weight: 4, arbitrary: which }, { weight: 1, arbitrary: which.map(id => followerOf(id)) })

type Made = (now: Instant, turn: number) => SessionNews
const credential = (now: Instant, turn: number, issued: number | null, ends: number | null): Credential =>
  ({ id: `cred_${turn}`, keyId: null, issuedAt: issued === null ? null : at(now, issued), expiresAt: ends === null ? null : at(now, ends) })

type Asked = { readonly id: ElevationId; readonly profile: string; readonly adds: readonly string[]; readonly for: number; readonly more: number; readonly needs: number; readonly starts: number | null; readonly expires: number | null }
export const elevationOf = (asked: Asked, now: Instant, changes: Partial<Elevation> = {}): Elevation => ({
  ...PLAIN, id: asked.id, profile: asked.profile, adds: asked.adds, purposes: {}, ties: [{ anchor: TICKET, generation: instant(0), reason: 'ticket_closed', position: null, level: null }], params: {},
  for: seconds(asked.for), max: seconds(asked.for + asked.more), startsAt: asked.starts === null ? null : at(now, asked.starts), requestedAt: now, requestedBy: REQUESTER,
  barred: [], because: 'test', stages: asked.needs === 0 ? [] : [{ role: 'approver', count: asked.needs }], state: { is: 'requested', expiresAt: asked.expires === null ? null : at(now, asked.expires) }, ...changes,
})

const asked = fc.record({ id: which, profile: fc.constantFrom('fix', 'fix', 'read'), adds: scope, for: span, more: fc.integer({ min: 0, max: 60 }), needs: fc.constantFrom(0, 0, 1, 2), starts: fc.option(offset, { nil: null, freq: 2 }), expires: nullable(offset) })
const reason = fc.constantFrom('revoked', 'idle', 'risk')
const ending = fc.constantFrom('revoked', 'ticket_closed', 'window_closed', 'limit_reached')

/** What only some elevations have. Of the profile `fix` one takes the place of the other. */
type Rich = { readonly twoStages: boolean; readonly endsBy: number | null; readonly follows: boolean; readonly uses: number | null; readonly customers: readonly string[] }
const rich: fc.Arbitrary<Rich> = fc.record({ twoStages: fc.boolean(), endsBy: fc.option(offset, { nil: null, freq: 2 }), follows: fc.boolean(), uses: nullable(fc.integer({ min: 1, max: 5 })), customers: fc.subarray(['a', 'b', 'c']) })

const leaves = (id: ElevationId): Then => ({ id: followerOf(id), profile: 'tidy', adds: ['mail:send'], uses: 1, for: seconds(5), recording: true })

function richly(asked: Asked, { twoStages, endsBy, follows, uses, customers }: Rich, now: Instant): Elevation {
  return elevationOf(asked, now, {
    endsBy: endsBy === null ? null : at(now, endsBy), alone: asked.profile === 'fix', params: { customers, amount: 10 }, limits: { ...NO_LIMITS, uses }, afterEnd: follows ? leaves(asked.id) : null,
    ...(twoStages && asked.needs > 0 ? { stages: [{ role: 'approver', count: 1 }, { role: 'owner', count: 1 }] } : {}),
  })
}
const params = fc.constantFrom({}, { customers: [] }, { customers: ['a'] }, { amount: 5 }, { amount: 10 }, { amount: 11 }, { customers: ['a', 'z'] }, { extra: 1 })

const stepUpId = (n: number): StepUpId => `stp_${n}` as StepUpId
const whichStepUp = fc.integer({ min: 0, max: 2 }).map(stepUpId)
const means = fc.constantFrom(...MEANS)
const exchange = fc.constantFrom('exc_1', 'exc_2', 'exc_3')
const request = { method: 'POST', host: 'api.test', path: '/pay', query: '', call: null }
/** Alike ones are asked for again, under other ids and behind their end. */
const stepUp = fc.record({
  id: whichStepUp, covers: fc.constantFrom({ rule: null, request: null }, { rule: 'api#1', request: null }, { rule: 'api#1', request }, { rule: 'api#1', request: { ...request, query: 'a=1' } }, { rule: 'api#1', request: { ...request, call: 'tools/call pay abc' } }),
  by: fc.subarray([...MEANS], { minLength: 1 }), all: fc.boolean(), onTimeout: fc.constantFrom('refuse', 'refuse', 'refuse', 'terminate'), onDeny: fc.constantFrom('refuse', 'refuse', 'refuse', 'terminate'), uses: fc.constantFrom(null, 1, 2), barred: fc.subarray(APPROVERS, { maxLength: 1 }),
})
const taint = fc.record({ name: fc.constantFrom('pii', 'secrets', 'untrusted'), rule: fc.constantFrom('api#1', 'api#2'), exchange })

const MADE: { readonly [K in SessionNews['kind']]: fc.Arbitrary<Made> } = {
  'session.opened': fc.tuple(nullable(offset), nullable(offset), offset, bindings, fc.oneof({ weight: 5, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: brokered })).map(([issued, ends, until, bound, broker]) => (now, turn) => ({
    kind: 'session.opened', key: KEY, session: sessionId(turn), epoch: 'e1', credential: credential(now, turn, issued, ends), endsAt: at(now, until + 40),
    principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: 'agent', client: '', owner: null, actor: null }, bindings: bound, aliases: [], brokered: broker,
  })),
  'binding.drifted': fc.record({ binding: fc.constantFrom(...BINDING_KINDS), shown: fc.constantFrom('', 'other', 'third') }).map(drift => () => ({ kind: 'binding.drifted', drift })),
  'credential.renewed': fc.tuple(nullable(offset), nullable(offset)).map(([issued, ends]) => (now, turn) => ({ kind: 'credential.renewed', credential: credential(now, turn, issued, ends) })),
  'session.narrowed': fc.tuple(fc.oneof(fc.constant(null), fc.constant('baseline' as const), scope), fc.uniqueArray(which, { maxLength: 2 })).map(([to, elevations]) => () => ({ kind: 'session.narrowed', to, elevations })),
  'session.widened': fc.constant(() => ({ kind: 'session.widened' })),
  'session.frozen': nullable(offset).map(until => now => ({ kind: 'session.frozen', until: until === null ? null : at(now, until) })),
  'session.resumed': fc.constant(() => ({ kind: 'session.resumed' })),
  'session.shortened': offset.map(until => now => ({ kind: 'session.shortened', endsAt: at(now, until) })),
  'session.terminated': reason.map(word => () => ({ kind: 'session.terminated', reason: word })),
  'session.lapsed': reason.map(word => () => ({ kind: 'session.lapsed', reason: word })),
  'mark.cleared': fc.constant(() => ({ kind: 'mark.cleared' })),
  'elevation.requested': fc.tuple(asked, rich).map(([wanted, more]) => now => ({ kind: 'elevation.requested', elevation: richly(wanted, more, now), startsAt: wanted.starts === null ? null : at(now, wanted.starts) })),
  'elevation.approved': fc.record({ elevation: which, revision: fc.constantFrom(0, 0, 0, 1, 2), stage: fc.constantFrom(0, 0, 1), starts: fc.option(offset, { nil: null, freq: 2 }), adds: nullable(scope), long: nullable(span), uses: nullable(fc.integer({ min: 1, max: 5 })), params: nullable(params), barred: fc.subarray(APPROVERS, { maxLength: 1 }) })
    .map(({ starts, long, ...word }) => now => ({ kind: 'elevation.approved', ...word, shown: `revision ${word.revision}`, claims: {}, for: long === null ? null : seconds(long), startsAt: starts === null ? null : at(now, starts) })),
  'elevation.started': any.map(elevation => () => ({ kind: 'elevation.started', elevation })),
  'elevation.deferred': fc.tuple(any, offset).map(([elevation, starts]) => now => ({ kind: 'elevation.deferred', elevation, startsAt: at(now, starts) })),
  'elevation.spent': any.map(elevation => () => ({ kind: 'elevation.spent', elevation })),
  'elevation.denied': which.map(elevation => () => ({ kind: 'elevation.denied', elevation })),
  'elevation.withdrawn': which.map(elevation => () => ({ kind: 'elevation.withdrawn', elevation })),
  'elevation.extended': fc.tuple(any, span, fc.boolean()).map(([elevation, more, once]) => () => ({ kind: 'elevation.extended', elevation, more: seconds(more), once })),
  'elevation.ended': fc.tuple(any, fc.oneof(reason, ending)).map(([elevation, word]) => () => ({ kind: 'elevation.ended', elevation, reason: word, because: 'test' })),
  'session.tainted': fc.tuple(taint, nullable(offset)).map(([one, until]) => now => ({ kind: 'session.tainted', taint: { ...one, since: now, until: until === null ? null : at(now, until) } })),
  'taints.cleared': nullable(fc.subarray(['pii', 'secrets', 'unknown'])).map(names => () => ({ kind: 'taints.cleared', names })),
  'stepUp.asked': fc.tuple(stepUp, span, nullable(span)).map(([one, expires, covered]) => (now): SessionNews => {
    const asked: StepUp = { ...one, acr: [], role: 'approver', askedAt: now, expiresAt: at(now, expires), for: covered === null ? null : seconds(covered), because: 'suspect', notify: [], given: [], used: [], state: { is: 'pending' } }
    return { kind: 'stepUp.asked', stepUp: asked }
  }),
  'stepUp.answered': fc.record({ stepUp: whichStepUp, means, by: fc.constantFrom(...APPROVERS), shown: fc.constantFrom(0, 0, 0, 0, -1, -30), barred: fc.subarray(APPROVERS, { maxLength: 1 }) })
    .map(({ means: by, by: who, shown, ...word }) => now => ({ kind: 'stepUp.answered', ...word, given: { means: by, by: who, at: at(now, shown), proof: 'digest' } })),
  'stepUp.denied': fc.record({ stepUp: whichStepUp, barred: fc.subarray(APPROVERS, { maxLength: 1 }) }).map(word => () => ({ kind: 'stepUp.denied', ...word })),
  'stepUp.used': fc.record({ stepUp: whichStepUp, exchange }).map(word => () => ({ kind: 'stepUp.used', ...word })),
  'stepUp.returned': fc.record({ stepUp: whichStepUp, exchange }).map(word => () => ({ kind: 'stepUp.returned', ...word })),
  'claims.changed': fc.tuple(fc.constantFrom('role', 'groups', 'team'), fc.constantFrom<unknown>(null, 'ops', ['a', 'b']), offset).map(([claim, value, when]) => now => ({ kind: 'claims.changed', changes: [{ claim, value, at: at(now, when) }] })),
  'proof.demanded': fc.tuple(fc.constantFrom('credential-change', 'assurance-level-change'), offset).map(([because, when]) => now => ({ kind: 'proof.demanded', demand: { since: at(now, when), because, by: ['signIn'], all: false } })),
  'time.passed': fc.constant(() => ({ kind: 'time.passed' })),
}
export const SESSION_KINDS = Object.keys(MADE) as SessionNews['kind'][] // keys of the literal above

/** Ends are rare, so that lives are long enough to hold something. */
const WEIGHT: { readonly [K in SessionNews['kind']]?: number } = {
  'session.opened': 4, 'elevation.requested': 8, 'elevation.approved': 15, 'elevation.started': 5, 'elevation.extended': 4, 'session.widened': 3, 'time.passed': 4, 'session.narrowed': 3, 'binding.drifted': 3, 'stepUp.asked': 6, 'stepUp.answered': 8, 'stepUp.used': 6,
}

const stepOf = (kind: SessionNews['kind']): fc.Arbitrary<Step> =>
  fc.record({ wait: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 12 })), news: MADE[kind], by: fc.constantFrom(...APPROVERS) })
    .map(step => ({ ...step, toString: () => `+${step.wait}s ${JSON.stringify(step.news(instant(0), 0))} by ${step.by}` }))

export const anyStep: fc.Arbitrary<Step> = fc.oneof(...SESSION_KINDS.map(kind => ({ arbitrary: stepOf(kind), weight: WEIGHT[kind] ?? 1 })))
export const newsOf = (kind: SessionNews['kind']): fc.Arbitrary<Step> => stepOf(kind)

/** A story of one key; most begin with an opening. */
export const story: fc.Arbitrary<readonly Step[]> = fc.tuple(stepOf('session.opened'), fc.array(anyStep, { maxLength: 60, size: 'max' })).map(([first, rest]) => [first, ...rest])

const LONG: Made = (now, turn) => ({
  kind: 'session.opened', key: KEY, session: sessionId(turn), epoch: 'e1', credential: credential(now, turn, 0, 3_600), endsAt: at(now, 3_600),
  principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: 'agent', client: '', owner: null, actor: null }, bindings: NOT_BOUND, aliases: [], brokered: null,
})
const ABOUT_ELEVATIONS = [...SESSION_KINDS.filter(kind => kind.startsWith('elevation.')), 'session.narrowed', 'session.widened', 'time.passed'] as const

/** A story of elevations, in a life that lasts. */
export const elevations: fc.Arbitrary<readonly Step[]> = fc.array(fc.oneof(...ABOUT_ELEVATIONS.map(kind => ({ arbitrary: stepOf(kind), weight: WEIGHT[kind] ?? 1 }))), { maxLength: 60, size: 'max' })
  .map(rest => [{ wait: 0, news: LONG, by: CALLER, toString: () => 'a long life' }, ...rest])

export type Told = { readonly before: Session | null; readonly signal: SessionSignal; readonly now: Instant; readonly result: SessionTransition }
export type Outcome = { readonly session: Session | null; readonly facts: readonly SessionFact[]; readonly told: readonly Told[]; readonly now: Instant }

export const signalOf = (step: Step, now: Instant, turn: number): SessionSignal => ({ id: `sig_${turn}` as SignalId, by: step.by, note: '', ...step.news(now, turn) }) // a test word

export function tell(steps: readonly Step[]): Outcome {
  let session: Session | null = null
  let now = START
  const facts: SessionFact[] = []
  const told: Told[] = []
  for (const [turn, step] of steps.entries()) {
    now = at(now, step.wait)
    const signal = signalOf(step, now, turn)
    const result: SessionTransition = transition(session, signal, now)
    told.push({ before: session, signal, now, result })
    facts.push(...result.facts)
    session = result.record
  }
  return { session, facts, told, now }
}
