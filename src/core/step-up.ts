// What a caller has to show anew before it goes on: a fresh sign-in, fresh proof of what it is, or somebody's word. One request for it is kept in
// its session until it is answered, and what was answered covers what it was asked for. SPEC: STU1-STU6
import { type Call, traitsOf } from './call.ts'
import type { Case } from './checks/check.ts'
import type { Grant } from './decision.ts'
import type { Effective } from './effective.ts'
import type { Demand } from './outside.ts'
import { after, type Duration, FOREVER, type Instant } from './time.ts'

export type StepUpId = string & { readonly stepUp: unique symbol }

/** `signIn`: a newer sign-in (RFC 9470). `attest`: a newer credential with a proof of possession made for it. `approval`: an operator's word. */
export const MEANS = ['signIn', 'attest', 'approval'] as const
export type Means = (typeof MEANS)[number]

export const COVERED = ['request', 'rule', 'session'] as const

export type StepUpRules = {
  /** Any of these, or with `all` each of them. */
  readonly by: readonly Means[]
  readonly all: boolean
  /** What a sign-in must show; empty takes every one. */
  readonly acr: readonly string[]
  /** Role of who approves. */
  readonly role: string
  /** Nobody answers for so long: it is over. */
  readonly within: Duration
  readonly onTimeout: 'refuse' | 'terminate'
  readonly onDeny: 'refuse' | 'terminate'
  /** What an answer covers: that very request, its rule, or all of the session. */
  readonly covers: (typeof COVERED)[number]
  /** So many requests; null does not count. */
  readonly uses: number | null
  /** So long from the answer; null as long as the session lives. */
  readonly for: Duration | null
  readonly notify: readonly string[]
}

/** What a rule asks: from this level on (its threshold), always with 0. */
export type RuleStepUp = { readonly at: number; readonly rules: StepUpRules }

/** What it is for; null does not tell. */
export type Covered = { readonly rule: string | null; readonly request: { readonly method: string; readonly host: string; readonly path: string; /** Its digest; null where there was none. */ readonly query: string | null; /** Of a message of MCP: its method, what that names, and the digest of its arguments. */ readonly call: string | null } | null }

export type Given = { readonly means: Means; /** `issuer|subject`. */ readonly by: string; readonly at: Instant; /** Digest of the credential or the word that gave it. */ readonly proof: string }

export type StepUpState =
  | { readonly is: 'pending' }
  | { readonly is: 'satisfied'; readonly at: Instant; readonly until: Instant | null }
  | { readonly is: 'denied'; readonly at: Instant; readonly by: string }
  | { readonly is: 'expired'; readonly at: Instant }

export type StepUp = {
  readonly id: StepUpId
  readonly covers: Covered
  readonly by: readonly Means[]
  readonly all: boolean
  readonly acr: readonly string[]
  readonly role: string
  readonly askedAt: Instant
  readonly expiresAt: Instant
  readonly onTimeout: 'refuse' | 'terminate'
  readonly onDeny: 'refuse' | 'terminate'
  readonly uses: number | null
  readonly for: Duration | null
  /** The level that made it needed, or the rule. */
  readonly because: string
  /** `issuer|subject` of everyone who must not approve. */
  readonly barred: readonly string[]
  readonly notify: readonly string[]
  readonly given: readonly Given[]
  /** Exchanges that took a use. */
  readonly used: readonly string[]
  readonly state: StepUpState
}

/** Waiting in one session at once, and others kept. */
export const STEP_UPS_MAX = 8
export const STEP_UPS_KEPT = 24
/** Uses of one that are counted. */
export const USES_MAX = 100

export const isPending = ({ state }: StepUp): boolean => state.is === 'pending'
/** Everything that was asked for is given, with this one. */
export const isComplete = ({ by, all, given }: Pick<StepUp, 'by' | 'all' | 'given'>): boolean => {
  const has = (means: Means): boolean => given.some(each => each.means === means)
  return all ? by.every(has) : by.some(has)
}

/** Methods that change nothing (RFC 9110 §9.2.1). */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'QUERY'])

/** `whole`: of the whole session and from outside, so that nothing that was shown before covers it. */
export type StepUpNeed = { readonly rules: StepUpRules; readonly because: string; readonly whole: boolean }

export const needOfDemand = ({ by, all, because }: Demand, terms: StepUpRules): StepUpNeed => ({ rules: { ...terms, by, all, covers: 'session', uses: null, for: null }, because, whole: true })

/** Changes nothing, as far as is known: whatever a server says of its tools. */
const isReading = ({ place: { route: { mcp } }, evaluation: { action: { method, upgrade, call } } }: Case): boolean =>
  mcp === null || call === null ? READING.has(method) && upgrade === null : call.kind === 'tool' ? traitsOf(mcp, call)?.class === 'read' : call.kind !== 'unknown'

/** What this request has to be stepped up for; null for nothing. A rule's own terms go before the level's, and whoever it was delegated from hands on what is asked of them. */
export function stepUpNeeded(c: Case, grant: Grant, { level: its, levelAbove }: Pick<Effective, 'level' | 'levelAbove'>): StepUpNeed | null {
  const { place: { rule }, policy } = c
  const own = rule?.stepUp ?? null
  if (own !== null && own.at === 0) return { rules: own.rules, because: rule?.name ?? '', whole: false }
  const high = own === null ? null : its !== null && its.at >= own.at ? its : levelAbove !== null && levelAbove.at >= own.at ? levelAbove : null
  if (own !== null && high !== null) return { rules: own.rules, because: high.name, whole: false }
  const level = its?.acts.stepUp === true ? its : levelAbove
  if (level === null || !level.acts.stepUp) return null
  return grant.is === 'baseline' && isReading(c) ? null : { rules: policy.risk.stepUp, because: level.name, whole: false }
}

