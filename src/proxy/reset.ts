// A TCP connection ended at once by a reset, which drops what waits in it. SPEC: ENF6
import type { Socket } from 'node:net'

/**
 * Where its own end is just going out, nothing waits in this process any more, the system refuses a reset, and node would then lose its descriptor: it is closed.
 * @param raw the TCP socket @param spoken the one that is written to: the same, or TLS above it
 */
export function reset(raw: Socket, spoken: Socket = raw): void {
  if (raw.destroyed) return
  if (spoken.writableEnded && !spoken.writableFinished && spoken.writableLength === 0) raw.destroy()
  else raw.resetAndDestroy()
}
