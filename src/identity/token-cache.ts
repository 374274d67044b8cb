// Verified credentials of one provider under the digest of their text. An entry lives no longer than its credential and what its provider knows of
// it, and goes at once when the credential or its session is revoked. Refusals are never kept. SPEC: SES12
import type { SessionKey } from '../core/session.ts'
import { after, type Duration, duration, earlier, FOREVER, type Instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Identification, VerifiedAnswer } from './credential.ts'

const CACHED_MAX = 50_000
/** After this a credential is verified anew, so that a key its issuer withdrew stops counting. */
export const KEPT_AT_MOST: Duration = duration(5 * 60_000)

type Entry = { readonly digest: string; readonly answer: VerifiedAnswer; readonly until: Instant }
type Index = Map<string, Set<Entry>>

function add(index: Index, name: string, entry: Entry): void {
  const entries = index.get(name)
  if (entries === undefined) index.set(name, new Set([entry]))
  else entries.add(entry)
}

function remove(index: Index, name: string, entry: Entry): void {
  const entries = index.get(name)
  if (entries?.delete(entry) && entries.size === 0) index.delete(name)
}

export class TokenCache {
  readonly #entries: BoundedMap<string, Entry>
  // Both hold entries of #entries only, so its limit is theirs.
  readonly #byCredential: Index = new Map()
  readonly #bySession: Index = new Map()

  constructor(limit: number = CACHED_MAX) {
    this.#entries = new BoundedMap(limit, (_digest, entry) => this.#unindex(entry))
  }

  get size(): number {
    return this.#entries.size
  }

  /** Entries pushed out by the limit. */
  get evicted(): number {
    return this.#entries.evicted
  }

  get(digest: string, now: Instant): Identification | null {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return null
    if (now < entry.until) return entry.answer
    this.#forget(entry)
    return null
  }

  put(digest: string, answer: VerifiedAnswer, now: Instant): void {
    const { verified } = answer
    const ends = earlier(verified.evidence.expiresAt ?? FOREVER, verified.knownUntil ?? FOREVER)
    const until = earlier(ends, after(now, KEPT_AT_MOST))
    const known = this.#entries.get(digest)
    if (known !== undefined) this.#forget(known)
    if (until <= now) return
    const entry: Entry = { digest, answer, until }
    add(this.#byCredential, verified.evidence.credential, entry)
    add(this.#bySession, verified.key, entry)
    this.#entries.set(digest, entry)
  }

  /** Forgets one text. */
  forget(digest: string): void {
    const entry = this.#entries.get(digest)
    if (entry !== undefined) this.#forget(entry)
  }

  /** Forgets every spelling of a credential. */
  drop(credential: string): void {
    for (const entry of this.#byCredential.get(credential) ?? []) this.#forget(entry)
  }

  /** Forgets every credential of a session. */
  dropSession(key: SessionKey): void {
    for (const entry of this.#bySession.get(key) ?? []) this.#forget(entry)
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.digest)
    this.#unindex(entry)
  }

  #unindex(entry: Entry): void {
    const { evidence, key } = entry.answer.verified
    remove(this.#byCredential, evidence.credential, entry)
    remove(this.#bySession, key, entry)
  }
}
