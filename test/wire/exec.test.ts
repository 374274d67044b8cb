// `narrowgate exec`: the elevation lives exactly as long as the command, whoever is killed. The program, the command and the gateway are three processes.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

let gate: TestGateway
let directory: string
let tokenFile: string
let token: string
const running: ChildProcess[] = []

beforeAll(async () => {
  gate = await TestGateway.start({
    routes: `
- name: api
  match: { host: 127.0.0.1 }
  upstream: api
  rules:
    - { allow: { paths: [/extra/**] }, scope: api:extra }
    - allow: {}`,
    elevations: `
extra: { adds: [api:extra], for: 10m, purpose: [task] }
brief: { adds: [api:extra], for: 3s, max: 5s, warn: 1s }
asked: { adds: [api:extra], for: 10m, approval: { by: operator, within: 10m } }`,
    more: 'purposes: { task: { header: x-task } }',
  })
  directory = mkdtempSync(join(tmpdir(), 'ng-exec-'))
  tokenFile = join(directory, 'token')
})
afterAll(async () => {
  await gate.stop()
  rmSync(directory, { recursive: true, force: true })
})
afterEach(() => { for (const child of running.splice(0)) child.kill('SIGKILL') })

type Run = { readonly child: ChildProcess; out: string; err: string; readonly exit: Promise<readonly [number | null, NodeJS.Signals | null]> }

/** The program as an operator of a shell runs it, with a fresh session. */
async function exec(words: readonly string[], as: string | null = null): Promise<Run> {
  token = as ?? (await gate.token())
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [MAIN, 'exec', '--url', `http://127.0.0.1:${gate.target.port}`, '--token-file', tokenFile, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  const run: Run = { child, out: '', err: '', exit: new Promise(resolve => { child.once('close', (code, signal) => resolve([code, signal])) }) }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => { run.out += text })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { run.err += text })
  return run
}

const own = async (path: string) => (await gate.ask('GET', path, { host: '127.0.0.1', authorization: `Bearer ${token}`, 'x-task': 'T-1' }))
const elevations = async (): Promise<readonly Record<string, unknown>[]> => (await own('/.narrowgate/session')).json['elevations'] as Record<string, unknown>[]
const within = async (ms: number, what: string, holds: () => Promise<boolean> | boolean): Promise<void> => { await eventually(what, ms, async () => ((await holds()) ? true : null)) }
const isActive = async (): Promise<boolean> => (await elevations()).some(({ state }) => state === 'active')
const node = (script: string): readonly string[] => ['--', process.execPath, '-e', script]

