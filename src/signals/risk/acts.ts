// What follows where a level was reached, or strikes were: ends, holds and narrows sessions, and locks out their principal. Each under an id made of its
// cause, so that it is done once however often and by how many it is done; what the store does not take is tried again. Told to people elsewhere. SPEC: RSK9, CND1, CND2
import { setTimeout as pause } from 'node:timers/promises'
import type { AnchorRef, Selector } from '../../core/anchor.ts'
import type { Fact } from '../../core/fact.ts'
import type { Policy } from '../../core/policy.ts'
import { type LevelMark, levelAt } from '../../core/risk.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { OnHit } from '../../core/route.ts'
import type { Session, SessionId, SessionKey } from '../../core/session.ts'
import type { SessionNews, SignalId } from '../../core/signal.ts'
import { after, type Duration, duration, type Instant } from '../../core/time.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Clock } from '../../runtime/clock.ts'
import { newLockId, sha256 } from '../../runtime/id.ts'
import { principalAnchor } from '../../sessions/principal-anchor.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Intake } from '../intake.ts'

/** Sessions of one subject that are looked at, so many at once; others end with their next look, for the level refuses them. */
const SESSIONS_MAX = 10_000
const AT_ONCE = 64
/** Levels told of here whose news was not heard yet. */
const TOLD_MAX = 4_096
/** Milliseconds. */
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 10_000
const TRIED_FOR = 900_000

/** A level that was reached, and by which news. */
export type ReachedLevel = { readonly mark: LevelMark; readonly because: SignalId; readonly channels: readonly string[]; readonly withheld: boolean }

type Parts = {
  readonly intake: Pick<Intake, 'session' | 'lock'>
  readonly store: Pick<SessionStore, 'find' | 'load' | 'survey'>
  readonly clock: Clock
  readonly policy: () => Policy
  readonly withheld: (who: string, sessions: number) => void
  readonly failed: (cause: unknown) => void
  readonly reached: (reached: ReachedLevel) => void
}

/** A strike that was one too many. */
export type StruckOut = { readonly principal: AnchorRef; readonly who: string; readonly key: SessionKey; readonly life: SessionId; readonly rule: string; readonly hit: OnHit; readonly at: Instant }

const idOf = (...parts: readonly (string | number)[]): SignalId => `sig_${sha256(JSON.stringify(parts)).slice(0, 26)}` as SignalId // made of its cause

const isAlike = (a: LevelMark, b: LevelMark): boolean => JSON.stringify(a) === JSON.stringify(b)

export class Acts {
  readonly #parts: Parts
  readonly #told = new BoundedMap<SignalId, LevelMark>(TOLD_MAX)
  readonly #underway = new Set<Promise<unknown>>()
  readonly #stopping = new AbortController()

