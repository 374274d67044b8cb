// Where the demo's servers listen: on loopback only, at the wanted port where it is free.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'

/** @throws RangeError when the server does not listen on a TCP port */
export function originOf(server: Server): string {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new RangeError('the server listens on no port')
  return `http://127.0.0.1:${address.port}`
}

/** The wanted port as text, or `0` (the system chooses) where somebody has it already. */
export async function freePort(wanted: string): Promise<string> {
  const probe = createServer()
  try {
    probe.listen(Number(wanted), '127.0.0.1')
    await once(probe, 'listening')
  } catch {
    return '0'
  }
  const closed = once(probe, 'close')
  probe.close()
  await closed
  return wanted
}
