// A caller's WebSocket on a raw socket of its own (RFC 6455): it reads frames and is over with the Close frame, or with its connection where there is none.
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { type Caller, HOST } from './caller.ts'
import { headOf } from './http1-stream.ts'
import { Opening, type OpenStream } from './open-stream.ts'

const CLOSE = 8
/** A Close of 1008, masked by zeros. */
const CLOSE_BACK = Buffer.from([0x80 | CLOSE, 0x82, 0, 0, 0, 0, 0x03, 0xf0])

/** Length of the frame that begins here, which a server does not mask; Infinity where its own head is not here yet. */
function frameLength(bytes: Buffer): number {
  const said = (bytes[1] ?? 0) & 0x7f
  const head = said === 127 ? 10 : said === 126 ? 4 : 2
  if (bytes.length < head) return Infinity
  return head + (said === 127 ? Number(bytes.readBigUInt64BE(2)) : said === 126 ? bytes.readUInt16BE(2) : said)
}

/** Resolves with the first whole frame. @throws Error for any other answer than 101 */
export function openWebSocket(port: number, path: string, caller: Caller): Promise<OpenStream> {
  const socket = connect({ port, host: HOST, noDelay: true })
  const opening = new Opening(path, () => socket.destroy())
  let rest: Buffer = Buffer.alloc(0)
  const frames = (chunk: Buffer): void => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let length = frameLength(rest); length <= rest.length; length = frameLength(rest)) {
      if (((rest[0] ?? 0) & 0x0f) === CLOSE) {
        opening.over()
        socket.end(CLOSE_BACK)
      } else opening.begun()
      rest = rest.subarray(length)
    }
  }
  const begins = (chunk: Buffer): void => {
    rest = Buffer.concat([rest, chunk])
    const body = rest.indexOf('\r\n\r\n') + 4
    if (body < 4) return
    const head = rest.toString('latin1', 0, body)
    if (!head.startsWith('HTTP/1.1 101')) return opening.broken(`was answered ${rest.toString('latin1')}`)
    const behind = rest.subarray(body)
    rest = Buffer.alloc(0)
    socket.off('data', begins).on('data', frames)
    frames(behind)
  }
  socket.on('data', begins).on('end', () => opening.over()).on('error', () => opening.over()).on('close', () => opening.over())
  socket.write(`${headOf(path, caller)}connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString('base64')}\r\n\r\n`)
  return opening.opened
}
