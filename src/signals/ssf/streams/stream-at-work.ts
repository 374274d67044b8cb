// One stream on one gateway. Every gateway knows whom its tokens are for and tells that it was heard of; one of them manages and polls it, and asks it to
// verify. Nothing of it is ever a reason not to start, or not to serve. SPEC: SSF4-SSF12
import type { Clock } from '../../../runtime/clock.ts'
import type { HttpClient } from '../../../runtime/http-client.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Metrics } from '../../../runtime/metrics.ts'
import type { LiveSession } from '../../../sessions/live-session.ts'
import type { Mirror } from '../../../sessions/mirror.ts'
import type { SessionStore } from '../../../sessions/store.ts'
import type { Intake } from '../../intake.ts'
import { Access, Caller } from './access.ts'
import { Backoff, pause } from './backoff.ts'
import { Heartbeat } from './heartbeat.ts'
import { type OurStream, ourStream, type Wanted } from './management.ts'
import { type Metadata, MetadataSource } from './metadata.ts'
import type { OpenStream } from './open-streams.ts'
import { Poller, type Received } from './polling.ts'
import { SharedFacts } from './shared-facts.ts'
import { Standing } from './standing.ts'
import { Tenure } from './tenure.ts'
import { Troubles } from './troubles.ts'
import { isState, newState } from './verifications.ts'
import { WantedSubjects } from './wanted-subjects.ts'

/** A stream that does not deliver what revokes: for people. */
export type Undelivered = { readonly source: string; readonly channels: readonly string[] }

export type StreamTools = {
  readonly store: Pick<SessionStore, 'share' | 'keep' | 'keepFirst' | 'kept'>
  readonly mirror: Pick<Mirror, 'anchors' | 'all'>
  readonly intake: Pick<Intake, 'anchor'>
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'ask'>
  readonly log: Log
  readonly metrics: Pick<Metrics, 'ssfPolls' | 'ssfFaults'>
  /** Takes a token of a stream. Rejects where the store does not take it. */
  readonly receive: (source: string, text: string) => Promise<Received>
  readonly undelivered: (of: Undelivered) => void
}

/** What is managed is looked at anew so often; what every gateway knows is read so often, and sooner while it is not known. Milliseconds. */
const MANAGED_FOR = 3_600_000
const READ_EVERY = { known: 5_000, unknown: 1_000 } as const

type Found = { readonly pollUrl: URL | null; /** null where it is not managed here. */ readonly managed: { readonly stream: OurStream; readonly metadata: Metadata } | null }

export class StreamAtWork {
  readonly open: OpenStream
  readonly standing: Standing
  readonly #tools: StreamTools
  readonly #troubles: Troubles
  readonly #metadata: MetadataSource
  readonly #caller: Caller
  readonly #facts: SharedFacts
  readonly #tenure: Tenure | null
  readonly #wanted: WantedSubjects | null
  readonly #over = new AbortController()
  #loops: readonly Promise<void>[] | null = null

  constructor(open: OpenStream, tools: StreamTools) {
    const { settings, access, ca, authorization } = open
    const { name, manage, delivery, addSubjects, freshness, issuer } = settings
    const { store, mirror, clock, http, log, metrics } = tools
    this.open = open
    this.#tools = tools
    this.#troubles = new Troubles(name, log, fault => metrics.ssfFaults.inc({ source: name, fault }))
    this.standing = new Standing(name, freshness, { ...tools, failed: this.#failing('store') })
    this.#metadata = new MetadataSource(issuer, ca, tools)
    this.#caller = new Caller(new Access(access, { http, clock, ca }), { http, clock, ca })
    this.#facts = new SharedFacts(name, store, authorization, delivery === 'push' && manage)
    this.#tenure = manage || delivery === 'poll' ? new Tenure(`ssf/${name}`, { store, clock, work: signal => this.#work(signal) }) : null
    this.#wanted = manage && addSubjects ? new WantedSubjects(settings, {
      caller: this.#caller, clock, metadata: () => this.#metadata.get(), stream: () => this.#facts.stream?.id ?? null, all: () => principalsOf(mirror.all()), failed: this.#failing('subjects'),
    }) : null
  }

  /** A stream that does not say is none that anything could be refused by. */
  get audience(): readonly string[] | null {
    const { audience = [] } = this.#facts.stream ?? {}
    return audience.length === 0 ? null : audience
  }

