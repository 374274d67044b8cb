// What waits under a name until somebody has it: how much of it, the same for every store. Never cut to size. SPEC: STO21
import type { Item } from './store.ts'

export const ITEM_BYTES = 65_536
/** In one call. */
export const ITEMS_AT_ONCE = 1_000
/** Of texts in one answer, in bytes; one goes whatever its length. */
export const ANSWER_BYTES = 1_048_576
/** How long an id is known of what waits no more, in milliseconds. */
export const ID_KEPT = 86_400_000
const NAME_MAX = 256

function assertName(what: string, name: string): void {
  if (name === '' || name.length > NAME_MAX) throw new RangeError(`${what} has 1 to ${NAME_MAX} characters, not ${name.length}`)
}

/** @throws RangeError */
export function assertItem(name: string, { id, text, forgetAt }: Item, limit: number): void {
  assertName('the name of a queue', name)
  assertName('the id of an item', id)
  if (Buffer.byteLength(text) > ITEM_BYTES) throw new RangeError(`an item has at most ${ITEM_BYTES} bytes, not ${Buffer.byteLength(text)}`)
  if (!Number.isSafeInteger(forgetAt) || forgetAt < 0) throw new RangeError(`an item is forgotten at a whole number of milliseconds, not ${forgetAt}`)
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`the limit of a queue is a whole number from 1, not ${limit}`)
}

/** @throws RangeError */
export function assertSkip(skip: number): void {
  if (!Number.isSafeInteger(skip) || skip < 0) throw new RangeError(`a whole number of items is left out, not ${skip}`)
}

/** @throws RangeError */
export function assertCount(name: string, count: number, least: number): void {
  assertName('the name of a queue', name)
  if (!Number.isSafeInteger(count) || count < least || count > ITEMS_AT_ONCE) throw new RangeError(`at most ${ITEMS_AT_ONCE} items are told of at once, not ${count}`)
}
