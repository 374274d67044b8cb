// Gateways tell each other what they count, in rounds: whoever waits longest first, a bounded number at once. Nobody waits for it, and a store that fails
// costs nothing but time: each part is said again whole. SPEC: RSK6
import type { Conduct } from '../../core/conduct.ts'
import { conductOf, isOf } from '../../core/conduct-text.ts'
import { duration, type Instant } from '../../core/time.ts'
import type { Clock } from '../../runtime/clock.ts'
import { newNonce, sha256 } from '../../runtime/id.ts'
import type { Part, SessionStore } from '../../sessions/store.ts'
import type { Person } from './person.ts'
import type { Rules } from './rules.ts'

/** Milliseconds for which what others were just asked for is what they know. */
const FRESH_FOR = 5_000
/** Milliseconds. Where no other gateway is there to hear it, what is not notable waits longer. */
const EVERY = 100
const EVERY_ALONE = 2_000
const AGAIN = 1_000
/** Between the beginnings of two rounds, so that a flood of what is notable costs no more than this. */
const APART = 10
const AT_ONCE = 64
const A_ROUND = 1_024
/** Strikes count for no longer. */
const STRIKES_KEPT = duration(86_400_000)

type Ports = {
  readonly store: Pick<SessionStore, 'pool' | 'confirmedUntil'>
  readonly clock: Clock
  readonly rules: () => Rules
  /** Others said something new of it. `own`: what this process said before it forgot it. */
  readonly merged: (person: Person, own: Conduct | null, parts: readonly Conduct[], now: Instant) => void
  /** Others were asked for the sake of a fall, and said nothing new. */
  readonly same: (person: Person, now: Instant) => void
  readonly failed: (cause: unknown) => void
  readonly bad: () => void
  readonly full: () => void
}

export class Sharing {
  readonly #ports: Ports
  readonly #most: number
  /** Tells this process's parts from all others. */
  readonly #by = newNonce()
  #urgent: Person[] = []
  #quiet: Person[] = []
  #timer: NodeJS.Timeout | null = null
  #soon: NodeJS.Immediate | null = null
  #begunAt = -Infinity
  /** The timer is for what is urgent. */
  #hurries = false
  #round: Promise<void> | null = null
  #stopped = false

  /** @param most principals that wait at once */
  constructor(ports: Ports, most: number) {
    this.#ports = ports
    this.#most = Math.max(A_ROUND, most)
  }

  /** How long the one that waits longest does, in seconds. */
  get lag(): number {
    const oldest = [this.#urgent, this.#quiet].flatMap(line => line.find(({ waiting }) => waiting !== 'no')?.waitsSince ?? [])
    return oldest.length === 0 ? 0 : Math.max(0, this.#ports.clock.elapsed() - Math.min(...oldest)) / 1_000
  }

  /** There is something new to tell of it. @param now at once: others may have to act on it */
  changed(person: Person, urgent: boolean): void {
    if (this.#stopped || person.waiting === 'urgent' || (person.waiting === 'quiet' && !urgent)) return
    const line = urgent ? this.#urgent : this.#quiet
    if (line.length >= this.#most) return this.#ports.full() // it is told with its next change
    if (person.waiting === 'no') person.waitsSince = this.#ports.clock.elapsed()
    person.waiting = urgent ? 'urgent' : 'quiet'
    line.push(person)
    this.#arm()
  }

  /** Tells what waits, one time; what the store does not take then is lost with this process. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#soon !== null) clearImmediate(this.#soon)
    await this.#round
    for (let left = Math.ceil((this.#urgent.length + this.#quiet.length) / A_ROUND); left > 0; left--) await this.#share(this.#take())
  }

  #arm(after: number | null = null): void {
    if (this.#stopped || this.#round !== null || this.#soon !== null) return
    if (this.#urgent.length > 0 && after === null) return this.#hurry()
    const alone = this.#ports.store.confirmedUntil() === Infinity
    this.#timer ??= setTimeout(() => this.#begin(), after ?? (alone ? EVERY_ALONE : EVERY)).unref()
  }

  #hurry(): void {
    const wait = Math.min(APART, this.#begunAt + APART - this.#ports.clock.elapsed())
    if (wait <= 0) this.#soon = setImmediate(() => this.#begin())
    else if (!this.#hurries) {
      if (this.#timer !== null) clearTimeout(this.#timer)
      this.#hurries = true
      this.#timer = setTimeout(() => this.#begin(), wait).unref()
    }
  }

  #begin(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#soon = null
    this.#hurries = false
    this.#begunAt = this.#ports.clock.elapsed()
    this.#round = this.#share(this.#take()).then(well => {
      this.#round = null
      if (this.#urgent.length + this.#quiet.length > 0) this.#arm(well ? null : AGAIN)
    })
  }

  #take(): readonly Person[] {
    const taken: Person[] = []
    for (const line of [this.#urgent, this.#quiet]) {
      let read = 0
      for (; read < line.length && taken.length < A_ROUND; read++) {
        const person = line[read]
        if (person === undefined || person.waiting === 'no') continue // it was told from the other line
        person.waiting = 'no'
        taken.push(person)
      }
      line.splice(0, read)
    }
    return taken
  }

  /** @returns whether the store took it */
  async #share(people: readonly Person[]): Promise<boolean> {
    const batches: (readonly Person[])[] = []
    for (let i = 0; i < people.length; i += AT_ONCE) batches.push(people.slice(i, i + AT_ONCE))
    const taken = await Promise.all(batches.map(batch => this.#pool(batch)))
    return taken.every(Boolean)
  }

  async #pool(people: readonly Person[]): Promise<boolean> {
    try {
      const { policy } = this.#ports.rules()
      const now = this.#ports.clock.now()
      const parts = people.map((person): Part => ({ name: person.ref.name, text: person.known && person.hasPart ? person.text(this.#by, now) : '', forgetAt: person.forgetAt(now, policy, STRIKES_KEPT) }))
      const told = await this.#ports.store.pool(parts)
      for (const [i, person] of people.entries()) this.#hear(person, told[i] ?? [])
      return true
    } catch (error) {
      this.#ports.failed(error)
      for (const person of people) this.changed(person, false)
      return false
    }
  }

  /** Asked for the first time, what this process said of it before it made way in memory is its own again. */
  #hear(person: Person, texts: readonly string[]): void {
    const now = this.#ports.clock.now()
    const others = texts.filter(text => !text.startsWith(isOf(this.#by))).sort()
    const own = person.known ? undefined : texts.find(text => text.startsWith(isOf(this.#by)))
    const recalled = own === undefined ? null : conductOf(own, now)
    const heard = sha256(others.join('\n'))
    const wasAsked = person.doubt === 'asked'
    if (wasAsked) {
      person.doubt = 'none'
      person.freshUntil = this.#ports.clock.elapsed() + FRESH_FOR
    }
    if (heard === person.heard) return wasAsked ? this.#ports.same(person, now) : undefined
    person.heard = heard
    const isNew = !person.known
    this.#ports.merged(person, recalled, others.flatMap(text => this.#read(text, now)), now)
    if (isNew && person.hasPart) this.changed(person, true)
  }

  #read(text: string, now: Instant): readonly Conduct[] {
    const part = conductOf(text, now)
    if (part === null) this.#ports.bad()
    return part === null ? [] : [part]
  }
}
