// The last frames the gateway writes: a Close where the stream stands between two frames and nothing of ours waits for the socket, so that it can
// be read as one; else nothing but a reset. The cut waits for none of it. SPEC: WIRE18, ENF6
import type { Socket } from 'node:net'
import { newNonce } from '../../runtime/id.ts'
import type { CallerStream } from '../arrival.ts'
import { closeFrame } from './frames.ts'
import type { Lane } from './lane.ts'

/** Longest a polite end may take, in milliseconds. */
const GRACE = 250

/** Four bytes nobody foresees. */
export const maskKey = (): Buffer => Buffer.from(newNonce(), 'hex').subarray(0, 4)

/** @param up what was handed to it */
export function endUpstream(upstream: Socket, up: Lane, code: number): void {
  if (!up.between || up.closing || upstream.writableLength > 0 || !upstream.writable) return
  upstream.write(closeFrame(code, '', maskKey()))
  upstream.destroy()
}

/** @param down what was handed to it; null before */
export function endCaller({ socket, reset }: CallerStream, down: Lane | null, code: number, reason: string): void {
  if (down?.between !== true || socket.writableLength > 0 || !socket.writable) return reset()
  if (!down.closing) socket.write(closeFrame(code, reason, null))
  socket.end()
  socket.resume() // what it answers is read, so that ours is not lost in a reset
  const timer = setTimeout(() => socket.destroy(), GRACE).unref()
  socket.once('close', () => clearTimeout(timer))
}
