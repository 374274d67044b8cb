// What a risk rule reads, over one principal and one request: one object for all of them, asked in one turn. Nothing is added up before it is read. SPEC: RSK2
import type { Outcome, RiskInput } from '../../core/condition.ts'
import type { Counted } from '../../core/conduct.ts'
import type { Evaluation } from '../../core/evaluation.ts'
import type { Claims, Principal } from '../../core/principal.ts'
import type { Place } from '../../core/route.ts'
import type { Stats } from '../../core/stats.ts'
import { type Instant, instant } from '../../core/time.ts'
import { type First, NOT_FIRST, type Person } from './person.ts'
import type { Rules } from './rules.ts'

const NOT_JUDGED: Outcome = { refused: false, reason: '' }

/** What a rule reads that asks for no request. */
const NO_REQUEST: Evaluation = {
  evidence: null, action: { method: '', upgrade: null, call: null }, resource: { host: '', path: '', segments: [], query: '' },
  context: { protocol: 'http', source: '', secure: false, workload: null, certified: null, purposes: {}, purposesUntil: instant(0), positions: [], queryDigest: null, body: null, headers: [] },
}

const NOBODY: Principal = { kind: 'agent', issuer: '', tenant: '', subject: '', client: '', owner: null, actor: null }
const NO_CLAIMS: Claims = {}

/** What logs call a place. */
export const nameOf = ({ route, rule }: Place): string => rule?.name ?? route.name

class Figures implements Stats {
  readonly #look: Look
  #counted: Counted | null = null

  constructor(look: Look) { this.#look = look }

  forget(): void { this.#counted = null }

  get #now(): Instant { return this.#look.now }
  get #counts(): Counted { return (this.#counted ??= this.#look.person.counts.at(this.#now)) }

  get requestsPerMinute(): number { return this.#counts.requestsPerMinute }
  get requests5m(): number { return this.#counts.requests5m }
  get refusalsPerMinute(): number { return this.#counts.refusalsPerMinute }
  get refusals5m(): number { return this.#counts.refusals5m }
  get bytesPerMinute(): number { return this.#counts.bytesPerMinute }
  get bytes5m(): number { return this.#counts.bytes5m }
  get tenantsSeen(): number { return this.#look.person.seen.tenant.ofLate(this.#now) }
  get pathsSeen(): number { return this.#look.person.seen.path.ofLate(this.#now) }
  get toolsSeen(): number { return this.#look.person.seen.tool.ofLate(this.#now) }
  get sourcesSeen(): number { return this.#look.person.seen.source.ofLate(this.#now) }
  get firstTenant(): boolean { return this.#look.first.tenant }
  get firstTool(): boolean { return this.#look.first.tool }
  get firstSource(): boolean { return this.#look.first.source }
  get unusualRoute(): boolean { return this.#look.isUnusual }
  get sessions(): number { return this.#look.sessions }
}

type Asked = { readonly claims: Claims; readonly evaluation: Evaluation; readonly place: Place }

export class Look implements RiskInput {
  readonly #isOpen: (window: string, now: Instant) => boolean
  readonly #sessionsOf: (person: Person) => number
  readonly stats = new Figures(this)
  person: Person
  now = instant(0)
  #rules: Rules
  #asked: Asked | null = null
  outcome = NOT_JUDGED
  first: First = NOT_FIRST

  constructor(person: Person, rules: Rules, isOpen: (window: string, now: Instant) => boolean, sessionsOf: (person: Person) => number) {
    this.person = person
    this.#rules = rules
    this.#isOpen = isOpen
    this.#sessionsOf = sessionsOf
  }

  /** @param asked null where there is no request */
  at(person: Person, asked: Asked | null, reason: string, rules: Rules, now: Instant): this {
    this.person = person
    this.#asked = asked
    this.#rules = rules
    this.now = now
    this.outcome = reason === '' ? NOT_JUDGED : { refused: true, reason }
    this.first = person.first.of === (asked === null ? null : asked.evaluation) ? person.first : NOT_FIRST
    this.stats.forget()
    return this
  }

  get principal(): Principal { return this.person.live?.record.principal ?? NOBODY }
  get claims(): Claims { return this.#asked?.claims ?? this.person.live?.knownClaims ?? NO_CLAIMS }
  get evaluation(): Evaluation { return this.#asked?.evaluation ?? NO_REQUEST }
  get route(): string { return this.#asked?.place.route.name ?? '' }
  get rule(): string { return this.#asked?.place.rule?.name ?? '' }
  get label(): string { return this.#asked?.place.rule?.label ?? '' }
  get isUnusual(): boolean { return this.#asked !== null && this.person.isUnusual(nameOf(this.#asked.place), this.#rules.policy.learn, this.now) }
  get sessions(): number { return this.#sessionsOf(this.person) }
  readonly isOpen = (window: string): boolean => this.#isOpen(window, this.now)
}
