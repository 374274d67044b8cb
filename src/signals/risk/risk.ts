// How far each principal is trusted: counts what its requests do, asks the risk rules, and has levels told. Never waits in a request, never throws into one,
// and knows no more principals than its limit: the one not seen for longest makes way. SPEC: RSK1-RSK9
import { setImmediate } from 'node:timers/promises'
import type { Anchor, AnchorRef } from '../../core/anchor.ts'
import type { Fact } from '../../core/fact.ts'
import { identityOf } from '../../core/principal.ts'
import type { Reason } from '../../core/reason.ts'
import { levelAt, type LevelMark, NOT_RISKED, type Risked, type RiskPolicy } from '../../core/risk.ts'
import type { Place } from '../../core/route.ts'
import type { Instant } from '../../core/time.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Clock } from '../../runtime/clock.ts'
import { evaluationIdOf } from '../../runtime/id.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Intake } from '../intake.ts'
import { Acts, type ReachedLevel } from './acts.ts'
import { Levels, type Request } from './levels.ts'
import { nameOf } from './look.ts'
import { Person } from './person.ts'
import { Rules } from './rules.ts'
import { Sharing } from './sharing.ts'
import { type RiskView, viewOf } from './view.ts'
import { type Attempt, hitOf, isConduct, Watch } from './watch.ts'

/** What is counted of it. */
export type RiskWitness = {
  readonly hit: (rule: string) => void
  readonly erred: (rule: string) => void
  readonly badPart: () => void
  readonly limited: () => void
  /** The store failed it. */
  readonly failed: (cause: unknown) => void
  readonly withheld: (who: string, sessions: number) => void
  readonly reached: (reached: ReachedLevel) => void
}

type Parts = {
  readonly intake: Pick<Intake, 'anchor' | 'session' | 'lock'>
  readonly mirror: Mirror
  readonly store: Pick<SessionStore, 'pool' | 'confirmedUntil' | 'find' | 'load' | 'survey'>
  readonly clock: Clock
  readonly witness: RiskWitness
  /** Principals in memory. */
  readonly most: number
}

const LOOK_EVERY = 1_000
const A_SLICE = 1_000

export class Risk {
  readonly #parts: Parts
  readonly #people: BoundedMap<string, Person>
  /** Those with points, or at a level: looked at as time passes. */
  readonly #watched = new Set<Person>()
  readonly #levels: Levels
  readonly #sharing: Sharing
  readonly #watch: Watch
  readonly acts: Acts
  #rules: Rules
  #timer: NodeJS.Timeout | null = null
  #passes = false

