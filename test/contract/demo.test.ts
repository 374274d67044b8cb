// `demo` as a user starts it: a child process, its exit code, what it prints, and what it leaves behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { STEPS } from '../../src/cli/demo/story.ts'
import { load } from '../../src/config/load.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const LONGEST = 30_000

let temporary = ''
let children: ChildProcess[] = []
beforeEach(() => { temporary = mkdtempSync(join(tmpdir(), 'ng-demo-test-')) })
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  rmSync(temporary, { recursive: true, force: true })
})

type Played = { readonly child: ChildProcess; readonly printed: () => string; readonly ended: Promise<number | null>; readonly says: (text: string) => Promise<void> }

function start(words: readonly string[], env: { readonly [name: string]: string } = {}): Played {
  const child = spawn(process.execPath, ['src/main.ts', 'demo', ...words], { cwd: ROOT, env: { ...process.env, TMPDIR: temporary, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let text = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      for (const listener of listeners) listener()
    })
  }
  const ended = once(child, 'close').then(([code]) => code as number | null) // the event's first argument
  const says = (wanted: string): Promise<void> => {
    const said = new Promise<void>(resolve => {
      const look = (): void => { if (text.includes(wanted)) resolve() }
      listeners.add(look)
      look()
    })
    return Promise.race([said, ended.then(code => { throw new Error(`ended with ${code} before it said ${wanted}:\n${text}`) })])
  }
  return { child, printed: () => text, ended, says }
}

test('[ADM10] the story is played in 30 seconds, every step is observed, and nothing is left behind', async () => {
  const began = performance.now()
  const { printed, ended } = start([])
  expect(await ended, printed()).toBe(0)
  expect(performance.now() - began).toBeLessThan(LONGEST)
  const parts = printed().split(/^\[\d+\/\d+\] /m).slice(1)
  expect(parts.map(part => part.split('\n', 1)[0])).toEqual(STEPS)
  expect(parts.filter(part => !/^ {2}ok {2}/m.test(part))).toEqual([])
  expect(printed()).not.toContain('NOT OBSERVED')
  expect(printed()).not.toContain('\u001b')
  expect(printed()).toMatch(/offers \[\{"profile":"refund-case","purpose":\["ticket"\],"approval":"none"\}\]/)
  expect(printed()).toMatch(/tookMs \d+\.\d ms/)
  expect(printed()).toMatch(/\d+\.\d ms from the operator's request .* to the end at the client/)
  expect(printed()).toMatch(/line \d+, record \d+ was changed/)
  expect(readdirSync(temporary)).toEqual([])
}, LONGEST + 10_000)

test('[ADM10] a step that is not observed ends the story with what was expected and seen, and exit 1', async () => {
  const { child, printed, ended, says } = start([])
  await says(`] ${STEPS[0]}`)
  child.kill('SIGTERM')
  expect(await ended, printed()).toBe(1)
  expect(printed()).toContain('NOT OBSERVED')
  expect(printed()).toMatch(/expected {2}no signal before it\n +seen {6}a signal/)
  expect(printed()).not.toContain('steps were observed')
  expect(readdirSync(temporary)).toEqual([])
}, LONGEST)

test('[ADM10] with --stay the set-up runs until a signal, beside whoever has its usual port', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo // it listens on TCP
  const { child, printed, ended, says } = start(['--stay'], { NARROWGATE_DEMO_PORT: String(port) })
  await says('/token)')
  other.close()
  const [, origin = ''] = /gateway (http:\/\/127\.0\.0\.1:\d+)/.exec(printed()) ?? []
  const [, token = ''] = /^export TOKEN=(\S+)$/m.exec(printed()) ?? []
  expect(origin).not.toBe(`http://127.0.0.1:${port}`)
  const answer = await fetch(`${origin}/orders/7`, { headers: { authorization: `Bearer ${token}` } })
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ order: '7', saw: { authorization: false, context: true } })
  child.kill('SIGINT')
  expect(await ended, printed()).toBe(0)
  expect(readdirSync(temporary)).toEqual([])
}, LONGEST)

test('[CFG6] config/demo.yaml loads as it stands, with the one warning that it speaks of', () => {
  const file = join(ROOT, 'config/demo.yaml')
  const loaded = load(readFileSync(file, 'utf8'), file, { directory: ROOT, variable: () => undefined, read: () => null, exists: () => false, cores: 4 })
  expect(loaded).toMatchObject({ ok: true, warnings: [{ message: expect.stringContaining('only stated in a header') as unknown }] })
})
