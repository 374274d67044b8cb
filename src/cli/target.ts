// Whom a verb meets: one session by its id, or everything under a selector such as `subject=https://idp|agent-7`,
// `issuedBefore=now,subject=https://idp|agent-7`. SPEC: ADM10
import { SELECTOR_KINDS, type SelectorKind } from '../core/anchor.ts'
import { Failure } from './exit-code.ts'

/** As the admin API writes it: one member, or `issuedBefore` and the `subject` it is for. */
export type SelectorBody = { readonly [K in SelectorKind]?: string | true }
export type Target = { readonly is: 'session'; readonly id: string } | { readonly is: 'selector'; readonly selector: SelectorBody }

function cutOff(text: string): SelectorBody {
  const [, time = text, subject] = /^(.*?),subject=(.+)$/.exec(text) ?? []
  return { issuedBefore: instantText(time), ...(subject === undefined ? {} : { subject }) }
}

function instantText(text: string): string {
  const ms = text === 'now' ? Date.now() : Date.parse(text)
  if (Number.isNaN(ms)) throw new Failure('usage', `issuedBefore takes a time such as 2027-01-31T12:00:00Z, or now; not ${text}`)
  return new Date(ms).toISOString()
}

/** @throws Failure `usage` */
export function selectorOf(text: string): SelectorBody {
  if (text === 'all') return { all: true }
  const at = text.indexOf('=')
  const kind = SELECTOR_KINDS.find(each => each === text.slice(0, at))
  const value = text.slice(at + 1)
  if (at < 1 || kind === undefined || kind === 'all' || value === '') throw new Failure('usage', `${JSON.stringify(text)} is neither a session id nor a selector: ${SELECTOR_KINDS.map(each => (each === 'all' ? 'all' : `${each}=…`)).join(', ')}`)
  return kind === 'issuedBefore' ? cutOff(value) : { [kind]: value }
}

/** @throws Failure `usage` */
export const targetOf = (text: string): Target => (text.startsWith('ses_') ? { is: 'session', id: text } : { is: 'selector', selector: selectorOf(text) })
