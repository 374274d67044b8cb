// What may be found (AuthZEN 1.0 §8): each candidate is put as the question it would be, so that a search never says more than an evaluation. Candidates are
// live sessions in memory here, names of actions, and paths that rules write out. A page looks at so many and no more. SPEC: PDP6
import { setImmediate } from 'node:timers/promises'
import type { QuestionForm } from '../config/compile/decisions.ts'
import type { Policy } from '../core/policy.ts'
import type { PathPattern } from '../core/path-pattern.ts'
import type { Mirror } from '../sessions/mirror.ts'
import { DecisionFault, malformed } from './fault.ts'
import { isMembers, type Members, type Question, questionIn, withMember } from './question.ts'

export const SEARCHED = ['subject', 'resource', 'action'] as const
export type Searched = (typeof SEARCHED)[number]

type Json = { readonly [member: string]: unknown }
type Page = { readonly after: string; readonly limit: number }
type Wanted = { readonly candidates: readonly string[]; /** There are more behind the last of them. */ readonly more: boolean }

const LIMIT = { default: 50, most: 500 } as const
const TOKEN_MAX = 16_384
/** Candidates that one page looks at, and how many in one turn. */
const LOOKS_MAX = 1000
const AT_ONCE = 50
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']
/** Stands where a candidate will. */
const ANY = '*'

function pageIn(body: Members): Page {
  const page = body.get('page')
  if (page === undefined) return { after: '', limit: LIMIT.default }
  if (!isMembers(page)) throw malformed('page must be an object')
  const [after, limit] = [page.get('token') ?? '', page.get('limit') ?? LIMIT.default]
  if (typeof after !== 'string' || after.length > TOKEN_MAX) throw malformed('page.token must be a text that an earlier page gave')
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1) throw malformed('page.limit must be a whole number from 1')
  return { after, limit: Math.min(limit, LIMIT.most) }
}

const MEMBER = { subject: 'id', resource: 'id', action: 'name' } as const

const smallest = (texts: Iterable<string>): readonly string[] => [...new Set(texts)].sort()

/** The first of those behind the page before, without sorting all of them. */
function behind(texts: Iterable<string>, after: string): Wanted {
  let [held, most, more]: [string[], string | null, boolean] = [[], null, false]
  for (const text of texts) {
    if (text <= after) continue
    if (most !== null && text > most) more = true
    else held.push(text)
    if (held.length < 2 * LOOKS_MAX) continue
    held = [...smallest(held)].slice(0, LOOKS_MAX)
    most = held.at(-1) ?? null
    more = true
  }
  const candidates = smallest(held)
  return { candidates: candidates.slice(0, LOOKS_MAX), more: more || candidates.length > LOOKS_MAX }
}

const sessionsIn = function* (mirror: Mirror): Iterable<string> {
  for (const { record } of mirror.all()) if (record.state.is === 'live') yield record.id
}

const isWrittenOut = ({ parts, tail }: PathPattern): boolean => !tail && parts.every(({ is }) => is === 'literal')

const pathsIn = function* ({ routes }: Policy): Iterable<string> {
  for (const { path, rules } of routes) for (const pattern of [path, ...rules.flatMap(({ paths }) => paths ?? [])]) if (isWrittenOut(pattern)) yield pattern.source
}

/** Of every form that may read it: which one does may depend on the action. */
const actionsFor = (forms: readonly QuestionForm[], body: Members): readonly string[] => forms.filter(({ when }) => when?.test(body) !== 'false').flatMap(({ actions }) => actions ?? METHODS)

const typeIn = (body: Members, part: 'subject' | 'resource'): unknown => {
  const members = body.get(part)
  return isMembers(members) ? members.get('type') : undefined
}

export type Searching = { readonly mirror: Mirror; readonly forms: readonly QuestionForm[]; /** May this be found? Rejects with a DecisionFault where nobody can tell. */ readonly holds: (question: Question) => Promise<boolean> }

function wantedOf(what: Searched, { mirror, forms }: Searching, body: Members, after: string): Wanted {
  switch (what) {
    case 'subject':
      if (typeIn(body, 'subject') !== 'session') throw new DecisionFault('not_searchable', 'only subjects of the type session can be searched for')
      return behind(sessionsIn(mirror), after)
    case 'resource':
      if (typeIn(body, 'resource') !== 'route') throw new DecisionFault('not_searchable', 'only resources of the type route can be searched for')
      return behind(pathsIn(mirror.policy), after)
    case 'action': return behind(actionsFor(forms, body), after)
  }
}

/** Sessions of which no credential was seen here are not found. */
const isFound = ({ holds }: Searching, question: Question): Promise<boolean> => holds(question).catch((error: unknown) => {
  if (error instanceof DecisionFault && (error.of === 'unseen' || error.of === 'forbidden')) return false
  throw error
})

const resultOf = (what: Searched, body: Members, candidate: string): Json => (what === 'action' ? { name: candidate } : { type: typeIn(body, what), id: candidate })

export async function searched(what: Searched, body: Members, searching: Searching): Promise<Json> {
  const { after, limit } = pageIn(body)
  const filled = (candidate: string): Question => questionIn(withMember(body, what, MEMBER[what], candidate))
  filled(ANY) // what is missing beside it is said first
  const { candidates, more } = wantedOf(what, searching, body, after)
  const results: Json[] = []
  let looked = 0
  for (const candidate of candidates) {
    if (results.length === limit) break
    if (await isFound(searching, filled(candidate))) results.push(resultOf(what, body, candidate))
    if (++looked % AT_ONCE === 0) await setImmediate()
  }
  const next = looked < candidates.length || more ? (candidates[looked - 1] ?? '') : ''
  return { page: { next_token: next, count: results.length }, results }
}
