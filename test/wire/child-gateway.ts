// A gateway as operators run it: `narrowgate run` in a process of its own, for what a test's own process cannot do to itself: be stopped, or killed.
// It dies with the test. For tests only.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { GatewayPlan } from '../support/gateway.ts'
import { type Target } from '../support/raw-client.ts'
import type { TokenIssuer } from '../support/token-issuer.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const VERB_FOR = 20_000

const indented = (text: string): string => text.trim().split('\n').map(line => `  ${line}`).join('\n')

const configText = (directory: string, { routes, elevations = '', baseline, more = '', store = '{}' }: GatewayPlan, { issuer }: TokenIssuer): string => `
version: 1
stateDir: ${directory}/state
server:
  workers: 1
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
  login: { jwt: { issuer: "${issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions: { baseline: ${baseline ?? '[]'} }
routes:
${indented(routes)}
${elevations === '' ? '' : `elevations:\n${indented(elevations)}`}
${more}
store: ${store}
`

/** How a command of the program ended, and what it wrote. */
export type Told = { readonly exit: number | null; readonly out: string; readonly err: string }

const environment = (): NodeJS.ProcessEnv => {
  const { NODE_OPTIONS: _, ...env } = process.env
  return env
}

/** A command of the program, in a process of its own. Nothing else of this process runs meanwhile. */
export function program(...words: readonly string[]): Told {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], { env: environment(), encoding: 'utf8', timeout: VERB_FOR })
  return { exit: status, out: stdout, err: stderr }
}

export class ChildGateway {
  readonly target: Target
  readonly directory: string
  readonly #child: ChildProcess
  readonly #admin: number

  private constructor(child: ChildProcess, directory: string, ports: ReadonlyMap<string, number>) {
    this.#child = child
    this.directory = directory
    this.target = { port: ports.get('main') ?? 0 }
    this.#admin = ports.get('admin') ?? 0
  }

  /** Resolves when it listens. */
  static async start(plan: GatewayPlan, issuer: TokenIssuer): Promise<ChildGateway> {
    const directory = mkdtempSync(join(tmpdir(), 'ng-child-'))
    const file = join(directory, 'gateway.yaml')
    await issuer.writeJwks(join(directory, 'jwks.json'))
    writeFileSync(file, configText(directory, plan, issuer))
    if (plan.store?.includes('redis') !== true) program('store', 'init', '-c', file) // else the stage has
    const child = spawn(process.execPath, [MAIN, 'run', '-c', file], { env: environment(), stdio: ['ignore', 'pipe', 'inherit'] })
    process.once('exit', () => child.kill('SIGKILL'))
    return new ChildGateway(child, directory, await portsOf(child))
  }

  get pid(): number { return this.#child.pid ?? 0 }

  /** What an operator types; how it ended. */
  verb(...words: readonly string[]): Told {
    return program(...words, '--server', `http://127.0.0.1:${this.#admin}`, '--token-file', join(this.directory, 'state/admin.token'))
  }

  /** Its trail as far as it is written. */
  trail(): readonly Record<string, unknown>[] {
    const text = readFileSync(join(this.directory, 'state/trail.jsonl'), 'utf8')
    return text.slice(0, text.lastIndexOf('\n')).split('\n').map(line => JSON.parse(line) as Record<string, unknown>) // its lines are objects
  }

  /** SIGSTOP: its connections stay open, and nothing of it runs. */
  stand(): void { this.#child.kill('SIGSTOP') }
  goOn(): void { this.#child.kill('SIGCONT') }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const over = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await over
  }

  async dispose(): Promise<void> {
    await this.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Its log tells where it listens. */
async function portsOf(child: ChildProcess): Promise<ReadonlyMap<string, number>> {
  if (child.stdout === null) throw new Error('its output is a pipe')
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, listeners } = JSON.parse(line) as { readonly msg?: string; readonly listeners?: readonly string[] } // a line of its log
    if (msg !== 'listening' || listeners === undefined) continue
    child.stdout.resume()
    return new Map(listeners.map(text => [text.split(' ')[0] ?? '', Number(/:(\d+) /.exec(text)?.[1])]))
  }
  throw new Error(`the gateway ended with ${String(child.exitCode)} before it listened`)
}
