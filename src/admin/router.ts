// From method and path to the one operation of the contract, with its parameters. SPEC: ADM12, ADM13
import { type OperationName, OPERATION_NAMES, OPERATIONS } from './contract.ts'
import { AdminFault } from './fault.ts'

export type Found = { readonly name: OperationName; readonly params: { readonly [name: string]: string }; readonly query: { readonly [name: string]: string } }

const PATTERNS = OPERATION_NAMES.map(name => ({ name, method: OPERATIONS[name].method, segments: OPERATIONS[name].path.split('/') }))

/** Percent-decoded segments; null where an escape is malformed or a control character hides. */
function segmentsOf(path: string): readonly string[] | null {
  try {
    const segments = path.split('/').map(decodeURIComponent)
    return segments.some(segment => /\p{Cc}/u.test(segment)) ? null : segments
  } catch {
    return null
  }
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): Found['params'] | null {
  if (pattern.length !== segments.length) return null
  const params: { [name: string]: string } = {}
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i] ?? ''
    if (part.startsWith('{')) params[part.slice(1, -1)] = segment
    else if (part !== segment) return null
    if (segment === '' && i > 0) return null
  }
  return params
}

function queryOf(text: string): Found['query'] {
  const query: { [name: string]: string } = {}
  for (const [name, value] of new URLSearchParams(text)) {
    if (Object.hasOwn(query, name)) throw new AdminFault('bad_request', 'a query parameter is there twice')
    query[name] = value
  }
  return query
}

/** @param target as in the request line. @throws AdminFault `not_found`, `method_not_allowed` (with Allow) or `bad_request` */
export function route(method: string, target: string): Found {
  const [path = '', ...rest] = target.split('?')
  const segments = path.length > 2048 ? null : segmentsOf(path)
  if (segments === null) throw new AdminFault('bad_request', 'the path is malformed')
  const fitting = PATTERNS.flatMap(({ name, method: own, segments: pattern }) => {
    const params = paramsOf(pattern, segments)
    return params === null ? [] : [{ name, method: own, params }]
  })
  if (fitting.length === 0) throw new AdminFault('not_found', 'there is nothing at this path')
  const found = fitting.find(({ method: own }) => own === method)
  if (found === undefined) throw new AdminFault('method_not_allowed', `this path does not take ${method.slice(0, 16)}`, { headers: { allow: fitting.map(({ method: own }) => own).join(', ') } })
  return { name: found.name, params: found.params, query: queryOf(rest.join('?')) }
}
