// The reference of the file (docs/config.md), made from the declaration: every key with its form, default and meaning. SPEC: CFG2
import { VOCABULARY } from '../conditions/vocabulary.ts'
import { type JsonSchema, jsonSchema } from './json-schema.ts'
import { UNSUPPORTED_KEYS } from './schema/unsupported.ts'

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

const written = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``

const FORMS: readonly { readonly pattern: string; readonly form: string }[] = [
  { pattern: '(?:\\d{1,9}ms)', form: 'duration' },
  { pattern: '(B|KiB|MiB|GiB)', form: 'size' },
]

function textForm({ pattern }: JsonSchema): string {
  return FORMS.find(known => pattern?.includes(known.pattern) === true)?.form ?? 'text'
}

const NAMES: { readonly [type: string]: string } = { integer: 'whole number', number: 'number', boolean: '`true`, `false`' }

function formOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return written(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(written).join(', ')
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(formOf))].join(' or ')
  if (schema.type === 'string') return textForm(schema)
  if (schema.type === 'array') return `list of ${schema.items === undefined ? 'anything' : formOf(schema.items)}`
  return NAMES[schema.type ?? 'object'] ?? 'map'
}

function defaultOf({ default: value }: JsonSchema): string {
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)) return ''
  return Array.isArray(value) ? value.map(written).join(', ') : written(value)
}

type Row = { readonly key: string; readonly schema: JsonSchema; readonly required: boolean }

/** Everything below a key, `*` for one name and `[]` for one entry. */
function below(prefix: string, schema: JsonSchema): readonly Row[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => rows(`${prefix}.${key}`, inner, schema.required?.includes(key) === true))
  const named = typeof schema.additionalProperties === 'object' ? below(`${prefix}.*`, schema.additionalProperties) : []
  const entries = schema.items === undefined ? [] : below(`${prefix}[]`, schema.items)
  return [...own, ...named, ...entries, ...(schema.anyOf ?? []).flatMap(form => below(prefix, form))]
}

const rows = (key: string, schema: JsonSchema, required: boolean): readonly Row[] => [{ key, schema, required }, ...below(key, schema)]

const line = ({ key, schema, required }: Row): string =>
  `| \`${cell(key)}\` | ${cell(formOf(schema))} | ${required ? '**required**' : cell(defaultOf(schema))} | ${cell(schema.description ?? '')} |`

function section(key: string, schema: JsonSchema, required: boolean): string {
  const table = rows(key, schema, required).map(line)
  return [`## \`${key}\``, '', '| key | form | default | meaning |', '| --- | --- | --- | --- |', ...table].join('\n')
}

function conditions(): string {
  const table = Object.entries(VOCABULARY).flatMap(([root, { says, type, members }]) => [
    `| \`${root}\` | ${type.startsWith('map') ? `\`${type}\`` : ''} | ${cell(says)} |`,
    ...Object.entries(members).map(([name, member]) => `| \`${root}.${name}\` | \`${member.type}\` | ${cell(member.says)} |`),
  ])
  return [
    '## Conditions', '',
    'Conditions (`if`, `eligible`, `when`) are CEL and checked when the file is loaded. `eligible` and `when` read `subject` only,',
    'the roles of `admin.auth` read `identity` only. There is no `now`:',
    'time belongs to `for`, `max` and `until`. A condition that cannot be evaluated refuses, like one that is false; CEL lets `true || error` hold.', '',
    '| name | type | meaning |', '| --- | --- | --- |', ...table, '',
    'A key that may be missing is asked for first: `has(subject.claims.team) && subject.claims.team == "support"`, `"x-tier" in request.headers`, or',
    '`request.headers[?"x-tier"].orValue("") == "gold"`. Numbers of claims and parameters are doubles: compare freely (`subject.claims.level >= 3`),',
    'but write `subject.claims.level + 1.0`. The pattern of `matches()` and the block of `source.inCidr()` must be literals: patterns that could take',
    'long are refused at load, and text longer than 1024 characters is an error. A condition has at most 2 KiB.',
  ].join('\n')
}

const INTRODUCTION = [
  '# Configuration', '',
  'Made from `src/config/schema/` by `configReference()`; a test compares the two. One YAML 1.2 file of at most 1 MiB; unknown keys are errors.',
  'Durations are written `500ms`, `30s`, `15m`, `1h30m`, `1d`; sizes `32KiB`, `64MiB`, `1GiB`, or as a number of bytes. `*` below stands for a name of',
  'your own, `[]` for an entry of a list.', '',
  'Values may hold `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}`; `$${` writes a plain `${`. They are put in after the file is parsed and',
  'never become structure. Relative paths start at the working directory.',
].join('\n')

/** The whole page, with a line feed at its end. */
export function configReference(): string {
  const schema = jsonSchema()
  const sections = Object.entries(schema.properties ?? {}).map(([key, inner]) => section(key, inner, schema.required?.includes(key) === true))
  const later = ['## Not supported in this version', '', 'These keys belong to the agreed form; using one is an error that says so.', '', UNSUPPORTED_KEYS.map(key => `\`${key}\``).join(', ')].join('\n')
  return `${[INTRODUCTION, ...sections, conditions(), later].join('\n\n')}\n`
}