const calledBy = ({ method, name, digest }: Call): string => `${method} ${name} ${digest ?? ''}`

export function coveredBy({ place: { rule }, evaluation: { action: { method, call }, resource: { host, path }, context } }: Pick<Case, 'place' | 'evaluation'>, { covers }: Pick<StepUpRules, 'covers'>): Covered {
  if (covers === 'session') return { rule: null, request: null }
  return { rule: rule?.name ?? '', request: covers === 'rule' ? null : { method, host, path, query: context.queryDigest, call: call === null ? null : calledBy(call) } }
}

export const isSameCovered = (a: Covered, b: Covered): boolean =>
  a.rule === b.rule && (a.request === null || b.request === null ? a.request === b.request : a.request.method === b.request.method && a.request.host === b.request.host && a.request.path === b.request.path && a.request.query === b.request.query && (a.request.call ?? null) === (b.request.call ?? null)) // one of an earlier version says nothing of calls

/** Does what was asked for then include this request? */
export function covers(covered: Covered, c: Pick<Case, 'place' | 'evaluation'>): boolean {
  const asked = coveredBy(c, { covers: covered.request !== null ? 'request' : covered.rule !== null ? 'rule' : 'session' })
  return isSameCovered(covered, asked)
}

/** Is there a use left, or did this exchange take one? */
const hasUse = ({ uses, used }: StepUp, exchange: string | null): boolean => uses === null || used.length < uses || (exchange !== null && used.includes(exchange))

/** Does it cover anything now? */
export const isCovering = ({ state, uses, used }: StepUp, now: Instant): boolean => state.is === 'satisfied' && (state.until === null || state.until > now) && (uses === null || used.length < uses)

type Terms = Pick<StepUpRules, 'by' | 'all' | 'acr' | 'role' | 'uses' | 'for'>

const isWithin = (most: number | null, own: number | null): boolean => most === null || (own !== null && own <= most)

/** Is an answer to it, as far as it is answered or else whatever that will be, what these terms ask for, and for no more uses and no longer? */
export function suffices({ state, given, by, all, acr, role, uses, for: span }: Omit<StepUp, 'covers'>, terms: Terms): boolean {
  const counts = (means: Means): boolean => terms.by.includes(means) && (means !== 'approval' || role === terms.role) && (means !== 'signIn' || terms.acr.length === 0 || (acr.length > 0 && acr.every(each => terms.acr.includes(each))))
  const meets = (shown: readonly Means[]): boolean => (terms.all ? terms.by.every(means => shown.includes(means) && counts(means)) : shown.some(counts))
  const isMet = state.is === 'satisfied' ? meets(given.map(({ means }) => means)) : all ? meets(by) : by.every(means => meets([means]))
  return isMet && isWithin(terms.uses, uses) && isWithin(terms.for, span)
}

const isNoWider = ({ rule, request }: Covered, { covers: widest }: StepUpRules): boolean => request !== null || widest === 'session' || (widest === 'rule' && rule !== null)

/** Was it asked for by no weaker terms than these, which include this request? Others' answers are not theirs: what a level asks of a session is less than what a rule asks of each request. */
const isFor = (stepUp: StepUp, c: Case, rules: StepUpRules): boolean => covers(stepUp.covers, c) && isNoWider(stepUp.covers, rules) && suffices(stepUp, rules)

/** What covers this request now: that which it took a use of before any other. */
export function coverage(stepUps: readonly StepUp[], c: Case, rules: StepUpRules): StepUp | null {
  const covering = stepUps.filter(stepUp => stepUp.state.is === 'satisfied' && (stepUp.state.until === null || stepUp.state.until > c.now) && hasUse(stepUp, c.exchange) && isFor(stepUp, c, rules))
  return covering.find(({ used, id }) => id === c.paid || (c.exchange !== null && used.includes(c.exchange))) ?? covering[0] ?? null
}

const overAt = ({ state }: StepUp): Instant => (state.is === 'pending' ? FOREVER : state.is === 'satisfied' ? (state.until ?? FOREVER) : state.at)

/**
 * Was it covered, and is that over, or refused? What is open then ends rather than waits. A use that another one took is nothing of its own.
 * @param openedAt what was over before is nothing of its own either
 */
export function lapsed(stepUps: readonly StepUp[], c: Case, rules: StepUpRules, openedAt: Instant): 'step_up_over' | 'step_up_denied' | null {
  const last = stepUps.findLast(stepUp => overAt(stepUp) >= openedAt && isFor(stepUp, c, rules))
  if (last === undefined || last.state.is === 'pending') return null
  if (last.state.is !== 'satisfied') return 'step_up_denied'
  return last.uses === null || (c.exchange !== null && last.used.includes(c.exchange)) ? 'step_up_over' : null
}

export const coverageUntil = ({ state }: StepUp): Instant => (state.is === 'satisfied' ? (state.until ?? FOREVER) : FOREVER)

/** When time alone changes one of them. */
export function nextStepUpChange(stepUps: readonly StepUp[], now: Instant): Instant {
  let next = FOREVER
  for (const { state, expiresAt } of stepUps) {
    const at = state.is === 'pending' ? expiresAt : state.is === 'satisfied' && state.until !== null && state.until > now ? state.until : FOREVER
    if (at < next) next = at
  }
  return next
}

export const satisfiedUntil = ({ for: span }: Pick<StepUp, 'for'>, now: Instant): Instant | null => (span === null ? null : after(now, span))
