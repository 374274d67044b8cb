// What a policy decision point asks of whoever enforces its answer, read before the answer itself: what is known and can be done here, and whether that is
// all of it. Anything else makes the answer a refusal; what can be done is done all the same. Pure. SPEC: PEP5
import type { Claims } from '../../core/principal.ts'
import { type Scope, scopeOf } from '../../core/scope.ts'
import { type Duration, parseDuration } from '../../core/time.ts'

/** Kinds that are understood, as they are told to whoever asks for any. */
export const OBLIGATIONS = ['step-up', 'notification', 'session_termination', 'custom'] as const

export type Obligation =
  | { readonly is: 'notify'; readonly to: readonly string[]; readonly body: string; readonly topic: string | null }
  | { readonly is: 'terminate' }
  /** null as long as sessions are frozen. */
  | { readonly is: 'freeze'; readonly for: Duration | null }
  /** null leaves the baseline. */
  | { readonly is: 'narrow'; readonly to: Scope | null }
  | { readonly is: 'shorten'; readonly to: Duration }

export type Obliged = {
  readonly done: readonly Obligation[]
  /** The sign-in that has to be shown first; null for none. */
  readonly acr: string | null
  /** Something is asked for that is not known, not well said, or cannot be done. */
  readonly unmet: boolean
}

/** What it is read for. */
export type Caller = {
  /** As it was named in the question. */
  readonly subject: { readonly type: string; readonly id: string }
  readonly claims: Claims
  readonly hasChannels: boolean
}

const OBLIGATIONS_MAX = 16
const TEXT_MAX = 2_000
const RECIPIENTS_MAX = 16
const VENDOR = 'narrowgate'
const ACR = /^[\x21\x23-\x5B\x5D-\x7E]{1,256}$/
const SCOPE = /^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/
const SHORTEST = 1_000

type Json = { readonly [member: string]: unknown }
const NONE: Obliged = { done: [], acr: null, unmet: false }

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= TEXT_MAX
const isTextList = (value: unknown, most: number): value is readonly string[] => Array.isArray(value) && value.length > 0 && value.length <= most && value.every(isText)
const has = (properties: Json, name: string): boolean => Object.hasOwn(properties, name)
/** With members beyond these it may mean something else than what is read. */
const hasOnly = (properties: Json, ...names: readonly string[]): boolean => Object.keys(properties).every(name => names.includes(name))

function spanIn(value: unknown): Duration | null {
  const span = typeof value === 'string' ? parseDuration(value) : null
  return span !== null && span >= SHORTEST ? span : null
}

/** Methods of the sign-in that the newest credential does not name cannot be asked for: no challenge knows a word for them. */
function acrIn(properties: Json, { claims }: Caller): string | null {
  const { acr_value: acr, amr_values: methods = [] } = properties
  const shown: unknown = claims['amr']
  const named = Array.isArray(methods) && methods.every(method => Array.isArray(shown) && shown.includes(method))
  return typeof acr === 'string' && ACR.test(acr) && named && hasOnly(properties, 'acr_value', 'amr_values') ? acr : null
}

function noticeIn(properties: Json, { hasChannels }: Caller): Obligation | null {
  const { to, body, topic } = properties
  const recipients = isText(to) ? [to] : isTextList(to, RECIPIENTS_MAX) ? to : null
  if (!hasChannels || recipients === null || !isText(body) || !(topic === undefined || isText(topic)) || !hasOnly(properties, 'to', 'body', 'topic')) return null
  return { is: 'notify', to: recipients, body, topic: topic ?? null }
}

/** Nobody else's session ends because of this one's request. */
function terminationIn(properties: Json, { subject }: Caller): Obligation | null {
  const { subject: whose } = properties
  const isOwn = whose === undefined || whose === subject.id || (isObject(whose) && whose['id'] === subject.id && whose['type'] === subject.type && hasOnly(whose, 'id', 'type', 'properties'))
  return isOwn && hasOnly(properties, 'subject') ? { is: 'terminate' } : null
}

function scopesIn(to: unknown): Scope | null {
  return Array.isArray(to) && to.length > 0 && to.length <= 64 && to.every(scope => typeof scope === 'string' && SCOPE.test(scope)) ? scopeOf(to as readonly string[]) : null // as asked before
}

/** Our own. */
function ownIn(properties: Json): Obligation | null {
  const { vendor, action, ...rest } = properties
  if (vendor !== VENDOR) return null
  if (action === 'narrow' && hasOnly(rest, 'to')) {
    const to = scopesIn(rest['to'])
    return has(rest, 'to') && to === null ? null : { is: 'narrow', to }
  }
  if (action === 'freeze' && hasOnly(rest, 'for')) {
    const span = spanIn(rest['for'])
    return has(rest, 'for') && span === null ? null : { is: 'freeze', for: span }
  }
  const to = action === 'shorten' && hasOnly(rest, 'to') ? spanIn(rest['to']) : null
  return to === null ? null : { is: 'shorten', to }
}

function oneOf(type: unknown, properties: Json, caller: Caller): Obligation | null {
  switch (type) {
    case 'notification': return noticeIn(properties, caller)
    case 'session_termination': return terminationIn(properties, caller)
    case 'custom': return ownIn(properties)
    default: return null
  }
}

/** @param told the member of its answer's context; absent asks for nothing */
export function obligationsIn(told: unknown, caller: Caller): Obliged {
  if (told === undefined) return NONE
  if (!Array.isArray(told)) return { ...NONE, unmet: true }
  const done: Obligation[] = []
  let [acr, unmet]: [string | null, boolean] = [null, told.length > OBLIGATIONS_MAX]
  for (const each of told.slice(0, OBLIGATIONS_MAX) as readonly unknown[]) {
    const properties: unknown = isObject(each) ? (each['properties'] ?? {}) : null
    const type: unknown = isObject(each) ? each['type'] : null
    if (!isObject(properties)) unmet = true
    else if (type === 'step-up') {
      const wanted = acrIn(properties, caller)
      unmet ||= wanted === null || (acr !== null && acr !== wanted) // one sign-in is asked for at a time
      acr ??= wanted
    } else {
      const obligation = oneOf(type, properties, caller)
      if (obligation === null) unmet = true
      else done.push(obligation)
    }
  }
  return { done, acr: unmet ? null : acr, unmet } // nobody signs in for what is refused all the same
}
