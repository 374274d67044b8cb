// The gateway's own tools, by which an agent asks for more in its own language: what they are called with, and what a model is told of them. Tells only what the
// session may ask for now. SPEC: MCP15
import { mayHoldNow } from '../../../approvals/holding.ts'
import { isEligible, type Policy, type Profile } from '../../../core/policy.ts'
import type { Claims } from '../../../core/principal.ts'
import { PURPOSE_KINDS } from '../../../core/purpose.ts'
import type { Duration } from '../../../core/time.ts'
import type { LiveSession } from '../../../sessions/live-session.ts'
import type { OwnTool } from '../message.ts'
import type { JsonObject } from '../sieve.ts'

/** Characters of a description: what lists more tells how many it left out. */
const DESCRIPTION_MAX = 8_192
/** Names in a schema; beyond that it takes any. */
const NAMES_MAX = 100
/** Of one profile's line. */
const LINE_MAX = 1_024
/** Kept for the line that tells what was left out. */
const LEFT_OUT = 64
const SCHEMA = 'https://json-schema.org/draft/2020-12/schema'
const ID = { type: 'string', pattern: '^elv_[a-z2-7]{26}$' } as const

const UNITS = [['d', 86_400_000], ['h', 3_600_000], ['m', 60_000], ['s', 1_000]] as const

function spanText(span: Duration): string {
  const [unit, length] = UNITS.find(([, each]) => span >= each && span % each === 0) ?? ['s', 1_000]
  return `${Math.round(span / length)}${unit}`
}

function wordText({ approval }: Profile): string {
  if (approval === null) return 'given at once'
  if (approval.breakGlass !== null) return 'given at once, for emergencies only: somebody looks at it afterwards'
  const by = approval.stages.map(({ role, count }) => (count === 1 ? role : `${count} × ${role}`)).join(', then ')
  const within = approval.within === null ? '' : ` within ${spanText(approval.within)}`
  return `${approval.autoWhen === null ? '' : 'given at once where a condition holds, else '}approved by ${by}, usually a person${within}`
}

function paramsText({ params }: Profile): string {
  const names = [...params].map(([name, { type, required }]) => `${name} (${type}${required ? '' : ', may be left out'})`)
  return names.length === 0 ? '' : `; params: ${names.join(', ')}`
}

function lineOf(profile: Profile): string {
  const { name, title, adds, purposes, for: span, max } = profile
  const line = `- ${name}${title === '' || title === name ? '' : ` (${title})`}: adds ${adds.join(', ')}; for ${spanText(span)}, at most ${spanText(max)}; ${purposes.length === 0 ? 'needs no purpose' : `needs the purpose ${purposes.join(', ')}`}${paramsText(profile)}; ${wordText(profile)}.`
  return line.length > LINE_MAX ? `${line.slice(0, LINE_MAX - 1)}…` : line
}

const INTRODUCTION = [
  'Asks for a right that this session does not have yet, for a limited time and purpose. Use it when a call was refused with `elevation_required`, or when a tool you need is not listed.',
  'Ask for one profile, the smallest that does. Say in `reason` what you want to do and why: a person may read it. Where somebody has to approve it, wait with `elevation_status`; give it back with `release_elevation` as soon as you are done.',
]

/** What may be asked for now, a line each. */
function offersText(profiles: readonly Profile[]): string {
  if (profiles.length === 0) return 'There is nothing that this session may ask for now.'
  const lines: string[] = ['What this session may ask for now:']
  let room = DESCRIPTION_MAX - INTRODUCTION.join(' ').length - LEFT_OUT
  for (const [at, profile] of profiles.entries()) {
    const line = lineOf(profile)
    room -= line.length + 1
    if (room < LEFT_OUT) return [...lines, `and ${profiles.length - at} more.`].join('\n')
    lines.push(line)
  }
  return lines.join('\n')
}

function askSchema(profiles: readonly Profile[]): JsonObject {
  const kinds = PURPOSE_KINDS.filter(kind => profiles.some(({ purposes }) => purposes.includes(kind)))
  return {
    $schema: SCHEMA, type: 'object', additionalProperties: false, required: ['profile'],
    properties: {
      profile: { type: 'string', description: 'Name of what is asked for', ...(profiles.length === 0 || profiles.length > NAMES_MAX ? {} : { enum: profiles.map(({ name }) => name) }) },
      for: { type: 'string', pattern: '^[0-9]+(ms|s|m|h|d)$', description: 'How long it is needed, such as `15m`; left out, as long as the profile gives' },
      purpose: { type: 'object', additionalProperties: false, properties: Object.fromEntries(kinds.map(kind => [kind, { type: 'string', maxLength: 200 }])), description: 'What it is for, such as `{"ticket": "INC-42"}`; what your requests show of it already may be left out' },
      params: { type: 'object', description: 'What the profile asks for beside that, by name' },
      reason: { type: 'string', maxLength: 512, description: 'What you want to do and why, for the person who decides' },
    },
  }
}

const CLOSED = { readOnlyHint: false, destructiveHint: false, openWorldHint: false }

type Written = { readonly title: string; readonly description: string; readonly inputSchema: JsonObject; readonly annotations: JsonObject }

const STATUS: Written = {
  title: 'Elevation status', annotations: { ...CLOSED, readOnlyHint: true, idempotentHint: true },
  description: 'Tells how elevations of this session stand: with `id` that one, else all of them. With `wait` it answers when the elevation changes, or after so many seconds; call it again while its state is `requested`.',
  inputSchema: { $schema: SCHEMA, type: 'object', additionalProperties: false, properties: { id: { ...ID, description: 'Id of the elevation, as `request_elevation` answered it' }, wait: { type: 'number', minimum: 0, maximum: 30, description: 'Seconds to wait for a change; needs `id`' } } },
}
const RELEASE: Written = {
  title: 'Release elevation', annotations: { ...CLOSED, idempotentHint: true },
  description: 'Gives an elevation back as soon as it is not needed any more, or takes a request back that nobody has decided yet.',
  inputSchema: { $schema: SCHEMA, type: 'object', additionalProperties: false, required: ['id'], properties: { id: { ...ID, description: 'Id of the elevation' }, reason: { type: 'string', maxLength: 512, description: 'Why, for the record' } } },
}

const isOffered = (policy: Policy, { record }: Pick<LiveSession, 'record'>, claims: Claims) => (profile: Profile): boolean =>
  isEligible(profile, record.principal, claims) && mayHoldNow(policy, record, profile.name)

/** As members of a list of tools. @param claims of the session as they are known now @param prefix what their names begin with */
export function ownToolDefinitions(policy: Policy, live: Pick<LiveSession, 'record'>, claims: Claims, prefix: string): readonly JsonObject[] {
  const profiles = [...policy.profiles.values()].filter(isOffered(policy, live, claims))
  const ask: Written = { title: 'Request elevation', annotations: CLOSED, description: `${INTRODUCTION.join(' ')}\n${offersText(profiles)}`, inputSchema: askSchema(profiles) }
  const written: readonly (readonly [OwnTool, Written])[] = [['request_elevation', ask], ['elevation_status', STATUS], ['release_elevation', RELEASE]]
  return written.map(([name, tool]) => ({ name: `${prefix}${name}`, ...tool }))
}
