// Messages signed as Standard Webhooks has it (`v1`: HMAC-SHA256 over `id.timestamp.body`), those we send and those we are sent. Pure: whoever
// takes messages in remembers their ids. A header that is missing, repeated or of any other form is refused. SPEC: NOT1
import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Duration, duration, type Instant, instant } from '../core/time.ts'

/** One new and one that is on its way out. */
const SECRETS_MAX = 2
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 512
const SIGNATURES_MAX = 8

/** No dot: it parts what is signed. */
const ID = /^[!-\-/-~]{1,256}$/
const TIMESTAMP = /^[1-9]\d{0,11}$/
const SIGNATURE = /^v\d[a-z]?,[A-Za-z0-9+/]{1,512}={0,2}$/

/** How far the clocks of two sides may be apart, message and way included. */
export const WEBHOOK_TOLERANCE: Duration = duration(5 * 60_000)

type WebhookFault = 'header_missing' | 'header_repeated' | 'header_malformed' | 'timestamp_old' | 'timestamp_early' | 'signature_wrong'

type Verified = { readonly is: 'verified'; readonly id: string; readonly at: Instant } | { readonly is: 'refused'; readonly fault: WebhookFault }

function secretOf(line: string): Buffer | null {
  const encoded = /^whsec_(.*)$/.exec(line)?.[1]
  const bytes = Buffer.from(encoded ?? line, encoded === undefined ? 'utf8' : 'base64')
  if (encoded !== undefined && bytes.toString('base64') !== encoded) return null
  return bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX ? null : bytes
}

/** The secrets in a file, one a line: `whsec_` with base64, or their own text. Null where one is neither, too short or too long, or more than two are there. */
export function webhookSecrets(text: string): readonly Buffer[] | null {
  const lines = text.split(/\r?\n/)
  if (lines.length > SECRETS_MAX) return null
  const secrets = lines.flatMap(line => secretOf(line) ?? [])
  return secrets.length === lines.length ? secrets : null
}

const digestOf = (id: string, timestamp: string, body: string | Uint8Array, secret: Uint8Array): Buffer => createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest()

/** The headers of a message; each secret signs. `id` has no dot. */
export function signedWebhook(id: string, at: Instant, body: string, secrets: readonly Uint8Array[]): { readonly [name: string]: string } {
  const timestamp = String(Math.floor(at / 1_000))
  const signatures = secrets.map(secret => `v1,${digestOf(id, timestamp, body, secret).toString('base64')}`)
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}

/** The one value of a header, or what is wrong with it. */
function valueOf(headers: readonly string[], name: string, form: RegExp): { readonly value: string } | WebhookFault {
  const values = headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name)
  const [value] = values
  if (value === undefined) return 'header_missing'
  if (values.length > 1) return 'header_repeated'
  return form.test(value) ? { value } : 'header_malformed'
}

/** Digests of the version we know; null where any part of the header has another form. */
function digestsIn(text: string): readonly Buffer[] | null {
  const signatures = text.split(' ')
  if (signatures.length > SIGNATURES_MAX || !signatures.every(signature => SIGNATURE.test(signature))) return null
  return signatures.flatMap(signature => (signature.startsWith('v1,') ? [Buffer.from(signature.slice(3), 'base64')] : []))
}

function clockFault(at: Instant, now: Instant, tolerance: Duration): WebhookFault | null {
  if (at < now - tolerance) return 'timestamp_old'
  return at > now + tolerance ? 'timestamp_early' : null
}

const refused = (fault: WebhookFault): Verified => ({ is: 'refused', fault })

/** `headers` are names and values in turn, as received; `body` as well, octet by octet. */
export function verifyWebhook(headers: readonly string[], body: Uint8Array, secrets: readonly Uint8Array[], now: Instant, tolerance: Duration): Verified {
  const id = valueOf(headers, 'webhook-id', ID)
  if (typeof id === 'string') return refused(id)
  const timestamp = valueOf(headers, 'webhook-timestamp', TIMESTAMP)
  if (typeof timestamp === 'string') return refused(timestamp)
  const signature = valueOf(headers, 'webhook-signature', /^v/)
  if (typeof signature === 'string') return refused(signature)
  const shown = digestsIn(signature.value)
  if (shown === null) return refused('header_malformed')
  const at = instant(Number(timestamp.value) * 1_000)
  const made = secrets.map(secret => digestOf(id.value, timestamp.value, body, secret))
  const holds = shown.some(digest => made.some(own => digest.length === own.length && timingSafeEqual(digest, own)))
  if (!holds) return refused('signature_wrong')
  const fault = clockFault(at, now, tolerance)
  return fault === null ? { is: 'verified', id: id.value, at } : refused(fault)
}
