// What a message of MCP calls, as records name it: method, name and the digest of its arguments; where the route says so their values too, but for what is
// hidden by name or place. A URI is on record without its query. Nothing of this is in a log, a metric or an answer. SPEC: MCP18
import type { Call, McpRoute } from '../core/call.ts'
import { sha256 } from '../runtime/id.ts'

export type Called = {
  readonly method: string
  /** Of the tool or prompt, or the URI without its query; cut to 512 characters, empty where the method names nothing. */
  readonly name: string
  /** Base64url SHA-256 of the arguments as they go upstream; of a URI that is not on record as it is, the digest of that; null where there is neither. */
  readonly arguments: string | null
  /** As JSON, where the route records values; away where it does not, or there are none. */
  readonly values?: unknown
}

const NAME_MAX = 512
/** Characters of one text; longer ones are on record by their digest. */
const TEXT_MAX = 4_096
/** Characters of all values as JSON. */
const VALUES_MAX = 65_536
const HIDDEN = '[redacted]'
const TOO_LARGE = '[too large]'
/** Hidden wherever a name holds one of them, however it is written. */
const ALWAYS = ['password', 'passwd', 'passphrase', 'secret', 'token', 'authorization', 'apikey', 'credential', 'privatekey']

/** `Api-Key`, `api_key` and `apiKey` are one name. */
const plainName = (name: string): string => name.normalize('NFKC').toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')

const escaped = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')

type Hidden = { readonly pointers: ReadonlySet<string>; readonly names: ReadonlySet<string> }

const compiled = new WeakMap<readonly string[], Hidden>()

function hiddenBy(redact: readonly string[]): Hidden {
  const known = compiled.get(redact)
  if (known !== undefined) return known
  const made = { pointers: new Set(redact.filter(text => text.startsWith('/'))), names: new Set(redact.filter(text => !text.startsWith('/')).map(plainName)) }
  compiled.set(redact, made)
  return made
}

function isHidden({ pointers, names }: Hidden, pointer: string, name: string): boolean {
  const plain = plainName(name)
  return pointers.has(pointer) || names.has(plain) || ALWAYS.some(word => plain.includes(word))
}

function shown(value: unknown, at: string, hidden: Hidden): unknown {
  if (typeof value === 'string') return value.length > TEXT_MAX ? `[sha256:${sha256(value)}]` : value
  if (Array.isArray(value)) return value.map((item, i) => (hidden.pointers.has(`${at}/${i}`) ? HIDDEN : shown(item, `${at}/${i}`, hidden)))
  if (!(value instanceof Map)) return value
  return Object.fromEntries([...(value as ReadonlyMap<string, unknown>)].map(([name, of]) => { // strict JSON has only such Maps
    const pointer = `${at}/${escaped(name)}`
    return [name, isHidden(hidden, pointer, name) ? HIDDEN : shown(of, pointer, hidden)]
  }))
}

/** @param redact JSON pointers (RFC 6901) and names, beside those that are hidden always */
export function shownArguments(args: ReadonlyMap<string, unknown>, redact: readonly string[]): unknown {
  const values = shown(args, '', hiddenBy(redact))
  return JSON.stringify(values).length > VALUES_MAX ? TOO_LARGE : values
}

function nameOf({ kind, name }: Call): string {
  const end = kind === 'resource' ? name.search(/[?#]/) : -1
  return (end < 0 ? name : name.slice(0, end)).slice(0, NAME_MAX)
}

export function calledBy(call: Call, { record }: McpRoute): Called {
  const name = nameOf(call)
  const noted = { method: call.method.slice(0, NAME_MAX), name, arguments: call.digest ?? (name === call.name ? null : sha256(call.name)) }
  return record === null || call.args === null || call.args === 'forgotten' || call.args.size === 0 ? noted : { ...noted, values: shownArguments(call.args, record.redact) }
}
