// What the proxy is built from, and what a reload swaps as one.
import type { Unreviewed } from '../approvals/review.ts'
import type { StepUps } from '../approvals/step-ups.ts'
import type { AnchorLookup } from '../approvals/task.ts'
import type { Service, Settings } from '../config/settings.ts'
import type { Route } from '../core/route.ts'
import type { Admission } from '../enforcement/admit.ts'
import type { Broker } from '../enforcement/brokered/broker.ts'
import type { Exchange, GateKeeper } from '../enforcement/exchange.ts'
import type { GatherStep } from '../enforcement/gather.ts'
import type { Hold } from '../enforcement/hold.ts'
import type { Inflight } from '../enforcement/inflight.ts'
import type { Rates } from '../enforcement/rates.ts'
import type { Reassessor } from '../enforcement/reassess.ts'
import type { Refused } from '../audit/record.ts'
import type { ForwardedForm } from '../identity/certificate/trust.ts'
import type { Identifier } from '../identity/identify.ts'
import type { SignedPurposes } from '../identity/signed-purpose.ts'
import type { Log } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { Holders } from '../sessions/holders.ts'
import type { Ledger } from '../sessions/ledger.ts'
import type { Mirror } from '../sessions/mirror.ts'
import type { Timekeeper } from '../sessions/timekeeper.ts'
import type { SessionStore } from '../sessions/store.ts'
import type { Intake } from '../signals/intake.ts'
import type { Progress } from '../signals/progress.ts'
import type { Risk } from '../signals/risk/risk.ts'
import type { ContextMinter } from '../upstream/context.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Via } from './http/via.ts'
import type { Resources } from './self-service/protected-resource.ts'

/** One configuration with everything opened for it; swapped whole. */
export type World = {
  readonly settings: Settings
  readonly upstreams: ReadonlyMap<string, Upstream>
  /** Header names (lower case, with dashes) that stay at the gateway on a route: its API keys, its injected header. */
  readonly keptHeaders: ReadonlyMap<Route, ReadonlySet<string>>
  readonly signedPurposes: readonly SignedPurposes[]
  /** What callers are told of its routes. */
  readonly resources: Resources
  /** Digest of what other proxies show when they ask about their requests; null where they show nothing. */
  readonly forwardToken: string | null
}

/** What a listener answers for. */
export type Door = {
  readonly serves: readonly Service[]
  /** How listed proxies tell of their callers' certificates; null where they do not. */
  readonly forwardedCertificates: ForwardedForm | null
  /** Did the TLS client ask for another server than the host it names now, and does the certificate not speak for that one? */
  readonly isMisdirected: (serverName: string | null, host: string) => boolean
}

export type ProxyRoom = {
  world: World
  /** Of the data set: what is signed with it counts on every gateway of it. */
  readonly digestKey: Uint8Array
  readonly keeper: GateKeeper
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly store: SessionStore
  readonly timekeeper: Timekeeper
  readonly holders: Holders
  readonly intake: Intake
  readonly identifier: Identifier
  readonly admission: Admission
  readonly hold: Hold
  readonly inflight: Inflight
  readonly rates: Rates
  readonly reassessor: Reassessor
  readonly steps: readonly GatherStep[]
  /** Who outside has to let it as well: what is open under an answer is watched from its admission on. */
  readonly external: { readonly watch: (exchange: Exchange) => void }
  /** An anchor as it is now; a ticket is asked from its connector where nobody here knows it. */
  readonly lookUp: AnchorLookup
  readonly unreviewed: Unreviewed
  readonly stepUps: StepUps
  /** How far ordered purposes have come. */
  readonly progress: Progress
  readonly risk: Risk
  /** What upstreams are shown that was obtained for one grant. */
  readonly brokered: Pick<Broker, 'heldFor' | 'still'>
  readonly minter: ContextMinter
  readonly via: Via
  readonly metrics: Metrics
  readonly log: Log
  /** Puts a refusal on record: in the trail when the session is known, else in the noise lane. */
  readonly refused: (refused: Refused) => void
  readonly completed: (exchange: Exchange, status: number) => void
}
