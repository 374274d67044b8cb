// A day of honest callers and attackers under a policy, on one gateway or two, in simulated time: everybody calls in turn, honest ones answer what they are
// asked to step up for, and what stands for each is written down. The same seed gives the same day.
import type { Policy } from '../../src/core/policy.ts'
import type { Principal } from '../../src/core/principal.ts'
import type { LevelActs } from '../../src/core/risk.ts'
import { type Instant, instant } from '../../src/core/time.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { type Attack, ATTACKS, type Caller, Chance, HONEST, HOUR, MINUTE, SECOND, type Step } from './risk-actors.ts'
import { Gateway, type Look, SharedPool } from './risk-gateway.ts'
import { Process, SimulatedTime } from './simulated-time.ts'

/** A Monday, midnight in UTC. */
const MIDNIGHT = Date.UTC(2026, 10, 16)
/** Everybody is known for so long when the day begins, at a slower pace. */
const KNOWN_FOR = 26 * HOUR
const SLOWER = 8
const START = MIDNIGHT - KNOWN_FOR

export type AttackRun = { readonly name: string; readonly detected: { readonly requests: number; readonly seconds: number } | null; readonly height: { readonly name: string; readonly at: number }; readonly held: boolean }
export type HonestRun = { readonly caller: Caller; readonly hours: number; readonly requests: number; readonly stepUps: number; readonly cuts: number; readonly highest: number }
export type Day = { readonly attacks: readonly AttackRun[]; readonly honest: readonly HonestRun[] }
export type DayPlan = { readonly seed: number; readonly gateways: 1 | 2; readonly hours: number }

const principalOf = ({ subject, kind }: Caller): Principal => ({ kind, issuer: `https://${kind}.test`, tenant: 'acme', subject, client: 'app', owner: null, actor: null })

class SimulatedClock implements Clock {
  readonly #time: SimulatedTime

  constructor(time: SimulatedTime) {
    this.#time = time
  }

