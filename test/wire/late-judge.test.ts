// A change committed while a request waits for anything at all — credential, session, a step of gather — is seen by the judge's last look:
// nothing of the request reaches the upstream, the caller reads why, and it is on record. SPEC: ENF2, RULES 1
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, type MockInstance, test, vi } from 'vitest'
import { manualAnchor } from '../../src/approvals/task.ts'
import type { ElevationId } from '../../src/core/elevation.ts'
import type { RecordRef } from '../../src/core/record.ts'
import type { SessionKey } from '../../src/core/session.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { instant } from '../../src/core/time.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { newLockId } from '../../src/runtime/id.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { StoreTap } from '../support/tapped-store.ts'
import { TokenIssuer } from '../support/token-issuer.ts'

const RULE = `
    - allow: { methods: [GET], paths: [/write/**] }
      scope: api:write`
const PLAN = {
  routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - allow: { methods: [GET], paths: [/public/**] }${RULE}`,
  elevations: 'writer: { adds: [api:write], for: 10m, purpose: [ticket] }',
  more: `
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
audit: { trail: { fsync: true } }`,
} as const

type Caller = { readonly name: string; readonly subject: string; readonly ticket: string; readonly token: string; session: string; key: SessionKey | null; elevation: string }
type Change = { readonly what: string; readonly reasons: readonly string[]; /** What an exchange that is open already is told. */ readonly cuts: readonly string[]; /** False when there was nothing yet that it could change. */ readonly commit: (gate: TestGateway, caller: Caller) => Promise<boolean> }

let made = 0
async function someone(gate: TestGateway): Promise<Caller> {
  const name = `caller-${++made}`
  return { name, subject: name, ticket: `T-${made}`, token: await gate.issuer.sign({ sub: name, sid: name, jti: name }), session: '', key: null, elevation: '' }
}

async function elevated(gate: TestGateway): Promise<Caller> {
  const caller = await someone(gate)
  caller.elevation = await gate.elevate(caller.token, 'writer', caller.ticket)
  const { id, key } = await gate.session(caller.token)
  return { ...caller, session: id, key }
}

const write = (gate: TestGateway, { name, token, ticket }: Caller): Promise<Answer> => gate.ask('GET', `/write/${name}`, { authorization: `Bearer ${token}`, 'narrowgate-ticket': ticket })

const WORD = { by: 'test', note: 'test', id: null }

// News is given where all of it enters: an admin call takes turns, and waits for the very load that a test holds up.
const taken = async (enforced: Promise<{ readonly position: unknown }>): Promise<boolean> => (await enforced).position !== null
const news = async (gate: TestGateway, { key }: Caller, told: SessionNews): Promise<boolean> => key !== null && taken(gate.parts.intake.session(key, told, WORD))

const CHANGES: readonly Change[] = [
  { what: 'terminate', reasons: ['revoked', 'credential_revoked'], cuts: ['revoked'], commit: (gate, caller) => news(gate, caller, { kind: 'session.terminated', reason: 'revoked' }) },
  { what: 'lock', reasons: ['locked'], cuts: ['locked'], commit: (gate, { subject }) => taken(gate.parts.intake.lock({ kind: 'subject', value: subject }, { kind: 'lock.set', lock: newLockId(), selector: { kind: 'subject', value: subject }, effect: 'deny', reason: 'locked', until: null }, WORD)) },
  { what: 'ticket end', reasons: ['ticket_closed'], cuts: ['ticket_closed'], commit: (gate, { ticket }) => taken(gate.parts.intake.anchor(manualAnchor('ticket', '', ticket), { kind: 'anchor.ended', matter: null }, WORD)) },
  { what: 'elevation revoked', reasons: ['elevation_required'], cuts: ['revoked'], commit: (gate, caller) => news(gate, caller, { kind: 'elevation.ended', elevation: caller.elevation as ElevationId, reason: 'revoked', because: 'test' }) } /* as the gateway told it */,
  { what: 'narrow', reasons: ['narrowed'], cuts: ['narrowed'], commit: (gate, caller) => news(gate, caller, { kind: 'session.narrowed', to: 'baseline', elevations: [] }) },
  { what: 'freeze', reasons: ['frozen'], cuts: ['frozen'], commit: (gate, caller) => news(gate, caller, { kind: 'session.frozen', until: null }) },
]

const RELOAD: Change = { what: 'reload', reasons: ['no_rule'], cuts: ['no_rule'], commit: async () => true }

/** Bytes on the upstream's sockets before, and the request that shows they stayed away: what was to come has come before it. */
async function nothingCameBy(gate: TestGateway, caller: Caller): Promise<void> {
  const other = await gate.token({ sub: 'somebody-else' })
  const path = `/public/after-${++made}`
  expect((await gate.ask('GET', path, { authorization: `Bearer ${other}` })).status).toBe(200)
  expect(gate.upstream.bytes()).toContain(path)
  expect(gate.upstream.bytes()).not.toContain(`/write/${caller.name} `)
}

function refused(answer: Answer, { reasons }: Change): void {
  expect(reasons, answer.text).toContain(answer.json['reason'])
  expect(answer.headers['content-type']).toBe('application/problem+json')
  expect(answer.json).toMatchObject({ type: `urn:narrowgate:reason:${String(answer.json['reason'])}`, status: answer.status })
}

/** In the trail where the session is known, else in the noise lane. */
async function onRecord(gate: TestGateway, { name }: Caller): Promise<readonly Record<string, unknown>[]> {
  await gate.parts.noise.flush()
  const noise = join(gate.directory, 'state', 'noise.jsonl')
  const lines = [...(await gate.trail()), ...readLines(noise)]
  return lines.filter(line => (line['kind'] === 'request.refused' || line['kind'] === 'exchange.opened') && line['path'] === `/write/${name}`)
}

function readLines(file: string): readonly Record<string, unknown>[] {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').filter(text => text !== '').map(text => JSON.parse(text) as Record<string, unknown>) // lines of our own writer
  } catch {
    return [] // nothing was refused yet
  }
}

async function isRefused(gate: TestGateway, caller: Caller, answer: Answer, change: Change): Promise<void> {
  refused(answer, change)
  await nothingCameBy(gate, caller)
  expect(await onRecord(gate, caller)).toMatchObject([{ kind: 'request.refused', reason: answer.json['reason'] }])
  expect(gate.parts.inflight.size).toBe(0)
}

describe('on a gateway that knows the session', () => {
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start(PLAN)
  })
  afterAll(() => gate.stop())

  test('[ENF2] the declared list of steps holds the one that waits for the disk, and a request runs what it needs', async () => {
    const { steps } = gate.parts
    expect(steps.length).toBeGreaterThan(0)
    expect(steps.map(({ name }) => name)).toEqual(expect.arrayContaining(['inspect', 'intent']))
    const runs = steps.map(step => vi.spyOn(step, 'run'))
    const caller = await elevated(gate)
    expect((await write(gate, caller)).status).toBe(200)
    expect(runs[steps.findIndex(({ name }) => name === 'intent')]).toHaveBeenCalledOnce()
    const kinds = (await gate.trail()).filter(line => line['path'] === `/write/${caller.name}`).map(line => line['kind'])
    expect(kinds).toEqual(['request.intended', 'exchange.opened'])
  })

  test.each(CHANGES)('[ENF2, STORE-37] $what during each step of gather: nothing goes upstream', async change => {
    for (const step of gate.parts.steps) {
      for (const side of ['before', 'after'] as const) {
        const caller = await elevated(gate)
        const own = { needed: step.needed, run: step.run }
        const needed = vi.spyOn(step, 'needed').mockImplementation(({ done }) => !done.has(step.name))
        const run = vi.spyOn(step, 'run').mockImplementation(async gathering => {
          if (side === 'before') expect(await change.commit(gate, caller)).toBe(true)
          const reason = own.needed(gathering) ? await own.run(gathering) : null
          if (side === 'after') expect(await change.commit(gate, caller)).toBe(true)
          return reason
        })
        const answer = await write(gate, caller)
        expect(run, step.name).toHaveBeenCalledOnce()
        needed.mockRestore()
        run.mockRestore()
        await isRefused(gate, caller, answer, change)
      }
    }
  })

  test('[ENF2, AUD2] a request whose intent was recorded and that was refused then is told as not dispatched', async () => {
    const intent = gate.parts.steps.find(({ name }) => name === 'intent')
    if (intent === undefined) throw new Error('no intent step')
    const caller = await elevated(gate)
    const own = intent.run
    vi.spyOn(intent, 'run').mockImplementation(async gathering => {
      const reason = await own(gathering)
      expect((await gate.admin('POST', `/v1/sessions/${caller.session}/terminate`)).status).toBe(200)
      return reason
    })
    expect((await write(gate, caller)).status).toBe(403)
    const lines = await gate.trail()
    const intended = lines.find(line => line['kind'] === 'request.intended' && line['path'] === `/write/${caller.name}`)
    expect(intended).toMatchObject({ session: caller.session })
    expect(lines.filter(line => line['exchange'] === intended?.['exchange']).map(line => line['kind'])).toEqual(['request.intended', 'request.not_dispatched'])
  })

  test.each(CHANGES)('[ENF2] $what while the credential is verified: nothing goes upstream', async change => {
    const { identifier } = gate.parts
    for (const side of ['before', 'after'] as const) {
      const caller = await elevated(gate)
      const renewed = { ...caller, token: await gate.issuer.sign({ sub: caller.subject, sid: caller.name, jti: `${caller.name}-again` }) }
      const own = identifier.identify.bind(identifier)
      const identify = vi.spyOn(identifier, 'identify').mockImplementation(async (names, presented) => {
        if (side === 'before') expect(await change.commit(gate, caller)).toBe(true)
        const identified = await own(names, presented)
        if (side === 'after') expect(await change.commit(gate, caller)).toBe(true)
        return identified
      })
      const answer = await write(gate, renewed)
      expect(identify).toHaveBeenCalledOnce()
      identify.mockRestore()
      await isRefused(gate, caller, answer, change)
    }
  })

  test('[ENF2, CFG10] a reload that takes the rule away during each step of gather: judged by the new configuration', async () => {
    for (const step of gate.parts.steps) {
      const caller = await elevated(gate)
      const own = { needed: step.needed, run: step.run }
      const needed = vi.spyOn(step, 'needed').mockImplementation(({ done }) => !done.has(step.name))
      const run = vi.spyOn(step, 'run').mockImplementation(async gathering => {
        const reason = own.needed(gathering) ? await own.run(gathering) : null
        await reloadWithout(gate, RULE)
        return reason
      })
      const answer = await write(gate, caller)
      needed.mockRestore()
      run.mockRestore()
      await isRefused(gate, caller, answer, RELOAD)
      await reloadWhole(gate)
    }
  })

  test('[ENF2, CFG10] a reload that takes the rule away while the credential is verified: judged by the new configuration', async () => {
    const { identifier } = gate.parts
    const caller = await elevated(gate)
    const renewed = { ...caller, token: await gate.issuer.sign({ sub: caller.subject, sid: caller.name, jti: `${caller.name}-again` }) }
    const own = identifier.identify.bind(identifier)
    const identify = vi.spyOn(identifier, 'identify').mockImplementationOnce(async (names, presented) => {
      const identified = await own(names, presented)
      await reloadWithout(gate, RULE)
      return identified
    })
    const answer = await write(gate, renewed)
    expect(identify).toHaveBeenCalled()
    await isRefused(gate, caller, answer, RELOAD)
    await reloadWhole(gate)
  })
})

