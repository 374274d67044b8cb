// What is told to others of what happens here (Shared Signals Framework 1.0): who may have a stream, what waits for each, and how it goes there. A part of a
// gateway that never holds up another. SPEC: TRM1-TRM6
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Outgoing, Refused } from '../../audit/record.ts'
import type { TransmitSettings } from '../../config/compile/transmit.ts'
import { after, type Duration, type Instant } from '../../core/time.ts'
import { EventSigner, newEventKey, readEventKey } from '../../identity/event-signer.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { HttpClient } from '../../runtime/http-client.ts'
import type { Log } from '../../runtime/log.ts'
import type { Metrics } from '../../runtime/metrics.ts'
import { keptOr } from '../../sessions/data-set.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { Desk } from './desk.ts'
import { Management } from './management.ts'
import { Polls } from './polls.ts'
import { Pusher } from './pusher.ts'
import { type OpenReceivers, openReceivers } from './receivers.ts'
import { Sending } from './sending.ts'
import type { Stream } from './stream.ts'
import { Streams } from './streams.ts'
import { Teller } from './teller.ts'
import { Waits } from './waits.ts'

export type TransmitterPorts = {
  readonly store: SessionStore
  readonly mirror: Pick<Mirror, 'known' | 'all' | 'policy'>
  /** Whose word the news of a source is. */
  readonly issuersOf: (source: string) => readonly string[]
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'ask'>
  readonly metrics: Pick<Metrics, 'ssfTold' | 'ssfQueue'>
  readonly log: Log
  readonly refused: (refused: Refused) => void
}

/** What one configuration's files hold. */
export type OpenTransmitter = { readonly settings: TransmitSettings; readonly receivers: OpenReceivers; readonly signer: EventSigner; /** PEM, where it is the data set's own. */ readonly keptKey: string | null }

const KEY = 'ssf.key'
const LOOK_EVERY_MS = 15_000
/** That a receiver asked is noted so often. */
const NOTED_EVERY_MS = 15_000
const INACTIVE = 'inactive'

/** @returns null where nothing is told to anybody. @throws SecretFileError where a file is not what it must be, StoreFault */
export async function openTransmitter(settings: TransmitSettings | null, store: SessionStore): Promise<OpenTransmitter | null> {
  if (settings === null) return null
  const receivers = await openReceivers(settings)
  const keptKey = settings.keyFile === null ? await keptOr(store, KEY, newEventKey) : null
  return { settings, receivers, signer: await EventSigner.open(keptKey ?? (await readEventKey(settings.keyFile ?? ''))), keptKey }
}

export class Transmitter {
  readonly #ports: TransmitterPorts
  readonly #streams: Streams
  readonly #waits = new Waits()
  readonly #sending: Sending
  readonly #teller: Teller
  readonly #desk: Desk
  readonly #noted = new Map<string, Instant>()
  #open: OpenTransmitter | null
  #pushers: Promise<readonly Pusher[]> = Promise.resolve([])
  #looking: NodeJS.Timeout | null = null
  #stopped = false

  constructor(open: OpenTransmitter | null, ports: TransmitterPorts) {
    const { store, clock } = ports
    this.#ports = ports
    this.#open = open
    this.#streams = new Streams(store)
    this.#sending = new Sending({ ...ports, signer: () => this.#signer() })
    const [streams, sending, waits, now] = [this.#streams, this.#sending, this.#waits, () => clock.now()]
    this.#teller = new Teller({ ...ports, streams, now, settings: () => this.#open?.settings ?? null, put: receiver => waits.wake(receiver) })
    this.#desk = new Desk({
      ...ports, streams, open: () => this.#open, management: new Management({ ...ports, streams, sending, waits, now }), polls: new Polls({ streams, sending, waits }),
      seen: (receiver, at) => this.#seen(receiver, at),
    })
  }

  start(): void {
    this.#push()
    void this.#look()
    this.#looking = setInterval(() => void this.#look(), LOOK_EVERY_MS).unref()
  }

  /** Another configuration; cannot fail. */
  take(open: OpenTransmitter | null): void {
    this.#open = open
    this.#push()
  }

  /** Before the store and the HTTP client close. */
  async stop(): Promise<void> {
    if (this.#looking !== null) clearInterval(this.#looking)
    this.#stopped = true // the last facts are queued behind it
    this.#waits.stop()
    this.#push()
    await this.#pushers
  }

  /** Another data set gets the key that is in use. */
  async named(): Promise<void> {
    const keptKey = this.#open?.keptKey ?? null
    if (keptKey !== null) await this.#ports.store.keepFirst(KEY, keptKey)
  }

  /** Facts that the trail has. Never rejects, and never takes long. */
  readonly tell = (page: readonly Outgoing[]): Promise<void> => this.#teller.tell(page)

  /** Never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void> { return this.#desk.handle(request, response) }

  #signer(): EventSigner {
    if (this.#open === null) throw new Error('nothing is told to anybody')
    return this.#open.signer
  }

  /** For each that may have it pushed, behind those of the configuration before. */
  #push(): void {
    this.#pushers = this.#pushers.then(async before => {
      await Promise.all(before.map(pusher => pusher.stop()))
      const { store, http, log } = this.#ports
      const receivers = [...(this.#stopped ? [] : (this.#open?.receivers.values() ?? []))].filter(({ settings: { pushTo } }) => pushTo.length > 0)
      return receivers.map(receiver => new Pusher({ store, streams: this.#streams, sending: this.#sending, waits: this.#waits, http, log }, receiver))
    })
  }

  // ---- who asks for its stream no more

  #seen(receiver: string, now: Instant): void {
    const before = this.#noted.get(receiver)
    if (before !== undefined && now < before + NOTED_EVERY_MS) return
    this.#noted.set(receiver, now)
    void this.#streams.seen(receiver, now).catch(() => this.#noted.delete(receiver)) // the next one says it again
  }

  async #look(): Promise<void> {
    const open = this.#open
    if (open === null) return
    for (const name of open.receivers.keys()) await this.#lookAt(name, open.settings).catch((error: unknown) => this.#ports.log.warn({ receiver: name, cause: String(error) }, 'whether a receiver still asks about its stream could not be told'))
  }

  async #lookAt(receiver: string, { inactivityTimeout }: TransmitSettings): Promise<void> {
    const stream = await this.#streams.read(receiver)
    if (stream === null || stream.status !== 'enabled' || !(await this.#isInactive(receiver, inactivityTimeout))) return
    await this.#streams.change(receiver, async before => {
      const isSame = before?.id === stream.id && before.status === 'enabled' && (await this.#isInactive(receiver, inactivityTimeout))
      return { stream: isSame ? { ...before, status: 'paused', reason: INACTIVE, held: true } satisfies Stream : before, answer: null }
    })
    this.#ports.log.warn({ receiver }, 'nobody asks about a stream any more; it is paused')
  }

  async #isInactive(receiver: string, timeout: Duration): Promise<boolean> {
    const [seen, now] = [await this.#streams.seenAt(receiver), this.#ports.clock.now()]
    if (seen === 0) await this.#streams.seen(receiver, now) // it could not be noted when it was
    return seen !== 0 && after(seen, timeout) <= now
  }
}
