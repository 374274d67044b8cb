// Where a refusal of a policy decision point may be lifted, as its caller is told: member names of the access request and approval profile. Only addresses
// that are https, texts that are short, plain and on one line, and nothing that is not known here. SPEC: PEP6
import type { Claims } from '../../core/principal.ts'
import type { Instant } from '../../core/time.ts'

export type RelayedRequest = { readonly endpoint: string; readonly expires_at: string; readonly evaluation_id: string; readonly [member: string]: string }

const URL_MAX = 2_048
const TEXT_MAX = 200
const TOKEN = /^[\w.~+/=-]{1,4096}$/
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/
/** Characters that break a line, hide, or turn the order in which the rest is read; and those of markup. */
const UNPLAIN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}<>&]/u

const ADDRESSES = ['form_url', 'request_schema_url', 'request_catalogs_url'] as const

export const isPlainText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= TEXT_MAX && !UNPLAIN.test(value)

/** As it is sent, https and without credentials in it; null for anything else. */
function addressIn(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > URL_MAX || UNPLAIN.test(value)) return null
  const url = URL.parse(value)
  return url?.protocol === 'https:' && url.username === '' && url.password === '' && url.hash === '' ? url.href : null
}

const timeIn = (value: unknown): number => (typeof value === 'string' && TIME.test(value) ? Date.parse(value) : Number.NaN)

/** Members that stand there and are what they have to be; one that is not is left out. */
const withAll = (members: readonly (readonly [name: string, value: string | null])[]): { readonly [member: string]: string } => Object.fromEntries(members.filter(([, value]) => value !== null)) as { readonly [member: string]: string } // nulls are left out

/**
 * @param context of its answer
 * @param evaluation the id under which it was asked: told where it names none itself
 * @returns null where it names no place, or one that is over
 */
export function relayedRequest(context: Claims, evaluation: string, now: Instant): RelayedRequest | null {
  const { access_request: told, evaluation_id: id, evaluated_at: at, reason } = context
  if (typeof told !== 'object' || told === null || Array.isArray(told)) return null
  const { endpoint, template, expires_at: expires, binding_token: token, ...more } = told as { readonly [member: string]: unknown } // any object has these, perhaps undefined
  const place = addressIn(endpoint)
  const until = timeIn(expires)
  if (place === null || !(until > now)) return null
  return {
    endpoint: place, expires_at: new Date(until).toISOString(), evaluation_id: isPlainText(id) ? id : evaluation,
    ...withAll([
      ['template', isPlainText(template) ? template : null], ['binding_token', typeof token === 'string' && TOKEN.test(token) ? token : null], ['reason', isPlainText(reason) ? reason : null],
      ['evaluated_at', Number.isNaN(timeIn(at)) ? null : new Date(timeIn(at)).toISOString()], ...ADDRESSES.map(name => [name, addressIn(more[name])] as const),
    ]),
  }
}
