// Connectors: where tickets are asked about, and whose messages tell of them. A webhook and a place of one name are one connector.
// SPEC: CFG3, TKT1, TKT2, TKT4, TKT5
import { compileMessageTest, compileMessageText, type MessageTest, type MessageText } from '../../conditions/compile.ts'
import type { ConnectorRules } from '../../core/policy.ts'
import { PURPOSE_KINDS, type PurposeKind } from '../../core/purpose.ts'
import type { Duration } from '../../core/time.ts'
import type { Path } from '../source-map.ts'
import { checked } from './conditions.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

/** What of a message is read; `facts` by name. Null where nobody wrote it. */
export type MessageMap = { readonly id: MessageText; readonly closed: MessageTest; readonly tenant: MessageText | null; readonly at: MessageText | null; readonly facts: ReadonlyMap<string, MessageText> }

/** With `{id}` and `{tenant}`, both behind the origin. */
export type Place = { readonly url: string; readonly caFile: string | null; readonly credential: { readonly file: string; readonly scheme: 'bearer' | 'basic' } | null; readonly headers: { readonly [name: string]: string }; readonly timeout: Duration }

export type PollSettings = Place & { readonly every: Duration; readonly map: MessageMap }
export type SignedSettings = { readonly secretFile: string; readonly signature: 'standard' | { readonly header: string; readonly prefix: string; readonly encoding: 'hex' | 'base64' }; readonly perSecond: number }
export type WebhookSettings = SignedSettings & { readonly map: MessageMap }
export type NoteSettings = Place & { readonly method: 'POST' | 'PUT' | 'PATCH'; readonly body: string }

export type ConnectorSettings = ConnectorRules & { readonly kind: PurposeKind; readonly poll: PollSettings | null; readonly webhook: WebhookSettings | null; readonly note: NoteSettings | null }

type Written = Compilation['config']['tickets'][string]
export type WrittenWebhook = NonNullable<Compilation['config']['signals']['webhooks']>[number]
type WrittenMap = Written['map']

/** They name other anchors. */
const TAKEN: readonly string[] = ['manual', 'signed']
const SECRETIVE = /^(authorization|cookie|proxy-authorization|host|content-.*|transfer-encoding|connection|te|upgrade|if-none-match|accept-encoding)$/
const BODY_MAX = 16_384
const PLACEHOLDERS = ['text', 'id', 'elevation', 'profile', 'subject'] as const

function mapOf(c: Compilation, path: Path, { id, closed, tenant, at, state, type, environment, facts = {} }: WrittenMap): MessageMap | null {
  const text = (name: string, source: string | undefined, place: Path = [...path, name]): MessageText | null => (source === undefined ? null : checked(c, place, compileMessageText(source)))
  const [idText, closedTest] = [text('id', id), checked(c, [...path, 'closed'], compileMessageTest(closed))]
  const named = Object.entries({ state, type, environment }).map(([name, source]) => [name, text(name, source)] as const)
  const more = Object.entries(facts).map(([name, source]) => [name, text(name, source, [...path, 'facts', name])] as const)
  more.forEach(([name]) => { if (['state', 'type', 'environment', 'at'].includes(name)) c.report.errorAtKey([...path, 'facts', name], `\`${name}\` is written beside \`facts\``) })
  if (idText === null || closedTest === null) return null
  return { id: idText, closed: closedTest, tenant: text('tenant', tenant), at: text('at', at), facts: new Map([...named, ...more].flatMap(([name, read]) => (read === null ? [] : [[name, read] as const]))) }
}

