// The session behind a token that a broker was given: as it is in memory, else as it is stored. It takes nothing in: what time has decided of a session
// meanwhile is asked for by session-of.ts. SPEC: SES20
import { sessionRef } from '../core/record.ts'
import type { FindSession } from '../identity/session-token.ts'
import type { SessionTokens } from '../identity/session-tokens.ts'
import { sessionIn } from '../sessions/doing.ts'
import type { Mirror } from '../sessions/mirror.ts'
import type { SessionStore } from '../sessions/store.ts'

export const sessionFinder = (mirror: Mirror, store: SessionStore, tokens: SessionTokens): FindSession => async digest => {
  const key = tokens.keyOf(digest)
  return mirror.peek(key)?.record ?? sessionIn(await store.load(sessionRef(key)))
}
