// What gateways tell each other through the store without deciding anything by it: how much of it, the same for every store. Never cut to size. SPEC: STO20
import type { Part } from './store.ts'

/** In one call. */
export const PARTS_AT_ONCE = 64
/** Kept under one name. */
export const PARTS_OF_NAME = 64
export const PART_BYTES = 16_384
const NAME_MAX = 256

/** @throws RangeError */
export function assertParts(parts: readonly Part[]): void {
  if (parts.length > PARTS_AT_ONCE) throw new RangeError(`at most ${PARTS_AT_ONCE} parts are told at once, not ${parts.length}`)
  for (const { name, text, forgetAt } of parts) {
    if (name === '' || name.length > NAME_MAX) throw new RangeError(`the name of a part has 1 to ${NAME_MAX} characters, not ${name.length}`)
    if (Buffer.byteLength(text) > PART_BYTES) throw new RangeError(`a part has at most ${PART_BYTES} bytes, not ${Buffer.byteLength(text)}`)
    if (!Number.isSafeInteger(forgetAt) || forgetAt < 0) throw new RangeError(`a part is forgotten at a whole number of milliseconds, not ${forgetAt}`)
  }
}