/** What is put in never moves the origin; nothing else in braces is known. */
function templateFault(text: string, tenanted: boolean): string | null {
  const unknown = [...text.matchAll(/\{([^{}]*)\}/g)].map(([, name = '']) => name).find(name => name !== 'id' && name !== 'tenant')
  if (unknown !== undefined) return `there is no {${unknown}}, only {id} and {tenant}`
  if (!text.includes('{id}')) return 'it does not name the ticket: put {id} where it belongs'
  if (!tenanted && text.includes('{tenant}')) return '{tenant} is known only where `map.tenant` tells it'
  const [one, other] = ['a', 'b.c'].map(value => httpUrl(text.replaceAll(/\{(id|tenant)\}/g, value)))
  if (one == null || other == null || text.includes('#')) return 'expected an https URL without credentials and fragment'
  if (one.origin !== other.origin) return '{id} and {tenant} belong into the path or the query'
  return one.protocol === 'http:' && !isLoopbackUrl(one) ? 'what is asked and answered there must not be read or changed on the way: write https:// instead of http://' : null
}

function placeOf(c: Compilation, path: Path, written: Written): Omit<Place, 'url'> {
  const { tokenFile, scheme, headers = {}, timeout, caFile } = written
  for (const header of Object.keys(headers)) if (SECRETIVE.test(header.toLowerCase())) c.report.errorAtKey([...path, 'headers', header], `the header '${header}' is set by the gateway`, 'name a credential with `tokenFile`')
  for (const [header, value] of Object.entries(headers)) if (!/^[\t\x20-\x7e]*$/.test(value)) c.report.error([...path, 'headers', header], 'holds characters that no header has')
  return {
    credential: tokenFile === undefined ? null : { file: existing(c, [...path, 'tokenFile'], tokenFile), scheme },
    headers: Object.fromEntries(Object.entries(headers).map(([header, value]) => [header.toLowerCase(), value])),
    caFile: existingOrNone(c, [...path, 'caFile'], caFile), timeout,
  }
}

