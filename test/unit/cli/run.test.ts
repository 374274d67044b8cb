// The life of `run` as a process: signals that come before it is open, a second one that insists, a start that fails; and `validate`, which
// finds what a start would refuse.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runCommandLine } from '../../../src/cli/command-line.ts'

const MAIN = join(import.meta.dirname, '../../../src/main.ts')

let directory: string
let child: ChildProcess | null = null
beforeEach(() => { directory = mkdtempSync(join(tmpdir(), 'ng-run-')) })
afterEach(() => {
  child?.kill('SIGKILL')
  child = null
  rmSync(directory, { recursive: true, force: true })
})

const at = (name: string): string => join(directory, name)
function put(name: string, text: string): string {
  writeFileSync(at(name), text)
  return at(name)
}

const configuration = (port = 0, more = '', listener = ''): string => put('gateway.yaml', `
version: 1
stateDir: ${at('state')}
server:
  listeners:
    - { name: main, address: '127.0.0.1:${port}', serves: [proxy]${listener} }
    - { name: admin, address: '127.0.0.1:0', serves: [admin] }
  drain: { delay: 30s }
authn:
  login: { jwt: { issuer: https://idp.test, audience: narrowgate } }
routes:
  - name: api
    match: { host: api.test }
    upstream: http://api.test:8080
    rules: [{ allow: { methods: [GET] } }]
${more}`)

const loadsIn = (trail: string): readonly unknown[] =>
  existsSync(trail) ? readFileSync(trail, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line) as Record<string, unknown>).filter(({ kind }) => kind === 'config.loaded').map(({ by }) => by) : []

/** In this process, with signals by hand. */
function begin(words: readonly string[]) {
  const signals = new Map<string, () => void>()
  const told = { err: '', quits: [] as number[] }
  const ended = runCommandLine(words, {
    out: () => {}, err: text => { told.err += text }, env: {}, quit: exit => void told.quits.push(exit), demo: async () => false,
    onSignal: (name, listener) => {
      signals.set(name, listener)
      return () => void signals.delete(name)
    },
  })
  return { ended, told, signals, signal: (name: string) => signals.get(name)?.() }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('[ADM10, CFG10] a SIGHUP and a SIGTERM that come before the gateway is open are remembered', async () => {
  const file = configuration(0, 'telemetry: { logs: { level: silent } }')
  writeFileSync(file, readFileSync(file, 'utf8').replace('delay: 30s', 'delay: 0s'))
  const { ended, signals, signal, told } = begin(['run', '-c', file])
  while (signals.size < 3) await turn()
  expect(existsSync(at('state'))).toBe(false)
  signal('SIGHUP')
  signal('SIGHUP')
  while (loadsIn(at('state/trail.jsonl')).length === 0) await turn()
  signal('SIGTERM')
  expect(await ended).toBe(0)
  expect([loadsIn(at('state/trail.jsonl')), told, signals.size]).toEqual([['SIGHUP'], { err: '', quits: [] }, 0])
  const again = begin(['run', '-c', file])
  while (again.signals.size < 3) await turn()
  again.signal('SIGTERM')
  expect(await again.ended).toBe(0)
})

type Child = { readonly exit: Promise<number | null>; readonly told: { out: string; err: string }; readonly kill: (signal: NodeJS.Signals) => void }

/** As a process of its own. */
function launch(words: readonly string[]): Child {
  const { NODE_OPTIONS: _, ...env } = process.env
  const started = spawn(process.execPath, [MAIN, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  child = started
  const told = { out: '', err: '' }
  started.stdout.on('data', (chunk: Buffer) => { told.out += chunk.toString() })
  started.stderr.on('data', (chunk: Buffer) => { told.err += chunk.toString() })
  return { exit: once(started, 'close').then(([code]) => (typeof code === 'number' ? code : null)), told, kill: signal => void started.kill(signal) }
}

async function says(text: string, { told, exit }: Child): Promise<void> {
  const over = exit.then(code => { throw new Error(`ended with ${code}: ${told.out}${told.err}`) })
  over.catch(() => undefined)
  while (!told.out.includes(text)) await Promise.race([over, new Promise(resolve => setTimeout(resolve, 5))])
}

test('[ADM10] a second SIGTERM ends a draining process at once, with 1 and a word', { timeout: 20_000 }, async () => {
  const running = launch(['run', '-c', configuration()])
  await says('"listening"', running)
  running.kill('SIGTERM')
  await says('"draining"', running)
  const asked = performance.now()
  running.kill('SIGTERM')
  expect(await running.exit).toBe(1)
  expect(performance.now() - asked).toBeLessThan(10_000)
  expect(running.told.err).toContain('stopped before everything was drained')
})

test('[ADM10, ADM9] a start that fails says why in one line and the process ends by itself', { timeout: 20_000 }, async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  const failing = launch(['run', '-c', configuration(port)])
  expect(await failing.exit).toBe(1)
  taken.close()
  expect(failing.told.err).toContain(`listener main: 127.0.0.1:${port} is in use\n`)
  expect(failing.told.err).not.toContain('    at ')
})

test('[CFG3, ADM10, CTX6, CTX8] validate finds every named file that a start would refuse', async () => {
  const junk = (name: string): string => put(name, 'junk\n')
  const more = `
admin: { auth: { tokenFile: ${junk('operators.json')} }, breakGlassTokenFile: ${junk('break-glass.json')} }
context: { keyFile: ${junk('context.key')}, previousKeyFile: ${junk('previous.key')} }
upstreams: { crm: { url: https://crm:8443, tls: { caFile: ${junk('ca.crt')} } }, signed: { url: http://signed:8080, sign: { keyFile: ${junk('sign.key')} } } }
`
  const file = configuration(0, more, `, tls: { certFile: ${junk('tls.crt')}, keyFile: ${junk('tls.key')} }`)
  const authn = `authn:\n  keyed: { apiKey: { keysFile: ${junk('keys.yaml')} } }\n  filed: { jwt: { issuer: a, audience: b, jwksFile: ${junk('jwks.json')} } }\n`
  writeFileSync(file, readFileSync(file, 'utf8').replace('authn:\n', authn))
  const { ended, told } = begin(['validate', '-c', file])
  expect(await ended).toBe(3)
  const lines = told.err.split('\n').filter(line => !line.startsWith('warning') && !line.startsWith(' ') && line !== '')
  for (const name of ['operators.json', 'break-glass.json', 'context.key', 'previous.key', 'sign.key', 'ca.crt', 'tls.crt', 'keys.yaml', 'jwks.json']) {
    expect([name, lines.filter(line => line.startsWith(`${file}: `) && line.includes(at(name))).length]).toEqual([name, 1])
  }
  expect(existsSync(at('state'))).toBe(false)
})

test('[CFG3] validate passes files a start takes, and asks no network', async () => {
  expect(await begin(['validate', '-c', configuration()]).ended).toBe(0)
})

test('[AUD11, ADM10] of several workers\' trails one has to be named, and the first is', async () => {
  const file = configuration()
  writeFileSync(file, readFileSync(file, 'utf8').replace('server:\n', 'store: { redis: { url: redis://127.0.0.1:1 } }\nserver:\n  workers: 2\n'))
  for (const command of ['verify', 'head']) {
    const { ended, told } = begin(['audit', command, '-c', file])
    expect(await ended).toBe(2)
    expect(told.err).toContain(`say which with --file, the first is ${at('state/trail.w1.jsonl')}`)
  }
})
