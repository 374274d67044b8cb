// What http-proxy writes before there is a tunnel: one head, and the body of an ordinary answer behind it, whole or not at all.
// Bounded; it says no more than what the upstream's client parsed. SPEC: WIRE18
import type { AnswerHead } from '../../upstream/handler.ts'

const HEAD_MAX = 65_536
const BODY_MAX = 65_536
/** Of sizes and line ends, where the body was cut into chunks. */
const FRAMING_MAX = 65_536
const HEAD_END = '\r\n\r\n'

/** null where it is no head. */
function headOf(text: string): AnswerHead | null {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3}) (.*)$/.exec(first)
  if (status === null) return null
  const headers: string[] = []
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) return null
    headers.push(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return { status: Number(status[1]), text: status[2] ?? '', headers }
}

/** null where the chunks are not whole. */
function joined(bytes: Buffer): Buffer | null {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at)
    const size = line === -1 ? '' : bytes.toString('latin1', at, line)
    if (!/^[0-9a-f]{1,8}$/.test(size)) return null
    const length = Number.parseInt(size, 16)
    if (length === 0) return bytes.length === line + 4 ? Buffer.concat(chunks) : null
    chunks.push(bytes.subarray(line + 2, line + 2 + length))
    at = line + 2 + length + 2
  }
  return null
}

export class UpstreamAnswer {
  head: AnswerHead | null = null
  readonly #pieces: Buffer[] = []
  #size = 0

  /** @returns false when it is more than is taken, or no head */
  take(piece: Buffer): boolean {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.head !== null) return this.#size <= BODY_MAX + FRAMING_MAX
    const bytes = Buffer.concat(this.#pieces)
    const end = bytes.indexOf(HEAD_END)
    if (end === -1) return this.#size <= HEAD_MAX
    this.head = headOf(bytes.toString('latin1', 0, end))
    const rest = bytes.subarray(end + HEAD_END.length)
    this.#pieces.splice(0, this.#pieces.length, rest)
    this.#size = rest.length
    return this.head !== null
  }

  /** null where it is not whole, or longer than is relayed. */
  body(): Buffer | null {
    if (this.head === null) return null
    const { status, headers } = this.head
    const lower = headers.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text))
    const bytes = Buffer.concat(this.#pieces)
    const body = lower.includes('transfer-encoding') ? joined(bytes) : bytes
    const length = lower.indexOf('content-length')
    if (body === null || body.length > BODY_MAX) return null
    return length === -1 || status === 304 || Number(headers[length + 1]) === body.length ? body : null
  }
}
