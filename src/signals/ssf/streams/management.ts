// Our stream at a transmitter (SSF 1.0 §8.1.1): found before one is made, so that a crash leaves no second one, and made to be what the configuration
// says. What it delivers counts, not what was asked for. SPEC: SSF4, SSF5
import { duration } from '../../../core/time.ts'
import { EVENT_NAMES } from '../../../config/schema/signals.ts'
import { HttpFault } from '../../../runtime/http-client.ts'
import type { Call, Caller } from './access.ts'
import { jsonIn, type Members, membersOf, secondsIn, textIn, textsIn } from './json.ts'
import { type Metadata, safeUrl } from './metadata.ts'

/** A stream that is ours. Times in milliseconds. */
export type OurStream = {
  readonly id: string
  /** Empty where it does not say. */
  readonly audience: readonly string[]
  /** Where it is polled; null where it is pushed. */
  readonly pollUrl: URL | null
  /** Asked to verify no more often. */
  readonly verifyEvery: number
  /** Paused when nobody asks about it for so long; null for never. */
  readonly inactiveAfter: number | null
  /** Does it tell of sessions that are revoked? */
  readonly tellsOfRevocation: boolean
}

/** What it must be. `authorization` is what the transmitter sends along; null leaves it out. */
export type Wanted = { readonly name: string; readonly delivery: 'push'; readonly endpoint: string; readonly authorization: string | null } | { readonly name: string; readonly delivery: 'poll' }

/** What it answers is no stream of ours. */
export class StreamFault extends Error {
  override readonly name = 'StreamFault'
}

export const CAEP_EVENTS = 'https://schemas.openid.net/secevent/caep/event-type/'
const METHODS = { push: 'urn:ietf:rfc:8935', poll: 'urn:ietf:rfc:8936' } as const
const REVOKED = `${CAEP_EVENTS}session-revoked`
const REQUESTED: readonly string[] = [...new Set(EVENT_NAMES.map(name => CAEP_EVENTS + (name.split('.')[0] ?? name)))]
export const MANAGE_LIMITS = { timeout: duration(10_000), bytes: 1024 * 1024 } as const
const STREAMS_MAX = 1_000
const ID_MAX = 512

type Ask = (call: Call) => ReturnType<Caller['ask']>

const descriptionOf = ({ name }: Wanted): string => `narrowgate:${name}`
const deliveryOf = (stream: Members): Members => membersOf(stream['delivery']) ?? {}
const idOf = (stream: Members): string => textIn(stream, 'stream_id') ?? ''

function isOurs(stream: Members, wanted: Wanted): boolean {
  const { method, endpoint_url: endpoint } = deliveryOf(stream)
  if (method !== METHODS[wanted.delivery]) return false
  return wanted.delivery === 'push' ? endpoint === wanted.endpoint : stream['description'] === descriptionOf(wanted)
}

function deliveryWanted(wanted: Wanted): object {
  if (wanted.delivery === 'poll') return { method: METHODS.poll }
  return { method: METHODS.push, endpoint_url: wanted.endpoint, ...(wanted.authorization === null ? {} : { authorization_header: wanted.authorization }) }
}

async function listed(ask: Ask, url: URL): Promise<readonly Members[]> {
  const { text } = await ask({ method: 'GET', url, body: null, statuses: [200] })
  const value = jsonIn(text)
  const all = (Array.isArray(value) ? value : [value]).map(membersOf) // some answer with the one there is
  if (all.length > STREAMS_MAX || all.includes(null)) throw new StreamFault('the transmitter lists no streams')
  return all.flatMap(stream => (stream === null || idOf(stream) === '' ? [] : [stream])).sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1)) // every gateway finds the same one
}

/** null where there is one already and only one may be. */
async function created(ask: Ask, url: URL, wanted: Wanted): Promise<Members | null> {
  const body = { events_requested: REQUESTED, delivery: deliveryWanted(wanted), description: descriptionOf(wanted) }
  const { status, text } = await ask({ method: 'POST', url, body, statuses: [200, 201, 409] })
  return status === 409 ? null : (membersOf(jsonIn(text)) ?? {})
}

/** What is to be changed of it; null where it is as it should be. The header it sends is shown to nobody, so it is told again. */
function changesOf(stream: Members, wanted: Wanted): object | null {
  const [requested, supported] = [textsIn(stream, 'events_requested') ?? [], textsIn(stream, 'events_supported')]
  const lacks = REQUESTED.some(event => !requested.includes(event) && (supported === null || supported.includes(event)))
  const knowsUs = isOurs(stream, wanted) && (wanted.delivery === 'poll' || wanted.authorization === null || deliveryOf(stream)['authorization_header'] === wanted.authorization)
  return !lacks && knowsUs ? null : { ...(lacks ? { events_requested: REQUESTED } : {}), ...(knowsUs ? {} : { delivery: deliveryWanted(wanted) }) }
}

async function corrected(ask: Ask, url: URL, stream: Members, wanted: Wanted): Promise<Members> {
  const changes = changesOf(stream, wanted)
  if (changes === null) return stream
  const { status, text } = await ask({ method: 'PATCH', url, body: { stream_id: idOf(stream), ...changes }, statuses: [200, 202] })
  return status === 200 ? (membersOf(jsonIn(text)) ?? stream) : stream
}

function audienceIn({ aud }: Members): readonly string[] {
  const all: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  return all.filter(each => typeof each === 'string' && each !== '').map(String)
}

/** @throws StreamFault */
function streamIn(stream: Members, wanted: Wanted, issuer: string): OurStream {
  const id = idOf(stream)
  if (id === '' || id.length > ID_MAX) throw new StreamFault('the transmitter answered with no stream')
  if (stream['iss'] !== undefined && stream['iss'] !== issuer) throw new StreamFault('the stream is not of its issuer')
  const pollUrl = wanted.delivery === 'poll' ? safeUrl(textIn(deliveryOf(stream), 'endpoint_url') ?? '') : null
  if (wanted.delivery === 'poll' && pollUrl === null) throw new StreamFault('the stream names no usable endpoint_url')
  const tellsOfRevocation = (textsIn(stream, 'events_delivered') ?? []).includes(REVOKED)
  return { id, audience: audienceIn(stream), pollUrl, verifyEvery: secondsIn(stream, 'min_verification_interval') ?? 0, inactiveAfter: secondsIn(stream, 'inactivity_timeout'), tellsOfRevocation }
}

/** @throws HttpFault, StreamFault */
export async function ourStream(caller: Pick<Caller, 'ask'>, { configuration: url, issuer }: Metadata, wanted: Wanted, signal: AbortSignal): Promise<OurStream> {
  if (url === null) throw new StreamFault('the transmitter has no configuration_endpoint')
  const ask: Ask = call => caller.ask(call, MANAGE_LIMITS, signal)
  const there = (await listed(ask, url)).find(stream => isOurs(stream, wanted))
  const made = there ?? (await created(ask, url, wanted))
  const stream = made ?? (await onlyOne(ask, url, wanted))
  return streamIn(there === undefined && made !== null ? made : await corrected(ask, url, stream, wanted), wanted, issuer)
}

/** Another gateway made it meanwhile; or there may be only one for us, and it is not yet as it should be. */
async function onlyOne(ask: Ask, url: URL, wanted: Wanted): Promise<Members> {
  const all = await listed(ask, url)
  const one = all.find(stream => isOurs(stream, wanted)) ?? (all.length === 1 ? all[0] : undefined)
  if (one === undefined) throw new HttpFault('status', 'the transmitter makes no stream for us and lists none that is ours', 409)
  return one
}
