// Starts the program beside this file and reads what it says. For tests only.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export type Said = { readonly text: string; readonly [field: string]: unknown }
export type Seen = { readonly index: number; readonly alone: boolean; readonly pid: number; readonly open: number }

const BOUND = 15_000

export class Running {
  readonly said: Said[] = []
  readonly exit: Promise<number | null>
  readonly process: ChildProcess
  readonly #heard = new Set<() => void>()
  #over = false
  port = 0

  constructor(size: number, failing = 'none') {
    const { NODE_OPTIONS: _, ...env } = process.env
    const child = spawn(process.execPath, [join(import.meta.dirname, 'program.ts'), String(size), failing], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    this.process = child
    createInterface({ input: child.stdout }).on('line', line => {
      this.said.push(JSON.parse(line) as Said) // our own program's line
      for (const look of this.#heard) look()
    })
    this.exit = once(child, 'close').then(([code]) => {
      this.#over = true
      for (const look of this.#heard) look()
      return typeof code === 'number' ? code : null
    })
  }

  /** The lines that say so, once there are that many. @throws Error after 15 s, or when the program ended without */
  async says(text: string, count = 1): Promise<readonly Said[]> {
    const found = (): readonly Said[] => this.said.filter(line => line.text === text)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const fail = (): void => reject(new Error(`${text} was said ${found().length} times, not ${count}: ${JSON.stringify(this.said)}`))
    const look = (): void => { if (found().length >= count) resolve(); else if (this.#over) fail() }
    const timer = setTimeout(fail, BOUND)
    this.#heard.add(look)
    look()
    await promise.finally(() => {
      clearTimeout(timer)
      this.#heard.delete(look)
    })
    return found()
  }

  /** Every worker listens, all on one port. */
  async listens(count: number): Promise<void> {
    const lines = await this.says('listening', count)
    this.port = Number(lines[0]?.['port'])
  }

  async get(path: string): Promise<string> {
    const sent = request({ host: '127.0.0.1', port: this.port, path, agent: false })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage] // what a response event carries
    let text = ''
    for await (const chunk of response) text += String(chunk)
    return text
  }

  async seen(path = '/seat'): Promise<Seen> { return JSON.parse(await this.get(path)) as Seen } // our own program's answer

  signal(name: NodeJS.Signals): void { this.process.kill(name) }

  async end(): Promise<void> {
    if (!this.#over) this.process.kill('SIGKILL')
    await this.exit
  }
}
