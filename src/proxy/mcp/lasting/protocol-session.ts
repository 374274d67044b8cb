// Protocol sessions and events in the heads of both ways: a handle towards callers, the upstream's own name towards it. The newer protocol has none: what stands there is
// dropped, either way. Pure. SPEC: MCP10
import { nameOf } from '../../http/header-names.ts'
import type { ResponseHead } from '../../http/response-head.ts'
import type { Handles } from './handles.ts'
import type { Era } from '../message.ts'
import type { Opened } from './opened.ts'

const SESSION = 'mcp-session-id'
const LAST_EVENT = 'last-event-id'
const NAME = 'mcp-name'
/** What would be read as something encoded. */
const SENTINEL = /^=\?/

function without(headers: readonly string[], name: string): string[] {
  return headers.filter((_, i) => nameOf(headers[i - (i % 2)] ?? '').dashed !== name)
}

/** As a header of the newer protocol says it. */
export const asHeader = (text: string): string => (SENTINEL.test(text) ? `=?base64?${Buffer.from(text).toString('base64')}?=` : text)

/** Headers of a request, names and values in turn. */
export function renamedUp(headers: readonly string[], era: Era, { session, event, task }: Opened): readonly string[] {
  const out = without(without(headers, SESSION), LAST_EVENT)
  if (era === 'legacy' && session !== null) out.push(SESSION, session)
  if (era === 'legacy' && event !== null) out.push(LAST_EVENT, event)
  if (task === null || out.length === without(out, NAME).length) return out
  return [...without(out, NAME), NAME, asHeader(task.origin.id)]
}

/** The head of an answer; null where it names a session that no caller can be given. */
export function renamedDown(head: ResponseHead, era: Era, { owner }: Opened, handles: Handles): ResponseHead | null {
  const headers = without(head.headers, SESSION)
  if (headers.length === head.headers.length) return head
  if (era === 'modern') return { ...head, headers }
  const handle = head.headers.length - headers.length === 2 ? handles.ofSession(owner, namedIn(head.headers)) : null
  return handle === null ? null : { ...head, headers: [...headers, SESSION, handle] }
}

const namedIn = (headers: readonly string[]): string => headers.find((_, i) => i % 2 === 1 && nameOf(headers[i - 1] ?? '').dashed === SESSION) ?? ''
