// An nginx process of the test's own, in a folder of its own, with servers from a text; it ends with the test. For tests only.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { eventually } from './redis-server.ts'

const READY_WITHIN = 10_000

const around = (servers: string): string => `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
${servers}
}
`

async function listens(port: number): Promise<true> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } finally {
    socket.destroy()
  }
}

export class Nginx {
  readonly port: number
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #onExit = (): void => void this.#child.kill('SIGKILL')

  private constructor(port: number, child: ChildProcess, folder: string) {
    this.port = port
    this.#child = child
    this.#folder = folder
    process.once('exit', this.#onExit)
  }

  /** @param servers what stands in `http`, for this port and with files of this folder */
  static async start(program: string, servers: (port: number, folder: string) => string): Promise<Nginx> {
    const [folder, port] = [mkdtempSync(join(tmpdir(), 'narrowgate-nginx-')), await freePort()]
    const file = join(folder, 'nginx.conf')
    writeFileSync(file, around(servers(port, folder)))
    const child = spawn(program, ['-p', folder, '-c', file, '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString('utf8')).slice(-8_192)))
    child.on('error', error => (said += error.message))
    const nginx = new Nginx(port, child, folder)
    try {
      await eventually(`nginx listens on ${port}`, READY_WITHIN, () => listens(port))
      return nginx
    } catch (error) {
      await nginx.stop()
      throw new Error(`nginx did not start: ${said}`, { cause: error })
    }
  }

  async stop(): Promise<void> {
    process.off('exit', this.#onExit)
    const running = this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
    if (running) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await ended
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
