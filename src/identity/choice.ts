// Which provider answers for a credential: by the route's order, the header it came in, the issuer it names, and its kind; without any, for the
// certificate of its connection. Exactly one is asked;
// when it refuses, no other is: neither does a JWT that was refused become an opaque token, nor a certificate count where it was. SPEC: SES15
import { sha256 } from '../runtime/id.ts'
import { CertificateVerifier } from './certificate-verifier.ts'
import { CREDENTIAL_MAX, invalid, missing, type Presented, type Refused } from './credential.ts'
import { claimedAuthority } from './claimed-authority.ts'
import { SESSION_TOKEN } from './session-tokens.ts'
import type { Shown, Verifier } from './verifier.ts'

/** The providers of one header of a route. */
type Choice = {
  /** By issuer; of several with the same issuer the route's first. */
  readonly byIssuer: ReadonlyMap<string, Verifier>
  /** The first that takes what names no issuer. */
  readonly opaque: Verifier | null
  /** The first that takes tokens of sessions: those go to nobody else. */
  readonly sessions: Verifier | null
}

export type AnyVerifier = Verifier | CertificateVerifier

/** Of one route. */
export type Choices = {
  /** By lower-case header name. */
  readonly byHeader: ReadonlyMap<string, Choice>
  /** Its names. */
  readonly headers: readonly string[]
  /** Those that know certificates, asked only where no line of those headers is there. */
  readonly certificates: readonly CertificateVerifier[]
}

export function choicesOf(names: readonly string[], verifiers: ReadonlyMap<string, AnyVerifier>): Choices {
  const choices = new Map<string, { byIssuer: Map<string, Verifier>; opaque: Verifier | null; sessions: Verifier | null }>()
  const certificates: CertificateVerifier[] = []
  for (const name of names) {
    const verifier = verifiers.get(name)
    if (verifier === undefined) continue
    if (verifier instanceof CertificateVerifier) {
      certificates.push(verifier)
      continue
    }
    const { header, issuer, opaque } = verifier.provider
    const choice = choices.get(header) ?? { byIssuer: new Map<string, Verifier>(), opaque: null, sessions: null }
    choices.set(header, choice)
    if (opaque === 'session') choice.sessions ??= verifier
    else if (opaque !== 'none') choice.opaque ??= verifier
    if (issuer !== null && !choice.byIssuer.has(issuer)) choice.byIssuer.set(issuer, verifier)
  }
  return { byHeader: choices, headers: [...choices.keys()], certificates }
}

/** The only provider to ask, or what is wrong. `issuer` as in `Shown`: null is an opaque token, the empty one a JWT that names none. */
export function choose({ byIssuer, opaque, sessions }: Choice, { issuer, text }: Pick<Shown, 'issuer' | 'text'>): Verifier | Refused {
  if (text.startsWith(SESSION_TOKEN)) return sessions ?? invalid('type_refused')
  if (issuer === null) return opaque ?? invalid('malformed')
  const named = byIssuer.get(issuer)
  if (named !== undefined) return named
  if (opaque?.provider.opaque === 'any' && (byIssuer.size === 0 || issuer === '')) return opaque
  return invalid(issuer === '' ? 'malformed' : 'issuer_unknown')
}

/** The one header line of those presented that a provider of the route reads. */
export function pick({ byHeader }: Choices, presented: readonly Presented[]): { readonly is: 'picked'; readonly choice: Choice; readonly line: Presented } | Refused {
  let found: { readonly is: 'picked'; readonly choice: Choice; readonly line: Presented } | null = null
  for (const line of presented) {
    const choice = byHeader.get(line.header)
    if (choice === undefined) continue
    if (found !== null) return invalid('several_credentials')
    found = { is: 'picked', choice, line }
  }
  return found ?? missing('none')
}

const SCHEMES = /^(bearer|dpop) +([\x21-\x7e]+)$/i
const VISIBLE = /^[\x21-\x7e]+$/

function textOf({ header, value }: Presented): { readonly is: 'text'; readonly scheme: Shown['scheme']; readonly text: string } | Refused {
  if (header !== 'authorization') return VISIBLE.test(value) ? { is: 'text', scheme: 'header', text: value } : invalid('malformed')
  const [, scheme, text] = SCHEMES.exec(value) ?? []
  if (scheme !== undefined && text !== undefined) return { is: 'text', scheme: scheme.length === 4 ? 'dpop' : 'bearer', text }
  return /^(?:bearer|dpop)( |$)/i.test(value) ? invalid('malformed') : missing('other_scheme')
}

/** The credential of a header line. Authorization takes the schemes Bearer (RFC 6750 §2.1) and DPoP (RFC 9449 §7.1); any other is no credential of ours. */
export function readLine(line: Presented): { readonly is: 'shown'; readonly shown: Shown } | Refused {
  if (line.value === '') return missing('none')
  if (line.value.length > CREDENTIAL_MAX) return invalid('too_long')
  const read = textOf(line)
  if (read.is === 'refused') return read
  const { scheme, text } = read
  return { is: 'shown', shown: { scheme, text, digest: sha256(text), issuer: claimedAuthority(text) } }
}