  get authorization(): string | null { return this.#facts.authorization }
  metadata(): Promise<Metadata> { return this.#metadata.get() }

  start(): void {
    const { signal } = this.#over
    if (signal.aborted || this.#loops !== null) return
    this.#loops = this.open.settings.manage ? [this.#reading(signal), this.#wanted?.run(signal) ?? Promise.resolve()] : []
    this.#tenure?.start()
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    this.#over.abort()
    await this.#tenure?.stop()
    await Promise.all(this.#loops ?? [])
  }

  /** A session was taken in here. */
  taken({ record: { principal } }: LiveSession): void { this.#wanted?.taken(principal) }

  /** An event of verification; whether that is heard of it now is said apart. Rejects where the store does not answer. */
  async verified(state: string | null): Promise<'heard' | 'wrong'> {
    if (state !== null && !(await isState(this.#tools.store, this.open.settings.name, state))) {
      this.#troubles.met('verification', 'another state')
      return 'wrong'
    }
    this.#troubles.over('verification')
    return 'heard'
  }

  readonly #failing = (trouble: Parameters<Troubles['met']>[0]) => (fault: unknown): void => {
    if (fault === null) this.#troubles.over(trouble)
    else this.#troubles.met(trouble, fault)
  }

  async #reading(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#facts.read().then(() => this.#troubles.over('store'), this.#failing('store'))
      await pause(this.#facts.stream === null ? READ_EVERY.unknown : READ_EVERY.known, signal)
    }
  }

  /** As long as this gateway looks after it. Never rejects. */
  async #work(signal: AbortSignal): Promise<void> {
    const { clock } = this.#tools
    const backoff = new Backoff()
    while (!signal.aborted) {
      const since = clock.elapsed()
      try {
        const served = await this.#serve(await this.#found(signal), signal)
        if (clock.elapsed() - since > READ_EVERY.known) backoff.succeeded()
        if (served === 'gone') throw new Error('the transmitter knows no such stream')
      } catch (error) {
        if (signal.aborted) return
        this.#troubles.met('management', error)
        await pause(backoff.failed(error, clock.now()), signal)
      }
    }
  }

  async #found(signal: AbortSignal): Promise<Found> {
    const { settings: { manage, pollUrl, notify: channels, name: source } } = this.open
    if (!manage) return { managed: null, pollUrl: pollUrl === null ? null : new URL(pollUrl) }
    const metadata = await this.#metadata.get()
    const stream = await ourStream(this.#caller, metadata, await this.#wish(), signal)
    await this.#facts.told(stream)
    this.#troubles.over('management')
    if (stream.tellsOfRevocation) this.#troubles.over('undelivered')
    else if (this.#troubles.met('undelivered', 'it is not among events_delivered')) this.#tools.undelivered({ source, channels })
    return { managed: { stream, metadata }, pollUrl: stream.pollUrl }
  }

  async #wish(): Promise<Wanted> {
    const { name, endpoint, delivery } = this.open.settings
    return delivery === 'push' && endpoint !== null ? { name, delivery, endpoint, authorization: await this.#facts.header() } : { name, delivery: 'poll' }
  }

  /** Polls it and asks about it, each for itself, until either finds it gone or it is time to look at it anew. */
  async #serve({ pollUrl, managed }: Found, signal: AbortSignal): Promise<'over' | 'gone'> {
    const over = new AbortController()
    const until = AbortSignal.any([signal, over.signal, AbortSignal.timeout(MANAGED_FOR)])
    const parts = [
      ...(pollUrl === null ? [] : [this.#poller().run(pollUrl, until)]),
      ...(managed === null ? [] : [this.#heartbeat().run(managed.stream, managed.metadata, until)]),
    ].map(async part => {
      const ended = await part
      over.abort()
      return ended
    })
    return (await Promise.all(parts)).includes('gone') ? 'gone' : 'over'
  }

  #poller(): Poller {
    const { clock, receive, metrics } = this.#tools
    const { name: source, perSecond } = this.open.settings
    return new Poller({ caller: this.#caller, clock, perSecond, receive: text => receive(source, text), heard: () => this.#polled(), count: outcome => metrics.ssfPolls.inc({ source, outcome }), failed: this.#failing('poll') })
  }

  #polled(): void {
    this.#troubles.over('management')
    this.standing.heard()
  }

  #heartbeat(): Heartbeat {
    const { clock, store } = this.#tools
    const { name, freshness } = this.open.settings
    return new Heartbeat({ caller: this.#caller, clock, freshness, newState: () => newState(store, name), told: (status, at) => this.standing.told(status, at), failed: this.#failing('heartbeat') })
  }
}

function* principalsOf(sessions: Iterable<LiveSession>) {
  for (const { record: { principal } } of sessions) yield principal
}
