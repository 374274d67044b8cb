// Carries facts to the queues of streams, on their way from the store to the trail: the trail has them already, the store forgets them behind this. Never
// holds the trail up for long: what the store does not take in time is counted as lost, and its streams are paused until their receivers know. SPEC: TRM2, TRM6
import type { Outgoing } from '../../audit/record.ts'
import type { ReceiverSettings, TransmitSettings } from '../../config/compile/transmit.ts'
import type { Session, SessionKey } from '../../core/session.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Log } from '../../runtime/log.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { type Address, type LetterPorts, putEvent } from './letters.ts'
import { isDelivered, type Stream } from './stream.ts'
import type { Streams } from './streams.ts'
import { isChosen } from './subjects.ts'
import { isOfRisk, isTold, ofRisk, ofSession, type Person, personNamed, type RiskWord, riskWord, type Telling } from './told.ts'

export type TellerPorts = LetterPorts & {
  readonly store: SessionStore
  readonly streams: Streams
  readonly mirror: Pick<Mirror, 'known' | 'all' | 'policy'>
  readonly settings: () => TransmitSettings | null
  /** Whose word the news of a source is. */
  readonly issuersOf: (source: string) => readonly string[]
  /** Something waits for it now. */
  readonly put: (receiver: string) => void
  readonly log: Log
}

const PATIENCE_MS = 3_000
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 1_000
const PEOPLE_KNOWN = 10_000

const QUEUE_FULL = 'queue_full'
const EVENTS_LOST = 'events_lost'

const pause = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms))

export class Teller {
  readonly #ports: TellerPorts
  /** What was told of principals last, by their anchors. */
  readonly #people = new BoundedMap<string, Person & { readonly was: RiskWord }>(PEOPLE_KNOWN)
  /** The store failed the last time: it is asked once only, until it answers. */
  #failing = false

  constructor(ports: TellerPorts) {
    this.#ports = ports
  }

  /** Never rejects. */
  async tell(page: readonly Outgoing[]): Promise<void> {
    const settings = this.#ports.settings()
    const told = settings === null ? [] : page.filter(isTold)
    if (settings === null || told.length === 0) return
    const until = performance.now() + (this.#failing ? 0 : PATIENCE_MS)
    let tellings: readonly Telling[] | null = null
    for (let wait = RETRY_FIRST_MS; ; wait = Math.min(wait * 2, RETRY_MAX_MS)) {
      try {
        const open = await this.#openStreams(settings)
        tellings ??= open.length === 0 ? [] : await this.#tellings(told)
        for (const to of open) await this.#tellOne(to, tellings)
        this.#failing = false
        return
      } catch (error) {
        if (performance.now() + wait > until) return await this.#lost(settings, told.length, error)
        await pause(wait)
      }
    }
  }

  async #openStreams(settings: TransmitSettings): Promise<readonly Address[]> {
    const found = await Promise.all([...settings.receivers.values()].map(async receiver => ({ receiver, stream: await this.#ports.streams.read(receiver.name) })))
    return found.flatMap(({ receiver, stream }) => (stream === null || stream.status === 'disabled' ? [] : [{ settings, receiver, stream }]))
  }

  async #tellOne(to: Address, tellings: readonly Telling[]): Promise<void> {
    const { receiver, stream } = to
    const choice = await this.#ports.streams.choiceOf(receiver.name, stream)
    const became = new Set<string>()
    for (const telling of tellings) {
      if (this.#concerns(to, telling) && isChosen(choice, telling.subject)) became.add(await putEvent(this.#ports, to, telling))
    }
    if (became.has('full') && !stream.held) await this.#hold(receiver, QUEUE_FULL)
    if (became.has('queued')) this.#ports.put(receiver.name)
  }

  /** In doubt it is not told. Whoever revoked a session knows of it. */
  #concerns({ settings, receiver, stream }: Address, { event, issuer, tenant, source }: Telling): boolean {
    const { issuers, tenants } = receiver
    if (!isDelivered(settings, receiver, stream, event)) return false
    if (issuers.length > 0 && !issuers.includes(issuer)) return false
    if (tenants.length > 0 && (tenant === null || !tenants.includes(tenant))) return false
    return event !== 'session-revoked' || source === null || !this.#ports.issuersOf(source).some(own => issuers.includes(own))
  }

  async #hold({ name }: ReceiverSettings, reason: string): Promise<void> {
    const isNew = await this.#ports.streams.change(name, async stream => {
      if (stream === null || stream.held || stream.status === 'disabled') return { stream, answer: false }
      return { stream: { ...stream, status: 'paused', reason, held: true } satisfies Stream, answer: true }
    })
    if (isNew) this.#ports.log.error({ receiver: name, reason }, 'a stream is paused: events for it are not kept; its receiver has to enable it again')
  }

  async #lost(settings: TransmitSettings, count: number, cause: unknown): Promise<void> {
    if (!this.#failing) this.#ports.log.error({ facts: count, cause: String(cause) }, 'events could not be queued for those who are told of them')
    this.#failing = true
    for (const receiver of settings.receivers.values()) {
      this.#ports.metrics.ssfTold.inc({ receiver: receiver.name, event: '', outcome: 'lost' }, count)
      await this.#hold(receiver, EVENTS_LOST).catch(() => undefined) // the store fails; the next loss says it again
    }
  }

  // ---- what facts are

  async #tellings(page: readonly Outgoing[]): Promise<readonly Telling[]> {
    const records = await Promise.all(page.map(outgoing => this.#record(outgoing)))
    return page.flatMap((outgoing, i) => (outgoing.ref.kind === 'session' ? this.#session(outgoing, records[i] ?? null) : this.#risk(outgoing)) ?? [])
  }

  #session(outgoing: Outgoing, record: Session | null): Telling | null {
    const telling = ofSession(outgoing, record)
    if (telling === null) this.#unknown()
    return telling
  }

  /** Whose it was cannot be told any more. */
  #unknown(): void { this.#ports.metrics.ssfTold.inc({ receiver: '', event: '', outcome: 'unknown' }) }

  /** Of its version at least. */
  async #record({ ref, fact }: Outgoing): Promise<Session | null> {
    if (ref.kind !== 'session' || fact.what === 'session.opened') return null // that one says everything itself
    const known = this.#ports.mirror.known(ref.name as SessionKey)?.stored ?? null // the name of a session's record is its key
    if (known !== null && known.version >= fact.version) return known
    const found = await this.#ports.store.load(ref)
    return found?.record === 'session' ? found : null
  }

  #risk(outgoing: Outgoing): Telling | null {
    const { fact } = outgoing
    if (!isOfRisk(fact) || fact.matter?.is !== 'principal') return null
    const { level } = fact.matter
    const person = this.#person(fact.name, level?.who ?? null)
    if (person === null) {
      this.#unknown()
      return null
    }
    const now = riskWord(this.#ports.mirror.policy.risk, level?.at ?? null)
    this.#people.set(fact.name, { ...person, was: now })
    return ofRisk(outgoing, fact, person, now)
  }

  /** Its anchor is named by a digest: who it is is known from its level, from one of its sessions, or from what was told before. */
  #person(name: string, who: string | null): Person | null {
    const before = this.#people.get(name)
    for (const { principal, record: { principal: { issuer, subject, tenant } } } of this.#ports.mirror.all()) {
      if (principal.name === name) return { issuer, subject, tenant, was: before?.was ?? null }
    }
    const named = who === null ? null : personNamed(who)
    return before ?? (named === null ? null : { ...named, was: null })
  }
}
