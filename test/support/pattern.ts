// Content that can be checked at any offset: blocks of 64 octets, the block's number in hexadecimal and a fixed tail.
// A byte lost, doubled or changed anywhere shows within eight bytes of where it happened.
const BLOCK = 64
const FILLER = ':ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-\n'

/** The bytes [offset, offset + length) of the pattern. */
export function patternAt(offset: number, length: number): Buffer {
  const first = Math.floor(offset / BLOCK)
  const last = Math.ceil((offset + length) / BLOCK)
  let text = ''
  for (let block = first; block < last; block++) text += block.toString(16).padStart(BLOCK - FILLER.length, '0') + FILLER
  return Buffer.from(text, 'latin1').subarray(offset - first * BLOCK, offset - first * BLOCK + length)
}

/** First offset at which `bytes`, said to start at `offset`, differ from the pattern; null when they do not. */
export function firstMismatch(bytes: Uint8Array, offset = 0): number | null {
  const expected = patternAt(offset, bytes.length)
  if (expected.equals(bytes)) return null
  return offset + expected.findIndex((byte, i) => byte !== bytes[i])
}
