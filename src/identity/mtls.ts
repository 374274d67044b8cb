// Knows callers by their client certificates: X.509-SVIDs by patterns of SPIFFE ids, others by the whole name of their subject or by one DNS name,
// compared exactly, never by a common name. The session of an SVID is its workload's, so that a rotated one keeps it. SPEC: SES19, SES11
import type { MtlsSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import { sha256 } from '../runtime/id.ts'
import { isCanonicalName } from './canonical-name.ts'
import type { ClientCertificate } from './certificate/client-certificate.ts'
import { matches, type SpiffePattern, spiffePatternOf } from './certificate/spiffe-id.ts'
import { authorityOf } from './claimed-authority.ts'
import { principalOf } from './claims.ts'
import { type CertificateProvider, invalid, type Proof } from './credential.ts'

/** Throws for what is no pattern: the configuration was to see to it. */
function patternOf(text: string): SpiffePattern {
  const pattern = spiffePatternOf(text)
  if (pattern === null) throw new Error(`${text} is no pattern of SPIFFE ids`)
  return pattern
}

/** Whoever else certifies names of subjects may use the same ones. Null where nobody is named, or where `issuer|subject` would be ambiguous. */
function issuerOf({ issuer }: ClientCertificate): string | null {
  const named = issuer === null || issuer === '' ? null : `x509:${issuer}`
  return isCanonicalName(named) && !named.includes('|') ? named : null
}

function claimsOf({ spiffe, dnsNames, uris, serial }: ClientCertificate, subject: string): Claims {
  return { sub: subject, dns: dnsNames, uris, ...(spiffe === null ? {} : { spiffe: spiffe.text }), ...(serial === null ? {} : { serial }) }
}

export class MtlsProvider implements CertificateProvider {
  readonly name: string
  readonly header = null
  readonly fingerprint: string
  readonly #settings: MtlsSettings
  readonly #patterns: readonly SpiffePattern[]
  readonly #names: ReadonlySet<string>

  constructor(settings: MtlsSettings, fingerprint: string) {
    const { name, by, names } = settings
    this.name = name
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#patterns = by === 'spiffe' ? names.map(patternOf) : []
    this.#names = new Set(names)
  }

  prove(certificate: ClientCertificate): Proof {
    const subject = this.#subjectOf(certificate)
    if (subject === null) return invalid('subject_refused')
    const { kind, claims: names, by } = this.#settings
    const workload = certificate.spiffe?.text ?? null
    const issuer = by === 'spiffe' && certificate.spiffe !== null ? authorityOf(certificate.spiffe.trustDomain) : issuerOf(certificate)
    if (issuer === null) return invalid('issuer_unknown')
    const claims = claimsOf(certificate, subject)
    const read = principalOf({ kind, issuer, claims: names }, claims)
    if (read.is === 'fault') return invalid(read.fault)
    const { thumbprint } = certificate
    const mark = by === 'spiffe' ? { is: 'workload', value: subject } as const : { is: 'certificate', value: thumbprint } as const
    return { is: 'proven', proven: { principal: read.principal, claims, evidence: this.#evidenceOf(certificate, issuer), mark, binding: null, workload, knownUntil: null } }
  }

  vouchesFor({ fingerprint }: Evidence): boolean {
    return fingerprint === this.fingerprint
  }

  /** Of an SVID the key changes with every rotation while its holder stays: its session and its elevations are bound to the workload instead. */
  #evidenceOf({ thumbprint, notBefore, notAfter }: ClientCertificate, issuer: string): Evidence {
    return {
      provider: this.name, fingerprint: this.fingerprint, credential: sha256(JSON.stringify(['x5t#S256', thumbprint])), issuer, keyId: null,
      issuedAt: notBefore, expiresAt: notAfter, keyThumbprint: this.#settings.by === 'spiffe' ? null : thumbprint, device: null, claimed: NO_PURPOSES,
    }
  }

  /** Null where it is nobody listed, or more than one of them. */
  #subjectOf({ spiffe, subject, dnsNames }: ClientCertificate): string | null {
    switch (this.#settings.by) {
      case 'spiffe': return spiffe !== null && this.#patterns.some(pattern => matches(pattern, spiffe)) ? spiffe.text : null
      case 'subjects': return subject !== null && this.#names.has(subject) ? subject : null
      case 'dnsNames': {
        const [name = null, other] = new Set(dnsNames.filter(shown => this.#names.has(shown)))
        return other === undefined ? name : null
      }
    }
  }
}
