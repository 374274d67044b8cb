// Every kind of line a trail or noise file can hold, with its fields in the order in which they stand. The list is closed.
// Never holds a header value, a query's text or a credential: only digests and ids. SPEC: AUD2, AUD3
import type { Drift } from '../core/binding.ts'
import type { Fact } from '../core/fact.ts'
import { NO_PURPOSES, type Purposes } from '../core/purpose.ts'
import type { Reason } from '../core/reason.ts'
import type { RecordRef } from '../core/record.ts'
import type { Risked } from '../core/risk.ts'
import type { Instant } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'
import type { Called } from './called.ts'

/** A place in a chain: the last line up to which everything is known. `file` is a base name, `hash` the line's base64url SHA-256. */
export type Head = { readonly file: string; readonly seq: number; readonly hash: string }

/** A fact on its way from the store, in the order of the commits. `part` is its index within its commit. */
export type Outgoing = {
  readonly position: { readonly epoch: string; readonly sequence: number }
  readonly ref: RecordRef
  readonly fact: Fact
  readonly part: number
}

export type FactPosition = { readonly epoch: string; readonly sequence: number; readonly part: number }

/** Base64url SHA-256 of a query with its `?`: what is kept instead of the text. */
type QueryDigest = string & { readonly queryDigest: unique symbol }

export const queryDigest = (query: string): QueryDigest | null =>
  query === '' ? null : (sha256(query) as QueryDigest) // the one place a digest of a query is made

/** The score of its principal before and after it, to one decimal; `level` is away where none stands. Null where there is no session. */
export type RiskNoted = { readonly before: number; readonly after: number; readonly level?: string } | null

const toTenth = (points: number): number => Math.round(points * 10) / 10
const QUIET: RiskNoted = { before: 0, after: 0 }

export function noted({ before, after, level }: Risked): RiskNoted {
  if (before === 0 && after === 0 && level === null) return QUIET
  return { before: toTenth(before), after: toTenth(after), ...(level === null ? {} : { level }) }
}

/** Which policy decision point was asked, under which id, and what came of it. */
export type ExternalNoted = { readonly pdp: string; readonly evaluation: string; readonly outcome: string }

export type Admitted = {
  readonly exchange: string
  /** Null on anonymous routes. */
  readonly session: string | null
  /** `issuer|subject`. */
  readonly subject: string | null
  /** Everyone the subject acts for, nearest first. */
  readonly actors: readonly string[]
  readonly tenant: string
  /** Digest that names the credential. */
  readonly credential: string | null
  readonly source: string
  readonly proved: Proved
  readonly route: string
  readonly rule: string
  /** What the rule calls what it touches; away where it calls it nothing. */
  readonly label?: string
  readonly method: string
  readonly host: string
  readonly path: string
  readonly queryDigest: QueryDigest | null
  /** Base64url SHA-256 of the body as it goes upstream; null where none was read before the decision. */
  readonly bodyDigest: string | null
  readonly decision: 'permit'
  /** Elevation id, `baseline`, `anonymous` or `observed`. */
  readonly grant: string
  /** `schedules`: versions of the windows it was judged by. */
  readonly elevation: { readonly id: string; readonly profile: string; readonly schedules: readonly string[] } | null
  readonly purposes: Purposes
  /** When the permit ends by itself; FOREVER is written as null. */
  readonly until: Instant | null
  readonly upstream: string
  /** On an observed route: what enforcing would have answered. */
  readonly would: Reason | null
  readonly risk: RiskNoted
  /** What a policy decision point said of it; away where its rule asks none. */
  readonly external?: ExternalNoted
  /** What its message calls; away where its route serves no MCP. */
  readonly mcp?: Called
  /** The credential it goes upstream with, where that was obtained for it; away elsewhere. */
  readonly upstreamCredential?: string
}

/** What a request proved of its caller beside its credential; null where that is nothing. */
export type Proved = { readonly key: string | null; readonly workload: string | null; readonly device: string | null } | null

/** From what was shown. */
export const provedBy = (key: string | null, workload: string | null, device: string | null): Proved => (key === null && workload === null && device === null ? null : { key, workload, device })

/** A credential that was obtained for an upstream, by names alone. */
type CredentialNamed = {
  /** Ours: `cred_…`. */
  readonly credential: string
  /** What its giver calls it; null where it has no name for it. */
  readonly lease: string | null
  readonly upstream: string
  readonly session: string
  /** null of the baseline. */
  readonly elevation: string | null
}