  constructor(parts: Parts) {
    const { mirror, witness, most } = parts
    this.#parts = parts
    this.#rules = new Rules(mirror.policy.risk)
    const rules = (): Rules => this.rules
    this.#people = new BoundedMap(most, (_, person) => this.#watched.delete(person))
    this.#levels = new Levels({ ...parts, rules, refresh: person => this.#sharing.changed(person, true), telling: (id, mark) => this.acts.telling(id, mark), failed: witness.failed })
    this.acts = new Acts({ ...parts, policy: () => mirror.policy, withheld: witness.withheld, failed: witness.failed, reached: witness.reached })
    this.#watch = new Watch({
      ...parts, rules, hit: witness.hit, erred: witness.erred, changed: (person, urgent) => this.#changed(person, urgent),
      struckOut: ({ ref, who }, rule, struck) => this.acts.struckOut({ principal: ref, who, rule, ...struck }),
    })
    const look = (person: Person, now: Instant): void => this.#look(person, now, null)
    const merged: ConstructorParameters<typeof Sharing>[0]['merged'] = (person, own, others, now) => {
      this.#watch.merged(person, own, others, now)
      look(person, now)
    }
    this.#sharing = new Sharing({ ...parts, rules, merged, same: look, failed: witness.failed, bad: witness.badPart, full: witness.limited }, most)
  }

  /** Those of the running configuration. */
  get rules(): Rules {
    const { risk } = this.#parts.mirror.policy
    if (risk !== this.#rules.policy) this.#take(new Rules(risk))
    return this.#rules
  }

  start(): void { this.#timer = setInterval(() => void this.#pass(), LOOK_EVERY).unref() }

  /** Before the store closes. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#sharing.stop()
    await this.acts.stop()
  }

  // ---- what requests do

  /** It is about to be judged for the first time: a level that it crosses is in force when the judge looks. */
  attempted(attempt: Attempt): Risked {
    const { rules } = this
    const person = rules.watches ? this.#of(attempt.live) : this.#people.get(attempt.live.principal.name)
    if (person === undefined) return quiet(attempt.live)
    const now = this.#parts.clock.now()
    const before = person.points.score(now, rules.policy.halfLife)
    if (rules.watches) this.#watch.attempted(person, attempt, now)
    return this.#risked(person, attempt, before, now)
  }

  /** It was refused. */
  refused(attempt: Attempt, reason: Reason): Risked {
    const { rules } = this
    const hit = hitOf(reason, attempt.place)
    const person = rules.watches || hit !== null ? this.#of(attempt.live) : this.#people.get(attempt.live.principal.name)
    if (person === undefined) return quiet(attempt.live)
    const now = this.#parts.clock.now()
    const before = person.points.score(now, rules.policy.halfLife)
    if (rules.watches && isConduct(reason)) this.#watch.refused(person, attempt, reason, now)
    if (hit !== null) this.#watch.struck(person, attempt, hit, now)
    return this.#risked(person, attempt, before, now)
  }

  /** It counts for nothing: at the caller's own doors, or never placed. */
  uncounted(live: LiveSession): Risked {
    const person = this.#people.get(live.principal.name)
    if (person === undefined) return quiet(live)
    const { policy } = this.rules
    const score = person.points.score(this.#parts.clock.now(), policy.halfLife)
    return { before: score, after: score, level: levelIn(policy, person) }
  }

  /** Bodies' bytes of an exchange that ended; one that passed whole is what its principal normally does, unless it stands at a level. */
  passed(live: LiveSession, bytes: number, completed: boolean, place: Place | null = null): void {
    if (!this.rules.watches) return
    const person = this.#of(live)
    if (bytes > 0) person.counts.bytes(this.#parts.clock.now(), bytes)
    if (completed && place !== null && person.held === null) person.uses(nameOf(place))
    this.#changed(person, false)
  }

  /** A score from outside: takes the place of the earlier one of that name, and decays from now. What is no number of points is none. */
  told(principal: AnchorRef, who: string, name: string, points: number): void {
    if (!(points >= 0)) return
    const person = this.#people.get(principal.name) ?? this.#add(principal, who, null)
    const now = this.#parts.clock.now()
    person.points.tell(name, points, now, this.rules)
    this.#changed(person, true)
    this.#look(person, now, null)
  }

  // ---- what is announced

  /** Any gateway's news of a principal: it is in force when this turn ends. */
  heard(anchor: Anchor, facts: readonly Fact[]): void {
    const { kind, name, matter } = anchor
    if (kind !== 'principal' || matter?.is !== 'principal') return
    this.acts.heard(anchor, facts)
    const [now, person] = [this.#parts.clock.now(), this.#people.get(name) ?? this.#risen({ kind, name }, matter.level)]
    if (person === null) return
    person.held = matter.level
    if (matter.clearedAt > person.points.clearedAt) {
      person.clear(matter.clearedAt, this.rules, now)
      this.#sharing.changed(person, false)
    }
    queueMicrotask(() => this.#look(person, now, null))
  }

  /** The store lost what was shared: each gateway says its own again. */
  sayAgain(): void {
    for (const person of this.#people.values()) if (person.hasPart) this.#sharing.changed(person, false)
  }

  /** A session came into memory: whoever stands at a level is known from then on, so that the level falls. */
  taken(live: LiveSession): void {
    const trusted = this.#parts.mirror.trusted(live.principal)
    if (trusted !== 'unknown' && trusted.level !== null) this.#watched.add(this.#of(live))
  }

  // ---- what is asked

  /** null where nothing is known here. */
  view(live: LiveSession): RiskView | null {
    const { mirror, clock } = this.#parts
    const trusted = mirror.trusted(live.principal)
    const level = trusted === 'unknown' ? null : trusted.level
    const person = level === null ? this.#people.get(live.principal.name) : this.#of(live)
    return person === undefined ? null : viewOf(person, level, this.rules, mirror.anchors.countTied(person.ref), clock.now())
  }

  /** Of a principal that is known here, whether or not a session of it is. */
  viewOfPrincipal(principal: AnchorRef): RiskView | null {
    const person = this.#people.get(principal.name)
    return person === undefined ? null : viewOf(person, person.held, this.rules, this.#parts.mirror.anchors.countTied(principal), this.#parts.clock.now())
  }

  /** Principals with points, or at a level, here. */
  watched(): readonly { readonly principal: AnchorRef; readonly who: string }[] { return [...this.#watched].map(({ ref, who }) => ({ principal: ref, who })) }

  get size(): number { return this.#people.size }
  get lag(): number { return this.#sharing.lag }

  /** How many principals stand at each level here. */
  standing(): ReadonlyMap<string, number> {
    const standing = new Map<string, number>()
    for (const { held } of this.#watched) {
      const name = held === null ? undefined : levelAt(this.rules.policy, held.at)?.name
      if (name !== undefined) standing.set(name, (standing.get(name) ?? 0) + 1)
    }
    return standing
  }

  // ---- inside

  #of(live: LiveSession): Person {
    const known = this.#people.get(live.principal.name)
    if (known === undefined) return this.#add(live.principal, identityOf(live.record.principal), live)
    known.live = live
    return known
  }

  #add(ref: AnchorRef, who: string, live: LiveSession | null): Person {
    const now = this.#parts.clock.now()
    const person = new Person(ref, who, live, now)
    const trusted = live === null ? 'unknown' : this.#parts.mirror.trusted(ref)
    if (trusted !== 'unknown') {
      person.held = trusted.level
      person.points.clear(trusted.clearedAt, this.rules, now)
    }
    this.#people.set(ref.name, person)
    this.#sharing.changed(person, true) // asks
    return person
  }

  /** Of who has a session here: whoever had it told may be gone when it is to fall. */
  #risen(ref: AnchorRef, level: LevelMark | null): Person | null {
    return level === null || this.#parts.mirror.anchors.countTied(ref) === 0 ? null : this.#add(ref, level.who, null)
  }

  #changed(person: Person, urgent: boolean): void {
    person.hasPart = true
    this.#sharing.changed(person, urgent)
  }

  #risked(person: Person, attempt: Attempt, before: number, now: Instant): Risked {
    const { policy } = this.#rules
    const after = person.points.score(now, policy.halfLife)
    if (after === 0 && person.held === null) return quiet(attempt.live)
    this.#look(person, now, attempt)
    return { before, after, level: levelIn(policy, person) }
  }

  #look(person: Person, now: Instant, attempt: Attempt | null): void {
    if (person.points.none && person.held === null) return
    this.#watched.add(person)
    this.#levels.look(person, now, attempt === null ? null : requestOf(attempt))
  }

  /** Other work gets its turn between. */
  async #pass(): Promise<void> {
    if (this.#passes) return
    this.#passes = true
    let looked = 0
    for (const person of Array.from(this.#watched)) {
      if (++looked % A_SLICE === 0) await setImmediate()
      if (this.#watched.has(person)) this.#again(person, this.#parts.clock.now())
    }
    this.#passes = false
  }

  #again(person: Person, now: Instant): void {
    this.#levels.look(person, now)
    this.#levels.again(person)
    person.points.recount(this.rules, now)
    if (person.held === null && person.points.none && person.rising === null) this.#watched.delete(person)
  }

  /** Another configuration. */
  #take(rules: Rules): void {
    this.#rules = rules
    const now = this.#parts.clock.now()
    for (const person of this.#watched) person.points.recount(rules, now)
  }
}

const levelIn = (policy: RiskPolicy, { held }: Person): string | null => (held === null ? null : (levelAt(policy, held.at)?.name ?? null))

function quiet(live: LiveSession): Risked {
  const level = live.view?.effective.level?.name ?? null
  return level === null ? NOT_RISKED : { before: 0, after: 0, level }
}

const requestOf = ({ id, evaluation: { action, resource }, place: { route, rule } }: Attempt): Request => ({ evaluation: evaluationIdOf(id), route: route.name, rule: rule?.name ?? '', method: action.method, path: resource.path.slice(0, 512) })
