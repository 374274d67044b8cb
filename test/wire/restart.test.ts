// What an operator ended, narrowed, froze or locked is so after a restart; a lost database refuses what it can no longer judge;
// and what was acknowledged survives a process that is killed right behind its answer. SPEC: STO7, STO8, SES3-SES6, ENF5-ENF8, RULES 9, 27
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { trailFiles } from '../../src/audit/tail.ts'
import { verifyTrail } from '../../src/audit/verify.ts'
import { ConfigSource } from '../../src/config/source.ts'
import { instant } from '../../src/core/time.ts'
import { openGateway } from '../../src/gateway.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { acceptLoss } from '../../src/sessions/data-set.ts'
import { type Answer, type GatewayPlan, settingsOf, TestGateway } from '../support/gateway.ts'
import { request, requestOnce } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { TokenIssuer } from '../support/token-issuer.ts'

const KEY = 'a-key-without-an-issue-time'

const config: NonNullable<GatewayPlan['config']> = ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json } }
  legacy: { apiKey: { keysFile: ${directory}/api-keys.yaml } }
sessions: { idle: 2m, max: 4m, baseline: [{ scopes: [base:read] }] }
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
upstreams: { api: { url: "${upstream.origin}" } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { paths: [/read/**] }, scope: base:read }
      - { allow: { paths: [/write/**] }, scope: api:write }
      - { allow: { paths: [/admin/**] }, scope: api:admin }
  - name: other
    match: { host: other.test }
    upstream: api
    rules: [{ allow: {}, scope: base:read }]
elevations:
  writer: { adds: [api:write], for: 3m, purpose: [ticket] }
  admin: { adds: [api:admin], for: 3m }
telemetry: { logs: { level: silent } }
`

let directory: string
let upstream: RecordingUpstream
let issuer: TokenIssuer
let gate: TestGateway
/** Milliseconds by which every gateway of a test is ahead of this machine. */
let ahead = 0
const system = new SystemClock()
const clock = { now: () => instant(system.now() + ahead), elapsed: () => system.elapsed() + ahead }

beforeAll(async () => {
  upstream = await RecordingUpstream.start()
  issuer = await TokenIssuer.create()
})
afterAll(() => upstream.close())
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-restart-'))
  writeFileSync(join(directory, 'api-keys.yaml'), `keys: [{ id: legacy-1, sha256: ${createHash('sha256').update(KEY).digest('hex')}, subject: svc-legacy }]\n`)
  ahead = 0
  gate = await start()
})
afterEach(async () => {
  await gate.stop()
  rmSync(directory, { recursive: true, force: true })
})

const start = (): Promise<TestGateway> => TestGateway.start({ routes: '', config, directory, upstream, issuer, clock })
async function restart(): Promise<void> {
  await gate.stop()
  gate = await start()
}

/** A token of the session `sid`, issued `later` milliseconds from now. */
const token = (sid: string, later = 0): Promise<string> => issuer.sign({ sub: `agent-${sid}`, sid, jti: Math.random().toString(36) }, { now: Date.now() + ahead + later })
const get = (path: string, bearer: string, headers: { readonly [name: string]: string } = {}): Promise<Answer> => gate.ask('GET', path, { authorization: `Bearer ${bearer}`, ...headers })
const outcome = ({ status, json }: Answer): string => (status === 200 ? '200' : `${status} ${String(json['reason'])}`)

async function verb(path: string, body: object = {}): Promise<Answer> {
  const answer = await gate.admin('POST', path, { reason: 'test', ...body })
  expect(answer.status, answer.text).toBe(200)
  return answer
}

/** Before a restart and after it alike. */
async function twice(check: () => Promise<void>): Promise<void> {
  await check()
  await restart()
  await check()
}

test('[SES4, STO7] a terminated session stays ended: its token is refused, a newer one of the same key opens a life of its own at baseline', async () => {
  const old = await token('s1')
  const bystander = await token('s2')
  await gate.elevate(old, 'writer', 'T-1')
  expect(outcome(await get('/write/x', old, { 'narrowgate-ticket': 'T-1' }))).toBe('200')
  const { id } = await gate.session(old)
  const other = await gate.session(bystander)
  const sibling = await token('s1', -5_000)
  await verb(`/v1/sessions/${id}/terminate`)
  const before = upstream.requests.length
  await twice(async () => {
    expect(outcome(await get('/read/x', old))).toBe('401 credential_revoked')
    expect(outcome(await get('/read/x', sibling))).toBe('401 credential_revoked')
    expect(outcome(await gate.ask('GET', '/.narrowgate/session', { authorization: `Bearer ${old}` }))).toBe('401 credential_revoked')
    expect(upstream.requests).toHaveLength(before)
  })
  const newer = await token('s1', 2_000)
  expect(outcome(await get('/read/x', newer))).toBe('200')
  expect(outcome(await get('/write/x', newer, { 'narrowgate-ticket': 'T-1' }))).toBe('403 elevation_required')
  expect((await gate.session(newer)).id).not.toBe(id)
  await twice(async () => {
    expect(outcome(await get('/read/x', old))).toBe('401 credential_revoked')
    expect(outcome(await get('/read/x', newer))).toBe('200')
    expect((await gate.session(bystander)).id).toBe(other.id)
  })
})

test('[SES6, SES4] a credential without an issue time stays refused until an operator clears the mark', async () => {
  const use = (): Promise<Answer> => gate.ask('GET', '/read/x', { 'x-api-key': KEY })
  expect(outcome(await use())).toBe('200')
  const listed = await gate.admin('GET', '/v1/sessions')
  const [session] = listed.json['sessions'] as readonly { readonly id: string }[] // the contract's shape
  await verb(`/v1/sessions/${session?.id}/terminate`)
  await twice(async () => expect(outcome(await use())).toBe('401 credential_revoked'))
  const marks = (await gate.admin('GET', '/v1/locks')).json['marks'] as readonly { readonly id: string }[]
  expect(marks).toHaveLength(1)
  const cleared = await gate.admin('DELETE', `/v1/locks/${marks[0]?.id}`, { reason: 'the key was not the leak' })
  expect(cleared.status, cleared.text).toBe(200)
  await twice(async () => expect(outcome(await use())).toBe('200'))
})

test('[ENF6, STO7] a frozen session stays frozen, may see how it stands, and goes on when it is resumed', async () => {
  const bearer = await token('s1')
  const { id } = await gate.session(bearer)
  await verb(`/v1/sessions/${id}/freeze`)
  await twice(async () => {
    expect(outcome(await get('/read/x', bearer))).toBe('403 frozen')
    expect((await get('/.narrowgate/session', bearer)).json).toMatchObject({ id, state: 'frozen' })
  })
  await verb(`/v1/sessions/${id}/resume`)
  await twice(async () => {
    expect(outcome(await get('/read/x', bearer))).toBe('200')
    expect((await gate.session(bearer)).id).toBe(id)
  })
})

test('[ENF6] a freeze that nobody lifted ends the session at its time, also while the gateway is down', async () => {
  const bearer = await token('s1')
  const { id } = await gate.session(bearer)
  await verb(`/v1/sessions/${id}/freeze`, { for: '10s' })
  await gate.stop()
  ahead = 11_000
  gate = await start()
  expect(outcome(await get('/read/x', bearer))).toBe('401 credential_revoked')
  expect(outcome(await get('/read/x', await token('s1', 2_000)))).toBe('200')
})

test('[ENF8, STO7] locks stand after a restart, and lifted ones do not', async () => {
  const bearer = await token('s1')
  const bystander = await token('s2')
  const hold = async (selector: object, effect?: string): Promise<string> => {
    const set = await verb('/v1/locks', { selector, ...(effect === undefined ? {} : { effect }) })
    return (set.json['lock'] as { readonly id: string }).id // the contract's shape
  }
  const lift = async (id: string): Promise<void> => expect((await gate.admin('DELETE', `/v1/locks/${id}`, { reason: 'over' })).status).toBe(200)
  const cases: readonly (readonly [selector: object, effect: string | undefined, refused: string])[] = [
    [{ subject: 'agent-s1' }, undefined, '403 locked'], [{ subject: `${issuer.issuer}|agent-s1` }, 'freeze', '403 frozen'], [{ session: (await gate.session(bearer)).id }, undefined, '403 locked'],
  ]
  for (const [selector, effect, refused] of cases) {
    const lock = await hold(selector, effect)
    await twice(async () => {
      expect(outcome(await get('/read/x', bearer)), JSON.stringify(selector)).toBe(refused)
      expect(outcome(await get('/read/x', bystander))).toBe('200')
    })
    await lift(lock)
    await twice(async () => expect(outcome(await get('/read/x', bearer))).toBe('200'))
  }
  await hold({ route: 'other' })
  await twice(async () => {
    expect(outcome(await get('/read/x', bearer, { host: 'other.test' }))).toBe('403 locked')
    expect(outcome(await get('/read/x', bearer))).toBe('200')
  })
  await hold({ issuedBefore: new Date(Date.now() + 1_000).toISOString() })
  const newer = await token('s3', 3_000)
  await twice(async () => {
    expect(outcome(await get('/read/x', bearer))).toBe('403 locked')
    expect(outcome(await get('/read/x', bystander))).toBe('403 locked')
    expect(outcome(await get('/read/x', newer))).toBe('200')
  })
  await hold({ all: true })
  await twice(async () => expect(outcome(await get('/read/x', newer))).toBe('403 locked'))
})

test('[ELV6, SIG4] ended elevations stay ended and running ones keep their end; opening a ticket again revives nothing', async () => {
  const bearer = await token('s1')
  const shows = (ticket: string) => ({ 'narrowgate-ticket': ticket })
  await gate.elevate(bearer, 'writer', 'T-1')
  const revoked = await gate.elevate(bearer, 'admin')
  expect(outcome(await get('/write/x', bearer, shows('T-1')))).toBe('200')
  expect(outcome(await get('/admin/x', bearer))).toBe('200')
  await verb('/v1/anchors/ticket/T-1', { state: 'ended' })
  await verb(`/v1/elevations/${revoked}/revoke`)
  const keeps = await gate.elevate(bearer, 'writer', 'T-2')
  const { until } = (await gate.admin('GET', `/v1/elevations/${keeps}`)).json
  await twice(async () => {
    expect(outcome(await get('/write/x', bearer, shows('T-1')))).toBe('403 purpose_mismatch')
    expect(outcome(await get('/admin/x', bearer))).toBe('403 elevation_required')
    expect(outcome(await get('/write/x', bearer, shows('T-2')))).toBe('200')
    expect((await gate.admin('GET', `/v1/elevations/${keeps}`)).json['until']).toBe(until)
  })
  await verb('/v1/anchors/ticket/T-1', { state: 'open' })
  await twice(async () => expect(outcome(await get('/write/x', bearer, shows('T-1')))).toBe('403 purpose_mismatch'))
  await gate.stop()
  ahead = 3 * 60_000 + 1_000 - 60_000 * 2 // one minute in: still running
  gate = await start()
  expect(outcome(await get('/write/x', bearer, shows('T-2')))).toBe('200')
  await gate.stop()
  ahead = 3 * 60_000 + 1_000
  gate = await start()
  expect(outcome(await get('/write/x', bearer, shows('T-2')))).toBe('403 elevation_required')
})

test('[ENF5, STO7] a narrowed session stays narrowed until an operator widens it', async () => {
  const bearer = await token('s1')
  await gate.elevate(bearer, 'writer', 'T-1')
  await gate.elevate(bearer, 'admin')
  const { id } = await gate.session(bearer)
  const now = async (): Promise<readonly string[]> => [outcome(await get('/read/x', bearer)), outcome(await get('/write/x', bearer, { 'narrowgate-ticket': 'T-1' })), outcome(await get('/admin/x', bearer))]
  await verb(`/v1/sessions/${id}/narrow`)
  await twice(async () => expect(await now()).toEqual(['200', '403 narrowed', '403 narrowed']))
  await verb(`/v1/sessions/${id}/widen`)
  await twice(async () => expect(await now()).toEqual(['200', '200', '200']))
  await verb(`/v1/sessions/${id}/narrow`, { to: ['api:admin'] })
  await twice(async () => expect(await now()).toEqual(['403 narrowed', '403 narrowed', '200']))
  await verb(`/v1/sessions/${id}/widen`)
  const [first] = ((await gate.admin('GET', `/v1/sessions/${id}`)).json['elevations'] as readonly { readonly id: string }[]) // the contract's shape
  await verb(`/v1/sessions/${id}/narrow`, { elevations: [first?.id] })
  await twice(async () => expect(await now()).toEqual(['200', '403 narrowed', '200']))
})

test('[SES3, SES5] a life that lapsed by idleness reopens with the same token at baseline; one that reached its limit wants a newer credential', async () => {
  const bearer = await token('s1')
  await gate.elevate(bearer, 'writer', 'T-1')
  const { id } = await gate.session(bearer)
  await gate.stop()
  ahead = 2 * 60_000 + 1_000
  gate = await start()
  expect(outcome(await get('/write/x', bearer, { 'narrowgate-ticket': 'T-1' }))).toBe('403 elevation_required')
  const second = await gate.session(bearer)
  expect(second.id).not.toBe(id)
  expect((await gate.admin('GET', `/v1/sessions/${second.id}`)).json).toMatchObject({ state: 'live', elevations: [] })
  for (const minute of [1, 2, 3]) {
    ahead = (2 + minute) * 60_000 + 1_000
    expect(outcome(await get('/read/x', bearer))).toBe('200')
  }
  ahead = 6 * 60_000 + 2_000
  await twice(async () => expect(outcome(await get('/read/x', bearer))).toBe('401 max_reached'))
  const newer = await token('s1')
  await twice(async () => expect(outcome(await get('/read/x', newer))).toBe('200'))
  expect((await gate.session(newer)).id).not.toBe(second.id)
})

test('[ENF7] a shortened life keeps its new end', async () => {
  const bearer = await token('s1')
  const { id } = await gate.session(bearer)
  await verb(`/v1/sessions/${id}/shorten`, { for: '30s' })
  ahead = 25_000
  await twice(async () => expect(outcome(await get('/read/x', bearer))).toBe('200'))
  ahead = 31_000
  await twice(async () => expect(outcome(await get('/read/x', bearer))).toBe('401 max_reached'))
})

test('[AUD8, AUD6] the trail goes on over restarts as one chain, and facts of the last moment are in it', async () => {
  const bearer = await token('s1')
  const { id } = await gate.session(bearer)
  await verb(`/v1/sessions/${id}/terminate`)
  await restart()
  await restart()
  const lines = await gate.trail()
  expect(lines.filter(({ kind }) => kind === 'gateway.started')).toHaveLength(3)
  expect(lines.filter(({ kind }) => kind === 'gateway.stopped')).toHaveLength(2)
  expect(lines.filter(({ fact }) => (fact as { readonly what?: string } | undefined)?.what === 'session.revoked')).toHaveLength(1)
  expect(await verifyTrail(trailFiles(gate.trailFile), gate.parts.trail.head)).toMatchObject({ ok: true, unsealed: 0 })
})

describe('a lost database', () => {
  /** Not `TestGateway.start`: that would be the word of an operator who installs. */
  async function withGateway(check: (ask: (bearer: string) => Promise<string>) => Promise<void>): Promise<void> {
    const source = new ConfigSource(join(directory, 'gateway.yaml'))
    const first = source.load()
    if (!first.ok) throw new Error('the configuration does not load')
    const gateway = await openGateway({ settings: first.settings, source })
    const { port } = gateway.front.bound.get('main')?.address ?? { port: 0 }
    await check(async bearer => {
      const { status, body } = await requestOnce({ port }, request('GET', '/read/x', { Authorization: `Bearer ${bearer}` }))
      const { reason } = JSON.parse(body.toString('utf8')) as { readonly reason?: string } // problem+json, or the upstream's
      return status === 200 ? '200' : `${status} ${reason}`
    })
    await gateway.close('test')
  }

  test('[STO8, SES6] refuses every credential from before, revoked or not, until an operator accepts the loss', async () => {
    const revoked = await token('s1')
    const good = await token('s2')
    const { id } = await gate.session(revoked)
    expect(outcome(await get('/read/x', good))).toBe('200')
    await verb(`/v1/sessions/${id}/terminate`)
    await gate.stop()
    const state = join(directory, 'state')
    for (const file of readdirSync(state).filter(name => name.startsWith('narrowgate.db'))) rmSync(join(state, file))
    const later = await token('s2', 3_000)
    await withGateway(async ask => {
      expect(await ask(revoked)).toBe('401 state_lost')
      expect(await ask(good)).toBe('401 state_lost')
      expect(await ask(later)).toBe('200')
    })
    await withGateway(async ask => {
      expect(await ask(good)).toBe('401 state_lost')
      expect(await ask(later)).toBe('200')
    })
    await acceptLoss(settingsOf(config({ directory, upstream, issuer }), join(directory, 'gateway.yaml')), 'operator', 'the disk was replaced')
    await withGateway(async ask => expect(await ask(good)).toBe('200'))
    gate = await start()
  })
})

describe('a process that is killed', () => {
  type Running = { readonly child: ChildProcess; readonly main: number; readonly admin: number }

  async function run(file: string): Promise<Running> {
    const child = spawn(process.execPath, [new URL('../../src/main.ts', import.meta.url).pathname, 'run', '--config', file], { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: child.stdout })) {
      const { msg, listeners } = JSON.parse(line) as { readonly msg?: string; readonly listeners?: readonly string[] } // the gateway's own log
      if (msg !== 'listening' || listeners === undefined) continue
      child.stdout.resume()
      const port = (name: string): number => Number(listeners.find(text => text.startsWith(`${name} `))?.match(/:(\d+) /)?.[1])
      return { child, main: port('main'), admin: port('admin') }
    }
    throw new Error('the gateway ended before it listened')
  }

  async function kill({ child }: Running): Promise<void> {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  const VERBS = ['terminate', 'freeze', 'narrow'] as const
  test('[ENF9, STO7] has kept every change it acknowledged, however soon after the answer it died', async () => {
    const { adminToken } = gate
    await gate.stop()
    const file = join(directory, 'gateway.yaml')
    writeFileSync(file, config({ directory, upstream, issuer }).replace('level: silent', 'level: info'))
    const read = async (at: Running, bearer: string, path: string): Promise<string> => {
      const { status, body } = await requestOnce({ port: at.main }, request('GET', path, { Authorization: `Bearer ${bearer}` }))
      return status === 200 ? '200' : `${status} ${String((JSON.parse(body.toString('utf8')) as { readonly reason?: string }).reason)}` // problem+json
    }
    const bearers = new Map<string, string>()
    let running = await run(file)
    for (const verb of VERBS) {
      const bearer = await token(verb)
      bearers.set(verb, bearer)
      expect(await read(running, bearer, '/read/x')).toBe('200')
      const own = await requestOnce({ port: running.main }, request('GET', '/.narrowgate/session', { Authorization: `Bearer ${bearer}` }))
      const { id } = JSON.parse(own.body.toString('utf8')) as { readonly id: string } // the session's own view
      const body = JSON.stringify({ reason: 'test', ...(verb === 'narrow' ? { to: ['nothing:at-all'] } : {}) })
      const answer = await requestOnce({ port: running.admin }, request('POST', `/v1/sessions/${id}/${verb}`, { Host: `127.0.0.1:${running.admin}`, Authorization: `Bearer ${adminToken}`, 'Content-Type': 'application/json' }, body))
      expect(answer.status, answer.body.toString()).toBe(200)
      expect(JSON.parse(answer.body.toString())).toMatchObject({ enforced: true, durable: true })
      await kill(running)
      running = await run(file)
    }
    expect(await read(running, bearers.get('terminate') ?? '', '/read/x')).toBe('401 credential_revoked')
    expect(await read(running, bearers.get('freeze') ?? '', '/read/x')).toBe('403 frozen')
    expect(await read(running, bearers.get('narrow') ?? '', '/read/x')).toBe('403 narrowed')
    await kill(running)
    gate = await start()
    const revoked = (await gate.trail()).filter(({ fact }) => (fact as { readonly what?: string } | undefined)?.what === 'session.revoked')
    expect(revoked).toHaveLength(1)
    expect(await verifyTrail(trailFiles(gate.trailFile), gate.parts.trail.head)).toMatchObject({ ok: true })
  })
})
