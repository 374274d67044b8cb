// HTTP/2 as bytes: frames written one by one, right or wrong, and what comes back read as frames. Header blocks are literals, never indexed. For tests only.
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Target } from './raw-client.ts'

export const FRAME = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, push: 5, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4, padded: 8 } as const
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export type Frame = { readonly type: number; readonly flags: number; readonly stream: number; readonly payload: Buffer }
export type Field = readonly [name: string, value: string]

export function frame(type: number, flags: number, stream: number, payload: Uint8Array | string = ''): Buffer {
  const bytes = Buffer.from(payload as string, 'latin1') // of bytes the encoding is ignored
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, bytes])
}

/** An HPACK integer behind a prefix of so many bits. */
function integer(value: number, bits: number, first: number): Buffer {
  const most = 2 ** bits - 1
  if (value < most) return Buffer.from([first | value])
  const bytes = [first | most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

const text = (value: string): Buffer => Buffer.concat([integer(value.length, 7, 0), Buffer.from(value, 'latin1')])

/** Literal fields; with `indexed` the peer keeps each in its dynamic table. */
export const block = (fields: readonly Field[], indexed = false): Buffer => Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([indexed ? 0x40 : 0]), text(name), text(value)])))

/** A field of the dynamic table, the newest being 62. */
export const indexed = (index: number): Buffer => integer(index, 7, 0x80)

export const requestFields = (method: string, path: string, more: readonly Field[] = [], scheme = 'http'): readonly Field[] => [[':method', method], [':scheme', scheme], [':authority', 'api.test'], [':path', path], ...more]

export const headers = (stream: number, fields: readonly Field[], flags: number = FLAG.endHeaders | FLAG.endStream): Buffer => frame(FRAME.headers, flags, stream, block(fields))

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
export const reset = (stream: number, code: number): Buffer => frame(FRAME.reset, 0, stream, uint32(code))
export const windowUpdate = (stream: number, increment: number): Buffer => frame(FRAME.windowUpdate, 0, stream, uint32(increment))

const DEADLINE = 10_000

/** A connection of frames: sends what it is given and keeps what comes back. */
export class FrameClient {
  readonly frames: Frame[] = []
  /** Settles when the connection is over. Never rejects. */
  readonly ended: Promise<void>
  over = false
  readonly #socket: Socket
  #rest: Buffer = Buffer.alloc(0)
  #wake = Promise.withResolvers<void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    const ended = Promise.withResolvers<void>()
    this.ended = ended.promise
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.over = true
      ended.resolve()
      this.#signal()
    })
  }

  /** Connects and says the preface and empty settings, unless told otherwise. */
  static async connect({ port, host = '127.0.0.1', tls }: Target, first: Uint8Array = Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)])): Promise<FrameClient> {
    const socket = tls ? connectTls({ port, host, ca: tls.ca, servername: tls.servername ?? 'api.test', ALPNProtocols: ['h2'] }) : connectTcp({ port, host })
    socket.setNoDelay(true)
    const client = new FrameClient(socket)
    await once(socket, tls ? 'secureConnect' : 'connect')
    client.push(first)
    return client
  }

  /** @returns false when the system takes no more for now */
  push(bytes: Uint8Array): boolean { return !this.#socket.destroyed && this.#socket.write(bytes) }

  /** Pushes and waits where the system takes no more; ends early when the connection does. */
  async pour(bytes: Uint8Array): Promise<void> {
    if (!this.push(bytes) && !this.over) await Promise.race([once(this.#socket, 'drain').catch(() => {}), this.ended])
  }

  /** The first frame that fits, from those that came on; undefined when the connection ended without. */
  async first(fits: (frame: Frame) => boolean, ms = DEADLINE): Promise<Frame | undefined> {
    await this.until(() => this.over || this.frames.some(fits), ms)
    return this.frames.find(fits)
  }

  async until(holds: () => boolean, ms = DEADLINE): Promise<void> {
    const late = setTimeout(() => this.#wake.reject(new Error(`not within ${ms} ms; ${this.frames.length} frames, ${this.over ? 'over' : 'open'}`)), ms)
    try {
      while (!holds()) await this.#wake.promise
    } finally {
      clearTimeout(late)
    }
  }

  close(): void { this.#socket.destroy() }

  /** Half-closes: nothing more is said. */
  end(): void { this.#socket.end() }

  /** Stops reading: what comes stays in the system's buffers. */
  pause(): void { this.#socket.pause() }

  resume(): void { this.#socket.resume() }

  #take(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk])
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const end = 9 + bytes.readUIntBE(0, 3)
      this.frames.push({ type: bytes.readUInt8(3), flags: bytes.readUInt8(4), stream: bytes.readUInt32BE(5) & 0x7fffffff, payload: bytes.subarray(9, end) })
      bytes = bytes.subarray(end)
    }
    this.#rest = bytes
    this.#signal()
  }

  #signal(): void {
    const wake = this.#wake
    this.#wake = Promise.withResolvers<void>()
    wake.resolve()
  }
}
