// One security event token of a stream, however it came: read, mapped to what follows as configured, and taken where it counts. Never acts itself, and never
// says more of a token that does not count than the standard's code. SPEC: SSF2, SSF3, OUT3, OUT8
import { isDeepStrictEqual } from 'node:util'
import type { SsfSettings } from '../../config/compile/ssf.ts'
import { STREAM_STATUSES, type StreamStatus } from '../../core/anchor.ts'
import type { Effect, OutsideEvent, Subject } from '../../core/outside.ts'
import { after, duration } from '../../core/time.ts'
import type { EventToken } from '../../identity/security-event-token.ts'
import { claimOf } from '../../identity/claims.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Clock } from '../../runtime/clock.ts'
import { sha256 } from '../../runtime/id.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { type CaepEvent, caepOf, type Presented } from './caep.ts'
import type { EventSource, EventSources } from './open-sources.ts'
import { type Received, refusal, type SetFault, type Untimely } from './refusals.ts'
import type { StreamNews } from './stream-news.ts'
import { type Naming, subjectOf } from './subjects.ts'

export interface Receives {
  /** Rejects where the store does not take it, or where nobody can tell yet whether it counts: it may come again. */
  receive(source: string, text: string): Promise<Received>
}

/** What became of a token, for metrics. */
type Outcome = 'taken' | 'again' | 'noted' | 'ignored' | 'unread' | 'discarded' | 'refused' | 'untimely'

type ReceiverRoom = {
  readonly sources: () => EventSources
  readonly news: StreamNews
  readonly take: (event: OutsideEvent) => Promise<{ readonly is: 'taken' | 'again' }>
  readonly store: Pick<SessionStore, 'mark'>
  readonly naming: Naming
  readonly clock: Clock
  readonly count: (source: string, event: string, outcome: Outcome) => void
  /** Hears of each token that does not count. @param address whence it was pushed; empty where it was polled */
  readonly refused: (source: string, fault: SetFault, address: string) => void
  /** Nobody can tell whom it means: somebody has to look. */
  readonly unread: (settings: SsfSettings, type: string, token: Pick<EventToken, 'jti' | 'at'>, what: readonly string[]) => void
}

/** Nobody can tell yet whether a token counts. */
class NotYet extends Error {
  override readonly name = 'NotYet'
}

const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'
const [VERIFICATION, STREAM_UPDATED] = [`${SSF}verification`, `${SSF}stream-updated`]
const STATE_MAX = 1024
/** What the clock of a transmitter may be ahead. */
const AHEAD = duration(60_000)
/** How long it is known what a session was shown by. */
const SEEN_FOR = duration(7 * 24 * 3_600_000)

/** The same for every order of members. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, of]) => [name, sorted(of)])
}

const UNTIMELY: ReadonlySet<string> = new Set<Untimely>(['keys_unavailable', 'audience_unknown'])
const isUntimely = (fault: string): fault is Untimely => UNTIMELY.has(fault)

const isStatus = (value: unknown): value is StreamStatus => STREAM_STATUSES.some(status => status === value)

const driftOf = (source: string, { id, by }: Presented): string => sha256(JSON.stringify([source, id, by]))
/** Drifts that the store did not take yet, and that come again. */
const DRIFTS_MAX = 1_000

export class Receiver implements Receives {
  readonly #room: ReceiverRoom
  readonly #drifts = new BoundedMap<string, true>(DRIFTS_MAX)

  constructor(room: ReceiverRoom) {
    this.#room = room
  }

  async receive(source: string, text: string, address = ''): Promise<Received> {
    const { sources, count } = this.#room
    const open = sources().get(source)
    if (open === undefined) throw new NotYet(`there is no transmitter ${source}`)
    const token = await open.tokens.read(text)
    if (token.is === 'event') return this.#event(open, token, address)
    if (!isUntimely(token.fault)) return this.#refuse(source, '', token.fault, address)
    count(source, '', 'untimely')
    throw new NotYet(token.fault)
  }

