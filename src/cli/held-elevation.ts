// An elevation that this process holds: asked for, waited for, kept as long as its stream is open or taken up again in time, given back at the end.
// A process that is killed gives nothing back; the gateway notices the broken stream. SPEC: ADM24, ELV15
import { setTimeout as pause } from 'node:timers/promises'
import type { Json } from './admin-client.ts'
import { type CallerClient, Refused } from './caller-client.ts'
import { type Exit, Failure } from './exit-code.ts'

const AGAIN_IN = 500
const OVER: { readonly [state: string]: Exit } = { ended: 'denied', denied: 'denied', withdrawn: 'denied', expired: 'timedOut' }
/** Its first stream may meet a gateway that has not heard of it yet. */
const NEWS_TAKES = 3_000

export type Told = {
  /** It waits for somebody's word, or for its start. */
  readonly waits: (elevation: Json) => void
  /** It is about to end, and could not be made longer. */
  readonly expiring: (secondsLeft: number, why: string) => void
  /** It ended before it was given back. */
  readonly ended: (reason: string) => void
}

export class HeldElevation {
  readonly id: string
  readonly #client: CallerClient
  readonly #told: Told
  readonly #closing = new AbortController()
  readonly #began = Date.now()
  #newest: Json
  #changed = Promise.withResolvers<void>()
  #isOver = false
  /** Its stream was open once: before that, nobody would notice the end of this process. */
  #isHeld = false
  /** Why, where its state does not say. */
  #why = ''

  /** @param body as `POST /.narrowgate/elevations` takes it. @throws Failure */
  static async ask(client: CallerClient, body: Json, told: Told): Promise<HeldElevation> {
    const { json } = await client.ask('POST', 'elevations', { ...body, hold: true }, crypto.randomUUID())
    return new HeldElevation(client, json, told)
  }

  private constructor(client: CallerClient, elevation: Json, told: Told) {
    this.id = String(elevation['id'])
    this.#client = client
    this.#newest = elevation
    this.#told = told
    void this.#hold()
  }

  get isOver(): boolean { return this.#isOver }
  get purposes(): Json { return (this.#newest['purpose'] ?? {}) as Json } // an object in every answer

  /** @throws Failure where it is refused, ends before it starts, or `within` milliseconds are over; then it is given back */
  async started(within: number): Promise<void> {
    const late = pause(within, 'late' as const, { ref: false })
    if (this.#newest['state'] !== 'active') this.#told.waits(this.#newest)
    while (!this.#isHeld || this.#newest['state'] !== 'active') {
      const over = OVER[String(this.#newest['state'])]
      if (over !== undefined) throw new Failure(over, `the elevation was not given: it is ${String(this.#newest['state'])}${typeof this.#newest['reason'] === 'string' ? ` (${this.#newest['reason']})` : ''}`)
      if (this.#isOver) throw new Failure('denied', `the elevation cannot be held: ${this.#why}`)
      if ((await Promise.race([this.#changed.promise, late])) === 'late') throw new Failure('timedOut', 'nobody has approved it in time; the request is taken back')
    }
  }

  /** Gives it back; says whether the gateway took that. */
  async giveBack(): Promise<boolean> {
    const isOver = this.#isOver
    this.#isOver = true
    try {
      if (!isOver) await this.#client.ask('POST', `elevations/${this.id}/release`, {})
      return true
    } catch {
      return false
    } finally {
      this.#closing.abort()
    }
  }

  /** Follows its stream, and takes it up again as long as there is something to hold. */
  async #hold(): Promise<void> {
    while (!this.#closing.signal.aborted && !this.#isOver) {
      try {
        for await (const { event, data } of this.#client.events(`elevations/${this.id}/hold`, this.#closing.signal)) {
          if (event === 'elevation') this.#heard(data)
          if (event === 'elevation.expiring') await this.#prolong(data)
        }
      } catch (error) {
        if (error instanceof Refused && this.#isFinal(error)) this.#over(error.message)
      }
      if (!this.#isOver) await pause(AGAIN_IN, undefined, { signal: this.#closing.signal }).catch(() => undefined)
    }
  }

  /** A token may be renewed, a gateway may come back. */
  #isFinal({ status }: Refused): boolean {
    if (status === 404) return Date.now() - this.#began > NEWS_TAKES
    return status < 500 && status !== 401 && status !== 408
  }

  #heard(elevation: Json): void {
    this.#isHeld = true
    this.#newest = elevation
    if (String(elevation['state']) in OVER) this.#over(String(elevation['reason'] ?? elevation['state']))
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  #over(why: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#why = why
    this.#changed.resolve()
    this.#told.ended(why)
  }

  /** It lives as long as its holder: more time, as far as the profile gives it. */
  async #prolong(expiring: Json): Promise<void> {
    const span = Number(this.#newest['for'])
    const left = Number(this.#newest['max']) - (Date.parse(String(this.#newest['until'])) - Date.parse(String(this.#newest['since']))) / 1000
    const more = Math.floor(Math.min(span, left))
    try {
      if (more < 1) throw new Failure('denied', 'the profile gives no more time')
      await this.#client.ask('POST', `elevations/${this.id}/extend`, { for: `${more}s` })
    } catch (error) {
      this.#told.expiring(Number(expiring['secondsLeft']), error instanceof Error ? error.message : String(error))
    }
  }
}
