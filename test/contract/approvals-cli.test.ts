// approve, review and window as a person types them, against a real gateway.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { ApprovalsGate } from './approvals-gate.ts'

const directory = mkdtempSync(join(tmpdir(), 'ng-approvals-'))
let desk: ApprovalsGate
beforeAll(async () => {
  desk = await ApprovalsGate.open({ at: '2027-01-10T23:00:00Z' })
  for (const person of ['operator', 'ann', 'bob']) writeFileSync(join(directory, person), `nga_${person.padEnd(43, '0')}\n`, { mode: 0o600 })
})
afterAll(async () => {
  await desk.close()
  rmSync(directory, { recursive: true, force: true })
})

async function run(words: readonly string[], as = 'operator'): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
  let [out, err] = ['', '']
  const env = { NARROWGATE_SERVER: `http://127.0.0.1:${desk.gate.gateway.front.bound.get('admin')?.address.port}`, NARROWGATE_TOKEN_FILE: join(directory, as) }
  const exit = await runCommandLine(words, { out: text => { out += text }, err: text => { err += text }, env, quit: () => undefined, onSignal: () => () => undefined, demo: async () => false })
  return { exit, out, err }
}

test('[ADM10, APR4] approve shows what it approves and approves exactly that, or less', async () => {
  const id = await desk.asked(await desk.caller('a'), 'one', { params: { rows: 100, names: ['x', 'y'] } })
  const { exit, err } = await run(['approve', id, '--reason', 'fine', '--adds', 'base:write', '--for', '3m', '--uses', '1', '--param', 'rows=10', '--param', 'names=["y"]'], 'ann')
  expect(exit).toBe(0)
  for (const told of ['base:admin,base:write', '10m', 'rows=100 names=x,y', '|a', 'INC-1', 'uses=5']) expect(err).toContain(told)
  expect(await desk.view(id)).toMatchObject({ state: 'active', adds: ['base:write'], for: '3m', limits: { uses: 1 }, params: { rows: 10, names: ['y'] } })
  expect([(await run(['approve', id, '--reason', 'x'], 'bob')).exit, (await run(['approve', id, '--reason', 'x', '--uses', 'none'], 'bob')).exit, (await run(['approve', id], 'bob')).exit]).toEqual([7, 2, 2])
})

test('[ADM10, APR7] get reviews, review', async () => {
  const id = await desk.asked(await desk.caller('b'), 'emergency')
  expect((await run(['get', 'reviews'])).out).toMatch(new RegExp(`^ELEVATION +VERDICT +DUE[^\\n]*\\n${id} +pending `))
  expect([(await run(['review', id, '--reason', 'x'], 'ann')).exit, (await run(['review', id, '--accept', '--reject', '--reason', 'x'], 'ann')).exit, (await run(['review', id, '--accept', '--reason', 'x'])).exit]).toEqual([2, 2, 5])
  expect([(await run(['review', id, '--reject', '--reason', 'not for this'], 'ann')).exit, (await run(['review', id, '--accept', '--reason', 'x'], 'bob')).exit, await desk.state(id)]).toEqual([0, 7, 'ended approval_withdrawn'])
})

test('[ADM10, WIN4] get windows, window extend, close and restore', async () => {
  const open = async (): Promise<string> => (await run(['get', 'windows'])).out.split('\n')[1] ?? ''
  expect(await open()).toMatch(/^nights +true +2027-01-10T22:00:00\.000Z +2027-01-11T04:00:00\.000Z/)
  expect((await run(['window', 'extend', 'nights', '--until', '2027-01-11T05:00:00Z', '--reason', 'x'])).exit).toBe(0)
  expect(await open()).toMatch(/2027-01-11T05:00:00\.000Z/)
  expect([(await run(['window', 'close', 'nights', '--reason', 'x'])).exit, await open()]).toEqual([0, expect.stringMatching(/^nights +false/)])
  expect([(await run(['window', 'restore', 'nights', '--reason', 'x'])).exit, await open()]).toEqual([0, expect.stringMatching(/^nights +true/)])
  expect([(await run(['window', 'extend', 'nights', '--reason', 'x'])).exit, (await run(['window', 'close', 'days', '--reason', 'x'])).exit]).toEqual([2, 6])
})
