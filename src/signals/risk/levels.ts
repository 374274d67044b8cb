// When a principal's score crosses a level: in force here in the same turn, told once however many gateways cross at once, and again until it is taken.
// Downwards it is only told: whoever falls waits for the store's word. SPEC: RSK4, RSK5, RSK8
import type { Anchor } from '../../core/anchor.ts'
import { type LevelMark, levelAt, levelOf, type Reasoning, type RiskLevel, type Standing } from '../../core/risk.ts'
import type { AnchorSignal, SignalId } from '../../core/signal.ts'
import type { Instant } from '../../core/time.ts'
import { transitionAnchor } from '../../core/transition.ts'
import type { Clock } from '../../runtime/clock.ts'
import { sha256 } from '../../runtime/id.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { Intake } from '../intake.ts'
import type { Person } from './person.ts'
import type { Rules } from './rules.ts'

type Parts = {
  readonly intake: Pick<Intake, 'anchor'>
  readonly mirror: Mirror
  readonly clock: Clock
  readonly rules: () => Rules
  /** Asks what others know of it, and looks again. */
  readonly refresh: (person: Person) => void
  /** It is about to be told. */
  readonly telling: (id: SignalId, mark: LevelMark) => void
  readonly failed: (cause: unknown) => void
}

export type Request = Reasoning['request']

const ROSE = 'sig_rose_'
const FELL = 'sig_fell_'
/** Of one version of a principal's standing: gateways that cross at once say the same. */
const idOf = (word: string, { ref: { name } }: Person, version: number, at: number): SignalId => `${word}${sha256(JSON.stringify([name, version, at])).slice(0, 26)}` as SignalId // the same on every gateway

const standingIn = (anchor: Anchor | null): Pick<Standing, 'level' | 'clearedAt'> | null => (anchor?.matter?.is === 'principal' ? anchor.matter : null)

export class Levels {
  readonly #parts: Parts

  constructor(parts: Parts) { this.#parts = parts }

  /** Looks where it stands now, and tells what is new. @param request that made it so */
  look(person: Person, now: Instant, request: Request = null): void {
    const { mirror } = this.#parts
    const trusted = mirror.trusted(person.ref)
    if (trusted !== 'unknown') return this.#decide(person, mirror.anchors.known(person.ref), trusted.level, now, request)
    if (this.#target(person, person.held, now) !== 'same') void this.#fromAfar(person, request)
  }

  /** What the store did not take is told again, under the same id; who would fall is asked for. Once in a while, so that gateways which do not agree cost little. */
  again(person: Person): void {
    const { rising, doubt } = person
    if (doubt !== 'none') {
      person.doubt = 'asked'
      this.#parts.refresh(person)
    }
    if (rising !== null && rising.failed) void this.#tell(person, rising.mark, rising.version)
  }

  #target(person: Person, held: LevelMark | null, now: Instant): { readonly is: 'rise'; readonly level: RiskLevel } | { readonly is: 'fall'; readonly level: RiskLevel | null } | 'same' {
    const { policy } = this.#parts.rules()
    const level = levelOf(policy, person.points.score(now, policy.halfLife), held, now)
    const from = held === null ? null : levelAt(policy, held.at)
    if (level !== null && (from === null ? held === null || level.at > held.at : level.at > from.at)) return { is: 'rise', level }
    return held === null || !person.known || (from !== null && level?.at === from.at) ? 'same' : { is: 'fall', level }
  }

  #decide(person: Person, anchor: Anchor | null, held: LevelMark | null, now: Instant, request: Request): void {
    person.held = held
    const target = this.#target(person, held, now)
    if (target === 'same' || target.is === 'rise') person.doubt = 'none'
    if (target === 'same') return
    const version = anchor?.version ?? 0
    if (target.is === 'rise') this.#rise(person, anchor, this.#mark(person, target.level, now, request), version, now)
    else if (this.#parts.clock.elapsed() > person.freshUntil) person.doubt = person.doubt === 'none' ? 'open' : person.doubt
    else if (!person.falling) void this.#fall(person, target.level === null ? null : this.#mark(person, target.level, now, null), version)
  }

  #mark(person: Person, { name, at }: RiskLevel, now: Instant, request: Request): LevelMark {
    const rules = this.#parts.rules()
    const score = Math.round(person.points.score(now, rules.policy.halfLife) * 10) / 10
    return { name, at, score, since: now, who: person.who, why: { contributions: person.points.contributions(rules, now), tenants: person.tenants, request } }
  }

  /** In force here before anybody looks again; the announced one takes its place. */
  #rise(person: Person, anchor: Anchor | null, mark: LevelMark, version: number, now: Instant): void {
    const signal: AnchorSignal = { kind: 'risk.rose', level: mark, id: idOf(ROSE, person, version, mark.at), by: 'risk', note: '' }
    const { record, facts } = transitionAnchor(person.ref, anchor, signal, now)
    person.held = mark
    if (record !== null) void this.#parts.mirror.foresee(record, mark, facts)
    void this.#tell(person, mark, version)
  }

  async #tell(person: Person, mark: LevelMark, version: number): Promise<void> {
    const rising = { mark, version, failed: false }
    const id = idOf(ROSE, person, version, mark.at)
    person.rising = rising
    this.#parts.telling(id, mark)
    try {
      const { record } = await this.#parts.intake.anchor(person.ref, { kind: 'risk.rose', level: mark }, { by: 'risk', note: '', id }) // of no version: a store that lost it hears it again
      if (person.rising === rising) person.rising = null
      if (this.#parts.mirror.trusted(person.ref) === 'unknown') person.held = standingIn(record)?.level ?? null
      this.look(person, this.#parts.clock.now(), mark.why.request) // something else may have been told of it meanwhile
    } catch (error) {
      this.#failed(person, rising)
      this.#parts.failed(error)
    }
  }

  /** It is told again with the next look. */
  #failed(person: Person, rising: NonNullable<Person['rising']>): void {
    if (person.rising === rising) person.rising = { ...rising, failed: true }
  }

  async #fall(person: Person, level: LevelMark | null, version: number): Promise<void> {
    person.falling = true
    person.freshUntil = -Infinity
    try {
      await this.#parts.intake.anchor(person.ref, { kind: 'risk.fell', level }, { by: 'risk', note: '', id: idOf(FELL, person, version, level?.at ?? -1), of: version })
    } catch (error) {
      this.#parts.failed(error)
    } finally {
      person.falling = false
    }
  }

  /** No session of it is here: the store is asked first. */
  async #fromAfar(person: Person, request: Request): Promise<void> {
    if (person.falling) return
    person.falling = true
    const anchor = await this.#parts.mirror.anchor(person.ref).catch((error: unknown) => {
      this.#parts.failed(error)
      return undefined
    })
    person.falling = false
    if (anchor === undefined) return
    const now = this.#parts.clock.now()
    if (this.#parts.mirror.trusted(person.ref) !== 'unknown') return this.look(person, now, request) // a session of it came meanwhile, and news with it
    const standing = standingIn(anchor)
    if (standing !== null && standing.clearedAt > person.points.clearedAt) person.points.clear(standing.clearedAt, this.#parts.rules(), now)
    this.#decide(person, anchor, standing?.level ?? null, now, request)
  }
}
