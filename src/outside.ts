// News from outside, wired: connectors that ask about tickets, webhooks that tell of them, of scores and of trust, and the inbox in which news of trust is acted
// on, whoever brings it; notes that tickets get. Decides nothing itself. SPEC: TKT1, TKT2, TKT5, RSK9, OUT1
import type { RequestListener } from 'node:http'
import { foldsSubjects } from './admin/vouched-issuers.ts'
import type { Noise } from './audit/noise.ts'
import type { Outgoing } from './audit/record.ts'
import type { Settings } from './config/settings.ts'
import type { Anchor, AnchorRef } from './core/anchor.ts'
import type { StoredRecord } from './core/record.ts'
import { aliasing } from './identity/aliases.ts'
import { outsideNotice, type Told, undeliveredNotice, unreadNotice } from './notify/occasions.ts'
import type { Clock } from './runtime/clock.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import { Hooks } from './signals/hooks.ts'
import type { Intake } from './signals/intake.ts'
import { Inbox, type InboxWitness } from './signals/outside/inbox.ts'
import { signalOf } from './signals/outside/names.ts'
import type { NamingPorts } from './signals/outside/named.ts'
import type { OpenNewsHooks } from './signals/outside/news-hook.ts'
import { type OpenReceiving, Receiving, type ReceivingPorts } from './signals/receiving.ts'
import { openSigned } from './signals/open-signed.ts'
import type { OpenScores, Scores } from './signals/scores.ts'
import { openStreams, type OpenStreams } from './signals/ssf/streams/open-streams.ts'
import { Streams } from './signals/ssf/streams/streams.ts'
import { Notes } from './signals/tickets/notes.ts'
import { openConnectors, type OpenConnectors } from './signals/tickets/open-connectors.ts'
import { Tickets } from './signals/tickets/tickets.ts'
import { openTransmitter, type OpenTransmitter, Transmitter } from './signals/transmit/transmitter.ts'

type Parts = {
  readonly intake: Intake
  readonly ledger: Ledger
  readonly mirror: Mirror
  readonly store: SessionStore
  readonly noise: Noise
  readonly risk: Scores
  /** Of the data set: what others call sessions is kept under it. */
  readonly digestKey: Uint8Array
  readonly tell: (told: Told) => void
  readonly clock: Clock
  readonly http: HttpClient
  readonly metrics: Metrics
  readonly log: Log
}

/** What one configuration's files hold. `Next` is what they hold for a reload. */
type Opened = { readonly connectors: OpenConnectors; readonly scores: OpenScores; readonly news: OpenNewsHooks; readonly streams: OpenStreams; readonly folds: (issuer: string | null) => boolean; readonly transmitter: OpenTransmitter | null; readonly issuersOf: (source: string) => readonly string[] }
type Next = Opened & { readonly receiving: OpenReceiving }

async function opened(settings: Settings, store: SessionStore): Promise<Opened> {
  const { connectors, scores, newsHooks, ssf, logout, transmit } = settings
  return {
    connectors: await openConnectors(connectors), scores: await openSigned(scores), news: await openSigned(newsHooks), streams: await openStreams(ssf), folds: issuer => foldsSubjects(settings, issuer),
    transmitter: await openTransmitter(transmit, store), issuersOf: source => ssf.get(source)?.issuers ?? logout.get(source)?.issuers ?? [],
  }
}

export class Outside {
  readonly #tickets: Tickets
  readonly #notes: Notes
  readonly #hooks: Hooks
  readonly #streams: Streams
  readonly #receiving: Receiving
  readonly #transmitter: Transmitter
  /** Takes news from outside, whoever brings it. */
  readonly inbox: Inbox
  /** How whoever is named outside is called here. */
  readonly naming: NamingPorts
  readonly #store: SessionStore
  #opened: Opened

  /** @throws SecretFileError where a file is not what it must be */
  static async open(settings: Settings, parts: Parts): Promise<Outside> {
    const outside = new Outside(parts, await opened(settings, parts.store))
    outside.#receiving.take(await outside.#receiving.open(settings))
    return outside
  }

