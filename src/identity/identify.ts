// Answers "who is this" for a request: at once where the credential was verified before, else after one verification by one provider.
// SPEC: SES10, SES12, SES15
import { createSecretKey } from 'node:crypto'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import type { SessionKey } from '../core/session.ts'
import { duration, type Instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'
import { type AliasNames, aliasesOf } from './aliases.ts'
import { CertificateVerifier, certifiedBy } from './certificate-verifier.ts'
import { type AnyVerifier, type Choices, choicesOf, choose, pick, readLine } from './choice.ts'
import { type AnyProvider, type Identification, invalid, type Presented, type Refused, type TokenBinding } from './credential.ts'
import { Nonces } from './dpop/nonces.ts'
import { type Circumstances, type Marks, nothingShown, Possession } from './possession.ts'
import { TokenCache } from './token-cache.ts'
import { type Keying, type Shown, Verifier } from './verifier.ts'

/** Authorization lines whose reading is remembered. */
const LINES_MAX = 4_096
/** Times a request is identified anew because the configuration changed while it waited. */
const ATTEMPTS = 3
const NONCE_SLOT = duration(300_000)
const [REMEMBERED_LEAST, REMEMBERED_MOST] = [1_000, 50_000]

type IdentifierOptions = {
  readonly clock: Clock
  /** Key of the session digests: at least 32 bytes, kept with the data set. */
  readonly digestKey: Uint8Array
  /** `sessions.key` of the configuration. */
  readonly sessionKey: readonly string[]
  /** Claims by which sessions are called from outside. */
  readonly aliases: AliasNames
  /** Where proofs are remembered, for all gateways. */
  readonly marks: Marks
  /** Whether DPoP proofs must hold a nonce of ours, now. */
  readonly wantsNonces: () => boolean
  /** Sessions held in memory: as many credentials are remembered of each provider, but no fewer than 1,000 and no more than 50,000. */
  readonly sessions: number
}

/** Numbers for metrics, over all providers. */
type IdentifierCounts = { readonly cached: number; readonly pending: number; readonly evicted: number; readonly busy: number }

type Read = { readonly is: 'shown'; readonly shown: Shown; readonly remembered: boolean }
type Located = Omit<Read, 'is'> & { readonly is: 'located'; readonly verifier: Verifier; readonly line: Presented }

export class Identifier {
  readonly #clock: Clock
  readonly #possession: Possession
  readonly #nonces: Nonces
  readonly #wantsNonces: () => boolean
  readonly #remembered: number
  #keying: Keying
  #verifiers: ReadonlyMap<string, AnyVerifier> = new Map()
  /** Routes hold one array each for as long as a configuration lasts. */
  #choices = new WeakMap<readonly string[], Choices>()
  /** What was read from Authorization lines that were verified: a memo of pure functions, it says nothing of validity. */
  readonly #lines = new BoundedMap<string, Shown>(LINES_MAX)

  /** Told of every credential, by its digest, to which its provider said no. */
  onDenied: (provider: string, digest: string) => void = () => undefined

  constructor(providers: ReadonlyMap<string, AnyProvider>, { clock, digestKey, sessionKey, aliases, marks, sessions, wantsNonces }: IdentifierOptions) {
    if (digestKey.byteLength < 32) throw new RangeError('the digest key has at least 32 bytes')
    this.#clock = clock
    this.#nonces = new Nonces(digestKey, NONCE_SLOT, 0)
    this.#wantsNonces = wantsNonces
    this.#possession = new Possession(clock, marks, this.#nonces, wantsNonces)
    this.#remembered = Math.min(REMEMBERED_MOST, Math.max(REMEMBERED_LEAST, sessions))
    this.#keying = { digestKey: createSecretKey(digestKey), names: [], aliases: {} }
    this.replace(providers, sessionKey, aliases)
  }

  /** What others would call a session of such a credential. */
  aliases(issuer: string, claims: Claims): readonly string[] { return aliasesOf(this.#keying.digestKey, this.#keying.aliases, issuer, claims) }

  /** Takes over a new configuration. A provider that did not change keeps what it verified, unless session keys are made differently now. */
  replace(providers: ReadonlyMap<string, AnyProvider>, sessionKey: readonly string[], aliases: AliasNames = this.#keying.aliases): void {
    const sameKeys = JSON.stringify([sessionKey, aliases]) === JSON.stringify([this.#keying.names, this.#keying.aliases])
    if (!sameKeys) this.#keying = { ...this.#keying, names: [...sessionKey], aliases }
    const verifiers = new Map<string, AnyVerifier>()
    for (const [name, provider] of providers) {
      const known = this.#verifiers.get(name)
      const keeps = sameKeys && known !== undefined && known.provider.fingerprint === provider.fingerprint
      verifiers.set(name, keeps ? known : this.#verifierOf(provider))
    }
    this.#verifiers = verifiers
    this.#choices = new WeakMap()
  }

  /** Lower-case names of the headers in which a route's providers look: all their lines are what `presented` must hold. */
  headers(names: readonly string[]): readonly string[] {
    return this.#choicesOf(names).headers
  }

  /** The answer without waiting; null when only `identify` can tell. `names` is the route's `authn`. */
  identifyNow(names: readonly string[], presented: readonly Presented[], circumstances: Circumstances = nothingShown()): Identification | null {
    const certified = this.#certified(names, presented, circumstances)
    if (certified !== null) return certified
    const located = this.#locate(names, presented)
    if (located.is === 'refused') return located
    const known = this.#known(located)
    if (known === null || known.is === 'refused') return known
    const possessed = this.#possession.now(located.shown, known.verified.binding, circumstances)
    return possessed === 'await' ? null : (possessed ?? known)
  }

  /** Never rejects for what was presented. @param beyond what is known no longer than this is asked about again; null takes what is known */
  async identify(names: readonly string[], presented: readonly Presented[], circumstances: Circumstances = nothingShown(), beyond: Instant | null = null): Promise<Identification> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const verifiers = this.#verifiers
      const certified = this.#certified(names, presented, circumstances)
      if (certified !== null) return certified
      const located = this.#locate(names, presented)
      if (located.is === 'refused') return located
      const answer = this.#knownBeyond(located, beyond) ?? (await located.verifier.verify(located.shown, beyond === null ? 'new' : 'open'))
      if (verifiers !== this.#verifiers) continue
      if (answer.is === 'refused') return answer
      this.#remember(located)
      const refused = await this.#possessed(located.shown, answer.verified.binding, circumstances)
      if (verifiers === this.#verifiers) return refused ?? answer
    }
    return invalid('busy')
  }

  /** Of the credential that a route's provider reads; empty where there is none. */
  digestOf(names: readonly string[], presented: readonly Presented[]): string {
    const located = this.#locate(names, presented)
    return located.is === 'refused' ? '' : located.shown.digest
  }

  /** The nonce that proofs have to hold now; null where they need none. */
  get nonce(): string | null { return this.#wantsNonces() ? this.#nonces.current(this.#clock.now()) : null }

  /** A nonce by which a proof tells that it was made after now; it counts whether proofs need one or not. */
  get timedNonce(): string { return this.#nonces.timed(this.#clock.now()) }

  /** Is what once proved a credential still here, unchanged? */
  vouchesFor(evidence: Evidence): boolean {
    return this.#verifiers.get(evidence.provider)?.provider.vouchesFor(evidence) === true
  }

  /** Forgets a credential that was revoked, by its id. */
  drop(credential: string): void {
    for (const { cache } of this.#verifiers.values()) cache.drop(credential)
  }

  /** Forgets every credential of a session. */
  dropSession(key: SessionKey): void {
    for (const { cache } of this.#verifiers.values()) cache.dropSession(key)
  }

  get counts(): IdentifierCounts {
    const verifiers = [...this.#verifiers.values()]
    const sum = (of: (verifier: AnyVerifier) => number): number => verifiers.reduce((total, verifier) => total + of(verifier), 0)
    return { cached: sum(v => v.cache.size), pending: sum(v => v.pending), evicted: sum(v => v.cache.evicted), busy: sum(v => v.busy) }
  }

  async #possessed(shown: Shown, binding: TokenBinding | null, circumstances: Circumstances): Promise<Refused | null> {
    const possessed = this.#possession.now(shown, binding, circumstances)
    if (possessed !== 'await') return possessed
    return binding === null ? invalid('dpop_invalid') : this.#possession.prove(shown, binding, circumstances)
  }

  #verifierOf(provider: AnyProvider): AnyVerifier {
    const cache = new TokenCache(this.#remembered)
    return provider.header === null ? new CertificateVerifier(provider, this.#keying, cache) : new Verifier(provider, this.#clock, this.#keying, cache, (name, digest) => this.onDenied(name, digest))
  }

  /** By the caller's certificate alone; null where it shows none, or nobody asks, or a header is there that a provider reads: right or wrong, that decides. */
  #certified(names: readonly string[], presented: readonly Presented[], circumstances: Circumstances): Identification | null {
    const { certificates, byHeader } = this.#choicesOf(names)
    if (certificates.length === 0 || presented.some(({ header }) => byHeader.has(header))) return null
    const { clientCertificate } = circumstances
    return clientCertificate === null ? null : certifiedBy(certificates, clientCertificate, this.#clock.now())
  }

  #choicesOf(names: readonly string[]): Choices {
    const known = this.#choices.get(names)
    if (known !== undefined) return known
    const choices = choicesOf(names, this.#verifiers)
    this.#choices.set(names, choices)
    return choices
  }

  #locate(names: readonly string[], presented: readonly Presented[]): Located | Refused {
    const picked = pick(this.#choicesOf(names), presented)
    if (picked.is === 'refused') return picked
    const { choice, line } = picked
    const read = this.#read(line)
    if (read.is === 'refused') return read
    const { shown, remembered } = read
    const verifier = choose(choice, shown)
    return verifier instanceof Verifier ? { is: 'located', verifier, line, shown, remembered } : verifier
  }

  #read(line: Presented): Read | Refused {
    const known = line.header === 'authorization' ? this.#lines.get(line.value) : undefined
    if (known !== undefined) return { is: 'shown', shown: known, remembered: true }
    const read = readLine(line)
    return read.is === 'refused' ? read : { ...read, remembered: false }
  }

  #known(located: Located): Identification | null {
    const answer = located.verifier.known(located.shown)
    if (answer !== null) this.#remember(located)
    return answer
  }

  #knownBeyond(located: Located, beyond: Instant | null): Identification | null {
    const answer = this.#known(located)
    const until = answer?.is === 'verified' ? answer.verified.knownUntil : null
    return beyond !== null && until !== null && until <= beyond ? null : answer
  }

  #remember({ line, shown, remembered }: Located): void {
    if (!remembered && line.header === 'authorization') this.#lines.set(line.value, shown)
  }
}
