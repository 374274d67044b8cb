// What others say of requests, wired: policy decision points are asked before admission, and again for what is open; what they ask for is done, and people
// are told. Decides nothing itself. SPEC: PEP1-PEP7
import type { Settings } from './config/settings.ts'
import { Asking } from './enforcement/external/asking.ts'
import { OpenAnswers } from './enforcement/external/open-answers.ts'
import { openPdps, type Pdps } from './enforcement/external/open-pdps.ts'
import type { Exchange, GateKeeper } from './enforcement/exchange.ts'
import type { Reassessor } from './enforcement/reassess.ts'
import { type Told, wantedNotice } from './notify/occasions.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Intake } from './signals/intake.ts'

type Parts = {
  readonly keeper: GateKeeper
  readonly reassessor: Reassessor
  readonly intake: Intake
  readonly http: HttpClient
  readonly metrics: Metrics
  readonly log: Log
  readonly tell: (told: Told) => void
}

export class ExternalDecisions {
  readonly asking: Asking
  readonly #parts: Parts
  readonly #open: OpenAnswers
  #pdps: Pdps

  /** @throws where a file is not what it must be */
  static async open(settings: Settings, parts: Parts): Promise<ExternalDecisions> {
    return new ExternalDecisions(parts, await opened(settings, parts))
  }

  private constructor(parts: Parts, pdps: Pdps) {
    const { keeper, reassessor, intake, metrics, tell } = parts
    this.#parts = parts
    this.#pdps = pdps
    this.asking = new Asking({ keeper, metrics, door: intake, pdps: () => this.#pdps, tell: (channels, wanted) => tell({ channels, notice: wantedNotice(wanted) }) })
    this.#open = new OpenAnswers({ asking: this.asking, keeper, reassessor })
  }

  /** Those of another configuration: read before anything is swapped. */
  readonly pdps = (settings: Settings): Promise<Pdps> => opened(settings, this.#parts)

  take(pdps: Pdps): void { this.#pdps = pdps }

  /** From its admission on. */
  readonly watch = (exchange: Exchange): void => this.#open.watch(exchange)

  stop(): void { this.#open.stop() }
}

const opened = ({ pdps }: Settings, { keeper: { clock }, http, log }: Parts): Promise<Pdps> =>
  openPdps(pdps, { clock, http, notice: (pdp, cause) => log.warn({ pdp, error: cause.message }, 'a policy decision point gave no answer that counts') })
