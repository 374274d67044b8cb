// One session of soak:wire from its first request to its end: it opens one exchange of each kind, and is narrowed, frozen and resumed, left or ended.
// Whatever lost its right must be over soon; what kept it must not be.
import type { Site } from './site.ts'
import type { Callers, Held } from './exchanges.ts'

export type Tally = { lives: number; opened: number; cut: number; frozen: number; left: number; refused: number }

/** Longest from an acknowledged end to the caller's side of it, in milliseconds; the cut itself is at once. */
const OVER_WITHIN = 10_000
const FROZEN_FOR = 150

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

async function allOver(what: string, held: readonly Held[]): Promise<void> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`${what}: something is still open`)), OVER_WITHIN)
  await Promise.race([Promise.all(held.map(({ over }) => over)), late.promise]).finally(() => clearTimeout(timer))
}

export class Life {
  readonly #site: Site
  readonly #callers: Callers
  readonly #tally: Tally

  constructor(site: Site, callers: Callers, tally: Tally) {
    this.#site = site
    this.#callers = callers
    this.#tally = tally
  }

  /** @param turn which verbs it meets. @throws Error for whatever does not come out as it must */
  async live(turn: number): Promise<void> {
    const token = await this.#site.token()
    await this.#callers.own('POST', '/.narrowgate/elevations', token, '{"profile":"extra"}', 201)
    const { id } = (await this.#callers.own('GET', '/.narrowgate/session', token, '', 200)) as { readonly id: string } // as the caller's own side says it
    await this.#callers.ask(token, 200)
    const base = await this.#open('base', token)
    const extra = await this.#open('extra', token)
    if (turn % 3 === 0) await this.#freeze(id, [...base, ...extra])
    if (turn % 3 === 1) await this.#narrow(id, base, extra)
    if (turn % 4 === 0) this.#leave([...base, ...extra])
    await this.#site.operator.cuts(`/v1/sessions/${id}/terminate`)
    await allOver('terminate', [...base, ...extra])
    this.#tally.cut += base.length + (turn % 3 === 1 ? 0 : extra.length)
    await this.#callers.ask(token, 401)
    this.#tally.refused += 2
    this.#tally.lives++
  }

  async #open(place: 'base' | 'extra', token: string): Promise<readonly Held[]> {
    const held = await Promise.all(this.#callers.kinds(place, token).map(open => open()))
    this.#tally.opened += held.length
    return held
  }

  async #freeze(id: string, held: readonly Held[]): Promise<void> {
    await this.#site.operator.cuts(`/v1/sessions/${id}/freeze`)
    await pause(FROZEN_FOR)
    await this.#site.operator.says(`/v1/sessions/${id}/resume`, {})
    this.#tally.frozen += held.length
    await pause(FROZEN_FOR)
    await stillOpen('resume', held)
  }

  async #narrow(id: string, base: readonly Held[], extra: readonly Held[]): Promise<void> {
    await this.#site.operator.cuts(`/v1/sessions/${id}/narrow`)
    await allOver('narrow', extra)
    await stillOpen('narrow', base)
    this.#tally.cut += extra.length
  }

  /** Every second one: by itself, in the middle of everything. */
  #leave(held: readonly Held[]): void {
    const leaving = held.filter((_, i) => i % 2 === 0)
    for (const { leave } of leaving) leave()
    this.#tally.left += leaving.length
  }
}

async function stillOpen(what: string, held: readonly Held[]): Promise<void> {
  const first = await Promise.race([...held.map(({ over }) => over.then(() => true)), Promise.resolve(false)])
  if (first) throw new Error(`${what} ended what it must not`)
}
