// All connectors: finds the one that an anchor is named after, asks it where what is known is not fresh, and again and again for every ticket that
// something here stands on. Swapped whole at a reload. SPEC: TKT1, TKT3, TKT4
import { type Anchor, type AnchorRef, partsOf } from '../../core/anchor.ts'
import type { RecordRef } from '../../core/record.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { HttpClient } from '../../runtime/http-client.ts'
import type { Log } from '../../runtime/log.ts'
import type { Metrics } from '../../runtime/metrics.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Intake } from '../intake.ts'
import { Connector } from './connector.ts'
import type { Ports } from './news.ts'
import type { OpenConnectors } from './open-connectors.ts'
import { TicketSource } from './source.ts'

type Tools = {
  readonly intake: Intake
  readonly store: SessionStore
  readonly mirror: Pick<Mirror, 'anchor' | 'anchors'>
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'ask'>
  readonly log: Log
  readonly metrics: Pick<Metrics, 'ticketLooks'>
}

const ROUND = { least: 100, most: 1_000 } as const

export class Tickets {
  readonly #tools: Tools
  readonly ports: Ports
  #open: OpenConnectors
  #connectors: ReadonlyMap<string, Connector>
  #timer: NodeJS.Timeout | null = null

  constructor(open: OpenConnectors, tools: Tools) {
    this.#tools = tools
    this.ports = { intake: tools.intake, load: ref => this.#load(ref) }
    this.#open = open
    this.#connectors = this.#built(open)
  }

  /** What was read for the connectors, by name. */
  get open(): OpenConnectors { return this.#open }

  /** Another configuration's. */
  take(open: OpenConnectors): void {
    this.#open = open
    this.#connectors = this.#built(open)
    if (this.#timer !== null) this.start()
  }

  /** The one that can be asked about the anchor; null where there is none. */
  connectorOf(ref: AnchorRef): Connector | null {
    return ref.kind === 'ticket' ? (this.#connectors.get(partsOf(ref)?.source ?? '') ?? null) : null
  }

  /** Any anchor as it is now; of a ticket its source is asked where it was not heard of just now. */
  async lookUp(ref: AnchorRef): Promise<Anchor | null> {
    const connector = this.connectorOf(ref)
    const known = await this.#tools.mirror.anchor(ref)
    return connector === null || (known?.state === 'open' && connector.isFresh(known)) ? known : connector.look(ref)
  }

  start(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const shortest = Math.min(Infinity, ...[...this.#connectors.values()].map(({ settings: { poll } }) => poll.every))
    this.#timer = setTimeout(() => this.#round(), Math.max(ROUND.least, Math.min(ROUND.most, shortest / 10))).unref()
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Whatever is due and open; a store that fails is asked again in the next round. */
  #round(): void {
    for (const anchor of this.#connectors.size === 0 ? [] : this.#tools.mirror.anchors.tied()) if (anchor.state === 'open') this.connectorOf(anchor)?.again(anchor)
    if (this.#timer !== null) this.start()
  }

  #built(open: OpenConnectors): ReadonlyMap<string, Connector> {
    const { clock, http, log, metrics } = this.#tools
    return new Map([...open.values()].flatMap(({ settings, access }) => {
      const { name, poll } = settings
      if (poll === null) return []
      const failed = (cause: unknown): void => log.warn({ connector: name, cause: cause instanceof Error ? cause.message : String(cause) }, 'a source of tickets does not answer')
      return [[name, new Connector({ ...settings, poll }, new TicketSource(poll, access, http), { ...this.ports, clock, failed, count: outcome => metrics.ticketLooks.inc({ source: name, outcome }) })] as const]
    }))
  }

  async #load(ref: RecordRef): Promise<Anchor | null> {
    const record = await this.#tools.store.load(ref)
    return record?.record === 'anchor' ? record : null
  }
}
