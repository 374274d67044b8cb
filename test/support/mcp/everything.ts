// @modelcontextprotocol/server-everything as its users start it: its own program, over streamable HTTP, on a port of loopback. For tests only.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from '../free-port.ts'
import { seen } from './runbooks.ts'

const PROGRAM = fileURLToPath(new URL('../../../node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url))

export type Everything = { readonly origin: string; readonly close: () => Promise<void> }

export async function startEverything(): Promise<Everything> {
  const port = await freePort()
  const child = spawn(process.execPath, [PROGRAM, 'streamableHttp'], { env: { ...process.env, PORT: String(port) }, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  let heard = ''
  child.stderr.on('data', chunk => (heard += String(chunk)))
  await seen('the server listens', () => (heard.includes('listening') ? true : null))
  return {
    origin: `http://127.0.0.1:${port}`,
    close: async () => {
      child.kill('SIGKILL') // it waits for its streams otherwise
      await ended
    },
  }
}
