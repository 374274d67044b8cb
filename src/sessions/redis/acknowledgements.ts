// Strict acknowledgement: a position is enforced when every gateway whose lease ran at its commit has said so, or can no longer act on anything
// older because that lease has run out. The deadline is a constant: renewals do not move it. SPEC: STO6, STO16, RULES 28
import type { Clock } from '../../runtime/clock.ts'
import { NO_TALLY } from '../change.ts'
import type { Enforcement, Tally } from '../store.ts'
import { epochOfId, sequenceOf } from './entry.ts'

/** Who was there at an instant of the store, as the library tells it. */
export type Roll = {
  readonly now: number
  readonly epoch: string
  readonly epochStart: number
  readonly settled: boolean
  /** Member, when its lease ends, in which epoch, up to where it has enforced, how long its leases are. */
  readonly members: readonly { readonly name: string; readonly endsAt: number; readonly epoch: string; readonly enforced: string; readonly lease: number }[]
}

export function rollOf(answer: unknown): Roll {
  const [now, epoch, epochStart, settled, flat] = answer as readonly [string, string, string, string, readonly string[]] // as `members` returns it
  const members: { name: string; endsAt: number; epoch: string; enforced: string; lease: number }[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const [endsAt = '0', of = '', enforced = '', lease = '0'] = (flat[i + 1] ?? '').split('|')
    if (lease !== '0') members.push({ name: flat[i] ?? '', endsAt: Number(endsAt), epoch: of, enforced, lease: Number(lease) }) // who takes no lease decides nothing
  }
  return { now: Number(now), epoch, epochStart: Number(epochStart), settled: settled === '1', members }
}

type Ports = {
  readonly clock: Clock
  /** Asks who is there now. */
  readonly roll: () => Promise<Roll>
  /** Longest time after an epoch's start in which somebody may still act on the one before, in milliseconds. */
  readonly window: number
  readonly told: (outcome: 'acked' | 'lease' | 'partial', ms: number) => void
}

/** Clocks of gateways may run that much apart, and a decision may take that long to reach its socket. */
const RATE = 1.001
const MARGIN = 100
const POLL_FIRST = 25
const POLL_MAX = 200
const REMEMBERED = 1_000

type Wait = { readonly waiting: Set<string>; /** Those of the roll whose lease had run out. */ readonly late: Set<string>; total: number; readonly longest: number; tally: Tally; unknown: number; readonly acknowledged: Set<string> }
type Done = Promise<Enforcement>

const sum = (a: Tally, b: Tally): Tally => ({ continued: a.continued + b.continued, regranted: a.regranted + b.regranted, narrowed: a.narrowed + b.narrowed, frozen: a.frozen + b.frozen, cut: a.cut + b.cut })

export class Acknowledgements {
  readonly #ports: Ports
  /** What members said of entries, the newest entries only. */
  readonly #said = new Map<string, Map<string, Tally>>()
  readonly #done = new Map<string, Done>()
  readonly #changed = new Map<string, () => void>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  heard(member: string, id: string, tally: Tally): void {
    const said = this.#said.get(id) ?? new Map<string, Tally>()
    said.set(member, tally)
    this.#said.set(id, said)
    trim(this.#said)
    this.#changed.get(id)?.()
  }

  /** The store took it: from now on everybody in the roll is waited for. */
  committed(id: string, roll: Roll): void {
    void this.#expect(id, roll)
  }

  /** Settles at the latest when the last lease has run out. */
  enforced(id: string): Done {
    return this.#done.get(id) ?? this.#ports.roll().then(roll => this.#expect(id, roll))
  }

  #expect(id: string, roll: Roll): Done {
    const known = this.#done.get(id)
    if (known !== undefined) return known
    const done = this.#wait(id, roll)
    this.#done.set(id, done)
    trim(this.#done)
    return done
  }

  async #wait(id: string, roll: Roll): Done {
    const started = this.#ports.clock.elapsed()
    const here = roll.members.filter(({ endsAt }) => endsAt >= roll.now)
    const wait: Wait = { waiting: new Set(here.map(({ name }) => name)), late: new Set(roll.members.filter(({ endsAt }) => endsAt < roll.now).map(({ name }) => name)), total: here.length, longest: Math.max(0, ...here.map(({ lease }) => lease)), tally: NO_TALLY, unknown: 0, acknowledged: new Set() }
    const until = Math.max(started + wait.longest * RATE + MARGIN, roll.settled ? 0 : started + roll.epochStart + this.#ports.window - roll.now)
    let settled = roll.settled
    for (let patience = POLL_FIRST; ; patience = Math.min(POLL_MAX, patience * 2)) {
      this.#count(id, wait)
      if (wait.waiting.size === 0 && settled) return this.#answer(wait, started)
      const left = until - this.#ports.clock.elapsed()
      if (left <= 0) return this.#answer(wait, started)
      if ((await this.#next(id, Math.min(left, patience))) === 'said') continue
      settled = (await this.#look(id, wait, settled)) || settled
    }
  }

  /** What was said since. */
  #count(id: string, wait: Wait): void {
    for (const [member, tally] of this.#said.get(id) ?? []) {
      if (wait.late.delete(member)) wait.total++ // it has said so all the same
      else if (!wait.waiting.delete(member)) continue
      wait.acknowledged.add(member)
      wait.tally = sum(wait.tally, tally)
    }
  }

  /** Until somebody says something about it, or for a while. */
  async #next(id: string, ms: number): Promise<'said' | 'time'> {
    const { promise, resolve } = Promise.withResolvers<'said' | 'time'>()
    const timer = setTimeout(() => resolve('time'), ms)
    this.#changed.set(id, () => resolve('said'))
    const what = await promise
    clearTimeout(timer)
    this.#changed.delete(id)
    return what
  }

  /**
   * A sign of life that shows the entry enforced is an acknowledgement, of unknown effect. Who came into an epoch that was not settled is waited for
   * too: what it does under its lease of the one before may be older.
   * @returns whether the entry's epoch is settled; a server of another one can not tell
   */
  async #look(id: string, wait: Wait, settled: boolean): Promise<boolean> {
    const roll = await this.#ports.roll().catch(() => null)
    if (roll === null || roll.epoch !== epochOfId(id)) return false
    for (const { name, endsAt, epoch, enforced } of roll.members) {
      const shown = epochOfId(enforced) === roll.epoch && sequenceOf(enforced) >= sequenceOf(id)
      if (!settled && epoch === roll.epoch && endsAt >= roll.now && !wait.acknowledged.has(name) && !wait.waiting.has(name)) {
        wait.late.delete(name)
        wait.waiting.add(name)
        wait.total++
      }
      if (!shown || this.#said.get(id)?.has(name) === true || !wait.waiting.delete(name)) continue
      wait.acknowledged.add(name)
      wait.unknown++
    }
    return roll.settled
  }

  #answer(wait: Wait, started: number): Enforcement {
    const expired = wait.waiting.size
    this.#ports.told(expired === 0 ? 'acked' : wait.acknowledged.size === 0 ? 'lease' : 'partial', this.#ports.clock.elapsed() - started)
    return { gateways: { total: wait.total, acknowledged: wait.acknowledged.size, expired }, exchanges: wait.tally, exchangesUnknown: wait.unknown + expired }
  }
}

function trim<V>(map: Map<string, V>): void {
  if (map.size <= REMEMBERED) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
