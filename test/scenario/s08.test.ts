// S8: automation calls an API with a credential that the vault gives for one job; the job is done in the middle of a call. The story is played once on each
// setting; each clause is asserted on what was seen of it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { request } from '../support/raw-client.ts'
import { eventually } from '../support/redis-server.ts'
import { LEASE_SECRET, TokenService } from '../support/token-service.ts'
import { asked, both, type Caller, connect, elevatedAt, SETTINGS, type Setting } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { type Adapted, bearer, factsIn, type Headers, type Line, loadsAsItStands, outcome, tokenFor, word } from './stage.ts'

const HOST = { host: 'crm.internal' }
const API = '/vault-backed-api'
const CALL = `${API}/customers`
const REVOKE = '/v1/sys/leases/revoke'
const OBTAIN = '/v1/creds/crm'

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s08.yaml'))

describe.each(SETTINGS)('S8 %s', (_, raise) => {
  let setting: Setting
  let vault: TokenService
  const seen = { shown: [] as string[], direct: [] as number[], answers: [] as string[], down: [] as string[], dispatched: 0, alarm: {} as Line, confirmed: {} as Line, late: '', metrics: '', files: [] as string[] }

  const job = async (name: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'svc-auto', { sid: name }), { ...HOST, 'narrowgate-task': name }) })
  const begins = (name: string): Promise<unknown> => word(setting.a, `/v1/anchors/task/${name}`, { state: 'open', tenant: 'acme' })
  const isDone = (name: string): Promise<unknown> => word(setting.a, `/v1/anchors/task/${name}`, { state: 'ended', tenant: 'acme' })
  const gives = async (caller: Caller, name: string): Promise<string> => {
    await begins(name)
    return elevatedAt(setting.a, caller, { profile: 'job', purpose: { task: name }, reason: 'nightly' })
  }

  /** What the API was shown on a path, by which gateway ever. */
  const keysAt = (path: string): readonly string[] => setting.a.upstream.requests.filter(({ path: of }) => of === path).flatMap(of => [...of.header('x-crm-key')])
  const linesOf = async (kind: string, elevation: string): Promise<readonly Line[]> => (await setting.trail()).filter(line => line['kind'] === kind && line['elevation'] === elevation)
  const onRecord = (kind: string, elevation: string): Promise<Line> => eventually(`${kind} of ${elevation}`, 20_000, async () => (await linesOf(kind, elevation))[0] ?? null)

  const ofJob = (kind: string): readonly Line[] => duties.lines.filter(line => line['kind'] === kind && line['elevation'] === duties.elevation)

  /** All that its socket gets of a call. */
  async function octets(gate: TestGateway, caller: Caller, path: string): Promise<string> {
    const client = await connect(gate, caller)
    await client.send(request('GET', path, caller.headers))
    await client.response('GET')
    client.close()
    return client.bytes().toString('latin1')
  }

  /** No lease, no call. */
  async function theVaultIsDown(): Promise<void> {
    const caller = await job('down')
    await gives(caller, 'down')
    vault.behaviours.set(OBTAIN, 503)
    const before = setting.a.upstream.requests.length
    for (const gate of [setting.a, setting.b]) {
      const { status, json } = await asked(gate, caller, 'GET', CALL)
      seen.down.push(outcome({ status, json }))
      seen.answers.push(JSON.stringify(json))
    }
    seen.dispatched = setting.a.upstream.requests.length - before
    vault.behaviours.clear()
  }

  /** The vault takes nothing back for longer than anybody may wait. */
  async function nobodyConfirms(): Promise<void> {
    const caller = await job('alarm')
    const elevation = await gives(caller, 'alarm')
    expect(outcome(await asked(setting.a, caller, 'GET', `${CALL}/alarm`))).toBe('200')
    vault.behaviours.set(REVOKE, 503)
    await isDone('alarm')
    seen.alarm = await onRecord('credential.not_revoked', elevation)
    vault.behaviours.clear()
    seen.confirmed = await onRecord('credential.revoked', elevation)
  }

  const duties = new Duties({
    carried: { method: 'GET', path: `${CALL}?month=5` }, stream: `${API}/export`, rest: `${API}/health/own`, before: '403 elevation_required', after: '403 purpose_over', reason: 'purpose_over',
    caller: (_setting, name) => job(name),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'svc-watch'), HOST) as Headers }, path: `${API}/health/live` }),
    give: (_setting, caller, name) => gives(caller, name),
    end: async () => {
      seen.shown.push(...new Set(keysAt(`${API}/export`)))
      seen.direct.push(...(await Promise.all(seen.shown.map(key => vault.direct(key)))))
      vault.behaviours.set(REVOKE, 503) // for a while, so that it is tried again
      const done = await isDone('first')
      setTimeout(() => vault.behaviours.clear(), 400)
      return done
    },
    revive: async () => {
      await begins('first')
      await eventually('all of it is taken back', 20_000, async () => {
        const [given, back] = await Promise.all(['credential.obtained', 'credential.revoked'].map(kind => linesOf(kind, duties.elevation)))
        return given?.length === back?.length ? true : null
      })
    },
  })

  beforeAll(async () => {
    vault = await TokenService.start()
    setting = await raise('s08.yaml', { adapt: (example: Adapted, directory: string) => {
      const { upstreams: { crm }, routes: [route] } = example
      crm.url = route.upstream
      route.upstream = 'crm'
      const { lease } = crm.credential
      lease.tokenFile = join(directory, 'vault')
      writeFileSync(lease.tokenFile, LEASE_SECRET, { mode: 0o600 })
      for (const each of [lease.obtain, lease.revoke]) each.url = each.url.replace('https://vault.example', vault.origin)
    } })
    setting.a.upstream.plays.set(CALL, '/ok')
    await theVaultIsDown()
    await nobodyConfirms()
    await duties.play(setting, async caller => { for (const gate of [setting.a, setting.b]) seen.answers.push(await octets(gate, caller, `${CALL}/octets`)) })
    seen.direct.push(...(await Promise.all(seen.shown.map(key => vault.direct(key)))))
    seen.late = (await Promise.all([setting.a, setting.b].map(async gate => JSON.stringify((await gate.admin('GET', `/v1/sessions/${duties.session}`)).json)))).join('')
    seen.metrics = (await Promise.all([setting.a, setting.b].map(async gate => (await gate.ops('/metrics')).text))).join('')
    seen.files = [setting.a, setting.b].flatMap(({ directory }) => ['trail.jsonl', 'noise.jsonl', 'journal.jsonl', 'store.sqlite'].map(name => join(directory, 'state', name))).filter(existsSync).map(file => readFileSync(file, 'latin1'))
  }, 90_000)
  afterAll(async () => {
    await setting.stop()
    await vault.close()
  })

  test('[S8.a] the gateway has a credential given for the job and shows it to the API, and nothing goes there without', () => {
    const keys = keysAt(CALL)
    expect(keys.length).toBeGreaterThanOrEqual(2)
    const given = vault.leases.map(({ token }) => token)
    for (const { path, header } of setting.a.upstream.requests.filter(({ path: of }) => of.startsWith(API)).map(of => ({ path: of.path, header: of.header('x-crm-key') }))) {
      expect(header, path).toHaveLength(1)
      expect(given).toContain(header[0])
    }
    expect(seen.direct.slice(0, seen.shown.length)).toEqual(seen.shown.map(() => 200))
    expect([seen.down, seen.dispatched]).toEqual([both('503 credential_unavailable'), 0])
  })

  test('[S8.b] its caller never sees it: no answer, header, error, record, metric or file has it', () => {
    const told = [...seen.answers, seen.late, seen.metrics, ...seen.files, JSON.stringify(duties.lines)]
    const secrets = [LEASE_SECRET, ...vault.leases.map(({ token }) => token)]
    expect(secrets.length).toBeGreaterThan(3)
    for (const secret of secrets) expect(told.some(text => text.includes(secret)), secret).toBe(false)
    expect(seen.answers.filter(answer => answer.startsWith('HTTP/1.1 200'))).toHaveLength(2)
  })

  test('[S8.c] the job is done: further calls are refused', () => expect(duties.after).toEqual(both('403 purpose_over')))

  test('[S8.d] the job is done: the lease is given back, again until the vault confirms it', () => {
    const leases = ofJob('credential.revoked').map(line => line['lease'])
    expect(leases.length).toBeGreaterThan(0)
    for (const lease of leases) {
      const attempts = vault.at(REVOKE).filter(({ body }) => body.includes(String(lease)))
      expect(attempts.map(({ status }) => status)).toContain(204)
      expect(attempts[0]?.status).toBe(503)
    }
    expect(duties.cutAfter).toBeLessThan(BOUND)
  })

  test('[S8.e] a header that was captured is worth nothing at the API behind that', () => {
    expect(seen.shown.length).toBeGreaterThan(0)
    expect(seen.direct.slice(seen.shown.length)).toEqual(seen.shown.map(() => 401))
  })

  test('[S8.f] the lease is in the log by its id, with whom it was for, and each call names what it went with', () => {
    const obtained = ofJob('credential.obtained')
    expect(obtained.length).toBeGreaterThan(0)
    for (const line of obtained) expect(line).toMatchObject({ credential: expect.stringMatching(/^cred_/), lease: expect.stringMatching(/^creds\/crm\//), upstream: 'crm', session: duties.session, elevation: duties.elevation })
    const names = new Set(obtained.map(line => line['credential']))
    const calls = duties.lines.filter(line => line['kind'] === 'exchange.opened' && line['grant'] === duties.elevation)
    expect(calls.length).toBeGreaterThanOrEqual(4)
    for (const { upstreamCredential } of calls) expect(names).toContain(upstreamCredential)
  })

  test('[S8.g] when giving it back was confirmed is in the log, and an alarm where nobody confirmed it in time', () => {
    const [ended] = factsIn(duties.lines, 'elevation.ended').filter(fact => fact['elevation'] === duties.elevation)
    const revoked = ofJob('credential.revoked')
    expect(revoked).toHaveLength(ofJob('credential.obtained').length)
    for (const line of revoked) {
      expect(line).toMatchObject({ confirmedAt: expect.any(Number), attempts: expect.any(Number), ms: expect.any(Number) })
      expect(Number(line['confirmedAt'])).toBeGreaterThanOrEqual(Number(ended?.['at']))
    }
    expect(seen.alarm).toMatchObject({ lease: expect.stringMatching(/^creds\/crm\//), because: expect.stringContaining('answered 503') })
    expect(Number(seen.alarm['ms'])).toBeGreaterThanOrEqual(1_900)
    expect(seen.confirmed).toMatchObject({ lease: seen.alarm['lease'] })
    expect(seen.metrics).toMatch(/narrowgate_credential_revocations_total\{upstream="crm",outcome="alarm"\} 1/)
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S8.h', risk: 'S8.i', digest: 'S8.j', life: 'S8.k', exchanges: 'S8.l', verify: 'S8.m', replay: 'S8.n', reconnect: 'S8.o', revive: 'S8.p', across: 'S8.q', upstream: 'S8.s', shared: 'S8.t',
  })) test(`[${id}] ${says}`, prove)

  test('[S8.r] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
