// Purposes that an orchestrator signed: a compact JWS in a header, verified by the keys configured for its kind, once for each text, then known from a bounded map that
// outlives neither its `exp` nor those keys. What it says is read from what was signed alone, so that two spellings say one thing. Whom it is for is asked of each request:
// its `sub`, its `sid` or its line must be the caller's own, and none of them another's; a word for nobody in particular is for nobody. Grants nothing. SPEC: PUR5
import type { JWTPayload, JWTVerifyOptions } from 'jose'
import type { Settings, SignedPurposeSettings } from '../config/settings.ts'
import type { PurposeSource } from '../core/policy.ts'
import { identityOf } from '../core/principal.ts'
import { ORDERED, type PurposeKind } from '../core/purpose.ts'
import { after, type Duration, duration, earlier, type Instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { sha256 } from '../runtime/id.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import { isCanonicalName } from './canonical-name.ts'
import { claimOf } from './claims.ts'
import type { Verified } from './credential.ts'
import { PROOF_ALGORITHMS } from './dpop/algorithms.ts'
import { isCompact, payloadBytes, readPart } from './jwt-shape.ts'
import { type Keys, keysOfText } from './keys.ts'
import { headerFault, refusalOf, signedBy } from './signed-token.ts'
import { timesOf } from './token-times.ts'

/** Longest text looked at, in characters. */
const TEXT_MAX = 4_096
const KEYS_FILE_MAX = 8 * 1024 * 1024
const KNOWN_MAX = 4_096
const UNDERWAY_MAX = 500
/** A text is verified anew after so long. */
const KEPT_AT_MOST: Duration = duration(5 * 60_000)
/** What the clocks of orchestrators may be off by. */
const TOLERANCE: Duration = duration(5_000)
const ALGORITHMS = [...PROOF_ALGORITHMS.keys()]
/** An access token or a proof is no purpose, whoever signed it (RFC 8725 §3.11). */
const TYPES = ['jwt', 'jose', 'purpose+jwt']

/** Why a signed purpose does not count, or why it is over: for the log and the operator, not for the caller. */
const PURPOSE_FAULTS = ['purpose_unverified', 'purpose_untimely', 'purpose_foreign', 'purpose_reused', 'purpose_unheard'] as const
export type PurposeFault = (typeof PURPOSE_FAULTS)[number]
export const isPurposeFault = (text: string): boolean => PURPOSE_FAULTS.some(known => known === text)

/** What was signed, whoever shows it. */
type SignedPurpose = {
  readonly is: 'signed'
  readonly value: string
  /** Its place in its line; null for kinds without an order. */
  readonly at: number | null
  /** null where it names none. */
  readonly subject: unknown
  readonly session: unknown
  readonly within: string | null
  readonly until: Instant
}

export type SignedReading = SignedPurpose | { readonly is: 'malformed' } | { readonly is: 'fault'; readonly fault: PurposeFault }

const MALFORMED: SignedReading = { is: 'malformed' }
const fault = (what: PurposeFault): SignedReading => ({ is: 'fault', fault: what })

export const isSignedText = (text: string): boolean => text.length <= TEXT_MAX && isCompact(text)

const isPlace = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** A name, or a whole number as its decimal form; null for anything else. */
function nameOf(value: unknown): string | null {
  const name = isPlace(value) ? String(value) : value
  return isCanonicalName(name) ? name : null
}

/** `seq`, else the value where that is a whole number; null where it has no place. */
function placeOf(claims: JWTPayload, value: string): number | null {
  const place = claimOf(claims, 'seq') ?? (/^(?:0|[1-9]\d{0,15})$/.test(value) ? Number(value) : null)
  return isPlace(place) ? place : null
}

/** The memo is one pure answer: the line of whoever showed it last. */
type Known = { readonly purpose: SignedPurpose; readonly until: Instant; shower: Verified | null; line: string | null }
type Source = Extract<PurposeSource['from'], { is: 'signed' }>

/** Those of one kind, by one configuration. */
export class SignedPurposes {
  readonly kind: PurposeKind
  readonly header: string
  /** The member of `_meta` that holds it on routes of MCP; null for none. */
  readonly meta: string | null
  readonly #source: Source
  readonly #keys: Keys
  readonly #options: JWTVerifyOptions
  readonly #known = new BoundedMap<string, Known>(KNOWN_MAX)
  readonly #underway = new Map<string, Promise<SignedReading>>()

  constructor(kind: PurposeKind, source: Source, keys: Keys, audience: string | null, meta: string | null = null) {
    this.header = source.header
    this.meta = meta
    this.kind = kind
    this.#source = source
    this.#keys = keys
    this.#options = { algorithms: ALGORITHMS, requiredClaims: ['exp'], clockTolerance: TOLERANCE / 1000, ...(audience === null ? {} : { audience }) }
  }

  /** What was verified before; null where `read` has to tell. */
  known(text: string, now: Instant): SignedPurpose | null {
    const known = this.#known.get(text)
    if (known === undefined) return null
    if (now < known.until) return known.purpose
    this.#known.delete(text)
    return null
  }

  /** Never rejects. @param text `isSignedText` of it */
  read(text: string, now: Instant): Promise<SignedReading> {
    const underway = this.#underway.get(text)
    if (underway !== undefined) return underway
    if (this.#underway.size >= UNDERWAY_MAX) return Promise.resolve(fault('purpose_unheard'))
    const reading = this.#verify(text, now).finally(() => this.#underway.delete(text))
    this.#underway.set(text, reading)
    return reading
  }

  /** Within what it stands for this caller; null where it is for somebody else, or for nobody in particular. */
  line(text: string, purpose: SignedPurpose, shower: Verified): string | null {
    const known = this.#known.get(text)
    if (known?.shower === shower) return known.line
    const line = this.#lineFor(purpose, shower)
    if (known !== undefined) [known.shower, known.line] = [shower, line]
    return line
  }

  async #verify(text: string, now: Instant): Promise<SignedReading> {
    if (headerFault(text, TYPES) !== null) return fault('purpose_unverified')
    let claims: JWTPayload
    try {
      claims = (await signedBy(text, this.#keys, { ...this.#options, currentDate: new Date(now) })).claims
    } catch (error) {
      const { reason, detail } = refusalOf(error)
      return fault(reason === 'credential_expired' || detail === 'not_yet_valid' ? 'purpose_untimely' : 'purpose_unverified')
    }
    const times = timesOf(claims, now, TOLERANCE)
    if (times.is === 'refused') return fault(times.detail === 'claim_malformed' ? 'purpose_unverified' : 'purpose_untimely')
    const read = readPart(payloadBytes(text)).is === 'object' ? this.#purposeOf(claims, times.expiresAt) : MALFORMED
    if (read.is === 'signed') this.#known.set(text, { purpose: read, until: earlier(read.until, after(now, KEPT_AT_MOST)), shower: null, line: null })
    return read
  }

  #purposeOf(claims: JWTPayload, until: Instant): SignedReading {
    const { claim, line } = this.#source
    const [value, named] = [nameOf(claimOf(claims, claim)), line === null ? null : claimOf(claims, line)]
    const within = nameOf(named)
    if (value === null || (named !== null && within === null)) return MALFORMED
    const at = ORDERED.has(this.kind) ? placeOf(claims, value) : null
    if (ORDERED.has(this.kind) && at === null) return MALFORMED
    return { is: 'signed', value, at, subject: claimOf(claims, 'sub'), session: claimOf(claims, 'sid'), within, until }
  }

  #lineFor({ subject, session, within }: SignedPurpose, { principal, claims, key }: Verified): string | null {
    const { line } = this.#source
    const own = line === null ? null : nameOf(claimOf(claims, line))
    if (subject !== null && subject !== principal.subject && subject !== identityOf(principal)) return null
    if (session !== null && session !== claimOf(claims, 'sid')) return null
    if (within !== null && own !== null && within !== own) return null
    if (subject === null && session === null && (within === null || own === null)) return null
    if (line !== null && within === null && own === null) return null
    const place = line === null ? ['session', key] : [line, within ?? own]
    return sha256(JSON.stringify([this.kind, principal.tenant, principal.issuer, ...place])) // two tenants never share one
  }
}

async function keysAt(kind: PurposeKind, { jwksFile }: SignedPurposeSettings): Promise<Keys> {
  const content = await readSecretFile(jwksFile, KEYS_FILE_MAX)
  try {
    return keysOfText(content)
  } catch (error) {
    throw new Error(`purposes.${kind}.signed: ${jwksFile}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** Every kind that requests show signed. @throws Error that names the file that is wrong */
export async function openSignedPurposes({ signedPurposes, policy }: Pick<Settings, 'signedPurposes' | 'policy'>): Promise<readonly SignedPurposes[]> {
  const all: SignedPurposes[] = []
  for (const [kind, settings] of signedPurposes) {
    const from = policy.purposes.get(kind)?.from
    if (from?.is === 'signed') all.push(new SignedPurposes(kind, from, await keysAt(kind, settings), settings.audience, settings.meta))
  }
  return all
}