describe('exec', () => {
  test('[ADM24] the command is told what it runs under, keeps its exit code, and what it ran under is given back', async () => {
    const run = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', ...node('console.log(process.env.NARROWGATE_ELEVATION, process.env.NARROWGATE_TASK); process.exit(7)')])
    expect(await run.exit, run.err).toEqual([7, null])
    const [elevation] = await elevations()
    expect(run.out.trim()).toBe(`${String(elevation?.['id'])} T-1`)
    expect(elevation).toMatchObject({ state: 'ended', reason: 'released' })
  }, 30_000)

  test('[ADM24, ELV15] the program is killed: what it held is gone within seconds', async () => {
    const run = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', ...node('setTimeout(() => {}, 12_000); console.log("up")')])
    await within(10_000, 'it runs', () => run.out.includes('up'))
    expect((await own('/extra/1')).status).toBe(200)
    const killed = performance.now()
    run.child.kill('SIGKILL')
    await within(9_000, 'it is gone', async () => (await own('/extra/1')).status === 403)
    expect(performance.now() - killed).toBeLessThan(8_000)
    expect((await elevations())[0]).toMatchObject({ state: 'ended', reason: 'released' })
  }, 40_000)

  test('[ADM24] the command is killed, or told to end by a signal to the program: it is given back at once, and the code says so', async () => {
    const killed = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', ...node('process.kill(process.pid, "SIGKILL")')])
    expect(await killed.exit).toEqual([137, null])
    expect(await isActive()).toBe(false)
    const told = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', ...node('setInterval(() => {}, 1000); process.on("SIGTERM", () => process.exit(3)); console.log("up")')])
    await within(10_000, 'it runs', () => told.out.includes('up'))
    told.child.kill('SIGTERM')
    expect(await told.exit).toEqual([3, null])
    expect(await isActive()).toBe(false)
  }, 40_000)

  test('[ADM24] it waits for an approval, and says so; a denial and nobody’s word have codes of their own, and nothing was run', async () => {
    const denied = await exec(['--elevate', 'asked', '--', 'echo', 'ran'])
    await within(10_000, 'it is asked', async () => (await elevations()).some(({ state }) => state === 'requested'))
    await within(5_000, 'it says so', () => denied.err.includes('waits for an approval'))
    await gate.admin('POST', `/v1/elevations/${String((await elevations())[0]?.['id'])}/deny`, { reason: 'no' })
    expect(await denied.exit, denied.err).toEqual([5, null])
    const late = await exec(['--elevate', 'asked', '--wait', '1s', '--', 'echo', 'ran'])
    expect(await late.exit, late.err).toEqual([8, null])
    expect((await elevations()).map(({ state }) => state)).not.toContain('requested')
    const unknown = await exec(['--elevate', 'none', '--', 'echo', 'ran'])
    expect(await unknown.exit).toEqual([5, null])
    expect(unknown.err).toContain('not_eligible')
    expect(denied.out + late.out + unknown.out).toBe('')
  }, 40_000)

  test('[ADM24] taken away meanwhile: the command is told nothing or to end, as asked', async () => {
    const going = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', ...node('setTimeout(() => {}, 3000); console.log("up")')])
    await within(10_000, 'it runs', () => going.out.includes('up'))
    await gate.admin('POST', `/v1/elevations/${String((await elevations())[0]?.['id'])}/revoke`, { reason: 'no' })
    expect(await going.exit).toEqual([0, null])
    expect(going.err).toContain('has ended: revoked; the command goes on without it')
    const ended = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', '--on-end', 'terminate', ...node('setInterval(() => {}, 1000); console.log("up")')])
    await within(10_000, 'it runs', () => ended.out.includes('up'))
    await gate.admin('POST', `/v1/elevations/${String((await elevations())[0]?.['id'])}/revoke`, { reason: 'no' })
    expect(await ended.exit).toEqual([143, null])
  }, 40_000)

  test('[ADM24, ELV4] a command that takes longer than the profile gives at first is given more, up to its longest', async () => {
    const run = await exec(['--elevate', 'brief', ...node('setTimeout(() => {}, 6500)')])
    expect(await run.exit, run.err).toEqual([0, null])
    const facts = (await gate.trail()).flatMap(({ kind, fact }) => (kind === 'fact' ? [fact as Record<string, unknown>] : []))
    const id = (await elevations())[0]?.['id']
    expect(facts.filter(fact => fact['what'] === 'elevation.extended' && fact['elevation'] === id)).toHaveLength(1)
    expect(run.err).toContain('the profile gives no more time')
    expect(run.err).toContain('has ended: time_up')
  }, 40_000)

  test('[ADM24] a command that is not there: 127, and it is given back; no gateway: 9; no token: 2', async () => {
    const none = await exec(['--elevate', 'extra', '--purpose', 'task=T-1', '--', join(directory, 'not-there')])
    expect(await none.exit).toEqual([127, null])
    expect(await isActive()).toBe(false)
    const nowhere = await exec(['--url', 'http://127.0.0.1:1', '--elevate', 'extra', '--', 'echo', 'ran'])
    expect(await nowhere.exit, nowhere.err).toEqual([9, null])
    const nobody = await exec(['--token-file', join(directory, 'no-token'), '--elevate', 'extra', '--', 'echo', 'ran'])
    expect(await nobody.exit).toEqual([2, null])
    expect([none, nowhere, nobody].map(({ err, out }) => err + out).join('')).not.toContain(token)
  }, 40_000)
})
