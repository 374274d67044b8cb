// Where a run of the bench lives: a temporary folder, free loopback ports and the processes it started, each pinned to a core.
// Ends only what it started, by id; nothing waits without a limit.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { descendants } from './cpu.ts'
import type { Programs } from './programs.ts'
import { freePort } from '../support/free-port.ts'

/** Every proxy, and what decides for it, runs here. */
export const PROXY_CORE = 0
/** Load generator and upstream run here. */
export const LOAD_CORE = 1

const READY_WITHIN_MS = 20_000
const STOP_WITHIN_MS = 15_000
const OUTPUT_KEPT = 8_192

const runFile = promisify(execFile)

export type Started = { readonly name: string; readonly pid: number; readonly child: ChildProcess; /** The last 8 KiB of what it printed. */ readonly output: () => string }

const hasEnded = ({ child }: Started): boolean => child.exitCode !== null || child.signalCode !== null

export class Workbench {
  readonly programs: Programs
  readonly #root: string
  readonly #started: Started[] = []
  readonly #abort = new AbortController()
  readonly #ports = new Set<number>()

  constructor(programs: Programs) {
    this.programs = programs
    this.#root = mkdtempSync(join(tmpdir(), 'narrowgate-bench-'))
    chmodSync(this.#root, 0o711) // nginx workers may run as another user
  }

  /** A folder of its own. */
  folder(name: string): string {
    const path = join(this.#root, name)
    mkdirSync(path, { mode: 0o711 })
    return path
  }

  /** A loopback port nobody listens on now and no earlier call was given. */
  async port(): Promise<number> {
    for (let tries = 0; tries < 100; tries++) {
      const port = await freePort()
      if (this.#ports.has(port)) continue
      this.#ports.add(port)
      return port
    }
    throw new Error('no free port')
  }

  /** Starts a program pinned to a core; it runs until `close`. */
  start(name: string, core: number, command: string, args: readonly string[]): Started {
    const child = spawn(this.programs.taskset, ['-c', String(core), command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-OUTPUT_KEPT)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', error => keep(Buffer.from(error.message)))
    const started: Started = { name, pid: child.pid ?? -1, child, output: () => output }
    if (child.pid === undefined) throw new Error(`${name} could not be started`)
    this.#started.push(started)
    return started
  }

  /** Runs a pinned program to its end and answers its standard output; any other exit code than 0 throws. */
  async run(core: number, command: string, args: readonly string[], withinMs: number): Promise<string> {
    const options = { timeout: withinMs, killSignal: 'SIGKILL', maxBuffer: 1 << 20, signal: this.#abort.signal } as const
    const { stdout } = await runFile(this.programs.taskset, ['-c', String(core), command, ...args], options)
    return stdout
  }

  /** An nginx from a configuration file of this folder, with its `@NAMES@` filled in. */
  startNginx(name: string, core: number, file: string, values: { readonly [name: string]: string }, prefix = this.folder(name)): Started {
    const template = readFileSync(join(import.meta.dirname, file), 'utf8')
    const path = join(prefix, 'nginx.conf')
    writeFileSync(path, template.replace(/@([A-Z]+)@/g, (whole, key: string) => values[key] ?? whole))
    return this.start(name, core, this.programs.nginx, ['-p', prefix, '-c', path, '-e', 'stderr'])
  }

  /** Asks until the probe holds; throws with the program's last words when it ends first or the time is up. */
  async ready(started: Started, probe: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS
    while (performance.now() < deadline && !hasEnded(started)) {
      if (await probe().catch(() => false)) return
      await wait(50)
    }
    const why = hasEnded(started) ? `ended with ${started.child.exitCode ?? started.child.signalCode}` : `was not ready within ${READY_WITHIN_MS / 1_000} s`
    throw new Error(`${started.name} ${why}\n${started.output()}`)
  }

  /** Ends everything that was started and removes the folder. */
  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all(this.#started.splice(0).map(stop))
    rmSync(this.#root, { recursive: true, force: true })
  }
}

/** A polite signal first; what does not listen within the limit is killed with its descendants. */
async function stop(started: Started): Promise<void> {
  const ended = once(started.child, 'exit')
  if (hasEnded(started)) return
  const ids = descendants(started.pid)
  started.child.kill('SIGTERM')
  const late = new AbortController()
  const inTime = await Promise.race([ended.then(() => true), wait(STOP_WITHIN_MS, false, { signal: late.signal }).catch(() => false)])
  late.abort()
  if (!inTime) for (const id of ids) kill(id)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone already
  }
}
