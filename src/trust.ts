// How far principals are trusted, wired: what is counted of them, what follows where a level is reached, who is told, and the metrics. Decides nothing
// itself. SPEC: RSK4, RSK9, ADM8
import type { Settings } from './config/settings.ts'
import type { ExchangeRecorder } from './enforcement/exchange-recorder.ts'
import { riskNotice, type Told } from './notify/occasions.ts'
import type { Clock } from './runtime/clock.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import type { Intake } from './signals/intake.ts'
import { Risk, type RiskWitness } from './signals/risk/risk.ts'

type Parts = {
  readonly settings: Settings
  readonly recorder: Pick<ExchangeRecorder, 'onClosed'>
  readonly intake: Intake
  readonly ledger: Ledger
  readonly mirror: Mirror
  readonly store: SessionStore
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Log
  readonly tell: (told: Told) => void
}

/** Whatever memory there is for sessions. */
const PRINCIPALS_MAX = 65_536
const QUIET_FOR = 60_000

export class Trust {
  readonly risk: Risk

  constructor(parts: Parts) {
    const { settings, recorder, ledger, mirror, metrics } = parts
    const risk = new Risk({ ...parts, witness: witnessOf(parts), most: Math.min(PRINCIPALS_MAX, settings.limits.mirroredSessions) })
    this.risk = risk
    recorder.onClosed = ({ live, bytesUp, bytesDown, place }, complete) => {
      if (live !== null) risk.passed(live, bytesUp + bytesDown, complete, place)
    }
    const [committed, taken] = [ledger.onCommitted, mirror.onTaken]
    ledger.onCommitted = (record, facts) => {
      committed(record, facts)
      risk.acts.heard(record, facts)
    }
    mirror.onTaken = live => {
      taken(live)
      risk.taken(live)
    }
    metrics.observeRisk({ principals: () => risk.size, lag: () => risk.lag, levels: () => [...risk.standing()].map(([level, value]) => ({ labels: { level }, value })) })
    risk.start()
  }

  /** Before the store closes. */
  stop(): Promise<void> { return this.risk.stop() }
}

/** A store that fails costs time and nothing else: that it does is said, but not each time. */
function witnessOf({ metrics, log, tell, clock }: Parts): RiskWitness {
  let quietUntil = 0
  return {
    hit: rule => metrics.riskHits.inc({ rule }),
    erred: rule => metrics.riskErrors.inc({ rule }),
    badPart: () => metrics.riskBadParts.inc(),
    limited: () => metrics.limitReached.inc({ limit: 'risk_sharing' }),
    failed(cause) {
      metrics.riskShareFailures.inc()
      if (clock.elapsed() < quietUntil) return
      quietUntil = clock.elapsed() + QUIET_FOR
      log.warn({ cause: String(cause) }, 'what is known of the conduct of principals could not be shared; it is said again')
    },
    withheld(who, sessions) {
      metrics.riskLocksWithheld.inc()
      log.error({ who, sessions }, 'an automatic lock would reach too many sessions and was not set')
    },
    reached({ mark, because, channels, withheld }) {
      log.warn({ who: mark.who, level: mark.name, score: mark.score }, 'a risk level was reached')
      if (channels.length > 0) tell(riskNotice(mark, because, channels, withheld))
    },
  }
}
