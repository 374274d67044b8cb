// News from outside, wired: connectors that ask about tickets, webhooks that tell of them and of scores, notes that tickets get. Decides nothing itself.
// SPEC: TKT1, TKT2, TKT5, RSK9
import type { RequestListener } from 'node:http'
import { foldsSubjects } from './admin/vouched-issuers.ts'
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
import { openScores, type OpenScores, type Scores } from './signals/scores.ts'
import { Notes } from './signals/tickets/notes.ts'
import { openConnectors, type OpenConnectors } from './signals/tickets/open-connectors.ts'
import { Tickets } from './signals/tickets/tickets.ts'

type Parts = {
  readonly intake: Intake
  readonly ledger: Ledger
  readonly mirror: Mirror
  readonly store: SessionStore
  readonly noise: Noise
  readonly risk: Scores
  readonly clock: Clock
  readonly http: HttpClient
  readonly metrics: Metrics
  readonly log: Log
}

/** What one configuration's files hold. */
type Opened = { readonly connectors: OpenConnectors; readonly scores: OpenScores; readonly folds: (issuer: string | null) => boolean }

async function opened(settings: Settings): Promise<Opened> {
  const { connectors, scores } = settings
  return { connectors: await openConnectors(connectors), scores: await openScores(scores), folds: issuer => foldsSubjects(settings, issuer) }
}

export class Outside {
  readonly #tickets: Tickets
  readonly #notes: Notes
  readonly #hooks: Hooks
  #scores: OpenScores
  #folds: Opened['folds']

  /** @throws SecretFileError where a file is not what it must be */
  static async open(settings: Settings, parts: Parts): Promise<Outside> {
    return new Outside(parts, await opened(settings))
  }

  private constructor(parts: Parts, { connectors, scores, folds }: Opened) {
    const { ledger, noise, metrics } = parts
    this.#tickets = new Tickets(connectors, parts)
    this.#scores = scores
    this.#folds = folds
    this.#notes = new Notes({ ...parts, open: () => this.#tickets.open, count: (source, outcome) => metrics.ticketNotes.inc({ source, outcome }) })
    this.#hooks = new Hooks({ ...parts, tickets: this.#tickets, scores: () => this.#scores, folds: issuer => this.#folds(issuer), refused: refused => noise.refused(refused) })
    const before = ledger.onCommitted
    ledger.onCommitted = (record, facts) => {
      before(record, facts)
      this.#notes.committed(record, facts)
    }
  }

  start(): void { this.#tickets.start() }

  /** Those of another configuration: read before anything is swapped. @throws SecretFileError */
  readonly connectors = (settings: Settings): Promise<Opened> => opened(settings)

  take({ connectors, scores, folds }: Opened): void {
    this.#tickets.take(connectors)
    this.#scores = scores
    this.#folds = folds
  }

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
