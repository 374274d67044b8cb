// Webhooks that tell of scores: whom they are of, and how many points. SPEC: CFG3, RSK9
import { compileMessageNumber, compileMessageText, type MessageNumber, type MessageText } from '../../conditions/compile.ts'
import type { Path } from '../source-map.ts'
import { checked } from './conditions.ts'
import type { ConnectorSettings, WebhookSettings } from './connectors.ts'
import { type Compilation, existing } from './context.ts'

/** What of a message is read. Null where nobody wrote it. */
export type ScoreMap = { readonly subject: MessageText; readonly score: MessageNumber; readonly issuer: MessageText | null; readonly tenant: MessageText | null; readonly client: MessageText | null; readonly name: MessageText | null; readonly at: MessageText | null }
export type ScoreSettings = Pick<WebhookSettings, 'secretFile' | 'signature'> & { readonly name: string; readonly map: ScoreMap }

type Written = NonNullable<Compilation['config']['signals']['webhooks']>[number]

/** What only tickets and the like have. */
const OTHERS = ['id', 'closed', 'state', 'type', 'environment', 'facts'] as const

function mapOf(c: Compilation, path: Path, { map }: Written): ScoreMap | null {
  for (const key of OTHERS) if (map[key] !== undefined) c.report.errorAtKey([...path, key], `\`${key}\` has no meaning with \`kind: risk\``)
  const text = (name: 'issuer' | 'tenant' | 'client' | 'name' | 'at'): MessageText | null => (map[name] === undefined ? null : checked(c, [...path, name], compileMessageText(map[name])))
  const [subject, score] = [map.subject === undefined ? null : checked(c, [...path, 'subject'], compileMessageText(map.subject)), map.score === undefined ? null : checked(c, [...path, 'score'], compileMessageNumber(map.score))]
  for (const key of ['subject', 'score'] as const) if (map[key] === undefined) c.report.error(path, `\`${key}\` is missing`)
  const rest = { issuer: text('issuer'), tenant: text('tenant'), client: text('client'), name: text('name'), at: text('at') }
  return subject === null || score === null ? null : { subject, score, ...rest }
}

function scoresIn(c: Compilation, path: Path, written: Written): ScoreSettings | null {
  const { name, signature, secretFile } = written
  if (signature !== 'standard' && written.map.at === undefined) c.report.errorAtKey([...path, 'signature'], 'a signature over the body alone tells no time, so that messages could be repeated for ever', 'write `map.at`: when the source says that it happened')
  const map = mapOf(c, [...path, 'map'], written)
  const file = existing(c, [...path, 'secretFile'], secretFile)
  return map === null ? null : { name, secretFile: file, signature, map }
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
