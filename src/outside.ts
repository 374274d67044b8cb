// News from outside, wired: connectors that ask about tickets, webhooks that tell of them, notes that tickets get. Decides nothing itself.
// SPEC: TKT1, TKT2, TKT5
import type { RequestListener } from 'node:http'
import type { Noise } from './audit/noise.ts'
import type { Settings } from './config/settings.ts'
import type { Anchor, AnchorRef } from './core/anchor.ts'
import type { Clock } from './runtime/clock.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import { Hooks } from './signals/hooks.ts'
import type { Intake } from './signals/intake.ts'
import { Notes } from './signals/tickets/notes.ts'
import { openConnectors, type OpenConnectors } from './signals/tickets/open-connectors.ts'
import { Tickets } from './signals/tickets/tickets.ts'

type Parts = {
  readonly intake: Intake
  readonly ledger: Ledger
  readonly mirror: Mirror
  readonly store: SessionStore
  readonly noise: Noise
  readonly clock: Clock
  readonly http: HttpClient
  readonly metrics: Metrics
  readonly log: Log
}

export class Outside {
  readonly #tickets: Tickets
  readonly #notes: Notes
  readonly #hooks: Hooks

  /** @throws SecretFileError where a connector's file is not what it must be */
  static async open({ connectors }: Settings, parts: Parts): Promise<Outside> {
    return new Outside(parts, await openConnectors(connectors))
  }

  private constructor(parts: Parts, open: OpenConnectors) {
    const { ledger, noise, metrics } = parts
    this.#tickets = new Tickets(open, parts)
    this.#notes = new Notes({ ...parts, open: () => this.#tickets.open, count: (source, outcome) => metrics.ticketNotes.inc({ source, outcome }) })
    this.#hooks = new Hooks({ ...parts, tickets: this.#tickets, refused: refused => noise.refused(refused) })
    const before = ledger.onCommitted
    ledger.onCommitted = (record, facts) => {
      before(record, facts)
      this.#notes.committed(record, facts)
    }
  }

  start(): void { this.#tickets.start() }

  /** Connectors of another configuration: read before anything is swapped. @throws SecretFileError */
  readonly connectors = ({ connectors }: Settings): Promise<OpenConnectors> => openConnectors(connectors)

  take(open: OpenConnectors): void { this.#tickets.take(open) }

  /** Before the store and the HTTP client close. */
  stop(): Promise<void> {
    this.#tickets.stop()
    return this.#notes.stop()
  }

  /** Any anchor as it is now: see `Tickets`. */
  readonly lookUp = (ref: AnchorRef): Promise<Anchor | null> => this.#tickets.lookUp(ref)

  /** For a listener that serves `signals`. */
  readonly handler: RequestListener = (request, response) => void this.#hooks.handle(request, response)
}