  now(): Instant { return instant(Math.floor(START + this.#time.now)) }
  elapsed(): number { return this.#time.now }
}

const isLess = ({ narrow, freeze, terminate, lock }: LevelActs): boolean => narrow !== null || freeze || terminate || lock !== null

/** Counts what an honest caller has to bear, each time anew. */
class Bearing {
  requests = 0
  stepUps = 0
  cuts = 0
  highest = 0
  #asked = false
  #less = false

  saw({ score, level, isLess: bySession }: Look): void {
    this.highest = Math.max(this.highest, score)
    const less = bySession || (level !== null && isLess(level.acts))
    const asked = level?.acts.stepUp === true
    if (asked && !this.#asked) this.stepUps++
    if (less && !this.#less) this.cuts++
    this.#asked = asked
    this.#less = less
  }
}

/** How far an attacker came. */
class Hunt {
  readonly #began: number
  #requests = 0
  detected: AttackRun['detected'] = null
  height: AttackRun['height'] = { name: '–', at: 0 }
  held = false

  constructor(began: number) {
    this.#began = began
  }

  saw({ level, isLess: bySession }: Look, now: number): void {
    this.#requests++
    if (level !== null && level.at > this.height.at) this.height = level
    if (level !== null) this.detected ??= { requests: this.#requests, seconds: (now - this.#began) / SECOND }
    this.held ||= bySession || level?.acts.freeze === true || level?.acts.terminate === true
  }
}

class World {
  readonly #time: SimulatedTime
  readonly #clock: Clock
  readonly #chance: Chance
  readonly #gateways: readonly { readonly gateway: Gateway; readonly process: Process }[]
  readonly #ends: number
  readonly #stopped = new Set<Caller>()

  constructor(time: SimulatedTime, policy: Policy, { seed, gateways, hours }: DayPlan) {
    this.#time = time
    this.#clock = new SimulatedClock(time)
    this.#chance = new Chance(seed)
    this.#ends = KNOWN_FOR + hours * HOUR
    const pool = gateways === 1 ? null : new SharedPool()
    this.#gateways = Array.from({ length: gateways }, (_, i) => {
      const process = new Process()
      return { process, gateway: time.as(process, () => new Gateway(policy, this.#clock, pool?.of(i, () => this.#clock.now()) ?? null)) }
    })
  }

  get #isDay(): boolean { return this.#time.now >= KNOWN_FOR }

  async run(): Promise<Day> {
    await this.#everywhere(gateway => gateway.start())
    const honest = await Promise.all(HONEST.map(async caller => ({ caller, bearing: await this.#lives(caller) })))
    const attacks = await Promise.all(ATTACKS.map(async attack => ({ attack, hunt: await this.#attacks(attack) })))
    await this.#time.pass(this.#ends)
    for (const { gateway } of this.#gateways) await gateway.close()
    const hoursOf = ({ day: [from, to] }: Caller): number => Math.max(0, Math.min(to, (this.#ends - KNOWN_FOR) / HOUR) - from)
    return {
      honest: honest.map(({ caller, bearing: { requests, stepUps, cuts, highest } }) => ({ caller, hours: hoursOf(caller), requests, stepUps, cuts, highest })),
      attacks: attacks.flatMap(({ attack: { name }, hunt: { current } }) => (current === null ? [] : [{ name, detected: current.detected, height: current.height, held: current.held }])),
    }
  }

  /** A caller from the beginning on, at its hours. */
  async #lives(caller: Caller): Promise<Bearing> {
    await this.#everywhere(gateway => gateway.open(principalOf(caller)))
    const bearing = new Bearing()
    const steps = caller.behaves(new Chance(this.#chance.next() * 2 ** 32), caller)
    const next = (): void => {
      const step = steps.next().value
      this.#time.after(this.#waits(caller, step), null, () => void turn(step))
    }
    const turn = async (step: Step): Promise<void> => {
      if (this.#stopped.has(caller)) return
      const look = await this.#calls(caller, step)
      if (this.#isDay) {
        bearing.requests++
        bearing.saw(look)
      }
      if (look.reason === 'step_up_required') return this.#answers(caller, next)
      if (look.reason === 'max_reached') await this.#everywhere(gateway => gateway.reopen(principalOf(caller)))
      next()
    }
    next()
    return bearing
  }

  /** Until its next request: at its hours only. */
  #waits({ day: [from, to] }: Caller, { wait }: Step): number {
    const at = Math.ceil(this.#time.now + wait * (this.#isDay ? 1 : SLOWER))
    const hour = ((START + at) / HOUR) % 24
    const off = hour >= from && hour < to ? 0 : Math.ceil(((from - hour + 24) % 24) * HOUR)
    return at + off - this.#time.now
  }

  #some(): { readonly gateway: Gateway; readonly process: Process } {
    const found = this.#gateways[this.#chance.up(this.#gateways.length)] ?? this.#gateways[0]
    if (found === undefined) throw new Error('there is no gateway')
    return found
  }

  #calls(caller: Caller, step: Step): Promise<Look> {
    const { gateway, process } = this.#some()
    return this.#time.as(process, () => gateway.serve(principalOf(caller), step))
  }

  /** People take their time, programs do not. */
  #answers(caller: Caller, next: () => void): void {
    this.#time.after(caller.kind === 'person' ? 40 * SECOND : 2 * SECOND, null, () => {
      void (async () => {
        await this.#everywhere(gateway => gateway.stepUp(principalOf(caller), caller.kind === 'person' ? 'signIn' : 'attest'))
        next()
      })()
    })
  }

  async #everywhere(does: (gateway: Gateway) => Promise<void>): Promise<void> {
    for (const { gateway, process } of this.#gateways) await this.#time.as(process, () => does(gateway))
  }

  /** The victim lives as ever until the attacker begins; nobody answers for either from then on. */
  async #attacks({ victim, from, minutes, behaves }: Attack): Promise<{ current: Hunt | null }> {
    await this.#lives(victim)
    const found: { current: Hunt | null } = { current: null }
    const begins = KNOWN_FOR + from * HOUR + this.#chance.up(HOUR)
    if (begins >= this.#ends) return found
    const steps = behaves(new Chance(this.#chance.next() * 2 ** 32), victim)
    this.#time.after(begins, null, () => {
      this.#stopped.add(victim)
      found.current = new Hunt(begins)
      this.#goesOn(victim, steps, found.current, begins + minutes * MINUTE)
    })
    return found
  }

  #goesOn(victim: Caller, steps: ReturnType<Attack['behaves']>, hunt: Hunt, until: number): void {
    const step = steps.next().value
    if (this.#time.now + step.wait >= until) return
    this.#time.after(step.wait, null, () => void (async () => {
      hunt.saw(await this.#calls(victim, step), this.#time.now)
      this.#goesOn(victim, steps, hunt, until)
    })())
  }
}

/** One at a time: timers and chance are the simulation's meanwhile. */
export const dayOf = (policy: Policy, plan: DayPlan): Promise<Day> => SimulatedTime.run(time => new World(time, policy, plan).run())
