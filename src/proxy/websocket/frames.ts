// WebSocket frames as they pass (RFC 6455 §5): their headers followed in one direction without copying a byte, so that it is known where the
// stream stands between two of them, and whether they are well-formed; and the few frames the gateway writes itself. SPEC: WIRE18
const CLOSE = 8
const PONG = 10
const HEADER_MAX = 14
const CONTROL_MAX = 125
const REASON_MAX = 123

export const isControl = (opcode: number): boolean => opcode >= CLOSE

function headerLength(second: number): number {
  const length = second & 127
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 128 ? 4 : 0)
}

export class FrameTracker {
  /** Of the frame whose header came last; its `mask` counts where frames are masked. */
  opcode = 0
  fin = true
  length = 0
  readonly mask = Buffer.alloc(4)
  /** Frames whose header came whole. */
  frames = 0
  /** Bytes of the payload that are still to come. */
  left = 0
  /** A Close frame has begun: no data comes behind it. */
  closing = false
  broken = false
  readonly #masked: boolean
  readonly #deflate: boolean
  readonly #header = Buffer.alloc(HEADER_MAX)
  #have = 0
  #need = 2
  #fragmented = false

  /** @param masked frames of this direction are: a client's @param deflate permessage-deflate was agreed on, so that RSV1 has a meaning */
  constructor(masked: boolean, deflate: boolean) {
    this.#masked = masked
    this.#deflate = deflate
  }

  /** Stands between two frames. */
  get between(): boolean { return this.left === 0 && this.#have === 0 && !this.broken }

  /** @returns whether all of it is well-formed so far */
  follow(chunk: Buffer): boolean {
    for (let at = 0; at < chunk.length && !this.broken;) at = this.step(chunk, at)
    return !this.broken
  }

  /** Follows `chunk` from `at` to the end of the header or payload it stands in. @returns where that is */
  step(chunk: Buffer, at: number): number {
    if (this.left > 0) {
      const end = Math.min(chunk.length, at + this.left)
      this.left -= end - at
      return end
    }
    while (at < chunk.length && this.#have < this.#need) {
      this.#header[this.#have++] = chunk[at++] ?? 0
      if (this.#have === 2) this.#need = headerLength(this.#header[1] ?? 0)
    }
    if (this.#have === this.#need) this.#begin()
    return at
  }

  #begin(): void {
    const [first = 0, second = 0] = this.#header
    const length = this.#length(second & 127)
    this.opcode = first & 15
    this.fin = (first & 128) !== 0
    this.broken = length === null || ((second & 128) !== 0) !== this.#masked || !this.#fits(first & 112, length)
    if (this.broken || length === null) return
    if (this.#masked) this.#header.copy(this.mask, 0, this.#need - 4, this.#need)
    if (!isControl(this.opcode)) this.#fragmented = !this.fin
    if (this.opcode === CLOSE) this.closing = true
    this.length = this.left = length
    this.frames++
    this.#have = 0
    this.#need = 2
  }

  /** null when it is longer than any number of ours, or not written in the fewest bytes. */
  #length(short: number): number | null {
    if (short < 126) return short
    const length = short === 126 ? this.#header.readUInt16BE(2) : Number(this.#header.readBigUInt64BE(2))
    return length > Number.MAX_SAFE_INTEGER || length <= (short === 126 ? 125 : 65_535) ? null : length
  }

  #fits(reserved: number, length: number): boolean {
    const { opcode } = this
    if (isControl(opcode)) return opcode <= PONG && this.fin && reserved === 0 && length <= CONTROL_MAX && !(opcode === CLOSE && length === 1)
    if (opcode > 2 || this.closing || (opcode === 0) !== this.#fragmented) return false
    return reserved === 0 || (reserved === 64 && this.#deflate && opcode !== 0)
  }
}

/** Masks or unmasks in place. */
export function xorMask(payload: Buffer, mask: Buffer): Buffer {
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0)
  return payload
}

type ControlFrame = { readonly is: 'ping' | 'pong' | 'close'; readonly end: number; /** Unmasked. */ readonly payload: Buffer }

/** The control frame that begins at `at`, between two frames; `data` also where it is none that this direction may have. */
export function controlAt(bytes: Buffer, at: number, masked: boolean): ControlFrame | 'data' | 'more' {
  if (bytes.length === at) return 'more'
  const is = (['close', 'ping', 'pong'] as const)[(bytes[at] ?? 0) - (128 | CLOSE)]
  if (is === undefined) return 'data'
  if (bytes.length < at + 2) return 'more'
  const second = bytes[at + 1] ?? 0
  const length = second & 127
  if (length > CONTROL_MAX || ((second & 128) !== 0) !== masked) return 'data'
  const start = at + (masked ? 6 : 2)
  const end = start + length
  if (bytes.length < end) return 'more'
  const payload = Buffer.from(bytes.subarray(start, end))
  return { is, end, payload: masked ? xorMask(payload, bytes.subarray(start - 4, start)) : payload }
}

/** @param mask four random bytes towards a server, null towards a client */
function controlFrame(opcode: number, payload: Buffer, mask: Buffer | null): Buffer {
  const head = Buffer.from([128 | opcode, (mask === null ? 0 : 128) | payload.length])
  return mask === null ? Buffer.concat([head, payload]) : Buffer.concat([head, mask, xorMask(Buffer.from(payload), mask)])
}

/** As many whole characters of the reason as fit. */
export function closeFrame(code: number, reason: string, mask: Buffer | null): Buffer {
  const room = Buffer.alloc(REASON_MAX)
  const payload = Buffer.concat([Buffer.from([code >> 8, code & 255]), room.subarray(0, room.write(reason, 'utf8'))])
  return controlFrame(CLOSE, payload, mask)
}

export const pongFrame = (payload: Buffer, mask: Buffer | null): Buffer => controlFrame(PONG, payload, mask)
