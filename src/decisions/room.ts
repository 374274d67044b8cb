// Everything decisions for others are made from: composed once, by gateway.ts. SPEC: PDP1
import type { Refused } from '../audit/record.ts'
import type { Trail } from '../audit/trail.ts'
import type { Settings } from '../config/settings.ts'
import type { Target } from '../core/evaluation.ts'
import type { Claims } from '../core/principal.ts'
import type { GateKeeper } from '../enforcement/exchange.ts'
import type { Log } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { SessionStore } from '../sessions/store.ts'

export type DecisionsRoom = {
  readonly keeper: GateKeeper
  readonly store: Pick<SessionStore, 'find'>
  readonly providers: () => Settings['providers']
  /** What a request line asks for, in its one canonical form; or one sentence on what is malformed. */
  readonly describeTarget: (target: string, authority: string) => { readonly target: Target; readonly encodedSlash: boolean } | string
  /** Are subjects of this issuer known in small letters? */
  readonly folds: (issuer: string) => boolean
  /** What others would call a session with these claims. */
  readonly aliasesOf: (issuer: string, claims: Claims) => readonly string[]
  readonly trail: Pick<Trail, 'decisionGiven'>
  /** Puts a refusal of whoever asked on record, in the noise lane. */
  readonly refused: (refused: Refused) => void
  readonly metrics: Pick<Metrics, 'decisions'>
  readonly log: Log
}
