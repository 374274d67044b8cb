// What commands about trust print and how they end, against a real admin server.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCommandLine } from '../../../src/cli/command-line.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { AdminDesk } from '../../contract/admin-desk.ts'

const directory = mkdtempSync(join(tmpdir(), 'ng-cli-trust-'))
let desk: AdminDesk
let live: LiveSession
beforeAll(async () => {
  desk = await AdminDesk.open()
  for (const role of ['operator', 'viewer'] as const) writeFileSync(join(directory, role), `${desk.tokens[role]}\n`)
  live = await desk.session('ann')
  await desk.ledger.applyToAnchor(live.principal, { kind: 'principal.tainted', taint: { name: 'secrets', since: desk.clock.now(), until: null, rule: 'api#1', exchange: 'exc_1' }, id: newSignalId(), by: 'test', note: '' })
})
afterAll(async () => {
  await desk.close()
  rmSync(directory, { recursive: true, force: true })
})

type Ran = { readonly exit: number; readonly out: string; readonly err: string }

async function run(words: readonly string[], as = 'operator'): Promise<Ran> {
  let [out, err] = ['', '']
  const env = { NARROWGATE_SERVER: `http://127.0.0.1:${desk.port}`, NARROWGATE_TOKEN_FILE: join(directory, as) }
  const terminal: Terminal = { out: text => { out += text }, err: text => { err += text }, env, quit: () => {}, demo: async () => true, onSignal: () => () => {} }
  return { exit: await runCommandLine(words, terminal), out, err }
}

test('[ADM10, EXP3] principals are listed and described by their id', async () => {
  const listed = await run(['get', 'principals'], 'viewer')
  expect(listed).toMatchObject({ exit: 0, err: '' })
  expect(listed.out).toMatch(/^ID +WHO +SCORE +LEVEL +SINCE +TAINTS +SESSIONS\n/)
  expect(listed.out).toContain(`${live.principal.name}  https://idp.test|ann`)
  expect((await run(['get', 'principals', '--level', 'none'])).out).not.toContain('ann')
  expect((await run(['get', 'principals', '--subject', 'ann'])).out).toContain('ann')
  expect((await run(['describe', 'principal', live.principal.name])).out).toMatch(/taints\nNAME +SINCE +UNTIL +RULE +EXCHANGE\nsecrets/)
  expect((await run(['describe', 'principal', 'nobody'])).exit).toBe(6)
})

test('[ADM10, EXP3] what is cleared is named, with a reason, by an operator', async () => {
  const { name } = live.principal
  expect((await run(['clear', 'principal', name, '--reason', 'x'])).exit).toBe(2)
  expect((await run(['clear', 'principal', name, '--taints'])).exit).toBe(2)
  expect((await run(['clear', 'principal', name, '--taints', '--reason', 'x'], 'viewer')).exit).toBe(5)
  expect(await run(['clear', 'principal', name, '--taints', 'secrets', '--reason', 'looked at it'])).toMatchObject({ exit: 0, out: expect.stringContaining('enforced at version') as unknown })
  expect(desk.mirror.effective(live, desk.clock.now()).taints).toEqual([])
  expect((await run(['clear', 'principal', name, '--risk', '--reason', 'x'])).exit).toBe(0)
})

test('[ADM10, RSK9] a score takes a number', async () => {
  const { name } = live.principal
  for (const points of ['many', '', '1001']) expect([points, (await run(['score', name, 'siem', points, '--reason', 'x'])).exit]).toEqual([points, 2])
  expect((await run(['score', name, 'siem', '12.5', '--reason', 'x'])).exit).toBe(0)
  expect(desk.scores).toEqual([[live.principal, 'https://idp.test|ann', 'siem', 12.5]])
})

test('[ADM10, EXP1] explain prints the decision first, then what it is made of and what would have to happen', async () => {
  const passed = await run(['explain', live.record.id, 'GET', 'https://api.test/things'], 'viewer')
  expect(passed).toMatchObject({ exit: 0, err: '' })
  expect(passed.out).toMatch(/^permit on baseline\nroute api, rule api#1, scope base:read, level -\n\nCHECK +REFUSES\nrouteAllows +-\n/)
  const refused = await run(['explain', live.record.id, 'POST', 'https://api.test/things', '--purpose', 'ticket=T-1', '--header', 'X-Tool=a'])
  expect(refused.out).toMatch(/^refuse: elevation_required\. /)
  expect(refused.out).toContain('what would have to happen:\n  elevation profiles=fix,ticketed,approved\n')
  expect((await run(['explain', live.record.id, 'GET', '/things'])).exit).toBe(2)
  const message = await run(['explain', live.record.id, 'POST', 'https://api.test/things', '--mcp', 'tools/call=restart', '--args', '{"a":1}'])
  expect([message.exit, message.err]).toEqual([2, expect.stringContaining('carries no messages of MCP')])
  for (const args of [['--args', '{}'], ['--mcp', 'tools/call=a', '--args', '[1]'], ['--mcp', 'tools/call=a', '--args', '{']]) expect((await run(['explain', live.record.id, 'POST', 'https://api.test/things', ...args])).exit).toBe(2)
  expect((await run(['explain', 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa', 'GET', 'https://api.test/'])).exit).toBe(6)
})
