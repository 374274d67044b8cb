// A question as AuthZEN 1.0 §5 writes it: who, what, on what, and what else is known. Objects are Maps, as strict JSON is read; members that nobody knows are
// ignored, those that must be there are never made up. SPEC: PDP2
import { malformed } from './fault.ts'

export type Members = ReadonlyMap<string, unknown>

export type Question = {
  /** All of it, as expressions read it. */
  readonly body: Members
  readonly subject: { readonly type: string; readonly id: string }
  /** What it is decided by is told too. */
  readonly explain: boolean
}

/** Longest type, name or id. */
const TEXT_MAX = 16_384
export const PARTS = ['subject', 'action', 'resource', 'context'] as const

export const isMembers = (value: unknown): value is Members => value instanceof Map

function membersOf(body: Members, part: string): Members {
  const members = body.get(part)
  if (!isMembers(members)) throw malformed(members === undefined ? `${part} is missing` : `${part} must be an object`)
  const properties = members.get('properties')
  if (properties !== undefined && !isMembers(properties)) throw malformed(`${part}.properties must be an object`)
  return members
}

function textOf(members: Members, part: string, member: string): string {
  const value = members.get(member)
  if (value === undefined) throw malformed(`${part}.${member} is missing`)
  if (typeof value !== 'string' || value === '') throw malformed(`${part}.${member} must be a text`)
  if (value.length > TEXT_MAX) throw malformed(`${part}.${member} is too long`)
  return value
}

/** @throws DecisionFault `malformed` */
export function questionIn(body: unknown): Question {
  if (!isMembers(body)) throw malformed('expected an object')
  const subject = membersOf(body, 'subject')
  const who = { type: textOf(subject, 'subject', 'type'), id: textOf(subject, 'subject', 'id') }
  textOf(membersOf(body, 'action'), 'action', 'name')
  const resource = membersOf(body, 'resource')
  textOf(resource, 'resource', 'type')
  textOf(resource, 'resource', 'id')
  const context = body.get('context')
  if (context !== undefined && !isMembers(context)) throw malformed('context must be an object')
  return { body, subject: who, explain: context?.get('explain') === true }
}

/** The same with this member of this part. */
export function withMember(body: Members, part: (typeof PARTS)[number], member: string, value: string): Members {
  const held = body.get(part)
  return new Map(body).set(part, new Map(isMembers(held) ? held : []).set(member, value))
}