  constructor(parts: Parts) { this.#parts = parts }

  /** It is about to be told here: whose mark is then the level does what follows. */
  telling(id: SignalId, mark: LevelMark): void { this.#told.set(id, mark) }

  /** Written here, or announced, whichever comes first: of a commit whose answer was lost only the latter does. */
  heard(record: StoredRecord, facts: readonly Fact[]): void {
    if (record.record !== 'anchor' || record.matter?.is !== 'principal') return
    const { level } = record.matter
    for (const { because } of facts) {
      const mark = this.#told.get(because)
      if (mark === undefined) continue
      this.#told.delete(because)
      if (level !== null && isAlike(mark, level)) this.#begin(this.#reached(record, level, because))
    }
  }

  struckOut(struck: StruckOut): void { this.#begin(this.#insist(() => this.#strike(struck))) }

  /** Resolves when nothing is underway; what fails is not tried again. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    while (this.#underway.size > 0) await Promise.all(this.#underway)
  }

  #begin(acting: Promise<unknown>): void {
    const done = acting.finally(() => this.#underway.delete(done))
    this.#underway.add(done)
  }

  /** What is done already is known by its id. @returns null where the store never took it */
  async #insist<T>(act: () => Promise<T>): Promise<T | null> {
    for (let wait = FIRST_PAUSE, waited = 0; ; waited += wait, wait = Math.min(LONGEST_PAUSE, 2 * wait)) {
      try {
        return await act()
      } catch (error) {
        this.#parts.failed(error)
        if (waited >= TRIED_FOR || this.#stopping.signal.aborted) return null
      }
      await pause(wait, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined) // stopped: once more, at once
    }
  }

  // ---- levels

  async #reached(principal: AnchorRef, mark: LevelMark, because: SignalId): Promise<void> {
    const acts = levelAt(this.#parts.policy().risk, mark.at)?.acts
    if (acts === undefined) return
    const note = `risk reached ${mark.name}`
    const { terminate, shorten, lock } = acts
    const now = this.#parts.clock.now()
    const news: SessionNews | null = terminate ? { kind: 'session.terminated', reason: 'risk' } : shorten !== null ? { kind: 'session.shortened', endsAt: after(now, shorten) } : null
    const ending = news === null ? null : this.#insist(() => this.#each(principal, mark.who, news, note, because))
    const locked = lock === null ? null : await this.#insist(() => this.#lock(mark.who, lock, note, because))
    this.#parts.reached({ mark, because, channels: acts.notify ?? [], withheld: lock !== null && locked !== true })
    await ending
  }

  async #each(principal: AnchorRef, who: string, news: SessionNews, note: string, because: SignalId): Promise<void> {
    const { store, intake } = this.#parts
    const refs = await store.find({ kind: 'subject', value: who }, SESSIONS_MAX)
    const faults: unknown[] = []
    for (let i = 0; i < refs.length; i += AT_ONCE) {
      await Promise.all(refs.slice(i, i + AT_ONCE).map(async ref => {
        const session = await store.load(ref)
        if (session?.record !== 'session' || session.state.is !== 'live' || !isOf(session, principal)) return
        await intake.session(session.key, news, { by: 'risk', note, id: idOf(because, session.id), life: session.id })
      }).map(done => done.catch((error: unknown) => faults.push(error))))
    }
    if (faults.length > 0) throw faults[0] // the others are done
  }

  /** @returns whether it stands: one that would reach too far is not set */
  async #lock(who: string, span: Duration, note: string, because: SignalId): Promise<boolean> {
    const { store, policy, clock, intake } = this.#parts
    const selector: Selector = { kind: 'subject', value: who }
    const { lockReach } = policy().risk
    const [survey, stored] = await Promise.all([store.survey(selector), store.find(selector, lockReach + 1)]) // no gateway holds all of them
    const sessions = Math.max(survey.sessions, stored.length)
    if (sessions > lockReach) {
      this.#parts.withheld(who, sessions)
      return false
    }
    const until = Number.isFinite(span) ? after(clock.now(), span) : null
    await intake.lock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect: 'deny', reason: 'locked', until }, { by: 'risk', note, id: idOf(because, 'lock') })
    return true
  }

  // ---- strikes

  async #strike({ principal, who, key, life, rule, hit, at }: StruckOut): Promise<void> {
    const note = `strike ${hit.strikes} of ${hit.strikes} on ${rule}`
    const because = idOf(principal.name, rule, life, at)
    if (hit.act === 'lock' && (await this.#lock(who, hit.for ?? duration(Infinity), note, because))) return
    const until = after(this.#parts.clock.now(), hit.for ?? this.#parts.policy().sessions.frozenFor)
    // a lock that would reach too far does to this session what it would have done to all
    const news: SessionNews | null = hit.act === 'terminate' || hit.act === 'lock' ? { kind: 'session.terminated', reason: 'risk' } : hit.act === 'freeze' ? { kind: 'session.frozen', until } : hit.act === 'narrow' ? { kind: 'session.narrowed', to: 'baseline', elevations: [] } : null
    if (news !== null) await this.#parts.intake.session(key, news, { by: 'risk', note, id: because, life })
  }
}

const isOf = ({ principal }: Session, { name }: AnchorRef): boolean => principalAnchor(principal).name === name
