// Pushes what waits for one receiver (RFC 8935), one after the other in their order, by one gateway at a time: whoever holds the lease. What was not taken
// is sent again, after a while that grows; a receiver takes one it had already as the same one. SPEC: TRM5
import { duration } from '../../core/time.ts'
import { HttpFault, type HttpClient } from '../../runtime/http-client.ts'
import type { Log } from '../../runtime/log.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { OpenReceiver } from './receivers.ts'
import type { Letter, Sending } from './sending.ts'
import type { Stream } from './stream.ts'
import type { Streams } from './streams.ts'
import type { Waits } from './waits.ts'

export type PusherPorts = {
  readonly store: Pick<SessionStore, 'share'>
  readonly streams: Pick<Streams, 'read'>
  readonly sending: Sending
  readonly waits: Waits
  readonly http: Pick<HttpClient, 'ask'>
  readonly log: Log
}

const LEASE = duration(10_000)
/** A push that began within the lease is over before it is. */
const RENEWED_EVERY_MS = 3_000
const LIMITS = { timeout: duration(6_000), bytes: 16 * 1024 }
const LOOK_EVERY_MS = 500
const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 300_000

function errIn(text: string): string | null {
  try {
    const { err } = JSON.parse(text) as { readonly err?: unknown } // any answer; what is not there is undefined
    return typeof err === 'string' && /^[\x21-\x7e]{1,256}$/.test(err) ? err : null
  } catch {
    return null
  }
}

/** Seconds, as an answer may say when to come again. */
const askedWait = (error: unknown): number => (error instanceof HttpFault && /^\d{1,6}$/.test(error.retryAfter ?? '') ? Number(error.retryAfter) * 1_000 : 0)

export class Pusher {
  readonly #ports: PusherPorts
  readonly #receiver: OpenReceiver
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  #leasedAt = -Infinity
  #failures = 0
  /** Milliseconds until the next attempt. */
  #wait = 0

  constructor(ports: PusherPorts, receiver: OpenReceiver) {
    this.#ports = ports
    this.#receiver = receiver
    this.#running = this.#run()
  }

  /** What it has under way is given up; it is sent again. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    if (this.#leasedAt > -Infinity) await this.#share(0).catch(() => undefined) // it runs out by itself
  }

  get #name(): string { return this.#receiver.settings.name }

  async #run(): Promise<void> {
    const { waits } = this.#ports
    while (!this.#stopping.signal.aborted) {
      const more = await this.#turn().catch((error: unknown) => this.#failed(error))
      if (more === 'retry') await this.#backOff()
      else if (more === 'nothing') await waits.wait(this.#name, LOOK_EVERY_MS, this.#stopping.signal)
    }
  }

  /** One of them. @throws where it is to be tried again */
  async #turn(): Promise<'next' | 'nothing'> {
    const { streams, sending } = this.#ports
    const stream = await streams.read(this.#name)
    if (stream === null || stream.push === null || stream.status !== 'enabled' || !this.#mayPush(stream.push.endpoint) || !(await this.#leads())) return 'nothing'
    const [letter] = (await sending.next(this.#name, stream, 1)).letters
    if (letter === undefined || this.#stopping.signal.aborted) return 'nothing'
    await this.#push(stream, stream.push, letter)
    if (this.#failures > 0) this.#ports.log.info({ receiver: this.#name }, 'a receiver takes what is pushed to it again')
    this.#failures = 0
    return 'next'
  }

  /** The configuration may say otherwise by now. */
  #mayPush(endpoint: string): boolean { return this.#receiver.settings.pushTo.includes(new URL(endpoint).origin) }

  async #leads(): Promise<boolean> {
    const now = performance.now()
    if (now - this.#leasedAt < RENEWED_EVERY_MS) return true
    const leads = (await this.#share(1)) === 1
    this.#leasedAt = leads ? now : -Infinity
    return leads
  }

  #share(wanted: number): Promise<number> { return this.#ports.store.share({ bucket: `ssf-push/${this.#name}`, wanted, limit: 1, for: LEASE }) }

  async #push(stream: Stream, { endpoint, authorization }: NonNullable<Stream['push']>, letter: Letter): Promise<void> {
    const { http, sending } = this.#ports
    const headers = { 'content-type': 'application/secevent+jwt', accept: 'application/json', ...(authorization === null ? {} : { authorization }) }
    const answer = await http.ask(new URL(endpoint), { method: 'POST', body: letter.jws, headers, ca: this.#receiver.ca, statuses: [202, 400] }, LIMITS, 'new', this.#stopping.signal)
    const err = answer.status === 400 ? errIn(answer.text) : null
    if (answer.status === 400 && err === null) throw new HttpFault('status', 'the receiver answered 400 and does not say why', 400)
    if (err !== null) return sending.refused(this.#name, stream, letter.event, [letter.jti], err)
    sending.sent(this.#name, letter)
    await sending.done(this.#name, stream, [letter.jti])
  }

  #failed(error: unknown): 'retry' {
    if (this.#stopping.signal.aborted) return 'retry'
    if (this.#failures === 0) this.#ports.log.warn({ receiver: this.#name, cause: error instanceof Error ? error.message : String(error) }, 'an event could not be pushed; it is tried again')
    this.#failures++
    this.#wait = Math.min(RETRY_MAX_MS, Math.max(RETRY_FIRST_MS * 2 ** Math.min(this.#failures - 1, 16), askedWait(error)))
    return 'retry'
  }

  /** What comes meanwhile changes nothing. */
  async #backOff(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#wait)
    const { signal } = this.#stopping
    const leave = (): void => resolve()
    if (signal.aborted) resolve()
    signal.addEventListener('abort', leave)
    await promise
    clearTimeout(timer)
    signal.removeEventListener('abort', leave)
  }
}
