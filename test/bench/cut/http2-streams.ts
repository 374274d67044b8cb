// A caller's HTTP/2 connection as frames (RFC 9113), with the streams of one session: each is over with its RST_STREAM or END_STREAM.
// A connection that ends takes no stream with it unnoticed: those still open count as broken. Windows are as large as they can be, so that nothing waits here.
import { connect, type Socket } from 'node:net'
import { type Field, FLAG, FRAME, type Frame, frame, headers, PREFACE, windowUpdate } from '../../support/http2-frames.ts'
import { type Caller, HOST } from './caller.ts'
import { Opening, type OpenStream } from './open-stream.ts'

const HEAD = 9
const MOST = 0x7fffffff
const DEFAULT_WINDOW = 65_535
/** SETTINGS_INITIAL_WINDOW_SIZE. */
const WIDE = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])
/** `:status: 200`, as HPACK has it in its static table (RFC 7541, appendix A): an answer's block begins with it. */
const OK = 0x88

export class Http2Streams {
  readonly #socket: Socket
  readonly #caller: Caller
  readonly #open = new Map<number, Opening>()
  #rest: Buffer = Buffer.alloc(0)
  #next = 1
  #left = false

  constructor(port: number, caller: Caller) {
    this.#caller = caller
    this.#socket = connect({ port, host: HOST, noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk)).on('error', () => {}).on('end', () => this.#gone('ended')).on('close', () => this.#gone('was closed'))
    this.#socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, WIDE), windowUpdate(0, MOST - DEFAULT_WINDOW)]))
  }

  /** Resolves with the first bytes of the answer's body. @throws Error for any other answer than 200 */
  open(path: string): Promise<OpenStream> {
    const opening = new Opening(path, () => this.#close())
    if (this.#left || this.#socket.destroyed) opening.broken('has no connection')
    const fields: readonly Field[] = [[':method', 'GET'], [':scheme', 'http'], [':authority', HOST], [':path', path], ...this.#caller.fields]
    this.#open.set(this.#next, opening)
    this.#socket.write(headers(this.#next, fields))
    this.#next += 2
    return opening.opened
  }

  #close(): void {
    this.#left = true
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (bytes.length >= HEAD && bytes.length >= HEAD + bytes.readUIntBE(0, 3)) {
      const end = HEAD + bytes.readUIntBE(0, 3)
      this.#take({ type: bytes.readUInt8(3), flags: bytes.readUInt8(4), stream: bytes.readUInt32BE(5) & MOST, payload: bytes.subarray(HEAD, end) })
      bytes = bytes.subarray(end)
    }
    this.#rest = bytes
  }

  #take({ type, flags, stream, payload }: Frame): void {
    if (type === FRAME.goaway) return this.#gone(`was told GOAWAY ${payload.readUInt32BE(4)}`)
    if ((type === FRAME.settings || type === FRAME.ping) && (flags & FLAG.ack) === 0) return void this.#socket.write(frame(type, FLAG.ack, 0, type === FRAME.ping ? payload : ''))
    const opening = this.#open.get(stream)
    if (opening === undefined) return
    const ends = (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0
    if (type === FRAME.headers && !ends && payload[0] !== OK) opening.broken('was not answered 200')
    if (type === FRAME.data && payload.length > 0) opening.begun()
    if (!ends && type !== FRAME.reset) return
    opening.over()
    this.#open.delete(stream)
  }

  #gone(how: string): void {
    for (const opening of this.#open.values()) {
      if (this.#left) opening.over()
      else opening.broken(`lost its connection, which ${how}`)
    }
    this.#open.clear()
  }
}
