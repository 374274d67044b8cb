// `audit` as an operator types it: a trail that lost its end is found against the head of the running gateway or of the store, and a head that
// belongs to another trail accuses nobody.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { TestGateway } from '../support/gateway.ts'

const directory = mkdtempSync(join(tmpdir(), 'ng-audit-'))
const copy = join(directory, 'copy.jsonl')
let gate: TestGateway
let server: string
let session: string

beforeAll(async () => {
  gate = await TestGateway.start({ directory, routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: {} }]` })
  server = `http://${gate.gateway.front.address('admin')}`
  session = (await gate.session(await gate.token())).id
  await gate.admin('POST', `/v1/sessions/${session}/freeze`, { reason: 'x' })
  await gate.trail()
})
afterAll(async () => {
  await gate.stop()
  rmSync(directory, { recursive: true, force: true })
})

async function audit(line: string, env: { readonly [name: string]: string } = {}) {
  let [out, err] = ['', '']
  const exit = await runCommandLine(['audit', ...line.split(' ')], {
    out: text => { out += text }, err: text => { err += text }, onSignal: () => () => {}, quit: () => {}, demo: async () => true,
    env: { NARROWGATE_SERVER: server, NARROWGATE_TOKEN_FILE: join(directory, 'state', 'admin.token'), ...env },
  })
  return { exit, out, err }
}

const linesOf = (file: string): readonly string[] => readFileSync(file, 'utf8').trimEnd().split('\n')
const cutOff = (from: string, to: string): void => writeFileSync(to, `${linesOf(from).slice(0, -1).join('\n')}\n`)

test('[AUD6] verify without a word asks the running gateway which trail it writes and where it ends', async () => {
  const { exit, out, err } = await audit('verify')
  expect([exit, err]).toEqual([0, ''])
  expect(out).toMatch(/^\d+ records of 1 sessions are whole; \d unsealed; compared with record \d+, as the running gateway has it\n$/)
  expect((await audit(`verify --file ${gate.trailFile} -o json`)).out).toContain('"from": "gateway"')
  expect((await audit(`verify -c ${gate.configFile}`)).out).toContain('as the running gateway has it')
  const { out: head } = await audit('head')
  expect(head).toMatch(/^\d+:[\w-]{43}\n$/)
  expect((await audit(`head --file ${gate.trailFile}`)).out).toBe(head)
  expect((await audit(`verify --file ${gate.trailFile} --head ${head.trim()}`)).out).toContain('as given')
})

test('[AUD6] a copy that lost its last line ends with 10 once it is compared, and says so while it is not', async () => {
  cutOff(gate.trailFile, copy)
  expect(await audit(`verify --file ${copy}`)).toMatchObject({ exit: 0, err: expect.stringContaining('the running gateway writes') as unknown })
  expect(await audit(`verify --file ${copy} --server ${server}`)).toMatchObject({ exit: 10, err: expect.stringMatching(/missing at the end; compared with record \d+, as the running gateway has it/) as unknown })
  expect((await audit(`verify --file ${copy} --server http://127.0.0.1:1`)).exit).toBe(9)
  expect((await audit(`head --server http://127.0.0.1:1`)).exit).toBe(9)
  expect(await audit(`head --file ${copy}`)).toMatchObject({ exit: 9, out: '', err: expect.stringMatching(/the running gateway writes .+; with -c FILE its store is asked\n$/) as unknown })
})

test('[AUD10] show compares the whole fold where the store can be asked, and says where it can not', async () => {
  expect(await audit(`show session/${session}`)).toMatchObject({ exit: 0, err: 'the facts fold to version 2: as stored\n' })
  expect(await audit(`show session/${session} --file ${gate.trailFile}`)).toMatchObject({ exit: 0, err: 'the facts fold to version 2: folded, not compared\n' })
})

test('[AUD10] a session whose facts stand in the trails of several gateways is folded out of all of them, not out of one alone', async () => {
  const facts = linesOf(gate.trailFile).filter(line => line.includes('"kind":"fact"'))
  expect(facts.length).toBeGreaterThan(1)
  const files = [0, 1].map(half => {
    const file = join(directory, `half-${half}.jsonl`)
    writeFileSync(file, facts.filter((_, i) => i % 2 === half).map(line => `${line}\n`).join(''))
    return file
  })
  expect(await audit(`show session/${session} ${files.map(file => `--file ${file}`).join(' ')}`)).toMatchObject({ exit: 0, err: 'the facts fold to version 2: folded, not compared\n' })
  expect(await audit(`show session/${session} --file ${files[0]}`)).toMatchObject({ exit: 0, err: 'the facts fold to version 1: folded, not compared\n' })
  expect((await audit(`show session/${session} --file ${files[1]}`)).exit).toBe(6)
})

test('[ADM10] a trail that is not there is 6, also beside others', async () => {
  const missing = join(directory, 'state', 'other.jsonl')
  for (const line of [`verify --file ${missing}`, `show session/${session} --file ${missing}`, `verify --file /nowhere/trail.jsonl`]) expect([line, await audit(line)]).toEqual([line, { exit: 6, out: '', err: expect.stringMatching(/there is no trail at .+jsonl\n$/) as unknown }])
})

test('[AUD6] when the gateway has ended the store keeps the head', async () => {
  await gate.stop()
  const config = `-c ${gate.configFile}`
  expect(await audit(`verify ${config}`)).toMatchObject({ exit: 0, out: expect.stringMatching(/; 0 unsealed; compared with record \d+, as the store keeps it/) as unknown })
  expect((await audit(`head ${config}`)).out).toMatch(new RegExp(`^${linesOf(gate.trailFile).length}:`))
  cutOff(gate.trailFile, gate.trailFile)
  expect((await audit(`verify ${config}`)).exit).toBe(10)
  expect((await audit(`verify --file ${gate.trailFile}`)).err).toMatch(/^a missing end is not seen without a head: .+ can not be reached/)
})

test('[AUD6, STO11] a store that is not there is told and not made', async () => {
  const other = join(directory, 'other.yaml')
  writeFileSync(other, readFileSync(gate.configFile, 'utf8').replace(`${directory}/state`, `${directory}/nothing`))
  expect((await audit(`verify -c ${other}`)).exit).toBe(6)
  expect(existsSync(join(directory, 'nothing'))).toBe(false)
})
