// An answer that is no stream of events, when all of it is there: a message, a body that tells of an HTTP fault, or nothing that may be passed. Pure. SPEC: MCP6
import { isUtf8 } from 'node:buffer'
import type { ResponseHead } from '../../http/response-head.ts'
import { claimsToBeMessage, jsonOf, serverMessageOf } from './server-message.ts'
import type { ServerMessage } from '../sieve.ts'

export type WholeAnswer = { readonly is: 'message'; readonly message: ServerMessage } | { readonly is: 'body'; readonly bytes: Buffer }

const PLAIN_TYPE = /^([a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+)[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/

/** The one media type of a head, in UTF-8; empty where it has none, or one that not everybody reads alike. */
export function mediaTypeOf({ headers }: Pick<ResponseHead, 'headers'>): string {
  const types = headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'content-type')
  return types.length === 1 ? (PLAIN_TYPE.exec(types[0]?.trim().toLowerCase() ?? '')?.[1] ?? '') : ''
}

/** null where it may not be passed: what claims to be JSON and is none, and what answers a message with something else. */
export function wholeAnswer(head: Pick<ResponseHead, 'status' | 'headers' | 'encoded'>, bytes: Buffer): WholeAnswer | null {
  const fails = head.status >= 300
  if (bytes.length === 0) return { is: 'body', bytes }
  if (head.encoded) return null
  if (mediaTypeOf(head) !== 'application/json') return fails ? { is: 'body', bytes } : null
  const value = isUtf8(bytes) ? jsonOf(bytes.toString()) : undefined
  const message = serverMessageOf(value, bytes)
  if (message !== null) return message.is === 'answer' ? { is: 'message', message } : null
  return fails && value !== undefined && !claimsToBeMessage(value) ? { is: 'body', bytes } : null
}

const without = (headers: readonly string[], name: string): string[] => headers.filter((_, i) => headers[i - (i % 2)]?.toLowerCase() !== name)

/** A head whose body may be changed as it passes. */
export const unsized = (head: ResponseHead): ResponseHead => ({ ...head, length: null, headers: without(head.headers, 'content-length') })

/** A head for a body of so many bytes. */
export function sized(head: ResponseHead, length: number): ResponseHead {
  const headers = without(head.headers, 'content-length')
  return { ...head, length, headers: head.status === 204 || head.status === 304 ? headers : [...headers, 'content-length', String(length)] }
}
