// A gateway's process that is killed with exchanges open: the next start tells each of them as lost, in the same chain, and the session's timeline
// says so in words. SPEC: AUD12
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { exportSession } from '../../src/audit/export-session.ts'
import { trailFiles } from '../../src/audit/tail.ts'
import { readTimeline } from '../../src/audit/timeline.ts'
import { verifyTrail } from '../../src/audit/verify.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { until } from './support.ts'

const ROUTES = '- { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {}, scope: base:read }] }'
const MAIN = join(import.meta.dirname, '../../src/main.ts')

type Line = Record<string, unknown>

let directory: string
let trailFile: string
let upstream: RecordingUpstream
let issuer: TokenIssuer
let gate: TestGateway | null
let child: ChildProcess | null

beforeAll(async () => { [upstream, issuer] = await Promise.all([RecordingUpstream.start(), TokenIssuer.create()]) })
afterAll(() => upstream.close())
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-lost-'))
  child = null
  gate = await start()
  trailFile = gate.trailFile
})
afterEach(async () => {
  await gate?.stop()
  if (child !== null) await kill(child)
  rmSync(directory, { recursive: true, force: true })
})

const start = (): Promise<TestGateway> => TestGateway.start({ directory, upstream, issuer, routes: ROUTES })
const stop = async (): Promise<void> => {
  await gate?.stop()
  gate = null
}

async function kill(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  process.kill('SIGKILL')
  await once(process, 'exit')
}

/** The same gateway in a process of its own; gives the port callers use. */
async function run(): Promise<number> {
  const file = join(directory, 'gateway.yaml')
  writeFileSync(file, readFileSync(file, 'utf8').replace('level: silent', 'level: info'))
  child = spawn(process.execPath, [MAIN, 'run', '--config', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  if (child.stdout === null) throw new Error('its output is a pipe')
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, listeners } = JSON.parse(line) as { readonly msg?: string; readonly listeners?: readonly string[] } // the gateway's own log
    if (msg !== 'listening' || listeners === undefined) continue
    child.stdout.resume()
    return Number(listeners.find(text => text.startsWith('main '))?.match(/:(\d+) /)?.[1])
  }
  throw new Error('the gateway ended before it listened')
}

const linesNow = (): readonly Line[] => readFileSync(trailFile, 'utf8').split('\n').slice(0, -1).map(text => JSON.parse(text) as Line) // our own lines
const ofKind = (kind: string): readonly Line[] => linesNow().filter(line => line['kind'] === kind)

test('[AUD12] after kill -9 each exchange that was open is told as lost, once, and the trail is whole', { timeout: 60_000 }, async () => {
  await stop()
  const port = await run()
  const bearer = { Authorization: `Bearer ${await issuer.sign({ sub: 'agent-1', sid: 's1' })}` }
  expect((await requestOnce({ port }, request('GET', '/json', bearer))).status).toBe(200)
  const callers = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect({ port })))
  for (const caller of callers) await caller.send(request('GET', '/sse/feed', bearer))
  await until(() => ofKind('exchange.opened').length === 4 && ofKind('exchange.closed').length === 1, 'three streams are open, and on record')
  const [ended] = ofKind('exchange.closed')
  const open = ofKind('exchange.opened').filter(line => line['exchange'] !== ended?.['exchange'])
  if (child !== null) await kill(child)
  for (const caller of callers) caller.close()
  expect(ofKind('exchange.lost')).toEqual([])

  gate = await start()
  await gate.trail()
  const lost = ofKind('exchange.lost')
  expect(lost.map(line => line['exchange'])).toEqual(open.map(line => line['exchange']))
  for (const line of lost) expect(line).toMatchObject({ session: open[0]?.['session'], because: 'gateway died' })
  expect(ofKind('gateway.started').at(-1)).toMatchObject({ lost: 3 })
  const text = exportSession(await readTimeline(trailFiles(trailFile), String(open[0]?.['session'])))
  for (const line of open) expect(text).toContain(` exchange.lost ${String(line['exchange'])} the gateway died before its end was on record; when it ended is not known\n`)
  expect(await verifyTrail(trailFiles(trailFile), gate.parts.trail.head)).toMatchObject({ ok: true, unsealed: 0 })

  await stop()
  gate = await start()
  await gate.trail()
  expect(ofKind('exchange.lost')).toHaveLength(3)
  expect(ofKind('gateway.started').at(-1)).toMatchObject({ lost: 0 })
  expect(await verifyTrail(trailFiles(trailFile), gate.parts.trail.head)).toMatchObject({ ok: true })
})
