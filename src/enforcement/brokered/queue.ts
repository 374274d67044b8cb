// What has to be taken back, where every gateway finds it: put in the store before a credential is used, gone from there when that is confirmed. In clear are
// only names of ours; what taking back needs is sealed, and bound to them. SPEC: CRD5
import type { ElevationId } from '../../core/elevation.ts'
import type { SessionId } from '../../core/session.ts'
import { after, duration, type Instant } from '../../core/time.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Told } from './held.ts'
import type { Sealed } from './source.ts'

/** `told.lease` is null: what a giver calls it is sealed. */
export type Left = { readonly told: Told; readonly sealed: Sealed }

/** Session ids end in one of these: a queue for each, so that what one session left is found without all the rest. */
export const SHARDS = 'abcdefghijklmnopqrstuvwxyz234567'
/** Of each. */
const PER_SHARD = 500
/** Clocks differ. */
const SLACK = duration(60_000)
/** How long one is kept that did not say how long it lives, beyond its session. */
const UNTOLD = duration(86_400_000)

export const shardOf = (session: SessionId): string => session.at(-1) ?? ''
const nameOf = (shard: string): string => `brokered/${shard}`

export const aboutOf = ({ id, upstream, session, elevation, expiresAt }: Told): string => JSON.stringify([id, upstream, session, elevation, expiresAt])

const fits = (pattern: RegExp, value: unknown): value is string => typeof value === 'string' && pattern.test(value)
const ID = /^cred_[a-z2-7]{26}$/
const SESSION = /^ses_[a-z2-7]{26}$/
const ELEVATION = /^elv_[a-z2-7]{26}$/
const UPSTREAM = /^[A-Za-z0-9._:-]{1,128}$/
const SEALED = /^[\w-]{1,32768}$/

/** null where it is none of ours: what is sealed is proven by its seal, all else by being bound to that. */
function leftIn(text: string): Left | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { id, upstream, session, elevation, expiresAt, key, sealed } = value as { readonly [name: string]: unknown } // any object has these, perhaps undefined
  if (!fits(ID, id) || !fits(UPSTREAM, upstream) || !fits(SESSION, session) || !fits(SEALED, key) || !fits(SEALED, sealed)) return null
  if ((elevation !== null && !fits(ELEVATION, elevation)) || (expiresAt !== null && typeof expiresAt !== 'number')) return null
  return { told: { id, lease: null, upstream, session: session as SessionId, elevation: elevation as ElevationId | null, expiresAt: expiresAt as Instant | null }, sealed: { key, text: sealed } } // as they were put
}

export class RevocationQueue {
  readonly #store: Pick<SessionStore, 'enqueue' | 'waiting' | 'dequeue'>

  constructor(store: Pick<SessionStore, 'enqueue' | 'waiting' | 'dequeue'>) {
    this.#store = store
  }

  /** @param sessionEnds at the latest @throws where the store does not take it */
  put({ told, sealed }: Left, sessionEnds: Instant): Promise<'queued' | 'again' | 'full'> {
    const { id, upstream, session, elevation, expiresAt } = told
    const text = JSON.stringify({ id, upstream, session, elevation, expiresAt, key: sealed.key, sealed: sealed.text })
    const forgetAt = expiresAt === null ? after(sessionEnds, UNTOLD) : after(expiresAt, SLACK)
    return this.#store.enqueue(nameOf(shardOf(session)), { id, text, forgetAt }, PER_SHARD)
  }

  /** All of them: what is in use may wait before what is not, and one answer of the store holds fewer long ones than there may be. */
  async waiting(shard: string): Promise<readonly Left[]> {
    const found = new Map<string, string>()
    for (let skip = 0; skip < PER_SHARD;) {
      const { items, length } = await this.#store.waiting(nameOf(shard), PER_SHARD, skip)
      for (const { id, text } of items) found.set(id, text)
      skip += items.length
      if (items.length === 0 || skip >= length) break
    }
    return [...found.values()].flatMap(text => leftIn(text) ?? [])
  }

  async has({ id, session }: Told): Promise<boolean> { return (await this.waiting(shardOf(session))).some(({ told }) => told.id === id) }

  done({ id, session }: Told): Promise<void> { return this.#store.dequeue(nameOf(shardOf(session)), [id]) }
}
