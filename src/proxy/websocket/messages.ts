// Rules on single messages: whole ones out of a caller's frames, and what a rule says of each. A message is read where it is about to be
// handed over, by the rule of that moment; what cannot be read is not let through. SPEC: WIRE18
import type { MessageRules } from '../../core/route.ts'
import { isAmbiguousJson } from '../../identity/strict-json.ts'
import type { Clock } from '../../runtime/clock.ts'
import { closeCode, TOO_BIG, UNSUPPORTED } from './close-code.ts'
import { FrameTracker, isControl, xorMask } from './frames.ts'

/** Why a message ends the exchange, and the code of the Close frame. */
export type Objection = { readonly reason: 'denied' | 'limit_reached'; readonly code: number }

const DENIED: Objection = { reason: 'denied', code: closeCode('denied') }
const TOO_LARGE: Objection = { reason: 'limit_reached', code: TOO_BIG }
const TOO_MANY: Objection = { reason: 'limit_reached', code: closeCode('limit_reached') }
const BINARY: Objection = { reason: 'denied', code: UNSUPPORTED }

const TEXT = 1
/** Where a rule says nothing; no rule may say more. */
const MESSAGE_MAX = 16_777_216
/** Of frame headers in one message. */
const HEADERS_MAX = 65_536

export class MessageReader {
  readonly #frames = new FrameTracker(true, false)
  /** Pieces of the frame it stands in, and of the message whose frames came whole. */
  #frame: Buffer[] = []
  #message: Buffer[] = []
  #payload = 0
  #raw = 0

  /** It holds the beginning of something. */
  get partial(): boolean { return this.#frame.length > 0 || this.#message.length > 0 }

  /** @returns control frames and messages that are whole now, each as it came; or what is wrong */
  take(chunk: Buffer, { maxBytes }: MessageRules): Buffer[] | Objection | 'broken' {
    const whole: Buffer[] = []
    const most = maxBytes ?? MESSAGE_MAX
    for (let at = 0; at < chunk.length;) {
      const { frames } = this.#frames
      const end = this.#frames.step(chunk, at)
      if (this.#frames.broken) return 'broken'
      this.#frame.push(chunk.subarray(at, end))
      this.#raw += end - at
      if (this.#frames.frames > frames && !isControl(this.#frames.opcode)) this.#payload += this.#frames.length
      if (this.#payload > most || this.#raw > most + HEADERS_MAX) return TOO_LARGE
      if (this.#frames.between) this.#frameEnded(whole)
      at = end
    }
    return whole
  }

  #frameEnded(whole: Buffer[]): void {
    const frame = this.#frame.length === 1 ? this.#frame[0] ?? Buffer.alloc(0) : Buffer.concat(this.#frame)
    this.#frame = []
    if (isControl(this.#frames.opcode)) {
      this.#raw -= frame.length
      return void whole.push(frame)
    }
    this.#message.push(frame)
    if (!this.#frames.fin) return
    whole.push(Buffer.concat(this.#message))
    this.#message = []
    this.#payload = this.#raw = 0
  }
}

/** Opcode and unmasked payload of the whole frames of one message, or of one control frame. */
function payloadOf(bytes: Buffer): { readonly opcode: number; readonly payload: Buffer } {
  const frames = new FrameTracker(true, false)
  const parts: Buffer[] = []
  let opcode = 0
  for (let at = 0; at < bytes.length;) {
    at = frames.step(bytes, at)
    if (opcode === 0) opcode = frames.opcode
    const { left } = frames
    if (left > 0) parts.push(xorMask(Buffer.from(bytes.subarray(at, at + left)), frames.mask))
    if (left > 0) at = frames.step(bytes, at)
  }
  return { opcode, payload: Buffer.concat(parts) }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** undefined where it is not JSON with one reading. */
function parsed(payload: Buffer): unknown {
  try {
    const text = strict.decode(payload)
    const value: unknown = JSON.parse(text)
    return isAmbiguousJson(text) ? undefined : value
  } catch {
    return undefined // not UTF-8, or not JSON
  }
}

/** @param pointer RFC 6901 */
function memberOf(value: unknown, pointer: string): unknown {
  let at = value
  for (const step of pointer.split('/').slice(1).map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, step)) return undefined
    at = Reflect.get(at, step)
  }
  return at
}

function keepsFields(payload: Buffer, fields: MessageRules['fields']): boolean {
  const value = parsed(payload)
  if (value === undefined) return false
  for (const [pointer, allowed] of fields) {
    const member = memberOf(value, pointer)
    if (typeof member !== 'string' || !allowed.has(member)) return false
  }
  return true
}

/** Judges each message of one tunnel, and counts them. */
export class MessageJudge {
  readonly #clock: Clock
  #tokens = 0
  #filledAt: number | null = null

  constructor(clock: Clock) { this.#clock = clock }

  /** @param bytes the whole frames of one message, or one control frame */
  objection(bytes: Buffer, { maxBytes, perSecond, fields }: MessageRules): Objection | null {
    const { opcode, payload } = payloadOf(bytes)
    if (isControl(opcode)) return null
    if (payload.length > (maxBytes ?? MESSAGE_MAX)) return TOO_LARGE // the rule may be another than when it came
    if (perSecond !== null && !this.#takes(perSecond)) return TOO_MANY
    if (fields.size === 0) return null
    if (opcode !== TEXT) return BINARY
    return keepsFields(payload, fields) ? null : DENIED
  }

  /** A second's worth at once, then as many as time brings. */
  #takes(perSecond: number): boolean {
    const now = this.#clock.elapsed()
    this.#tokens = this.#filledAt === null ? perSecond : Math.min(perSecond, this.#tokens + ((now - this.#filledAt) / 1000) * perSecond)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
