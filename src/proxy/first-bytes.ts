// The first bytes of a connection, looked at before a protocol takes it over: what is not used goes back, in order and without a loss. SPEC: WIRE16, WIRE23
import type { Socket } from 'node:net'

/** `used` bytes belong to whoever looked; the rest is the protocol's. */
export type Finding<T> = { readonly found: T; readonly used: number }

type Looking<T> = {
  /** Milliseconds for all of it. */
  readonly within: number
  /** Of all bytes so far, at least one; null while they do not tell. It has to tell in the end. */
  readonly look: (bytes: Buffer) => Finding<T> | null
  readonly told: (found: T) => void
  /** They did not tell in time. The socket is still open, and paused. */
  readonly late: () => void
}

/** A socket that ends before its bytes told anything is closed. */
export function firstBytes<T>(socket: Socket, { within, look, told, late }: Looking<T>): void {
  let seen: Buffer = Buffer.alloc(0)
  const stop = (): void => {
    clearTimeout(timer)
    socket.off('readable', read)
    socket.off('end', ended)
    socket.off('close', stop)
  }
  const read = (): void => {
    const bytes: Buffer | null = socket.read()
    if (bytes === null) return
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
    const finding = look(seen)
    if (finding === null) return
    stop()
    if (finding.used < seen.length) socket.unshift(seen.subarray(finding.used))
    told(finding.found)
  }
  const ended = (): void => void socket.destroy()
  const timer = setTimeout(() => {
    stop()
    late()
  }, within)
  socket.on('readable', read)
  socket.once('end', ended)
  socket.once('close', stop)
}