type Judged = {
  readonly exchange: string
  readonly session: string | null
  readonly grant: string
  readonly reason: Reason | null
  /** Id of the signal, or what else caused it. */
  readonly because: string | null
  /** From the accepted change to its effect, in milliseconds. */
  readonly latencyMs: number | null
}

export type Refused = {
  readonly evaluation: string
  readonly session: string | null
  readonly subject: string | null
  readonly actors: readonly string[]
  readonly tenant: string
  /** Digest that names the credential; null where none was verified. */
  readonly credential: string | null
  readonly source: string
  readonly proved: Proved
  /** What exactly was wrong with the credential, in a word that callers are not told; null where that is not why. */
  readonly fault: string | null
  /** What it showed that its session is not bound to. */
  readonly drift: Drift | null
  readonly route: string | null
  readonly rule: string | null
  readonly method: string
  readonly host: string
  /** Without query; cut to 512 characters. */
  readonly path: string
  /** With its `?`; on record is its digest. */
  readonly query: string
  /** As of an admitted request; null where it was not read before. */
  readonly bodyDigest: string | null
  readonly decision: 'refuse'
  readonly reason: Reason
  readonly purposes: Purposes
  readonly risk: RiskNoted
  /** As of an admitted request; away also where none was asked yet. */
  readonly external?: ExternalNoted
  /** As of an admitted request; away also where its message was not read, or could not be. */
  readonly mcp?: Called
}

/** What somebody else's enforcement point was told of a session. `evaluation` is in its answer too. */
export type DecisionGiven = {
  readonly evaluation: string
  /** Who asked. */
  readonly pep: string
  readonly session: string
  /** `issuer|subject`. */
  readonly subject: string
  readonly route: string | null
  readonly rule: string | null
  readonly method: string
  readonly host: string
  /** Without query; cut to 512 characters. */
  readonly path: string
  readonly queryDigest: QueryDigest | null
  readonly decision: 'permit' | 'refuse'
  /** As of an admitted request; null where it was refused. */
  readonly grant: string | null
  readonly reason: Reason | null
  /** On an observed route: what enforcing would have answered. */
  readonly would: Reason | null
  readonly purposes: Purposes
  /** Until when it holds if nothing changes. */
  readonly until: Instant | null
}

/** What a refusal says of a caller that was not made out, at a place that was not found. */
export const NOBODY = { session: null, subject: null, actors: [], tenant: '', credential: null, proved: null, fault: null, drift: null, route: null, rule: null, query: '', bodyDigest: null, decision: 'refuse', purposes: NO_PURPOSES, risk: null } as const

/** What a request took of the limits of its elevation before it was admitted; `sum` in whole units of the limit's scale, null where none is limited. Its bytes are counted with the rest. */
export type Counted = { readonly uses: number; readonly sum: number | null }

/** `digest`: base64url SHA-256 of all pieces of that way. */
type Way = { readonly bytes: number; readonly digest: string }
export type TapeEnd = { readonly up: Way; readonly down: Way }

