// Everything the admin listener is built from: composed once, by gateway.ts. SPEC: ADM18
import type { Unreviewed } from '../approvals/review.ts'
import type { AnchorLookup } from '../approvals/task.ts'
import type { Head, Refused } from '../audit/record.ts'
import type { Timeline } from '../audit/timeline.ts'
import type { Problem } from '../config/problem.ts'
import type { Call, McpRoute } from '../core/call.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Target } from '../core/evaluation.ts'
import type { Fact } from '../core/fact.ts'
import type { EndReason, Reason } from '../core/reason.ts'
import type { RecordRef } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import type { Inflight } from '../enforcement/inflight.ts'
import type { SupposedMessage } from '../enforcement/supposed.ts'
import type { SessionTokens } from '../identity/session-tokens.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { Mirror } from '../sessions/mirror.ts'
import type { Position, SessionStore } from '../sessions/store.ts'
import type { Intake } from '../signals/intake.ts'
import type { Inbox } from '../signals/outside/inbox.ts'
import type { NamingPorts } from '../signals/outside/named.ts'
import type { Risk } from '../signals/risk/risk.ts'
import type { Authorizer } from './authorize.ts'

type Running = { readonly digest: string; readonly loadedAt: Instant; readonly file: string; readonly warnings: readonly Problem[] }
type Checked = { readonly errors: readonly Problem[]; readonly warnings: readonly Problem[] }
/** `errors` empty: it runs now, under `digest`. Otherwise what ran before still runs. */
export type Reloaded = Checked & { readonly digest: string }

type Readiness = { readonly ok: boolean; /** `ok`, or what is wrong, by part. */ readonly checks: { readonly [part: string]: string } }

export type GatewayEvent =
  | { readonly event: 'fact'; readonly position: Position; readonly record: RecordRef; /** null for records that are no session. */ readonly session: string | null; readonly fact: Fact }
  | { readonly event: 'exchange'; readonly what: 'cut' | 'frozen' | 'resumed' | 'regranted' | 'finishing'; readonly exchange: string; readonly session: string | null; readonly route: string; readonly reason: Reason | null; readonly because: string | null; readonly at: Instant }

export type HealthRoom = {
  readonly ready: () => Readiness
  /** null: not yet. */
  readonly metrics: Metrics | null
  readonly log: Log
}

export type AdminRoom = HealthRoom & {
  readonly metrics: Metrics
  readonly intake: Intake
  readonly mirror: Mirror
  readonly store: SessionStore
  readonly inflight: Inflight
  readonly clock: Clock
  readonly authorizer: Authorizer
  /** Takes an operator's news as it takes any. */
  readonly inbox: Pick<Inbox, 'take' | 'here'>
  /** How whoever is named outside is called here. */
  readonly naming: NamingPorts
  /** Scores of principals, as this gateway knows them. */
  readonly risk: Pick<Risk, 'view' | 'viewOfPrincipal' | 'watched' | 'told'>
  /** What a request line asks for, in its one canonical form; or one sentence on what is malformed. */
  readonly describeTarget: (target: string, authority: string) => { readonly target: Target } | string
  /** What a message of MCP would touch; or one sentence on what is malformed. */
  readonly describeCall: (message: SupposedMessage, mcp: McpRoute) => Call | string
  readonly sessionTokens: Pick<SessionTokens, 'issue'>
  /** An anchor as it is now; a ticket is asked from its connector where nobody here knows it. */
  readonly lookUp: AnchorLookup
  readonly unreviewed: Unreviewed
  /** Why what was approved must not start; null where nothing speaks against it. */
  readonly objection: (session: Session, elevation: Elevation) => Promise<EndReason | null>
  /** Does somebody who is configured vouch for principals of this issuer? */
  readonly vouchedIssuer: (issuer: string) => boolean
  /** Are subjects of this issuer, or with null of any, known in small letters? */
  readonly foldsSubjects: (issuer: string | null) => boolean
  readonly config: {
    readonly current: () => Running
    /** @param text YAML; nothing is changed */
    readonly validate: (text: string) => Checked | Promise<Checked>
    readonly reload: (by: string) => Promise<Reloaded>
  }
  readonly timeline: (session: string) => Promise<Timeline>
  /** Files of the trail, oldest first, with everything so far in them. */
  readonly trailSoFar: () => Promise<readonly string[]>
  /** Writes `admin.changed` to the trail. */
  readonly record: (who: string, action: string, target: string, note: string) => void
  /** Puts a refusal of whoever asked on record, in the noise lane. */
  readonly refused: (refused: Refused) => void
  readonly head: () => Head
  /** Absolute path of the trail's newest file. */
  readonly trailFile: string
  /** Listeners must not throw and must not wait. null: there are too many already. */
  readonly events: { readonly subscribe: (listener: (event: GatewayEvent) => void) => (() => void) | null }
  /** Fires at shutdown: open event streams end. */
  readonly closing: AbortSignal
}
