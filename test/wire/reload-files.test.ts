// What a reload takes besides rules: operators, certificates, the log level; and what it refuses because only a start can take it.
// Reloads of every origin wait for each other, and a start that fails leaves nothing open. SPEC: CFG10, ADM9, ADM12
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { entryFor, newToken } from '../../src/admin/first-token.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { type Authority, testAuthority } from '../support/tls.ts'
import { until } from './support.ts'

let directory: string
let authority: Authority
let gate: TestGateway | null = null
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-reload-'))
  authority = await testAuthority()
  for (const listener of ['main', 'admin']) place(listener, await authority.issue(`${listener}.first`, ['IP:127.0.0.1']))
})
afterEach(async () => {
  await gate?.stop()
  gate = null
  rmSync(directory, { recursive: true, force: true })
})

const file = (name: string): string => join(directory, name)
function place(listener: string, { certFile, keyFile }: { readonly certFile: string; readonly keyFile: string }): void {
  copyFileSync(certFile, file(`${listener}.crt`))
  copyFileSync(keyFile, file(`${listener}.key`))
}

type Plan = { readonly tls?: boolean; readonly admin?: string; readonly adminPort?: number }
const ROUTE = '- { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: { methods: [GET] } }] }'

const configuration = ({ tls = false, admin = '', adminPort = 0 }: Plan) => ({ upstream, issuer }: { readonly upstream: { readonly origin: string }; readonly issuer: { readonly issuer: string } }): string => {
  const secured = (listener: string): string => (tls ? `, tls: { certFile: ${file(`${listener}.crt`)}, keyFile: ${file(`${listener}.key`)} }` : '')
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy]${secured('main')} }
    - { name: admin, address: "127.0.0.1:${adminPort}", serves: [admin]${secured('admin')} }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json } } }
upstreams: { api: { url: "${upstream.origin}" } }
telemetry: { logs: { level: silent } }
routes:
  ${ROUTE}
${admin}`
}

async function start(plan: Plan = {}): Promise<TestGateway> {
  gate = await TestGateway.start({ routes: '', directory, config: configuration(plan) })
  return gate
}

const edit = (running: TestGateway, change: (text: string) => string): void => writeFileSync(running.configFile, change(readFileSync(running.configFile, 'utf8')))

/** Common name of the certificate that a new connection is shown. */
async function shown(running: TestGateway, listener: string): Promise<{ readonly name: string; readonly socket: TLSSocket }> {
  const socket = connect({ host: '127.0.0.1', port: running.gateway.front.bound.get(listener)?.address.port ?? 0, ca: authority.ca })
  await once(socket, 'secureConnect')
  return { name: String(socket.getPeerCertificate().subject.CN), socket }
}

async function names(running: TestGateway): Promise<readonly string[]> {
  const both = [await shown(running, 'main'), await shown(running, 'admin')]
  for (const { socket } of both) socket.destroy()
  return both.map(({ name }) => name)
}

const messages = async (reloading: ReturnType<TestGateway['gateway']['reload']>): Promise<string> => {
  const loaded = await reloading
  return loaded.ok ? '' : loaded.problems.map(problem => `${problem.file}: ${problem.message}`).join('\n')
}

test('[CFG10] certificates that were rotated on disk are shown after a reload; connections that are open stay', async () => {
  const running = await start({ tls: true })
  expect(await names(running)).toEqual(['main.first', 'admin.first'])
  const { socket } = await shown(running, 'main')
  for (const listener of ['main', 'admin']) place(listener, await authority.issue(`${listener}.second`, ['IP:127.0.0.1']))
  expect(await messages(running.gateway.reload('SIGHUP'))).toBe('')
  expect(await names(running)).toEqual(['main.second', 'admin.second'])
  socket.write('GET / HTTP/1.1\r\nhost: api.test\r\n\r\n')
  const [answer] = (await once(socket, 'data')) as [Buffer] // no encoding is set
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /)
  socket.destroy()
})

test.each([
  ['is no PEM', () => writeFileSync(file('admin.crt'), 'junk\n'), 'admin.crt'],
  ['has a key that is no PEM', () => writeFileSync(file('admin.key'), 'junk\n'), 'admin.key'],
  ['has the key of another', () => copyFileSync(file('main.key'), file('admin.key')), 'admin.key'],
])('[CFG10] a certificate that %s refuses the reload whole, with listener and file named; and a start', async (_, spoil, culprit) => {
  const running = await start({ tls: true })
  place('main', await authority.issue('main.second', ['IP:127.0.0.1']))
  spoil()
  edit(running, text => text.replace('[GET]', '[POST]'))
  const problems = await messages(running.gateway.reload('SIGHUP'))
  expect(problems).toContain(`${running.configFile}: listener admin: `)
  expect(problems).toContain(file(culprit))
  expect(await names(running)).toEqual(['main.first', 'admin.first'])
  expect(running.parts.settings().policy.routes[0]?.rules[0]?.methods?.has('GET')).toBe(true)
  await running.stop()
  gate = null
  await expect(start({ tls: true })).rejects.toThrow(/listener admin: .*admin\.(crt|key)/)
})

test('[CFG10] another token file and another log level count from the reload on; a broken token file refuses it', async () => {
  const [before, after] = [newToken(), newToken()]
  const tokens = (token: string): string => JSON.stringify({ tokens: [{ ...entryFor(token, 'ann', ['operator'], 'corp|ann'), expires: undefined }] })
  writeFileSync(file('before.json'), tokens(before))
  writeFileSync(file('after.json'), tokens(after))
  writeFileSync(file('broken.json'), 'tokens: []\n')
  const running = await TestGateway.start({ routes: '', directory, config: configuration({}) })
  gate = running
  const status = async (token: string): Promise<number> => (await fetch(`http://${running.gateway.front.address('admin')}/v1/config`, { headers: { authorization: `Bearer ${token}` } })).status
  const use = (name: string): void => edit(running, text => `${text.replace(/^admin:.*\n/m, '').replace('level: silent', 'level: error')}\nadmin: { auth: { tokenFile: ${file(name)} } }\n`)
  expect([await status(running.adminToken), await status(before)]).toEqual([200, 401])
  use('broken.json')
  expect(await messages(running.gateway.reload('SIGHUP'))).toContain(`${file('broken.json')}: is not JSON`)
  expect([await status(running.adminToken), running.parts.log]).toEqual([200, expect.objectContaining({ level: 'silent' })])
  use('before.json')
  expect(await messages(running.gateway.reload('SIGHUP'))).toBe('')
  expect([await status(running.adminToken), await status(before), await status(after)]).toEqual([401, 200, 401])
  use('after.json')
  expect(await messages(running.gateway.reload('SIGHUP'))).toBe('')
  expect([await status(before), await status(after)]).toEqual([401, 200])
  expect(running.parts.log).toMatchObject({ level: 'error' })
})