export type Records = {
  readonly 'fact': { readonly record: RecordRef; readonly position: FactPosition; readonly session: string | null; readonly fact: Fact }
  readonly 'exchange.opened': Admitted
  readonly 'exchange.closed': {
    readonly exchange: string
    readonly session: string | null
    readonly grant: string
    /** Null when no response head was sent. */
    readonly status: number | null
    readonly bytesUp: number
    readonly bytesDown: number
    /** Base64url SHA-256 of the body as far as it went upstream; null where the rule does not record it. */
    readonly requestDigest: string | null
    /** Of the answer's body, as far as it went to the caller. */
    readonly answerDigest: string | null
    /** null where its elevation has no limits. */
    readonly counted: Counted | null
    /** What was recorded of it, by its digests; null where nothing had to be. */
    readonly recording: TapeEnd | null
    readonly ms: number
    /** Null when it ended by itself. */
    readonly reason: Reason | null
    /** Both bodies went through whole. */
    readonly complete: boolean
  }
  readonly 'exchange.cut': Judged
  readonly 'exchange.frozen': Judged
  readonly 'exchange.resumed': Judged
  readonly 'exchange.regranted': Judged
  /** Its right has ended by time or by a limit; it may finish for a while. */
  readonly 'exchange.finishing': Judged
  /** Lines of the recording, which is a file of its own; `data` is base64. */
  readonly 'recording.opened': { readonly exchange: string; readonly session: string | null; readonly grant: string }
  readonly 'recording.bytes': { readonly exchange: string; readonly way: 'up' | 'down'; readonly data: string }
  readonly 'recording.closed': { readonly exchange: string } & TapeEnd
  readonly 'recording.beat': { readonly open: number }
  /** Told at the next start: its end is not on record, and when it was is not known. */
  readonly 'exchange.lost': { readonly exchange: string; readonly session: string | null; readonly because: 'gateway died' }
  readonly 'decision.given': DecisionGiven
  /** `until`: its own end; null where nobody said. */
  readonly 'credential.obtained': CredentialNamed & { readonly until: Instant | null }
  /** `ms`: from the end of what it was obtained for until that was confirmed. */
  readonly 'credential.revoked': CredentialNamed & { readonly confirmedAt: Instant; readonly attempts: number; readonly ms: number }
  /** An alarm: nobody confirmed it in time. It is tried on. */
  readonly 'credential.not_revoked': CredentialNamed & { readonly because: string; readonly attempts: number; readonly ms: number }
  readonly 'request.refused': Omit<Refused, 'query'> & { readonly queryDigest: QueryDigest | null }
  /** Put on stable storage before the request is judged a last time. */
  readonly 'request.intended': Omit<Admitted, 'decision'>
  /** An intended or opened request of which no byte went upstream. */
  readonly 'request.not_dispatched': { readonly exchange: string; readonly session: string | null; readonly reason: Reason }
  readonly 'admin.changed': { readonly who: string; readonly action: string; readonly target: string; readonly note: string }
  readonly 'config.loaded': { readonly digest: string; readonly by: string }
  readonly 'gateway.started': {
    readonly version: string
    readonly config: string
    /** Exchanges told as lost since the start before; null when the lines could not be read. Lines of versions that did not tell them have none. */
    readonly lost?: number | null
  }
  readonly 'gateway.stopped': { readonly reason: string }
  /** First line of a file that follows another: that one's last line. */
  readonly 'rotated': { readonly from: Head }
  /** A last line without end was found at start and moved to `moved`. */
  readonly 'tail.torn': { readonly bytes: number; readonly moved: string }
  /** Lines that could not be written, or that the store knows and the file no longer holds. */
  readonly 'records.lost': { readonly count: number; readonly known: Head | null }
  /** Noise: refusals of that minute beyond the ones written whole. */
  readonly 'refusals.counted': { readonly prefix: string; readonly reason: Reason; readonly minute: Instant; readonly count: number }
}

export type Kind = keyof Records
/** `seq` counts from 1 over all files of a chain; `prev` is the digest of the line before, empty for the first. */
type Envelope<K> = { readonly seq: number; readonly prev: string; readonly at: Instant; readonly gateway: string; readonly kind: K }
/** The fields of a record of this kind, written already. */
export type Json<K extends Kind> = string & { readonly kind: K }
export type LineOf<K extends Kind> = Envelope<K> & Records[K]
export type Line = { [K in Kind]: LineOf<K> }[Kind]

const KINDS: { readonly [K in Kind]: true } = {
  'fact': true, 'exchange.opened': true, 'exchange.closed': true, 'exchange.cut': true, 'exchange.frozen': true, 'exchange.resumed': true,
  'exchange.regranted': true, 'exchange.finishing': true, 'recording.opened': true, 'recording.bytes': true, 'recording.closed': true, 'recording.beat': true, 'exchange.lost': true, 'request.refused': true, 'request.intended': true, 'request.not_dispatched': true, 'decision.given': true,
  'credential.obtained': true, 'credential.revoked': true, 'credential.not_revoked': true,
  'admin.changed': true, 'config.loaded': true, 'gateway.started': true, 'gateway.stopped': true, 'rotated': true, 'tail.torn': true,
  'records.lost': true, 'refusals.counted': true,
}
export const RECORD_KINDS = Object.keys(KINDS) as readonly Kind[] // keys of the table above

/** A line's text as a record, or null when it is none. Fields beyond the envelope are those our own writer put there; `verify` proves that. */
export function parseLine(text: string): Line | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { seq, prev, at, gateway, kind } = value as { readonly [name: string]: unknown } // any object has these, perhaps undefined
  const whole = Number.isSafeInteger(seq) && typeof prev === 'string' && typeof at === 'number' && typeof gateway === 'string'
  return whole && typeof kind === 'string' && Object.hasOwn(KINDS, kind) ? (value as Line) : null // checked on the line above
}
