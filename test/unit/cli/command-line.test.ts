// Commands as a person or a script types them: what they print, and how they end. Against a real admin server, and `run` with a real gateway.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCommandLine } from '../../../src/cli/command-line.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'
import { tokensOf } from '../../../src/admin/token-file.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { VERSION } from '../../../src/version.ts'
import { AdminDesk } from '../../contract/admin-desk.ts'
import { freePort } from '../../support/free-port.ts'

const directory = mkdtempSync(join(tmpdir(), 'ng-cli-'))
let desk: AdminDesk
beforeAll(async () => {
  desk = await AdminDesk.open()
  for (const [role, token] of Object.entries(desk.tokens)) writeFileSync(join(directory, role), `${token}\n`)
})
afterAll(async () => {
  await desk.close()
  rmSync(directory, { recursive: true, force: true })
})

type Ran = { readonly exit: number; readonly out: string; readonly err: string; /** Exits that were to happen at once. */ readonly quits: readonly number[] }
type Running = { readonly ended: Promise<Ran>; readonly signal: (name: string) => void; readonly waiting: () => readonly string[] }

function start(words: readonly string[], env: Terminal['env']): Running {
  let [out, err] = ['', '']
  const quits: number[] = []
  const signals = new Map<string, () => void>()
  const terminal: Terminal = {
    out: text => { out += text }, err: text => { err += text }, env, quit: exit => void quits.push(exit), demo: async ({ stay }) => !stay,
    onSignal: (name, listener) => {
      signals.set(name, listener)
      return () => void signals.delete(name)
    },
  }
  return { ended: runCommandLine(words, terminal).then(exit => ({ exit, out, err, quits })), signal: name => signals.get(name)?.(), waiting: () => [...signals.keys()] }
}

const run = (line: string, as = 'operator', env: Terminal['env'] = {}): Promise<Ran> =>
  start(line.split(' '), { NARROWGATE_SERVER: `http://127.0.0.1:${desk.port}`, NARROWGATE_TOKEN_FILE: join(directory, as), ...env }).ended

test('[ADM10] data on stdout in the format asked for, talk on stderr', async () => {
  const { record: { id } } = await desk.session('reader')
  const table = await run('get sessions')
  expect(table.out).toMatch(/^ID +STATE +KIND +SUBJECT/)
  expect(table.out).toContain(id)
  const { sessions } = JSON.parse((await run('get sessions -o json')).out) as { readonly sessions: readonly { readonly id: string }[] } // what the server answers
  expect(sessions.map(session => session.id)).toContain(id)
  expect((await run('get sessions -o yaml')).out).toContain(`  - id: ${id}\n`)
  expect(await run('get sessions --limit 1 -o json')).toMatchObject({ exit: 0, err: expect.any(String) as unknown })
  for (const line of ['get elevations', 'get profiles', 'get locks', 'get routes', `describe session ${id}`, 'health', 'version']) expect([line, (await run(line)).exit]).toEqual([line, 0])
  expect((await run('version')).out).toBe(`${VERSION}\n`)
})

test('[ADM10] every way to end has its number', async () => {
  const { record: { id } } = await desk.session('exits')
  await run(`terminate ${id}`)
  const none = 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa'
  const cases: readonly (readonly [line: string, exit: number, as?: string, env?: Terminal['env']])[] = [
    ['', 2], ['nonsense', 2], ['get', 2], ['get sessions -o xml', 2], ['get sessions --state gone', 2], ['freeze nobody', 2], ['freeze', 2], [`widen ${none}`, 2], [`shorten tenant=a --for 1h`, 2], ['get sessions --timeout soon', 2],
    ['--help', 0], ['narrow --help', 0], ['freeze tenant=x --for 1h --until 2027-01-31T00:00:00Z', 2],
    [`describe session ${none}`, 6], [`terminate ${none}`, 6], ['unlock tenant=none --reason x', 6], ['unlock lck_x --reason x', 6],
    [`widen ${id} --reason x`, 7], [`terminate ${none}`, 5, 'viewer'], [`approve elv_x --reason x`, 6, 'operator'],
    ['get sessions', 2, 'absent'], ['get sessions', 9, 'operator', { NARROWGATE_SERVER: `http://127.0.0.1:${await freePort()}` }], ['get sessions', 2, 'operator', { NARROWGATE_SERVER: 'nowhere' }],
    ['validate -c /nowhere.yaml', 3], ['audit verify --file /nowhere/trail.jsonl', 6], ['audit show session/x', 2], ['demo', 0], ['demo --stay', 1],
  ]
  for (const [line, exit, as, env] of cases) expect([line, (await start(line === '' ? [] : line.split(' '), { NARROWGATE_SERVER: `http://127.0.0.1:${desk.port}`, NARROWGATE_TOKEN_FILE: join(directory, as ?? 'operator'), ...env }).ended).exit]).toEqual([line, exit])
})

