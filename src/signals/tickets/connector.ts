// One connector at work: asks its source for a ticket, once for everybody who wants to know at the same time, and tells what it learned. A source that
// fails confirms nothing, and is spared for a moment. SPEC: TKT1, TKT3, TKT4
import type { ConnectorSettings, PollSettings } from '../../config/compile/connectors.ts'
import { type Anchor, type AnchorRef, partsOf } from '../../core/anchor.ts'
import { after, type Duration, duration, type Instant, instant } from '../../core/time.ts'
import { CIRCUIT, Circuit } from '../../identity/circuit.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Clock } from '../../runtime/clock.ts'
import { HttpFault } from '../../runtime/http-client.ts'
import { endTicket, type Ports, takeAnswer, type Taken } from './news.ts'
import type { Asked, TicketSource } from './source.ts'

export type PolledSettings = ConnectorSettings & { readonly poll: PollSettings }

export type LookOutcome = 'told' | 'unchanged' | 'absent' | 'late' | 'failed' | 'spared'

type ConnectorPorts = Ports & { readonly clock: Clock; readonly count: (outcome: LookOutcome) => void; /** Hears that the source fails, once until it answers again. */ readonly failed: (cause: unknown) => void }

/** Tickets that are asked for at once: by those who need one, and again for what stands on one. Neither takes the room of the other. */
const LOOKS_MAX = { needed: 64, again: 8 } as const
/** A ticket that is not there is not asked for again for so long, in milliseconds. */
const ABSENT_FOR = 2_000
const NEXT_MAX = 100_000
const OVERLOADED: readonly number[] = [408, 425, 429]
const RETRY = { least: 500, most: 10_000 } as const
/** An answer that the ticket overtook is asked for again. */
const ATTEMPTS = 3

export class Connector {
  readonly settings: PolledSettings
  readonly #source: TicketSource
  readonly #ports: ConnectorPorts
  readonly #circuit: Circuit
  readonly #looks = new Map<string, Promise<Anchor | null>>()
  /** When an anchor is asked for again at the earliest. */
  readonly #next = new BoundedMap<string, Instant>(NEXT_MAX)
  readonly #absent = new BoundedMap<string, number>(NEXT_MAX)
  readonly #underway = { needed: 0, again: 0 }
  #failing = false

  constructor(settings: PolledSettings, source: TicketSource, ports: ConnectorPorts) {
    this.settings = settings
    this.#source = source
    this.#ports = ports
    this.#circuit = new Circuit(ports.clock, CIRCUIT.cooldown)
  }

  /** Heard of no longer ago than it is asked for anyway. */
  isFresh({ matter }: Anchor): boolean {
    return matter?.is === 'ticket' && this.#ports.clock.now() - matter.seenAt < this.#every
  }

  /** Asks for it once more where it is time to. Never rejects: a store that fails is asked again in the next round. */
  again(anchor: Anchor): void {
    if (this.#underway.again >= LOOKS_MAX.again || this.#looks.has(anchor.name) || !this.#isDue(anchor)) return
    void this.#begun({ kind: anchor.kind, name: anchor.name }, 'again').catch(() => undefined)
  }

  /** What another gateway told of counts. */
  #isDue(anchor: Anchor): boolean {
    const now = this.#ports.clock.now()
    return !this.isFresh(anchor) && (this.#next.get(anchor.name) ?? now) <= now
  }

  /** As the source has it now; as it is known where the source does not answer and what is known still counts; else null. Never rejects for the source's sake. */
  look(ref: AnchorRef): Promise<Anchor | null> {
    const running = this.#looks.get(ref.name)
    if (running !== undefined) return running
    return this.#underway.needed >= LOOKS_MAX.needed ? this.#ports.load(ref).then(known => this.#spared(known)) : this.#begun(ref, 'needed')
  }

  #begun(ref: AnchorRef, why: keyof typeof LOOKS_MAX): Promise<Anchor | null> {
    this.#underway[why]++
    const look = this.#look(ref).finally(() => {
      this.#underway[why]--
      this.#looks.delete(ref.name)
    })
    this.#looks.set(ref.name, look)
    return look
  }

  async #look(ref: AnchorRef): Promise<Anchor | null> {
    const parts = partsOf(ref)
    if (parts === null || this.#ports.clock.elapsed() < (this.#absent.get(ref.name) ?? -Infinity)) return null
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const known = await this.#ports.load(ref)
      if (!this.#circuit.enter()) return this.#spared(known)
      const taken = await this.#ask(ref, parts, known)
      if (taken === 'failed') return this.#usable(known)
      if (taken !== null) return taken.anchor
    }
    return this.#ports.load(ref) // whoever overtook it said more
  }

  /** Null: the anchor changed while the source was asked. */
  async #ask(ref: AnchorRef, parts: Asked, known: Anchor | null): Promise<Taken | 'failed' | null> {
    const answered = await this.#source.ask(parts).catch((error: unknown) => this.#broke(ref, error))
    if (answered === null) return 'failed'
    this.#heard(ref)
    const { settings: { name, staleAfter, poll: { map } }, voice } = this
    if (answered.is === 'absent') return this.#gone(ref, known, answered.says)
    const said = { ref, ticket: answered.ticket, map, source: name, now: this.#ports.clock.now() }
    const taken = await takeAnswer(this.#ports, said, known, staleAfter === null ? null : duration(staleAfter / 3), voice)
    this.#ports.count(taken === null || taken.is === 'taken' ? 'told' : taken.is === 'late' ? 'late' : 'unchanged')
    return taken
  }

  get voice(): string { return `ticket:${this.settings.name}` }

  /** One that was there and is no more has ended; one that never was leaves no trace. */
  async #gone(ref: AnchorRef, known: Anchor | null, says: string): Promise<Taken> {
    this.#ports.count('absent')
    this.#absent.set(ref.name, this.#ports.clock.elapsed() + ABSENT_FOR)
    return known?.state === 'open' ? endTicket(this.#ports, ref, null, { by: this.voice, id: null }, says) : { is: 'unchanged', anchor: known }
  }

  #heard(ref: AnchorRef): void {
    this.#circuit.answered()
    this.#failing = false
    this.#next.set(ref.name, after(this.#ports.clock.now(), duration(this.#every * (0.9 + Math.random() / 10))))
  }

  /** A source that answers what is of no use for one ticket may be asked about others. */
  #broke(ref: AnchorRef, error: unknown): null {
    if (error instanceof HttpFault && error.status >= 200 && error.status < 500 && !OVERLOADED.includes(error.status)) this.#circuit.answered()
    else this.#circuit.failed()
    this.#ports.count('failed')
    if (!this.#failing) this.#ports.failed(error)
    this.#failing = true
    this.#next.set(ref.name, instant(this.#ports.clock.now() + Math.min(RETRY.most, Math.max(RETRY.least, this.#every / 4))))
    return null
  }

  #spared(known: Anchor | null): Anchor | null {
    this.#ports.count('spared')
    return this.#usable(known)
  }

  /** What was said too long ago confirms nothing. */
  #usable(known: Anchor | null): Anchor | null {
    const { staleAfter, onStale } = this.settings
    if (known === null || known.state === 'ended' || staleAfter === null || onStale === 'keep') return known
    return known.matter?.is === 'ticket' && this.#ports.clock.now() < after(known.matter.seenAt, staleAfter) ? known : null
  }

  get #every(): Duration { return this.settings.poll.every }
}
