// Which provider answers for a credential: by the route's order, the header it came in and the issuer it names. Exactly one is asked; when it
// refuses, no other is. SPEC: SES15
import { sha256 } from '../runtime/id.ts'
import { CREDENTIAL_MAX, invalid, missing, type Presented, type Refused } from './credential.ts'
import { claimedIssuer } from './jwt-shape.ts'
import type { Shown, Verifier } from './verifier.ts'

/** The providers of one header of a route. */
type Choice = {
  /** By issuer; of several with the same issuer the route's first. */
  readonly byIssuer: ReadonlyMap<string, Verifier>
  /** The first whose credentials name no issuer. */
  readonly opaque: Verifier | null
}

/** Of one route, by lower-case header name. */
export type Choices = ReadonlyMap<string, Choice>

export function choicesOf(names: readonly string[], verifiers: ReadonlyMap<string, Verifier>): Choices {
  const choices = new Map<string, { byIssuer: Map<string, Verifier>; opaque: Verifier | null }>()
  for (const name of names) {
    const verifier = verifiers.get(name)
    if (verifier === undefined) continue
    const { header, issuer } = verifier.provider
    const choice = choices.get(header) ?? { byIssuer: new Map<string, Verifier>(), opaque: null }
    choices.set(header, choice)
    if (issuer === null) choice.opaque ??= verifier
    else if (!choice.byIssuer.has(issuer)) choice.byIssuer.set(issuer, verifier)
  }
  return choices
}

/** The only provider to ask, or what is wrong. */
export function choose({ byIssuer, opaque }: Choice, issuer: string | null): Verifier | Refused {
  if (byIssuer.size === 0 || issuer === null) return opaque ?? invalid('malformed')
  return byIssuer.get(issuer) ?? invalid('issuer_unknown')
}

/** The one header line of those presented that a provider of the route reads. */
export function pick(choices: Choices, presented: readonly Presented[]): { readonly is: 'picked'; readonly choice: Choice; readonly line: Presented } | Refused {
  let found: { readonly is: 'picked'; readonly choice: Choice; readonly line: Presented } | null = null
  for (const line of presented) {
    const choice = choices.get(line.header)
    if (choice === undefined) continue
    if (found !== null) return invalid('several_credentials')
    found = { is: 'picked', choice, line }
  }
  return found ?? missing('none')
}

const BEARER = /^bearer +([\x21-\x7e]+)$/i
const VISIBLE = /^[\x21-\x7e]+$/

function textOf({ header, value }: Presented): { readonly is: 'text'; readonly text: string } | Refused {
  if (header !== 'authorization') return VISIBLE.test(value) ? { is: 'text', text: value } : invalid('malformed')
  const text = BEARER.exec(value)?.[1]
  if (text !== undefined) return { is: 'text', text }
  return /^bearer( |$)/i.test(value) ? invalid('malformed') : missing('other_scheme')
}

/** The credential of a header line. Authorization takes the Bearer scheme only (RFC 6750 §2.1); any other is no credential of ours. */
export function readLine(line: Presented): { readonly is: 'shown'; readonly shown: Shown } | Refused {
  if (line.value === '') return missing('none')
  if (line.value.length > CREDENTIAL_MAX) return invalid('too_long')
  const read = textOf(line)
  if (read.is === 'refused') return read
  const { text } = read
  return { is: 'shown', shown: { text, digest: sha256(text), issuer: claimedIssuer(text) } }
}