test('[ADM10] no answer in time is 8, and the token is never shown', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { exit, err } = await run('get sessions --timeout 50ms', 'operator', { NARROWGATE_SERVER: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` }) // it listens on a port
  silent.close()
  expect([exit, err.includes(desk.tokens.operator)]).toEqual([8, false])
})

test('[ADM10] a token on its way to another machine in clear is warned of', async () => {
  expect((await run('get sessions --timeout 50ms', 'operator', { NARROWGATE_SERVER: 'http://192.0.2.1:9' })).err).toContain('unencrypted')
})

test('[ADM3, ADM10] verbs on a session say what became of what was open; a missing reason is told', async () => {
  const live = await desk.session('verbs')
  const exchange = desk.exchange(live, 'GET')
  const { exit, out, err } = await run(`freeze ${live.record.id} --for 5m`)
  expect([exit, out, err]).toEqual([0, expect.stringMatching(/^enforced at version \d+ on 1 of 1 gateways in [\d.]+ ms; exchanges: 1 frozen\n$/), 'no --reason was given; the trail says unspecified\n'])
  expect((await run(`resume ${live.record.id} --reason ok`)).out).toContain('1 continued')
  expect(JSON.parse((await run(`narrow ${live.record.id} --to base:write base:none --reason ok -o json`)).out)).toMatchObject({ enforced: true, exchanges: { cut: 1 } })
  expect([exchange?.state, live.record.cap]).toEqual(['ended', { is: 'scopes', scopes: ['base:none', 'base:write'] }])
  expect((await run(`widen ${live.record.id} --reason ok`)).exit).toBe(0)
  expect((await run(`shorten ${live.record.id} --for 1h`)).exit).toBe(0)
  expect(live.record.endsAt).toBe(desk.clock.now() + 3_600_000)
  expect((await run(`terminate ${live.record.id} --reason leak`)).exit).toBe(0)
  expect((await run(`terminate ${live.record.id}`)).out).toMatch(/^nothing had to change/)
  expect((await run(`unlock mark_${live.record.id} --reason test`)).exit).toBe(0)
  expect(live.record.notBefore).toBeNull()
})

test('[ENF8, ADM10] verbs on a selector are locks, and their opposites lift them', async () => {
  const live = await desk.session('selected')
  const state = () => desk.mirror.effective(live, desk.clock.now()).state
  const selector = 'subject=https://idp.test|selected'
  expect([(await run(`freeze ${selector}`)).exit, state()]).toEqual([0, 'frozen'])
  expect((await run(`widen ${selector} --reason x`)).exit).toBe(6)
  expect([(await run(`resume ${selector} --reason x`)).exit, state()]).toEqual([0, 'live'])
  expect([(await run(`terminate ${selector}`)).exit, state()]).toEqual([0, 'refused'])
  expect([(await run(`unlock ${selector} --reason x`)).exit, state()]).toEqual([0, 'live'])
  expect([(await run(`lock ${live.record.id} --effect freeze`)).exit, state()]).toEqual([0, 'frozen'])
  const { locks } = JSON.parse((await run('get locks -o json')).out) as { readonly locks: readonly { readonly id: string }[] } // what the server answers
  expect([(await run(`unlock ${locks[0]?.id ?? ''} --reason x`)).exit, state()]).toEqual([0, 'live'])
})

test('[ENF8, ADM10] a dry run of a lock says in one sentence what it would do, and sets nothing', async () => {
  const live = await desk.session('previewed')
  desk.exchange(live, 'GET')
  const said = async (words: string): Promise<string> => (await run(`lock subject=previewed --dry-run ${words}`.trimEnd())).out
  expect([await said(''), await said('--effect freeze'), await said('--effect baseline')]).toEqual(['cut', 'freeze', 'narrow'].map(does => `would ${does} 1 session, 1 exchange; 1 of 1 gateways said so\n`))
  expect(JSON.parse(await said('-o json'))).toEqual({ dryRun: true, sessions: 1, exchanges: 1, gateways: { total: 1, answered: 1 } })
  expect((await run('lock subject=nobody --dry-run')).out).toMatch(/^would cut 0 sessions, 0 exchanges;/)
  expect(desk.mirror.standingLocks().filter(({ state, selector: { value } }) => state === 'set' && value === 'previewed')).toEqual([])
})

test('[ELV1, ADM10] elevate, approve, extend, release, revoke; a ticket opened and ended', async () => {
  const { record: { id } } = await desk.session('elevator')
  const asked = async (words: string) => JSON.parse((await run(`elevate ${id} ${words} --reason x -o json`)).out) as { readonly id: string; readonly state: string } // what the server answers
  expect((await run('anchor open ticket INC/9 --tenant acme --reason confirmed')).exit).toBe(0)
  const ticketed = await asked('ticketed --purpose ticket=INC/9 --for 5m')
  expect(ticketed.state).toBe('active')
  expect((await run(`extend ${ticketed.id} --for 5m --reason x`)).exit).toBe(0)
  expect((await run('anchor end ticket INC/9 --tenant acme')).exit).toBe(0)
  await desk.ledger.settled()
  expect((await run(`describe elevation ${ticketed.id}`)).out).toContain('ticket_closed')
  const [approved, denied] = [await asked('approved'), await asked('approved')]
  expect((await run(`approve ${approved.id} --adds base:write --reason fine`, 'approver')).exit).toBe(0)
  expect((await run(`deny ${denied.id}`, 'approver')).exit).toBe(0)
  expect((await run(`revoke ${approved.id}`)).exit).toBe(0)
  expect((await run(`release ${(await asked('fix')).id}`)).exit).toBe(0)
  expect((await run(`elevate ${id} fix --purpose tikket=1 --reason x`)).exit).toBe(2)
  expect((await run(`elevate ${id} fix --dry-run --reason x -o json`)).err).toBe('')
})

test('[ADM10] watch prints events as they come, one JSON value a line', async () => {
  const live = await desk.session('watched')
  const watching = run('watch --count 1 -o json')
  while (desk.listeners.size === 0) await new Promise(resolve => setImmediate(resolve))
  await run(`freeze ${live.record.id}`)
  const { exit, out } = await watching
  expect([exit, JSON.parse(out)]).toEqual([0, expect.objectContaining({ event: 'fact', session: live.record.id })])
})

test('[ADM11] token new makes an entry that the token file takes, and wrong ones are usage', async () => {
  const { out } = await run('token new --name ann --roles approver viewer --identity corp|ann --expires 2027-01-31T00:00:00Z -o json')
  const { token, entry } = JSON.parse(out) as { readonly token: string; readonly entry: object } // what the command prints
  expect(tokensOf(JSON.stringify({ tokens: [entry] })).get(sha256(token))).toMatchObject({ name: 'ann', roles: ['viewer', 'approver'], identity: 'corp|ann' })
  for (const words of ['--roles root', '--identity ann', '--expires soon', '--name a/b']) expect((await run(`token new ${words}`)).exit).toBe(2)
})

test('[ADM10] config validate and reload ask the running gateway', async () => {
  writeFileSync(join(directory, 'bad.yaml'), 'version: 1\nroutez: []\n')
  const { exit, err } = await run(`config validate -c ${join(directory, 'bad.yaml')}`)
  expect([exit, err]).toEqual([3, expect.stringContaining("did you mean 'routes'?")])
  expect((await run('config reload --reason x')).exit).toBe(0)
})

const GATEWAY = (state: string, port: number, rule = 'GET'): string => `
version: 1
stateDir: ${state}
telemetry: { logs: { level: silent } }
server:
  listeners:
    - { name: main, address: '127.0.0.1:0', serves: [proxy] }
    - { name: admin, address: '127.0.0.1:${port}', serves: [admin] }
authn:
  login: { jwt: { issuer: https://idp.test, audience: narrowgate } }
routes:
  - name: api
    match: { host: api.test }
    upstream: http://api.test:8080
    rules: [{ allow: { methods: [${rule}] } }]
`

test('[ADM10, CFG10] run serves until SIGTERM, SIGHUP reloads, and the first token opens its admin listener', async () => {
  const [state, port] = [join(directory, 'state'), await freePort()]
  const file = join(directory, 'gateway.yaml')
  const env = { NARROWGATE_SERVER: `http://127.0.0.1:${port}`, NARROWGATE_TOKEN_FILE: join(state, 'admin.token') }
  writeFileSync(file, GATEWAY(state, port))
  const ran = (line: string) => start(line.split(' '), env).ended
  expect((await ran(`validate -c ${file} -o json`)).out).toContain('"ok": true')
  expect((await ran(`store init -c ${file}`)).exit).toBe(0)
  expect((await ran(`store init -c ${file}`)).exit).toBe(7)
  const gateway = start(['run', '-c', file], env)
  while (!(await ran('health')).out.startsWith('ready')) await Promise.race([gateway.ended.then(({ err }) => { throw new Error(err) }), new Promise(resolve => setImmediate(resolve))])
  const digest = async () => (JSON.parse((await ran('config reload -o json')).out) as { readonly digest: string }).digest // what the server answers
  const before = await digest()
  expect((await ran('lock tenant=x --reason test')).exit).toBe(0)
  writeFileSync(file, GATEWAY(state, port, 'POST'))
  gateway.signal('SIGHUP')
  const routes = async () => (await ran('get routes -o json')).out
  while (!(await routes()).includes('POST')) await new Promise(resolve => setImmediate(resolve))
  expect(await digest()).not.toBe(before)
  writeFileSync(file, 'version: 1')
  expect((await ran('config reload')).exit).toBe(3)
  gateway.signal('SIGTERM')
  expect(await gateway.ended).toMatchObject({ exit: 0 })
  expect(gateway.waiting()).toEqual([])
})

test('[AUD6, ADM10] audit verify ends with 10 and names the record when a line of the trail was changed or cut off', async () => {
  const trail = join(directory, 'state', 'trail.jsonl')
  const audit = (line: string): Promise<Ran> => run(`audit ${line}`, 'operator', { NARROWGATE_SERVER: 'http://127.0.0.1:1' })
  const whole = readFileSync(trail, 'utf8')
  const { exit, out } = await audit(`verify --file ${trail} -o json`)
  const { records } = JSON.parse(out) as { readonly records: number } // what the command prints
  expect([exit, records > 2]).toEqual([0, true])
  const copy = join(directory, 'copy', 'trail.jsonl')
  mkdirSync(join(directory, 'copy'))
  writeFileSync(copy, whole.replace('"tenant:x"', '"tenant:y"'))
  const changed = await audit(`verify --file ${copy}`)
  expect([changed.exit, changed.err]).toEqual([10, expect.stringMatching(/record \d+ was changed/)])
  const lines = whole.trimEnd().split('\n')
  writeFileSync(copy, `${lines.slice(0, -1).join('\n')}\n`)
  expect(await audit(`verify --file ${copy}`)).toMatchObject({ exit: 0, err: expect.stringMatching(/missing end is not seen without a head: .* can not be reached/) as unknown })
  expect((await audit(`verify --file ${copy} --head ${records}:${sha256(lines.at(-1) ?? '')}`)).exit).toBe(10)
  expect((await audit(`verify --file ${copy} --head nonsense`)).exit).toBe(2)
})

test('[ADM10] run with a wrong file lists every problem and ends with 3', async () => {
  const file = join(directory, 'wrong.yaml')
  writeFileSync(file, 'version: 1\nroutez: []\n')
  const { exit, err } = await run(`run -c ${file}`)
  expect([exit, err]).toEqual([3, expect.stringMatching(/wrong\.yaml:1:1: .*routes[^]*wrong\.yaml:2:1: unknown key 'routez'/)])
})

test('[ADM10] schema is the JSON Schema of the file', async () => {
  expect(JSON.parse((await run('schema')).out)).toMatchObject({ title: 'Narrowgate configuration', properties: { routes: {} } })
})
