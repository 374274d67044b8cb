// Asks a transmitter that tells of nobody by itself for events of each caller with a session here (SSF 1.0 §8.1.3), behind everything else and at its
// pace. Takes nobody back: who asks for less would hear less of a session that comes again. SPEC: SSF11
import type { Principal } from '../../../core/principal.ts'
import { BoundedMap } from '../../../runtime/bounded-map.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { HttpFault } from '../../../runtime/http-client.ts'
import type { Caller } from './access.ts'
import { Backoff, pause } from './backoff.ts'
import { MANAGE_LIMITS } from './management.ts'
import type { Metadata } from './metadata.ts'

export type Who = Pick<Principal, 'issuer' | 'subject' | 'tenant'>
type Of = { readonly issuers: readonly string[]; /** Empty is any. */ readonly tenants: readonly string[] }
type Ports = {
  readonly caller: Pick<Caller, 'ask'>
  readonly clock: Clock
  readonly metadata: () => Promise<Metadata>
  /** Of the stream that is managed; null where none is known yet. */
  readonly stream: () => string | null
  /** Everybody with a session here. */
  readonly all: () => Iterable<Who>
  /** It does not take them; null: it does again. */
  readonly failed: (fault: unknown) => void
}

const WAITING_MAX = 10_000
const ASKED_MAX = 100_000
/** Between two that are asked for, and looks at whether anybody waits, in milliseconds. */
const EVERY = 50
const LOOK_EVERY = 500
/** Looked at in one turn. */
const SLICE = 1_000

export class WantedSubjects {
  readonly #of: Of
  readonly #ports: Ports
  readonly #waiting = new Map<string, Who>()
  readonly #asked = new BoundedMap<string, string>(ASKED_MAX)
  readonly #backoff = new Backoff()
  /** Those that are looked through, since a stream is new or somebody did not fit. */
  #rest: Iterator<Who> | null = null
  #stream: string | null = null

  constructor(of: Of, ports: Ports) {
    this.#of = of
    this.#ports = ports
  }

  /** Somebody has a session here. */
  taken(who: Who): void {
    const { issuers, tenants } = this.#of
    if (!issuers.includes(who.issuer) || (tenants.length > 0 && !tenants.includes(who.tenant))) return
    const name = `${who.issuer}|${who.subject}`
    if (this.#waiting.has(name) || (this.#stream !== null && this.#asked.get(name) === this.#stream)) return
    if (this.#waiting.size < WAITING_MAX) this.#waiting.set(name, who)
    else this.#rest = this.#ports.all()[Symbol.iterator]() // found again when there is room
  }

  /** Until the signal. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const stream = this.#ports.stream()
      if (stream !== this.#stream) this.#rest = this.#ports.all()[Symbol.iterator]()
      this.#stream = stream
      if (this.#waiting.size === 0) this.#lookOn()
      const [next] = this.#waiting
      await pause(next === undefined || stream === null ? LOOK_EVERY : await this.#once(stream, ...next, signal), signal)
    }
  }

  #lookOn(): void {
    for (let i = 0; i < SLICE && this.#rest !== null; i++) {
      const next = this.#rest.next()
      if (next.done === true) this.#rest = null
      else this.taken(next.value)
    }
  }

  /** @returns milliseconds to wait for */
  async #once(stream: string, name: string, who: Who, signal: AbortSignal): Promise<number> {
    this.#waiting.delete(name)
    try {
      await this.#add(stream, who, signal)
      this.#backoff.succeeded()
      this.#ports.failed(null)
    } catch (error) {
      if (!signal.aborted) this.#ports.failed(error)
      if (!isRefusal(error)) {
        this.#waiting.set(name, who) // behind the others
        return this.#backoff.failed(error, this.#ports.clock.now())
      }
    }
    this.#asked.set(name, stream)
    return EVERY
  }

  async #add(stream: string, { issuer: iss, subject: sub }: Who, signal: AbortSignal): Promise<void> {
    const { addSubject: url, wantsSubjects } = await this.#ports.metadata()
    if (url === null || !wantsSubjects) return
    await this.#ports.caller.ask({ method: 'POST', url, body: { stream_id: stream, subject: { format: 'iss_sub', iss, sub }, verified: true }, statuses: [200, 201, 202, 204] }, MANAGE_LIMITS, signal)
  }
}

/** It does not know that one: asking again tells nothing new. */
const isRefusal = (error: unknown): boolean => error instanceof HttpFault && error.status >= 400 && error.status < 500 && ![401, 408, 425, 429].includes(error.status)