function noteOf({ report }: Compilation, path: Path, { note }: Written, place: Omit<Place, 'url'>, tenanted: boolean): NoteSettings | null {
  if (note === undefined) return null
  const fault = templateFault(note.url, tenanted)
  if (fault !== null) report.error([...path, 'url'], fault)
  const body = typeof note.body === 'string' ? note.body : JSON.stringify(note.body)
  if (body.length > BODY_MAX) report.error([...path, 'body'], `must not be longer than ${BODY_MAX} characters`)
  if (!isJson(PLACEHOLDERS.reduce((text, name) => text.replaceAll(`{${name}}`, 'x'), body))) report.error([...path, 'body'], 'is no JSON once its placeholders are filled', 'put placeholders inside of strings: {"comment": "{text}"}')
  return { ...place, ...note, body }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function polled(c: Compilation, name: string, written: Written): ConnectorSettings | null {
  const path: Path = ['tickets', name]
  const { url, poll: every, staleAfter = null, onStale } = written
  const map = mapOf(c, [...path, 'map'], written.map)
  const tenanted = written.map.tenant !== undefined
  const fault = templateFault(url, tenanted)
  if (fault !== null) c.report.error([...path, 'url'], fault)
  if (staleAfter !== null && staleAfter < 2 * every) c.report.error([...path, 'staleAfter'], '`staleAfter` is less than two polls: one that fails would end everything', 'poll more often, or wait longer')
  const place = placeOf(c, path, written)
  const note = noteOf(c, [...path, 'note'], written, place, tenanted)
  return map === null ? null : { name, kind: 'ticket', tenanted, staleAfter, onStale, poll: { ...place, url, every, map }, webhook: null, note }
}

/** Keys of the map that only news of trust has. */
export const OF_SIGNALS = ['event', 'session', 'email', 'device', 'workload', 'credential'] as const
const BESIDE_SIGNALS = ['events', 'notify'] as const

/** Keys that other kinds of webhooks have. */
export function foreign({ report }: Compilation, path: Path, { map, ...written }: WrittenWebhook, of: { readonly [kind: string]: readonly (keyof WrittenWebhook['map'])[] }): void {
  for (const [kind, keys] of Object.entries(of)) for (const key of keys) if (map[key] !== undefined) report.errorAtKey([...path, 'map', key], `\`${key}\` has a meaning only with \`kind: ${kind}\``)
  if (written.kind !== 'signal') for (const key of BESIDE_SIGNALS) if (written[key] !== undefined) report.errorAtKey([...path, key], `\`${key}\` has a meaning only with \`kind: signal\``)
}

/** How the messages of any webhook are signed. */
export function signedOf(c: Compilation, path: Path, { signature, secretFile, perSecond, map: { at } }: WrittenWebhook): SignedSettings {
  if (signature !== 'standard' && at === undefined) c.report.errorAtKey([...path, 'signature'], 'a signature over the body alone tells no time, so that messages could be repeated for ever', 'write `map.at`: when the source says that it happened')
  return { secretFile: existing(c, [...path, 'secretFile'], secretFile), signature, perSecond }
}

function webhookOf(c: Compilation, path: Path, written: WrittenWebhook): WebhookSettings | null {
  const { map: { id, closed, ...rest } } = written
  foreign(c, path, written, { risk: ['client', 'score', 'name', 'subject', 'issuer'], signal: OF_SIGNALS })
  for (const [key, given] of Object.entries({ id, closed })) if (given === undefined) c.report.error([...path, 'map'], `\`${key}\` is missing`)
  const map = id === undefined || closed === undefined ? null : mapOf(c, [...path, 'map'], { ...rest, id, closed })
  const signed = signedOf(c, path, written)
  return map === null ? null : { ...signed, map }
}

/** A webhook beside a place of its name is one connector with it. */
function joined({ report }: Compilation, path: Path, written: WrittenWebhook & { readonly kind: PurposeKind }, webhook: WebhookSettings, known: ConnectorSettings | undefined): ConnectorSettings {
  const tenanted = written.map.tenant !== undefined
  if (known === undefined) return { name: written.name, kind: written.kind, tenanted, staleAfter: null, onStale: 'keep', poll: null, webhook, note: null }
  if (known.webhook !== null) report.error([...path, 'name'], `there is a webhook '${written.name}' already`)
  if (known.kind !== written.kind) report.error([...path, 'kind'], `\`tickets.${written.name}\` tells of tickets, and is one connector with it`)
  if (known.tenanted !== tenanted) report.errorAtKey([...path, 'map'], `\`tickets.${written.name}\` ${known.tenanted ? 'tells' : 'does not tell'} the tenant; both must`)
  return { ...known, webhook }
}

/** `purposes.*.source` of another kind of purpose than the connector tells of. */
function kindsFit({ config, report }: Compilation, connectors: ReadonlyMap<string, ConnectorSettings>): void {
  for (const kind of PURPOSE_KINDS) {
    const connector = connectors.get(config.purposes[kind]?.source ?? '')
    if (connector !== undefined && connector.kind !== kind) report.error(['purposes', kind, 'source'], `the connector '${connector.name}' tells of a ${connector.kind}, not of a ${kind}`)
  }
}

/** By name; those that are wrong are reported and left out. */
export function connectorsOf(c: Compilation): ReadonlyMap<string, ConnectorSettings> {
  const connectors = new Map<string, ConnectorSettings>()
  for (const [name, written] of Object.entries(c.config.tickets)) {
    if (TAKEN.includes(name)) c.report.errorAtKey(['tickets', name], `a connector cannot be called '${name}'`)
    const made = polled(c, name, written)
    if (made !== null) connectors.set(name, made)
  }
  c.config.signals.webhooks?.forEach((written, i) => {
    const path: Path = ['signals', 'webhooks', i]
    if (TAKEN.includes(written.name)) c.report.error([...path, 'name'], `a connector cannot be called '${written.name}'`)
    const { kind } = written
    if (kind === 'risk' || kind === 'signal') return // see scores.ts, news-hooks.ts
    const webhook = webhookOf(c, path, written)
    if (webhook !== null) connectors.set(written.name, joined(c, path, { ...written, kind }, webhook, connectors.get(written.name)))
  })
  const served = c.config.server.listeners?.some(({ serves }) => serves.includes('signals')) === true
  if (c.config.signals.webhooks !== undefined && !served) c.report.warn(['signals', 'webhooks'], 'no listener serves `signals`: nobody can send these', 'add a listener with `serves: [signals]`')
  kindsFit(c, connectors)
  return connectors
}
