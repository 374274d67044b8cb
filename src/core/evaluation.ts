// The question put to the judge, in AuthZEN's four parts: subject, action, resource, context. Built once per exchange, asked again at every change.
// SPEC: DEC1
import type { Call } from './call.ts'
import type { Evidence } from './evidence.ts'
import type { Position, Purposes } from './purpose.ts'
import type { Instant } from './time.ts'

/** One canonical form of what is asked for: used for matching and for forwarding alike. */
export type Target = {
  /** Lower case, without port. */
  readonly host: string
  /** Canonical percent-encoding, without query. */
  readonly path: string
  /** The path's canonical segments; a trailing slash is a trailing empty segment. */
  readonly segments: readonly string[]
  /** With its `?`, or empty. */
  readonly query: string
}

/** A body that was read before the decision, objects as Maps. `digest` names its value, as it goes upstream; null where there was no body. */
export type Inspected = { readonly value: unknown; readonly digest: string | null }

export type Evaluation = {
  readonly evidence: Evidence | null
  readonly action: { readonly method: string; readonly upgrade: string | null; /** null where nobody read a message of MCP. */ readonly call: Call | null }
  readonly resource: Target
  readonly context: {
    readonly protocol: 'http'
    /** Address of the peer the gateway believes. */
    readonly source: string
    readonly secure: boolean
    /** What runs the caller, as its credential or the certificate of its connection proves: a SPIFFE id, or `pod/<uid>`. */
    readonly workload: string | null
    /** What the certificate of its connection says, whatever its credential does: a SPIFFE id. Only locks ask. */
    readonly certified: string | null
    readonly purposes: Purposes
    /** Until when what was signed of them counts; FOREVER where nothing is. */
    readonly purposesUntil: Instant
    /** Positions of those that have an order. */
    readonly positions: readonly Position[]
    /** Base64url SHA-256 of the query with its `?`; null where there is none. */
    readonly queryDigest: string | null
    /** null where it was not read. */
    readonly body: Inspected | null
    /** Names and values in turn, as received; read only by conditions. */
    readonly headers: readonly string[]
  }
}
