// One provider of certificates with what it knows: answers at once, and remembers its answers like those for tokens. Whether a certificate is believed
// was decided where it came in; whether it is in force is asked for each request. SPEC: SES12, SES15, SES19
import type { Instant } from '../core/time.ts'
import { type CertificateFault, type CertificateRead, type ClientCertificate, timely } from './certificate/client-certificate.ts'
import { type CertificateProvider, type CredentialFault, type Identification, invalid } from './credential.ts'
import { TokenCache } from './token-cache.ts'
import { answerOf, type Keying } from './verifier.ts'

/** What says everything a provider reads: the certificate itself, and where a proxy told no more than its digest, what it told besides. */
const idOf = ({ issuer, thumbprint, uris, dnsNames }: ClientCertificate): string => (issuer === null ? JSON.stringify([thumbprint, uris, dnsNames]) : thumbprint)

export class CertificateVerifier {
  readonly provider: CertificateProvider
  readonly cache: TokenCache
  readonly pending = 0
  readonly busy = 0
  readonly #keying: Keying

  constructor(provider: CertificateProvider, keying: Keying, cache: TokenCache = new TokenCache()) {
    this.provider = provider
    this.cache = cache
    this.#keying = keying
  }

  /** @param certificate one that is believed and in force */
  identify(certificate: ClientCertificate, now: Instant): Identification {
    const id = idOf(certificate)
    const known = this.cache.get(id, now)
    if (known !== null) return known
    const proof = this.provider.prove(certificate)
    if (proof.is === 'refused') return proof
    const answer = answerOf(this.provider.name, proof.proven, this.#keying)
    this.cache.put(id, answer, now)
    return answer
  }
}

const FAULTS: { readonly [fault in CertificateFault]?: CredentialFault } = {
  expired: 'certificate_expired', revoked: 'certificate_revoked', unknown_authority: 'certificate_untrusted', self_signed: 'certificate_untrusted',
}

/** The word of the first, by the route's order, of whose own the certificate is. One that was refused where it came in is nobody's. */
export function certifiedBy(verifiers: readonly CertificateVerifier[], shown: CertificateRead, now: Instant): Identification {
  const read = timely(shown, now)
  if (read.is === 'refused') return invalid(FAULTS[read.fault] ?? 'certificate_refused')
  for (const verifier of verifiers) {
    const answer = verifier.identify(read.certificate, now)
    if (answer.is === 'verified' || answer.detail !== 'subject_refused') return answer
  }
  return invalid('subject_refused')
}
