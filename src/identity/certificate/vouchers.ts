// Who may vouch for whom: for a SPIFFE id the bundle of its own trust domain and nobody else, for any other certificate the authorities of no domain.
// Asked after OpenSSL has believed a chain, and answered only where that chain is known: what two may have signed is not guessed. SPEC: BND4, BND8
import type { X509Certificate } from 'node:crypto'

export type TrustDomain = { readonly name: string; readonly bundle: readonly X509Certificate[] }
/** JSON of it is the certificates in PEM. */
export type Vouchers = { readonly domains: readonly TrustDomain[]; readonly others: readonly X509Certificate[] }

/** Longest chain followed; more certificates sent along are not looked at, and prove nothing. */
const STEPS_MAX = 8
const SENT_MAX = 10

const isSame = (a: X509Certificate, b: X509Certificate): boolean => a.fingerprint256 === b.fingerprint256

function hasIssued(issuer: X509Certificate, below: X509Certificate): boolean {
  try {
    return below.checkIssued(issuer) && issuer.ca && below.verify(issuer.publicKey)
  } catch {
    return false // a key that cannot be used signs nothing
  }
}

/** Each once. */
function issuersOf(below: X509Certificate, among: readonly X509Certificate[]): readonly X509Certificate[] {
  const found = among.filter(one => hasIssued(one, below))
  return found.filter((one, i) => found.findIndex(other => isSame(one, other)) === i)
}

/** What the client sent after its own certificate, in its order, whoever issued it; null for too many. A resumed session has none. */
function sentWith(leaf: X509Certificate): readonly X509Certificate[] | null {
  const sent: X509Certificate[] = []
  for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    if (sent.length === SENT_MAX) return null
    sent.push(next)
  }
  return sent
}

/**
 * Follows verified signatures upward as OpenSSL does, whose chain it was: to those that are trusted before those that were sent.
 * @param leaf believed by OpenSSL, with everybody in `vouchers` trusted
 * @param trustDomain of its SPIFFE id; null where it has none
 */
export function isVouchedFor(leaf: X509Certificate, trustDomain: string | null, { domains, others }: Vouchers): boolean {
  const own = trustDomain === null ? others : (domains.find(({ name }) => name === trustDomain)?.bundle ?? [])
  const sent = sentWith(leaf)
  if (sent === null || own.length === 0) return false
  const trusted = [...others, ...domains.flatMap(({ bundle }) => bundle)]
  let below = leaf
  for (let step = 0; step < STEPS_MAX; step++) {
    const known = issuersOf(below, trusted)
    const [issuer, ...more] = known.length > 0 ? known : issuersOf(below, sent)
    if (issuer === undefined) return false
    if ([issuer, ...more].every(one => own.some(other => isSame(one, other)))) return true
    if (more.length > 0 || isSame(issuer, below)) return false
    below = issuer
  }
  return false
}
