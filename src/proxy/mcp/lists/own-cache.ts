// What of an answer may be kept, and by whom: it is one session's, and stale when that may do something else. SPEC: MCP12
import { isObject } from './definition.ts'
import type { Era } from '../message.ts'
import { type JsonObject, rewritten, type ServerMessage, type Sieve } from '../sieve.ts'

/** What the older protocol knows nothing of. @param left milliseconds until it may be another one; whoever says nothing of its own has it kept by nobody */
export function ownCache(result: JsonObject, era: Era, left: number): JsonObject {
  if (era === 'legacy') return result
  const { ttlMs } = result
  return { ...result, ttlMs: typeof ttlMs === 'number' && ttlMs > 0 ? Math.floor(Math.min(ttlMs, left)) : 0, cacheScope: 'private' }
}

/** For answers of the newer protocol that say of themselves that they may be kept. */
export class CacheSieve implements Sieve {
  readonly #left: () => number

  /** @param left milliseconds until the session may do something else */
  constructor(left: () => number) {
    this.#left = left
  }

  changed(): readonly ServerMessage[] { return [] }

  pass(message: ServerMessage): ServerMessage {
    const { result } = message.value
    if (message.is !== 'answer' || !isObject(result) || !(Object.hasOwn(result, 'ttlMs') || Object.hasOwn(result, 'cacheScope'))) return message
    return rewritten(message, { ...message.value, result: ownCache(result, 'modern', this.#left()) })
  }
}
