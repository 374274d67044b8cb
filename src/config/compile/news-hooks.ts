// Webhooks that tell of changes in trust: which event a message tells of, whom it means, and what follows. SPEC: CFG3, OUT9
import { compileMessageText, type MessageText } from '../../conditions/compile.ts'
import type { Effect } from '../../core/outside.ts'
import type { Path } from '../source-map.ts'
import { effectsOf } from './acts.ts'
import { checked } from './conditions.ts'
import { type SignedSettings, signedOf, type WrittenWebhook } from './connectors.ts'
import type { Compilation } from './context.ts'
import { channelsNamed } from './notify.ts'

const TEXTS = ['id', 'subject', 'issuer', 'email', 'session', 'device', 'workload', 'tenant', 'credential', 'at'] as const
/** By any of these somebody is named. */
const NAMING = ['subject', 'email', 'session', 'device', 'workload', 'tenant', 'credential'] as const
/** What these say is of an issuer. */
const OF_ISSUERS = ['email', 'credential'] as const
const OTHERS = ['closed', 'state', 'type', 'environment', 'facts', 'client', 'score', 'name'] as const

/** Null where nobody wrote it. */
type NewsMap = { readonly event: MessageText } & { readonly [K in (typeof TEXTS)[number]]: MessageText | null }
export type NewsHookSettings = SignedSettings & {
  readonly name: string
  readonly map: NewsMap
  readonly events: ReadonlyMap<string, readonly Effect[]>
  readonly most: number
  readonly notify: readonly string[]
}

function mapOf(c: Compilation, path: Path, { map }: WrittenWebhook): NewsMap | null {
  for (const key of OTHERS) if (map[key] !== undefined) c.report.errorAtKey([...path, key], `\`${key}\` has no meaning with \`kind: signal\``)
  if (!NAMING.some(key => map[key] !== undefined)) c.report.error(path, 'nobody is named', `write one of ${NAMING.map(key => `\`${key}\``).join(', ')}`)
  for (const key of OF_ISSUERS) if (map[key] !== undefined && map.issuer === undefined) c.report.errorAtKey([...path, key], `\`${key}\` is told by an issuer: write \`issuer\` beside it`)
  const text = (key: (typeof TEXTS)[number]): MessageText | null => (map[key] === undefined ? null : checked(c, [...path, key], compileMessageText(map[key])))
  const texts = Object.fromEntries(TEXTS.map(key => [key, text(key)])) as Omit<NewsMap, 'event'> // made of every key
  if (map.event === undefined) c.report.error(path, '`event` is missing')
  const event = map.event === undefined ? null : checked(c, [...path, 'event'], compileMessageText(map.event))
  return event === null ? null : { event, ...texts }
}

function hookIn(c: Compilation, path: Path, written: WrittenWebhook): NewsHookSettings | null {
  const { name, events = {}, maxSessionsPerEvent } = written
  const notify = channelsNamed(c, [...path, 'notify'], written.notify ?? [])
  const effects = Object.entries(events).map(([event, acts]) => [event, effectsOf(c, [...path, 'events', event], acts, { name, tellsClaims: false, channels: notify })] as const)
  if (effects.length === 0) c.report.error(path, '`events` is missing: nothing would follow')
  const map = mapOf(c, [...path, 'map'], written)
  const signed = signedOf(c, path, written)
  return map === null ? null : { ...signed, name, map, events: new Map(effects), most: maxSessionsPerEvent, notify }
}

/** By name; those that are wrong are reported and left out. @param taken names of other webhooks */
export function newsHooksOf(c: Compilation, taken: ReadonlySet<string>): ReadonlyMap<string, NewsHookSettings> {
  const hooks = new Map<string, NewsHookSettings>()
  c.config.signals.webhooks?.forEach((written, i) => {
    if (written.kind !== 'signal') return
    const path: Path = ['signals', 'webhooks', i]
    if (taken.has(written.name) || hooks.has(written.name)) c.report.error([...path, 'name'], `there is a connector '${written.name}' already`)
    if (written.name === 'operator') c.report.error([...path, 'name'], 'nobody outside can be called \'operator\'')
    const made = hookIn(c, path, written)
    if (made !== null) hooks.set(written.name, made)
  })
  return hooks
}