/** Runs in the turn of the next dispatch, right behind it: no connection can have been made yet. */
function behindDispatch(act: () => void): MockInstance {
  const dispatch = Reflect.get(Upstream.prototype, 'send')
  return vi.spyOn(Upstream.prototype, 'send').mockImplementationOnce(function (this: Upstream, relay) {
    Reflect.apply(dispatch, this, [relay])
    act()
  })
}

test.each(CHANGES)('[ENF2] $what while the connection to the upstream is being made: nothing goes out on it', async change => {
  const gate = await TestGateway.start(PLAN)
  const caller = await elevated(gate)
  const dispatched = behindDispatch(() => void change.commit(gate, caller))
  const answer = await write(gate, caller)
  expect(dispatched).toHaveBeenCalledOnce()
  expect(change.cuts, answer.text).toContain(answer.json['reason'])
  expect(answer.headers['content-type']).toBe('application/problem+json')
  await nothingCameBy(gate, caller)
  await gate.stop()
})

test('[ENF2, ENF4] a time that ends while the connection to the upstream is being made: nothing goes out on it, also before any timer rings', async () => {
  const clock = new SystemClock()
  let ahead = 0
  const gate = await TestGateway.start({ ...PLAN, clock: { now: () => instant(clock.now() + ahead), elapsed: () => clock.elapsed() + ahead } })
  const caller = await elevated(gate)
  behindDispatch(() => {
    ahead = 10 * 60_000 // the elevation's end; the token's is tolerated for five seconds more
  })
  const answer = await write(gate, caller)
  expect(answer.status, answer.text).toBe(403)
  expect(answer.json['reason']).toBe('time_up')
  ahead = 0
  await nothingCameBy(gate, caller)
  await gate.stop()
})

