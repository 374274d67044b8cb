// Webhooks that tell of scores: whom they are of, and how many points. SPEC: CFG3, RSK9
import { compileMessageNumber, compileMessageText, type MessageNumber, type MessageText } from '../../conditions/compile.ts'
import type { Path } from '../source-map.ts'
import { checked } from './conditions.ts'
import { type ConnectorSettings, foreign, OF_SIGNALS, type SignedSettings, signedOf, type WrittenWebhook } from './connectors.ts'
import type { Compilation } from './context.ts'

/** What of a message is read. Null where nobody wrote it. */
export type ScoreMap = { readonly subject: MessageText; readonly score: MessageNumber; readonly issuer: MessageText | null; readonly tenant: MessageText | null; readonly client: MessageText | null; readonly name: MessageText | null; readonly at: MessageText | null }
export type ScoreSettings = SignedSettings & { readonly name: string; readonly map: ScoreMap }

/** What only tickets and the like have. */
const OTHERS = ['id', 'closed', 'state', 'type', 'environment', 'facts'] as const

function mapOf(c: Compilation, path: Path, { map }: WrittenWebhook): ScoreMap | null {
  for (const key of OTHERS) if (map[key] !== undefined) c.report.errorAtKey([...path, key], `\`${key}\` has no meaning with \`kind: risk\``)
  const text = (name: 'issuer' | 'tenant' | 'client' | 'name' | 'at'): MessageText | null => (map[name] === undefined ? null : checked(c, [...path, name], compileMessageText(map[name])))
  const [subject, score] = [map.subject === undefined ? null : checked(c, [...path, 'subject'], compileMessageText(map.subject)), map.score === undefined ? null : checked(c, [...path, 'score'], compileMessageNumber(map.score))]
  for (const key of ['subject', 'score'] as const) if (map[key] === undefined) c.report.error(path, `\`${key}\` is missing`)
  const rest = { issuer: text('issuer'), tenant: text('tenant'), client: text('client'), name: text('name'), at: text('at') }
  return subject === null || score === null ? null : { subject, score, ...rest }
}

function scoresIn(c: Compilation, path: Path, written: WrittenWebhook): ScoreSettings | null {
  foreign(c, path, written, { signal: OF_SIGNALS })
  const map = mapOf(c, [...path, 'map'], written)
  const signed = signedOf(c, path, written)
  return map === null ? null : { name: written.name, ...signed, map }
}

/** By name; those that are wrong are reported and left out. @param connectors whose names are taken */
export function scoresOf(c: Compilation, connectors: ReadonlyMap<string, ConnectorSettings>): ReadonlyMap<string, ScoreSettings> {
  const scores = new Map<string, ScoreSettings>()
  c.config.signals.webhooks?.forEach((written, i) => {
    if (written.kind !== 'risk') return
    const path: Path = ['signals', 'webhooks', i]
    if (connectors.has(written.name) || scores.has(written.name)) c.report.error([...path, 'name'], `there is a connector '${written.name}' already`)
    const made = scoresIn(c, path, written)
    if (made !== null) scores.set(written.name, made)
  })
  return scores
}
