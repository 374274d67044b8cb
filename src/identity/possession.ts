// Whether a request proves to hold the key its token is bound to: by a DPoP proof made for this very request and never seen before (RFC 9449), or by
// the certificate of its connection (RFC 8705). Asked for every request; the token itself is verified once, elsewhere. SPEC: BND2, BND3
import { duration, type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { type CertificateRead, timely } from './certificate/client-certificate.ts'
import { type CredentialFault, invalid, type Refused, type TokenBinding } from './credential.ts'
import { PROOF_ALGORITHMS } from './dpop/algorithms.ts'
import type { Nonces } from './dpop/nonces.ts'
import { type DpopShown, type ProofFault, readProof } from './dpop/proof.ts'
import type { Shown } from './verifier.ts'

/** What a request shows beside its credential. */
export interface Circumstances {
  readonly method: string
  /** The target as the public writes it: scheme, host and path, without a query. */
  readonly uri: string
  /** Lines of `DPoP`. */
  readonly proofs: readonly string[]
  /** The certificate of its caller, by its connection or as a proxy tells it; null where there is none. */
  readonly clientCertificate: CertificateRead | null
  /** The credential and the key for which its proof was accepted; a request may be asked again, its proof may not. Kept by `Possession` alone. */
  acceptedFor: string | null
  /** When the nonce in its proof was handed out; null where no proof was accepted, or its nonce does not tell. Likewise. */
  nonceAt: Instant | null
}

/** Of whoever shows nothing beside a credential. */
export const nothingShown = (): Circumstances => ({ method: '', uri: '', proofs: [], clientCertificate: null, acceptedFor: null, nonceAt: null })

/** Remembers, for all gateways of a data set, what may be seen once. Rejects where it cannot tell. */
export type Marks = { readonly mark: (digest: string, issuedAt: Instant, forgetAt: Instant) => Promise<'first' | 'again'> }

/** How far the clocks of callers may be off, and how long a proof counts behind its time. */
const TOLERANCE = { past: duration(60_000), future: duration(5_000) }
const ALGORITHMS = [...PROOF_ALGORITHMS.keys()]

/** A proof that nobody can tell from a copy proves nothing; its token is none the worse for it. */
const UNTELLABLE: Refused = { is: 'refused', reason: 'store_failed', detail: 'marks_unavailable' }

const faultOf = (fault: ProofFault): CredentialFault => (fault === 'nonce_missing' || fault === 'nonce_stale' ? 'dpop_nonce' : 'dpop_invalid')

/** An issuer that is asked again may name another key for the same token. */
const proofOf = (digest: string, { thumbprint }: TokenBinding): string => `${digest} ${thumbprint}`

export class Possession {
  readonly #clock: Clock
  readonly #marks: Marks
  readonly #nonces: Nonces
  readonly #wanted: () => boolean

  /** @param wanted whether every proof has to hold a nonce, now */
  constructor(clock: Clock, marks: Marks, nonces: Nonces, wanted: () => boolean) {
    this.#clock = clock
    this.#marks = marks
    this.#nonces = nonces
    this.#wanted = wanted
  }

  /** What needs no waiting: null where it is proved, `'await'` where only `prove` can tell. A token under the other scheme is none (RFC 9449 §7.1). */
  now({ scheme, digest }: Shown, binding: TokenBinding | null, circumstances: Circumstances): Refused | 'await' | null {
    if ((scheme === 'dpop') !== (binding?.is === 'dpop')) return invalid('scheme_refused')
    if (binding === null) return null
    if (binding.is === 'dpop') return circumstances.acceptedFor === proofOf(digest, binding) ? null : 'await'
    return this.#compare(binding, circumstances.clientCertificate)
  }

  /** Reads the proof and marks it as seen. Null where it holds. */
  async prove(shown: Shown, binding: TokenBinding, circumstances: Circumstances): Promise<Refused | null> {
    const read = this.#read(shown, binding, circumstances)
    if ('reason' in read) return read
    const forgetAt = instant(read.issuedAt + TOLERANCE.past + TOLERANCE.future)
    try {
      if ((await this.#marks.mark(read.jti, read.issuedAt, forgetAt)) === 'again') return invalid('dpop_replayed')
      circumstances.acceptedFor = proofOf(shown.digest, binding)
      circumstances.nonceAt = read.nonce === null ? null : this.#nonces.handedOutAt(read.nonce, this.#clock.now())
      return null
    } catch {
      return UNTELLABLE
    }
  }

  #compare({ thumbprint }: TokenBinding, shown: CertificateRead | null): Refused | null {
    if (shown === null) return invalid('certificate_missing')
    const read = timely(shown, this.#clock.now())
    if (read.is === 'refused') return invalid('certificate_refused')
    return read.certificate.thumbprint === thumbprint ? null : invalid('certificate_mismatch')
  }

  #read({ digest }: Shown, { thumbprint }: TokenBinding, { method, uri, proofs }: Circumstances): DpopShown | Refused {
    const [proof, second] = proofs
    if (proof === undefined) return invalid('dpop_missing')
    if (second !== undefined) return invalid('dpop_invalid')
    const read = readProof(proof, { method, uri, tokenDigest: digest, now: this.#clock.now(), tolerance: TOLERANCE, algorithms: ALGORITHMS, nonceOk: this.#wanted() ? this.#nonces.accepts : null })
    if (read.is === 'refused') return invalid(faultOf(read.fault))
    return read.thumbprint === thumbprint ? read : invalid('dpop_invalid')
  }
}
