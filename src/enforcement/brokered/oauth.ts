// Tokens from an authorization server, as requests and answers: client credentials (RFC 6749 §4.4), exchange (RFC 8693), revocation (RFC 7009).
// Whatever an answer says beyond what is read here is dropped; no text of an answer is told to anybody. SPEC: CRD3, CRD4
import type { ClientCredentialsSettings, ExchangeSettings, OAuthClient } from '../../config/compile/credential.ts'
import { after, duration, type Instant } from '../../core/time.ts'
import { basicOf } from '../../identity/introspection.ts'
import { readPart } from '../../identity/jwt-shape.ts'

export type Sent = { readonly body: string; readonly headers: { readonly [name: string]: string } }

/** `expiresAt` null: it did not say. `lease`: what its giver calls it, where that may be told. */
export type Obtained = { readonly token: string; readonly expiresAt: Instant | null; readonly lease: string | null }

/** What is shown to be exchanged; null where it is not there. */
export type Shown = { readonly bearer: string | null; readonly context: string | null }

/** Longest token taken, in characters. */
export const TOKEN_MAX = 8_192
const TOKEN = /^[\x21-\x7e]+$/
const FORM = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
const TYPE = 'urn:ietf:params:oauth:token-type:'
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
/** RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 7009 §2.2.1. Nothing else of a refusal is repeated. */
const ERRORS: ReadonlySet<unknown> = new Set(['invalid_request', 'invalid_client', 'invalid_grant', 'unauthorized_client', 'unsupported_grant_type', 'invalid_scope', 'invalid_target', 'unsupported_token_type', 'temporarily_unavailable'])

export const isToken = (value: unknown): value is string => typeof value === 'string' && value.length <= TOKEN_MAX && TOKEN.test(value)

/** From seconds of life; null where there is none to speak of. */
export const endOf = (seconds: unknown, now: Instant): Instant | null => (typeof seconds === 'number' && seconds > 0 && seconds <= 1e10 ? after(now, duration(Math.floor(seconds * 1000))) : null)

type Params = readonly (readonly [name: string, value: string | null])[]

function form(params: Params, client: OAuthClient | null, secret: string): Sent {
  const shown: Params = client === null ? [] : client.auth === 'post' ? [['client_id', client.id], ['client_secret', secret]] : []
  const body = new URLSearchParams([...params, ...shown].flatMap(([name, value]) => (value === null ? [] : [[name, value]]))).toString()
  return { body, headers: client?.auth === 'basic' ? { ...FORM, authorization: basicOf(client.id, secret) } : FORM }
}

export const clientCredentialsRequest = ({ client, scope, audience, resource }: ClientCredentialsSettings, secret: string): Sent =>
  form([['grant_type', 'client_credentials'], ['scope', scope], ['audience', audience], ['resource', resource]], client, secret)

/** null where what is to be exchanged is not there. */
export function exchangeRequest({ client, scope, audience, resource, subject, actor, requestedTokenType }: ExchangeSettings, secret: string, { bearer, context }: Shown): Sent | null {
  const given = subject === 'caller' ? bearer : context
  if (given === null || (actor === 'context' && context === null)) return null
  return form([
    ['grant_type', EXCHANGE], ['subject_token', given], ['subject_token_type', `${TYPE}${subject === 'caller' ? 'access_token' : 'jwt'}`],
    ['actor_token', actor === 'context' ? context : null], ['actor_token_type', actor === 'context' ? `${TYPE}jwt` : null],
    ['requested_token_type', requestedTokenType], ['audience', audience], ['resource', resource], ['scope', scope],
  ], client, secret)
}

export const revocationRequest = (token: string, client: OAuthClient | null, secret: string): Sent => form([['token', token], ['token_type_hint', 'access_token']], client, secret)

/** Why a request was refused, as far as that is one of the standard's words. */
export function errorIn(text: string): string | null {
  const part = readPart(Buffer.from(text))
  const { error } = part.is === 'object' ? part.value : {}
  return ERRORS.has(error) ? String(error) : null
}

/** What a token endpoint gave; a text where that is nothing to use, which says why. */
export function tokenIn(text: string, wanted: string | null, now: Instant): Obtained | string {
  const part = readPart(Buffer.from(text))
  if (part.is !== 'object') return 'the answer is not one JSON object with one reading'
  const { access_token: token, token_type: type, issued_token_type: issued, expires_in: seconds } = part.value
  if (!isToken(token)) return `the answer has no access_token of at most ${TOKEN_MAX} visible characters`
  if (type !== undefined && (typeof type !== 'string' || !/^(?:bearer|n_a)$/i.test(type))) return 'the token is of a type that needs more than to be shown'
  if (wanted !== null && issued !== undefined && issued !== wanted) return 'the token is of another type than was asked for'
  const expiresAt = endOf(seconds, now)
  return seconds !== undefined && expiresAt === null ? 'the life of the token is no number of seconds' : { token, expiresAt, lease: null }
}