test('[CFG10] what only a start can take is refused by its name, and nothing else of the file is taken', async () => {
  const running = await start()
  const digest = running.parts.settings().digest
  edit(running, text => `${text.replace('[GET]', '[POST]')}\naudit: { trail: { fsync: true } }\n`)
  const answer: Answer = await running.admin('POST', '/v1/config/reload', { reason: 'test' })
  expect([answer.status, answer.text]).toEqual([422, expect.stringContaining('a reload cannot change `audit`: restart the gateway')])
  expect(running.parts.settings().digest).toBe(digest)
})

test('[ADM12][CFG9] since when it runs and what is odd about it: of the configuration that runs, whoever had it loaded', async () => {
  const running = await start()
  const shownNow = async () => (await running.admin('GET', '/v1/config')).json
  const first = await shownNow()
  expect(first['warnings']).toEqual([])
  edit(running, text => text.replace('upstreams:', 'elevations: { unused: { adds: [nobody:asks], for: 5m } }\nupstreams:'))
  const loaded = await running.gateway.reload('SIGHUP')
  expect(loaded.ok && loaded.warnings.length).toBeGreaterThan(0)
  const second = await shownNow()
  expect(second['warnings']).toHaveLength(loaded.ok ? loaded.warnings.length : 0)
  expect(Date.parse(String(second['loadedAt']))).toBeGreaterThan(Date.parse(String(first['loadedAt'])))
  edit(running, text => `${text}\nsurprise: 1\n`)
  expect((await running.gateway.reload('SIGHUP')).ok).toBe(false)
  expect((await shownNow())['loadedAt']).toBe(second['loadedAt'])
})

test('[CFG10] a change of the file waits for the reload that is under way, and reads what is there when its turn comes', async () => {
  const running = await start()
  const { mirror } = running.parts
  const judged = mirror.onChange
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  mirror.onChange = async change => {
    await held
    return judged(change)
  }
  const loads = async () => (await running.trail()).filter(line => line['kind'] === 'config.loaded').map(line => line['by'])
  edit(running, text => text.replace('[GET]', '[PUT]'))
  const first = running.gateway.reload('SIGHUP')
  await until(() => running.parts.settings().policy.routes[0]?.rules[0]?.methods?.has('PUT') === true, 'the first swap')
  edit(running, text => text.replace('[PUT]', '[POST]'))
  const inBetween = performance.now()
  await until(() => performance.now() - inBetween > 400, 'the time in which the watcher speaks')
  expect(running.parts.settings().policy.routes[0]?.rules[0]?.methods?.has('PUT')).toBe(true)
  expect(await loads()).toEqual([])
  release()
  expect((await first).ok).toBe(true)
  await until(() => running.parts.settings().policy.routes[0]?.rules[0]?.methods?.has('POST') === true, 'the second swap')
  mirror.onChange = judged
  await running.gateway.reload('last')
  expect(await loads()).toEqual(['SIGHUP', 'file', 'last'])
})

test('[CFG10] a reload with a key file that is wrong names configuration and file, and keeps what runs', async () => {
  const running = await start()
  writeFileSync(file('jwks.json'), 'junk\n')
  expect(await messages(running.gateway.reload('SIGHUP'))).toBe(`${running.configFile}: authn.login: ${file('jwks.json')}: is not JSON`)
})

test('[ADM9][CFG10] an address that is taken is told with its listener, and the start leaves nothing open', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  const adminPort = address === null || typeof address === 'string' ? 0 : address.port
  await expect(start({ adminPort })).rejects.toThrow(`listener admin: 127.0.0.1:${adminPort} is in use`)
  taken.close()
  await once(taken, 'close')
  const running = await start({ adminPort })
  expect((await running.ops('/readyz')).status).toBe(200)
  const lines = (await running.trail()).map(line => line['kind']).filter(kind => String(kind).startsWith('gateway.'))
  expect(lines).toEqual(['gateway.started', 'gateway.stopped', 'gateway.started'])
})