  #refuse(source: string, event: string, fault: SetFault, address: string): Received {
    this.#room.count(source, event, 'refused')
    this.#room.refused(source, fault, address)
    return refusal(fault)
  }

  /** What was issued long ago proves that it told then: it may be an old one, sent again by whoever. */
  #done({ name, freshness }: SsfSettings, { at }: Pick<EventToken, 'at'>, event: string, outcome: Outcome): Received {
    const { count, news, clock } = this.#room
    count(name, event, outcome)
    if (freshness === null || clock.now() < after(at, freshness)) news.heard(name)
    return { is: outcome === 'again' ? 'again' : 'taken' }
  }

  #event(open: EventSource, token: EventToken, address: string): Promise<Received> {
    if (token.type === VERIFICATION) return this.#verified(open, token, address)
    return token.type === STREAM_UPDATED ? this.#updated(open, token, address) : this.#caep(open, token, address)
  }

  async #verified({ settings }: EventSource, token: EventToken, address: string): Promise<Received> {
    const [{ name }, state] = [settings, claimOf(token.claims, 'state')]
    if (state !== null && (typeof state !== 'string' || state.length > STATE_MAX)) return this.#refuse(name, 'verification', 'event_malformed', address)
    return (await this.#room.news.verified(name, state)) === 'heard' ? this.#done(settings, token, 'verification', 'taken') : this.#refuse(name, 'verification', 'state_unknown', address)
  }

  async #updated({ settings }: EventSource, token: EventToken, address: string): Promise<Received> {
    const [{ name }, status] = [settings, claimOf(token.claims, 'status')]
    if (!isStatus(status)) return this.#refuse(name, 'stream-updated', 'event_malformed', address)
    await this.#room.news.updated(name, status, token.at)
    return this.#done(settings, token, 'stream-updated', 'taken')
  }

  async #caep(open: EventSource, token: EventToken, address: string): Promise<Received> {
    const { settings } = open
    const event = caepOf(token.type, token.claims, token.at)
    if (event.is === 'ignored') return this.#done(settings, token, 'other', 'ignored')
    if (event.is === 'malformed') return this.#refuse(settings.name, 'other', 'event_malformed', address)
    const fault = this.#faultOf(event, token)
    if (fault !== null) return this.#refuse(settings.name, event.type, fault, address)
    const read = subjectOf(token.subject, settings, this.#room.naming)
    if (read.is === 'malformed' || read.is === 'foreign') return this.#refuse(settings.name, event.type, `subject_${read.is}`, address)
    if (await this.#isCritical(settings, read.unread)) return this.#unread(settings, event, token, read.unread, 'discarded')
    return read.is === 'unread' ? this.#unread(settings, event, token, read.unread, 'unread') : this.#mapped(settings, event, token, read.subject)
  }

  /** Older transmitters name the subject within the event as well: then both must say the same. */
  #faultOf({ at }: CaepEvent, { claims, subject }: EventToken): SetFault | null {
    if (at > after(this.#room.clock.now(), AHEAD)) return 'event_future_dated'
    return Object.hasOwn(claims, 'subject') && !isDeepStrictEqual(claims['subject'], subject) ? 'subject_ambiguous' : null
  }

  /** May a member that nobody here can read be passed over? Where its metadata is not served, and nothing else hangs on it, none is critical. */
  async #isCritical({ name, manage, jwksFile }: SsfSettings, unread: readonly string[]): Promise<boolean> {
    if (unread.length === 0) return false
    const metadata = await this.#room.news.metadataOf(name).catch((error: unknown) => {
      if (manage || jwksFile === null) throw error
      return null
    })
    return metadata !== null && unread.some(member => metadata.critical.includes(member))
  }

  #unread(settings: SsfSettings, { type }: CaepEvent, token: EventToken, what: readonly string[], outcome: 'unread' | 'discarded'): Received {
    this.#room.unread(settings, type, token, what)
    return this.#done(settings, token, type, outcome)
  }

  async #mapped(settings: SsfSettings, event: CaepEvent, token: EventToken, subject: Subject): Promise<Received> {
    const { name } = settings
    const { presented } = event
    const isPresence = event.name === 'session-established' || event.name === 'session-presented'
    if (isPresence && (presented === null || !(await this.#isDrift(name, presented)))) return this.#done(settings, token, event.type, 'noted')
    const { is } = await this.#room.take(this.#newsOf(settings, event, token, subject))
    if (presented !== null) this.#drifts.delete(driftOf(name, presented))
    return this.#done(settings, token, event.type, is)
  }

  /** Of a session that is known elsewhere: is it shown by something else than before? */
  async #isDrift(source: string, { id, by }: Presented): Promise<boolean> {
    const { store, clock } = this.#room
    const now = clock.now()
    const mark = (...of: readonly string[]): Promise<'first' | 'again'> => store.mark(sha256(JSON.stringify(['ssf', source, ...of])), now, after(now, SEEN_FOR))
    const [session, name] = [await mark(id), driftOf(source, { id, by })]
    if ((await mark(id, by)) === 'first' && session === 'again') this.#drifts.set(name, true)
    return this.#drifts.has(name)
  }

  #newsOf({ name: source, issuer, most, notify, events }: SsfSettings, { name, type, at, apart, changes, note }: CaepEvent, { jti, subject: named }: EventToken, subject: Subject): OutsideEvent {
    const effects = events[name].map((effect): Effect => (effect.do === 'claims' ? { do: 'claims', changes } : effect))
    const order = apart === null ? null : sha256(JSON.stringify([type, sorted(named), apart]))
    return { source, issuer, jti, type, at, takenAt: this.#room.clock.now(), subject, effects, order, most, notify, note }
  }
}

