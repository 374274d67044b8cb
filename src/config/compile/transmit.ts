// What is told to others of what happens here, and to whom. SPEC: CFG3, TRM1
import type { Duration } from '../../core/time.ts'
import { TOLD_EVENTS, type ToldEvent } from '../schema/signals.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

export type ReceiverSettings = {
  readonly name: string
  readonly tokenFile: string
  readonly audience: string
  readonly events: readonly ToldEvent[]
  /** Empty is all. */
  readonly issuers: readonly string[]
  readonly tenants: readonly string[]
  /** Origins; empty: it polls. */
  readonly pushTo: readonly string[]
  readonly caFile: string | null
}

export type TransmitSettings = {
  readonly issuer: string
  readonly keyFile: string | null
  readonly receivers: ReadonlyMap<string, ReceiverSettings>
  /** Events of one stream. */
  readonly queue: number
  readonly keepFor: Duration
  readonly inactivityTimeout: Duration
}

type Written = NonNullable<Compilation['config']['signals']['transmit']>

/** An https URL without query and fragment, or an http one of this machine; null where it is none, which is reported. */
function placeIn({ report }: Compilation, path: Path, text: string): URL | null {
  const url = httpUrl(text)
  if (url === null || /[?#]/.test(text)) report.error(path, 'expected an https URL without credentials, query and fragment')
  else if (url.protocol === 'http:' && !isLoopbackUrl(url)) report.error(path, 'what is told there must not be read or changed on the way', 'write https:// instead of http://')
  else return url
  return null
}

function originIn(c: Compilation, path: Path, text: string): readonly string[] {
  const url = placeIn(c, path, text)
  if (url === null) return []
  if (url.pathname === '/') return [url.origin]
  c.report.error(path, 'expected an origin, without a path', `write ${url.origin}`)
  return []
}

function receiverOf(c: Compilation, path: Path, { name, tokenFile, audience, events, issuers, tenants, pushTo, caFile }: Written['receivers'][number]): ReceiverSettings {
  if (caFile !== undefined && pushTo === undefined) c.report.errorAtKey([...path, 'caFile'], 'nothing is pushed to it', 'name origins with `pushTo`')
  return {
    name, tokenFile: existing(c, [...path, 'tokenFile'], tokenFile), audience, events: TOLD_EVENTS.filter(event => events?.includes(event) ?? true), issuers: issuers ?? [], tenants: tenants ?? [],
    pushTo: (pushTo ?? []).flatMap((origin, i) => originIn(c, [...path, 'pushTo', i], origin)), caFile: existingOrNone(c, [...path, 'caFile'], caFile),
  }
}

/** null where nothing is told to anybody. */
export function transmitOf(c: Compilation): TransmitSettings | null {
  const { transmit } = c.config.signals
  if (transmit === undefined) return null
  const path: Path = ['signals', 'transmit']
  placeIn(c, [...path, 'issuer'], transmit.issuer)
  if (transmit.issuer.endsWith('/')) c.report.error([...path, 'issuer'], 'ends with a slash, which its metadata could not be found by', 'leave the slash out')
  if (c.config.server.listeners?.some(({ serves }) => serves.includes('signals')) !== true) c.report.warn(path, 'no listener serves `signals`: nobody can have a stream here', 'add a listener with `serves: [signals]`')
  const receivers = new Map<string, ReceiverSettings>()
  transmit.receivers.forEach((written, i) => {
    const at: Path = [...path, 'receivers', i]
    if (receivers.has(written.name)) c.report.error([...at, 'name'], `there is a receiver '${written.name}' already`)
    receivers.set(written.name, receiverOf(c, at, written))
  })
  const { issuer, keyFile, queue, keepFor, inactivityTimeout } = transmit
  return { issuer, keyFile: existingOrNone(c, [...path, 'keyFile'], keyFile), receivers, queue, keepFor, inactivityTimeout }
}
