// Which request a question means: its method, its target and what it would show, as the configuration reads them out of the question. What has no one reading
// is refused as that request would be, never repaired. SPEC: PDP3
import type { QuestionForm } from '../config/compile/decisions.ts'
import type { Evaluation, Inspected } from '../core/evaluation.ts'
import { methodFault } from '../core/method.ts'
import type { Reason } from '../core/reason.ts'
import { sha256 } from '../runtime/id.ts'
import { writeJson } from '../runtime/strict-json.ts'
import type { Members, Question } from './question.ts'
import type { DecisionsRoom } from './room.ts'

export type Meant = {
  readonly is: 'meant'
  readonly method: string
  readonly target: Evaluation['resource']
  readonly encodedSlash: boolean
  readonly secure: boolean
  readonly source: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
  /** What a rule that inspects reads. */
  readonly body: Inspected
}
export type Meaning = Meant | { readonly is: 'refused'; readonly reason: Reason }

/** Of a request without one. */
const NO_BODY: Inspected = { value: new Map(), digest: null }
const VALUE_MAX = 8_192
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROLS = /[\u0000-\u001f\u007f]/
const ADDRESS = /^(https?):\/\/([^/?#]*)(\/[^#]*)$/i

const refused = (reason: Reason): Meaning => ({ is: 'refused', reason })

/** The form that reads this question; `error` where one cannot tell whether it does. */
export function formOf(forms: readonly QuestionForm[], body: Members): QuestionForm | 'none' | 'error' {
  for (const form of forms) {
    const answer = form.when?.test(body) ?? 'true'
    if (answer !== 'false') return answer === 'true' ? form : 'error'
  }
  return 'none'
}

/** null where one of them has no value that a header could hold. */
function headersOf({ headers }: QuestionForm, body: Members): readonly string[] | null {
  const read: string[] = []
  for (const [name, form] of headers) {
    const value = form.read(body)
    if (value === null || value.length > VALUE_MAX || CONTROLS.test(value)) return null
    if (value !== '') read.push(name, value) // an empty one stands for none
  }
  return read
}

/** null where it cannot be read. */
function bodyOf({ body: form }: QuestionForm, body: Members): Inspected | null {
  if (form === null) return NO_BODY
  const value = form.read(body)
  return value === undefined ? null : { value, digest: sha256(writeJson(value)) }
}

export function meantBy(forms: readonly QuestionForm[], { body }: Question, describeTarget: DecisionsRoom['describeTarget']): Meaning {
  const form = formOf(forms, body)
  if (form === 'none' || form === 'error') return refused(form === 'none' ? 'no_route' : 'condition_error')
  const [method, url, source] = [form.method.read(body), form.url.read(body), form.source === null ? '' : form.source.read(body)]
  const [headers, inspected] = [headersOf(form, body), bodyOf(form, body)]
  const [, scheme, authority, rest] = ADDRESS.exec(url ?? '') ?? []
  if (method === null || source === null || headers === null || inspected === null || scheme === undefined || authority === undefined || rest === undefined) return refused('bad_request')
  const described = describeTarget(rest, authority)
  const fault = typeof described === 'string' ? 'bad_request' : methodFault(method)
  if (typeof described === 'string' || fault !== null) return refused(fault ?? 'bad_request')
  return { is: 'meant', method, ...described, secure: scheme.toLowerCase() === 'https', source, headers, body: inspected }
}
