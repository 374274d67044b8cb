// What a rule asks of WebSocket messages. Fields are named by JSON pointer in the end, however they are written. SPEC: CFG3, WIRE18
import type { MessageRules } from '../../core/route.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'

type WrittenRule = Compilation['config']['routes'][number]['rules'][number]
type Written = NonNullable<WrittenRule['messages']>

/** A message whose fields are read is held until it is whole. */
const BYTES_DEFAULT = 64 * 1024
const BYTES_MAX = 16 * 1024 * 1024
const FIELDS_MAX = 32
const FIELD_LENGTH_MAX = 256

const escaped = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')

/** RFC 6901; null where it is neither a pointer nor a dotted name. */
function pointerOf(written: string): string | null {
  if (written.length > FIELD_LENGTH_MAX) return null
  if (written.startsWith('/')) return /^(?:\/(?:[^~/]|~[01])*)+$/u.test(written) ? written : null
  const names = written.split('.')
  return names.includes('') ? null : names.map(name => `/${escaped(name)}`).join('')
}

function fieldsOf({ report }: Compilation, written: Written['fields'] = {}, path: Path): MessageRules['fields'] {
  const fields = new Map<string, ReadonlySet<string>>()
  for (const [key, values] of Object.entries(written)) {
    const pointer = pointerOf(key)
    if (pointer === null) report.errorAtKey([...path, key], 'a field is named by a JSON pointer or by names with dots between', 'such as /data/type or data.type')
    else if (fields.has(pointer)) report.errorAtKey([...path, key], `the field ${pointer} is there already`, 'put all its values in one list')
    else fields.set(pointer, new Set(values))
  }
  if (fields.size > FIELDS_MAX) report.errorAtKey(path, `must not have more than ${FIELDS_MAX} entries`)
  return fields
}

/** Null where the rule asks nothing of them. */
export function messagesOf(c: Compilation, { messages, allow }: WrittenRule, path: Path): MessageRules | null {
  if (messages === undefined) return null
  const { report } = c
  if (allow?.upgrade === undefined) report.errorAtKey(path, '`messages` is for rules that allow WebSockets', 'write `allow: { upgrade: websocket }`, or leave it out')
  if (Object.keys(messages).length === 0) report.errorAtKey(path, '`messages` asks for nothing', 'write `maxBytes`, `perSecond` or `fields`, or leave it out')
  if ((messages.maxBytes ?? 0) > BYTES_MAX) report.error([...path, 'maxBytes'], 'must be at most 16MiB')
  const fields = fieldsOf(c, messages.fields, [...path, 'fields'])
  return { maxBytes: messages.maxBytes ?? (fields.size > 0 ? BYTES_DEFAULT : null), perSecond: messages.perSecond ?? null, fields }
}