  private constructor(parts: Parts, open: Opened) {
    const { ledger, noise, metrics } = parts
    const naming: NamingPorts = { alias: aliasing(parts.digestKey), folds: issuer => this.#opened.folds(issuer) }
    this.#opened = open
    this.#store = parts.store
    this.#tickets = new Tickets(open.connectors, parts)
    this.naming = naming
    this.inbox = new Inbox({ ...parts, witness: witnessOf(parts) })
    this.#notes = new Notes({ ...parts, open: () => this.#tickets.open, count: (source, outcome) => metrics.ticketNotes.inc({ source, outcome }) })
    this.#hooks = new Hooks({ ...parts, ...naming, tickets: this.#tickets, scores: () => this.#opened.scores, news: () => this.#opened.news, inbox: this.inbox, refused: refused => noise.refused(refused) })
    this.#streams = new Streams(open.streams, { ...parts, receive: (source, text) => this.#receiving.receive(source, text), undelivered: ({ source, channels }) => parts.tell(undeliveredNotice(source, channels, parts.clock.now())) })
    this.#receiving = new Receiving({ ...parts, naming, news: this.#streams, take: event => this.inbox.take(event), refused: refused => noise.refused(refused), unread: unreadBy(parts) })
    this.#transmitter = new Transmitter(open.transmitter, { ...parts, issuersOf: source => this.#opened.issuersOf(source), refused: refused => noise.refused(refused) })
    const before = ledger.onCommitted
    ledger.onCommitted = (record, facts) => {
      before(record, facts)
      this.#notes.committed(record, facts)
    }
  }

  start(): void {
    this.#tickets.start()
    this.inbox.start()
    this.#streams.start()
    this.#transmitter.start()
  }

  /** Any record that is announced. */
  heard(record: StoredRecord): void { this.inbox.heard(record) }

  /** Those of another configuration: read before anything is swapped. @throws SecretFileError */
  readonly connectors = async (settings: Settings): Promise<Next> => ({ ...(await opened(settings, this.#store)), receiving: await this.#receiving.open(settings) })

  take(next: Next): void {
    this.#opened = next
    this.#tickets.take(next.connectors)
    this.#streams.take(next.streams)
    this.#receiving.take(next.receiving)
    this.#transmitter.take(next.transmitter)
  }

  /** Before the store and the HTTP client close. */
  async stop(): Promise<void> {
    this.#tickets.stop()
    await this.#streams.stop()
    await this.#transmitter.stop()
    await this.inbox.stop()
    await this.#notes.stop()
  }

  /** Any anchor as it is now: see `Tickets`. */
  readonly lookUp = (ref: AnchorRef): Promise<Anchor | null> => this.#tickets.lookUp(ref)

  /** For a listener that serves `signals`. */
  readonly handler: RequestListener = (request, response) => {
    this.#at(request.url ?? '')(request, response)
  }

  readonly #atHooks: RequestListener = (request, response) => void this.#hooks.handle(request, response)
  readonly #atTransmitter: RequestListener = (request, response) => void this.#transmitter.handle(request, response)

  /** Facts that are in the trail, for those who are told of them. Never rejects. */
  readonly facts = (page: readonly Outgoing[]): Promise<void> => this.#transmitter.tell(page)

  /** Another data set gets the names and keys that are in use. */
  named(): Promise<void> { return this.#transmitter.named() }

  /** Who answers at a path. */
  #at(path: string): RequestListener {
    if (path.startsWith('/hooks/')) return this.#atHooks
    const door = this.#receiving.doorTo(path)
    if (door !== null) return (request, response) => void door.handle(request, response)
    return this.#opened.transmitter === null ? this.#atHooks : this.#atTransmitter // where there is none, nobody: it says so
  }
}

/** Whoever is named for it is told; that nobody could be acted on, or that it means too many, is for the log as well. */
function witnessOf({ metrics, log, tell }: Parts): InboxWitness {
  return {
    acted(event, outcome, met) {
      const { source, type, jti, issuer, effects, notify } = event
      metrics.outsideEvents.inc({ source, outcome })
      const isAlarm = outcome === 'withheld' || outcome === 'failed'
      if (isAlarm) log.error({ source, type, issuer, jti, met, outcome }, outcome === 'failed' ? 'news from outside could not be acted on' : 'news from outside means too many sessions; they are held until somebody looks')
      if (notify.length > 0 && (isAlarm || (outcome !== 'late' && effects.some(effect => effect.do === 'notify')))) tell(outsideNotice(event, signalOf(event, ''), outcome, met))
    },
    failed: ({ source, type, jti }, cause) => log.warn({ source, type, jti, cause: String(cause) }, 'news from outside could not be acted on yet; it is tried again'),
    full: () => metrics.limitReached.inc({ limit: 'outside_events' }),
    unread: cause => log.warn({ cause: String(cause) }, 'news from outside that is open could not be read; it is asked for again'),
  }
}

/** That nobody can tell whom news means is for the log, and for whoever is named for it. */
const unreadBy = ({ log, tell }: Parts): ReceivingPorts['unread'] => ({ name: source, notify }, type, { jti, at }, what) => {
  log.error({ source, type, jti, what }, 'news from outside names somebody who could not be made out; nothing follows from it')
  if (notify.length > 0) tell(unreadNotice({ source, type, jti, at, what }, notify))
}