test('[ENF2, SES8] a session that makes way in memory while its request waits: nothing goes upstream on what is remembered of it', async () => {
  const gate = await TestGateway.start({ ...PLAN, config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
  limits: { mirroredSessions: 2 }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json } } }
upstreams: { api: { url: "${upstream.origin}" } }
telemetry: { logs: { level: silent } }
routes: [{ name: api, match: { host: api.test }, upstream: api, rules: [{ allow: { paths: [/public/**] } }, { allow: { paths: [/write/**] }, scope: api:write }] }]
elevations: { ${PLAN.elevations} }
${PLAN.more}` })
  const caller = await elevated(gate)
  const step = gate.parts.steps.find(({ name }) => name === 'intent')
  if (step === undefined) throw new Error('no intent step')
  const terminate = CHANGES.find(({ what }) => what === 'terminate')
  if (terminate === undefined) throw new Error('no terminate')
  const own = step.run
  vi.spyOn(step, 'run').mockImplementationOnce(async gathering => {
    const reason = await own(gathering)
    for (let i = 0; i < 8; i++) await gate.ask('GET', '/public/x', { authorization: `Bearer ${await gate.token({ sub: `crowd-${i}` })}` })
    expect(gate.parts.mirror.byId(caller.session)).toBeNull()
    expect(await terminate.commit(gate, caller)).toBe(true)
    return reason
  })
  const answer = await write(gate, caller)
  await isRefused(gate, caller, answer, { ...terminate, reasons: ['credential_revoked', 'revoked'] })
  await gate.stop()
})

let whole = ''
async function reloadWithout(gate: TestGateway, part: string): Promise<void> {
  whole = readFileSync(gate.configFile, 'utf8')
  const without = whole.replace(part.split('\n').map(line => (line === '' ? line : `  ${line}`)).join('\n'), '')
  expect(without).not.toBe(whole)
  writeFileSync(gate.configFile, without)
  expect((await gate.gateway.reload('test')).ok).toBe(true)
}
async function reloadWhole(gate: TestGateway): Promise<void> {
  writeFileSync(gate.configFile, whole)
  expect((await gate.gateway.reload('test')).ok).toBe(true)
}

describe('at every await of the session\'s load or opening', () => {
  const tap = new StoreTap()
  let directory: string
  let upstream: RecordingUpstream
  let issuer: TokenIssuer
  let gate: TestGateway
  const start = (): Promise<TestGateway> => TestGateway.start({ ...PLAN, directory, upstream, issuer, wrapStore: store => tap.wrap(store) })
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ng-late-'))
    upstream = await RecordingUpstream.start()
    issuer = await TokenIssuer.create()
    gate = await start()
  })
  afterAll(async () => {
    await gate.stop()
    await upstream.close()
    rmSync(directory, { recursive: true, force: true })
  })

  /** How often such a request goes to the store. */
  async function callsOf(ask: () => Promise<Answer>): Promise<number> {
    tap.listen(() => undefined)
    expect((await ask()).status).toBe(200)
    const { calls } = tap
    tap.listen(null)
    expect(calls).toBeGreaterThan(0)
    return calls
  }

  /** Commits the change at one moment of the next request; null when there was nothing to change. */
  async function injected(call: number, side: 'before' | 'after', commit: (session: RecordRef) => Promise<boolean>, ask: () => Promise<Answer>): Promise<Answer | null> {
    let taken = false
    let session: RecordRef | null = null
    tap.listen(async moment => {
      session ??= moment.first as RecordRef // the first thing a request asks for is its session
      if (moment.call === call && moment.side === side) taken = await commit(session)
    })
    const answer = await ask()
    tap.listen(null)
    return taken ? answer : null
  }

  test.each(CHANGES)('[ENF2] $what while a stored session is loaded: nothing goes upstream', async change => {
    const callers: Caller[] = []
    for (let i = 0; i < 24; i++) callers.push(await elevated(gate))
    await gate.stop()
    gate = await start()
    const next = (): Caller => {
      const caller = callers.pop()
      if (caller === undefined) throw new Error('a request goes to the store more often than this test has sessions for')
      return caller
    }
    const calls = await callsOf(() => write(gate, next()))
    for (let call = 0; call < calls; call++) {
      for (const side of ['before', 'after'] as const) {
        const caller = next()
        const answer = await injected(call, side, () => change.commit(gate, caller), () => write(gate, caller))
        if (answer === null) throw new Error(`${change.what} found nothing to change ${side} call ${call}`)
        await isRefused(gate, caller, answer, change)
      }
    }
  })

  test.each(CHANGES.slice(0, 2))('[ENF2] $what while a session is opened: nothing goes upstream', async change => {
    const read = (caller: Caller): Promise<Answer> => gate.ask('GET', `/public/${caller.name}`, { authorization: `Bearer ${caller.token}` })
    const first = await someone(gate)
    const calls = await callsOf(() => read(first))
    let taken = 0
    for (let call = 0; call < calls; call++) {
      for (const side of ['before', 'after'] as const) {
        const caller = await someone(gate)
        const answer = await injected(call, side, ref => change.commit(gate, { ...caller, key: ref.name as SessionKey }), () => read(caller)) // a session's reference is its key
        if (answer === null) continue
        taken++
        refused(answer, change)
        expect(gate.upstream.bytes()).not.toContain(`/public/${caller.name} `)
        expect(gate.parts.inflight.size).toBe(0)
      }
    }
    expect(taken).toBeGreaterThan(0)
  })
})
