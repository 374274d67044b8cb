// Time for several processes in one: it passes only when nothing is left to do, from event to event, and a process may be stopped or dead meanwhile.
// Timers that a process sets are its own, by the context it runs in; everybody else's are the real ones.
import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Whoever has timers and gets messages. What is due while it is stopped comes when it goes on, timers first; what is due to a dead one is lost. */
export class Process {
  readonly held: Happening[] = []
  state: 'runs' | 'stopped' | 'dead' = 'runs'
}

type Happening = { at: number; order: number; readonly to: Process | null; readonly isTimer: boolean; readonly run: () => void; cancelled: boolean }
type Timer = { readonly unref: () => Timer; readonly cancel: () => void }

const REAL = { setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval, clearTimeout: globalThis.clearTimeout, clearInterval: globalThis.clearInterval, random: Math.random }
const context = new AsyncLocalStorage<{ readonly time: SimulatedTime; readonly process: Process }>()

const byTime = (a: Happening, b: Happening): number => a.at - b.at || a.order - b.order
const asTimer = (timer: Timer) => timer as unknown as NodeJS.Timeout // whoever gets it only clears it and calls unref
const cancel = (timer: unknown): void => (timer as Timer).cancel() // made here, see clear()

export class SimulatedTime {
  /** Milliseconds since the start. */
  now = 0
  /** Called after every event, when all that follows from it at once has happened. */
  onQuiet: () => void = () => {}
  #due: Happening[] = []
  #count = 0

  /** Has timers and chance come from here until the promise settles. One at a time. */
  static async run<T>(use: (time: SimulatedTime) => Promise<T>): Promise<T> {
    let chance = 1
    const clear = (real: (timer: NodeJS.Timeout) => void) => (timer?: unknown): void => (typeof timer === 'object' && timer !== null && 'cancel' in timer ? cancel(timer) : real(timer as NodeJS.Timeout)) // what is not from here is real
    const ours = (make: (time: SimulatedTime, process: Process, run: () => void, ms: number) => Timer, real: (run: () => void, ms?: number) => NodeJS.Timeout) => (run: () => void, ms = 0) => {
      const here = context.getStore()
      return here === undefined ? real(run, ms) : asTimer(make(here.time, here.process, run, ms))
    }
    Object.assign(globalThis, {
      setTimeout: ours((time, process, run, ms) => time.#timer(process, run, ms), REAL.setTimeout), clearTimeout: clear(REAL.clearTimeout),
      setInterval: ours((time, process, run, ms) => time.#interval(process, run, ms), REAL.setInterval), clearInterval: clear(REAL.clearInterval),
    })
    Math.random = () => (chance = (chance * 48_271) % 0x7fff_ffff) / 0x7fff_ffff
    try {
      return await use(new SimulatedTime())
    } finally {
      const { random, ...timers } = REAL
      Object.assign(globalThis, timers)
      Math.random = random
    }
  }

  /** Runs something as that process: the timers it sets are its own. */
  as<T>(process: Process, run: () => T): T { return context.run({ time: this, process }, run) }

  /** A message to a process, or something nobody can stop. */
  after(ms: number, to: Process | null, run: () => void): void {
    this.#add({ at: this.now + ms, order: this.#count++, to, isTimer: false, run: to === null ? run : () => this.as(to, run), cancelled: false })
  }

  resume(process: Process): void {
    if (process.state !== 'stopped') return
    process.state = 'runs'
    for (const held of process.held.splice(0).sort((a, b) => Number(b.isTimer) - Number(a.isTimer) || byTime(a, b))) {
      held.at = this.now
      held.order = this.#count++
      this.#add(held)
    }
  }

  /** Everything due within so many milliseconds, in order, each with all that follows from it at once. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms
    await this.#quiet()
    for (let first = this.#due[0]; first !== undefined && first.at <= end; first = this.#due[0]) {
      this.#due.shift()
      if (first.cancelled) continue
      this.now = first.at
      if (first.to?.state === 'stopped') first.to.held.push(first)
      else if (first.to?.state !== 'dead') {
        first.run()
        await this.#quiet()
      }
    }
    this.now = end
  }

  async #quiet(): Promise<void> {
    await nextTurn()
    this.onQuiet()
  }

  #timer(process: Process, run: () => void, ms: number): Timer {
    const happening: Happening = { at: this.now + Math.max(1, ms), order: this.#count++, to: process, isTimer: true, run: () => this.as(process, run), cancelled: false }
    this.#add(happening)
    const timer: Timer = { unref: () => timer, cancel: () => (happening.cancelled = true) }
    return timer
  }

  #interval(process: Process, run: () => void, ms: number): Timer {
    const set = (): Timer => this.#timer(process, () => {
      current = set()
      run()
    }, ms)
    let current = set()
    const timer: Timer = { unref: () => timer, cancel: () => current.cancel() }
    return timer
  }

  #add(happening: Happening): void {
    let at = this.#due.length
    for (let before = this.#due[at - 1]; before !== undefined && byTime(before, happening) > 0; before = this.#due[at - 1]) at--
    this.#due.splice(at, 0, happening)
  }
}
