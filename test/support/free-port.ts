// A port of loopback that nobody has, for a program that is told its port before it binds it. For tests only.
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below what the system hands out for connections (32768 on Linux): a port from there could be some connection's own by the time it is bound. */
const FIRST = 12_000
const COUNT = 20_000
const TRIES = 200

const given = new Set<number>()

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const listening = once(server, 'listening').then(() => true, () => false) // somebody has it
  server.listen(port, '127.0.0.1')
  if (!(await listening)) return false
  server.close()
  await once(server, 'close')
  return true
}

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (given.has(port)) continue
    given.add(port)
    if (await isFree(port)) return port
  }
  throw new Error('no free port')
}
