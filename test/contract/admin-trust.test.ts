// Principals, scores and explanations as operators ask for them: over a real ledger, mirror and embedded store.
import { afterEach, describe, expect, test } from 'vitest'
import type { AnchorNews } from '../../src/core/signal.ts'
import type { RiskView } from '../../src/signals/risk/view.ts'
import type { StepUp, StepUpId } from '../../src/core/step-up.ts'
import { after, duration } from '../../src/core/time.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { newSignalId } from '../../src/runtime/id.ts'
import { AdminDesk, CONFIG, policyOf } from './admin-desk.ts'

/** What POST may not do any more behind a PUT, and two levels. */
const WITH_LEVELS = `${CONFIG.replace('scope: base:write', 'scope: base:write\n        notAfter: [secrets]\n      - allow: { methods: [PUT] }\n        scope: base:read\n        after: { taint: secrets }')}
risk:
  levels:
    - { name: watched, at: 20, do: [narrow] }
    - { name: hot, at: 60, do: [freeze] }
`
const desks: AdminDesk[] = []
afterEach(async () => { for (const desk of desks.splice(0)) await desk.close() })

async function opened(): Promise<AdminDesk> {
  const desk = await AdminDesk.open()
  desks.push(desk)
  await desk.mirror.replacePolicy(policyOf(WITH_LEVELS))
  return desk
}

const told = (desk: AdminDesk, live: LiveSession, news: AnchorNews) => desk.ledger.applyToAnchor(live.principal, { ...news, id: newSignalId(), by: 'test', note: '' })
const rises = (desk: AdminDesk, live: LiveSession, name: string, at: number) => told(desk, live, {
  kind: 'risk.rose', level: { name, at, score: at + 2.34, since: desk.clock.now(), who: `https://idp.test|${live.record.principal.subject}`, why: { contributions: [{ rule: 'burst', points: 20.04, at: desk.clock.now() }], tenants: ['acme'], request: { evaluation: 'eval_1', route: 'api', rule: 'api#1', method: 'GET', path: '/things' } } },
})
const taints = (desk: AdminDesk, live: LiveSession) => told(desk, live, { kind: 'principal.tainted', taint: { name: 'secrets', since: desk.clock.now(), until: after(desk.clock.now(), duration(600_000)), rule: 'api#1', exchange: 'exc_1' } })
const view = (desk: AdminDesk, changes: Partial<RiskView> = {}): RiskView => ({
  score: 22.34, level: 'watched', since: desk.clock.now(), contributions: [{ rule: 'quiet', points: 2.3, at: desk.clock.now() }, { rule: 'burst', points: 20.04, at: desk.clock.now() }], fallsAt: after(desk.clock.now(), duration(60_000)), fallsTo: null, strikes: [],
  stats: { requestsPerMinute: 7, requests5m: 7, refusalsPerMinute: 0, refusals5m: 0, bytesPerMinute: 0, bytes5m: 0, tenantsSeen: 1, pathsSeen: 1, toolsSeen: 0, sourcesSeen: 1, firstTenant: false, firstTool: false, firstSource: false, unusualRoute: false, sessions: 1 }, ...changes,
})
const explain = (desk: AdminDesk, live: LiveSession, method = 'GET', more: object = {}) => desk.ask('viewer', 'POST', '/v1/explain', { session: live.record.id, method, url: 'https://api.test/things', ...more })

describe('principals', () => {
  test('[EXP3] those at a level, tainted or with points are listed, highest first; the others only by their subject', async () => {
    const desk = await opened()
    const [quiet, scored, tainted, hot] = [await desk.session('quiet'), await desk.session('scored'), await desk.session('tainted'), await desk.session('hot')]
    desk.views.set(scored.record.id, view(desk, { score: 3, level: null }))
    await taints(desk, tainted)
    await rises(desk, hot, 'hot', 60)
    const ids = (answer: { readonly json: Record<string, unknown> }) => (answer.json['principals'] as readonly { readonly id: string }[]).map(({ id }) => id) // a list by the contract
    const all = await desk.operate('GET', '/v1/principals')
    expect(ids(all)[0]).toBe(hot.principal.name)
    expect(ids(all).toSorted()).toEqual([scored, tainted, hot].map(({ principal }) => principal.name).toSorted())
    expect(ids(await desk.operate('GET', '/v1/principals?level=hot'))).toEqual([hot.principal.name])
    expect(ids(await desk.operate('GET', '/v1/principals?level=watched'))).toEqual([])
    expect(ids(await desk.operate('GET', '/v1/principals?subject=quiet'))).toEqual([quiet.principal.name])
    expect(ids(await desk.operate('GET', `/v1/principals?subject=${encodeURIComponent('https://idp.test|quiet')}`))).toEqual([quiet.principal.name])
    const first = await desk.operate('GET', '/v1/principals?limit=1')
    expect([ids(first).length, first.json['more']]).toEqual([1, true])
  })

  test('[EXP3] one is told with what its score is made of, why it stands where it does, its sessions and what ends next', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    desk.views.set(live.record.id, view(desk))
    await rises(desk, live, 'watched', 20)
    await taints(desk, live)
    const { status, json } = await desk.ask('viewer', 'GET', `/v1/principals/${live.principal.name}`)
    expect(status).toBe(200)
    expect(json).toMatchObject({
      id: live.principal.name, who: 'https://idp.test|ann', principal: { subject: 'ann', tenant: 'acme' },
      risk: { score: 22.3, level: 'watched', contributions: [{ rule: 'burst', points: 20 }, { rule: 'quiet', points: 2.3 }], fallsAt: new Date(desk.clock.now() + 60_000).toISOString(), fallsTo: null },
      level: { name: 'watched', at: 20, score: 22.3, request: { evaluation: 'eval_1', route: 'api' } }, taints: [{ name: 'secrets', rule: 'api#1' }], reached: [{ at: 20 }], clearedAt: null,
      sessions: [{ id: live.record.id }], next: { session: live.record.id, what: 'taint', name: 'secrets', at: new Date(desk.clock.now() + 600_000).toISOString() },
    })
    expect((await desk.operate('GET', '/v1/principals/nobody')).status).toBe(404)
  })

  test('[EXP3] clearing is enforced when it answers, stands in the trail, and takes what was named and nothing else', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    await rises(desk, live, 'hot', 60)
    await taints(desk, live)
    const standing = () => desk.mirror.effective(live, desk.clock.now())
    expect([standing().state, standing().taints.length]).toEqual(['frozen', 1])
    const path = `/v1/principals/${live.principal.name}/clear`
    expect((await desk.operate('POST', path, { reason: 'x' })).status).toBe(400)
    expect((await desk.operate('POST', path, { risk: true })).status).toBe(400)
    expect((await desk.operate('POST', '/v1/principals/nobody/clear', { risk: true, reason: 'x' })).status).toBe(404)
    expect((await desk.operate('POST', path, { taints: ['other'], reason: 'x' })).json).toMatchObject({ enforced: true })
    expect(standing().taints.map(({ name }) => name)).toEqual(['secrets'])
    expect((await desk.operate('POST', path, { risk: true, reason: 'looked at it' })).json).toMatchObject({ enforced: true, durable: true })
    expect([standing().state, standing().level, standing().taints.length]).toEqual(['live', null, 1])
    await desk.operate('POST', path, { taints: 'all', reason: 'looked at it' })
    expect(standing().taints).toEqual([])
    expect(desk.records.at(-1)).toEqual({ who: 'corp|operator', action: 'principal.clear', target: live.principal.name, note: 'looked at it' })
  })

  test('[RSK9] a score is told under its name, by an operator or a broker, and never what is no score', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    const path = `/v1/principals/${live.principal.name}/risk`
    expect((await desk.ask('broker', 'POST', path, { name: 'siem', points: 12.5, reason: 'alert 7' })).status).toBe(200)
    expect(desk.scores).toEqual([[live.principal, 'https://idp.test|ann', 'siem', 12.5]])
    expect(desk.records.at(-1)).toMatchObject({ action: 'principal.score', target: `${live.principal.name} siem=12.5`, note: 'alert 7' })
    expect((await desk.ask('approver', 'POST', path, { name: 'siem', points: 1, reason: 'x' })).status).toBe(403)
    for (const points of [-1, 1_001, 'many', null]) expect([points, (await desk.operate('POST', path, { name: 'siem', points, reason: 'x' })).status]).toEqual([points, 400])
    for (const raw of ['{"name":"siem","points":1e999,"reason":"x"}', '{"name":"siem","points":NaN,"reason":"x"}']) expect((await desk.ask('operator', 'POST', path, null, { raw })).status).toBe(400)
    expect(desk.scores).toHaveLength(1)
  })
})

describe('a session', () => {
  test('[EXP2] tells its risk, its taints, its step-ups and what ends next', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    desk.views.set(live.record.id, view(desk))
    const expiresAt = after(desk.clock.now(), duration(120_000))
    const stepUp: StepUp = {
      id: 'stp_1' as StepUpId, covers: { rule: 'api#1', request: null }, by: ['approval'], all: false, acr: [], role: 'approver', askedAt: desk.clock.now(), expiresAt, onTimeout: 'refuse', onDeny: 'refuse', // a test word
      uses: null, for: null, because: 'watched', barred: [], notify: [], given: [], used: [], state: { is: 'pending' },
    }
    await desk.ledger.applyToSession(live.record.key, { kind: 'stepUp.asked', stepUp, id: newSignalId(), by: 'test', note: '' })
    await taints(desk, live)
    expect((await desk.operate('GET', `/v1/sessions/${live.record.id}`)).json).toMatchObject({
      risk: { score: 22.3, level: 'watched' }, taints: [{ name: 'secrets' }], stepUps: [{ id: 'stp_1', state: 'pending', because: 'watched', expiresAt: new Date(expiresAt).toISOString() }],
      next: { what: 'stepUp', name: 'stp_1', at: new Date(expiresAt).toISOString() },
    })
  })
})

describe('explain', () => {
  test('[EXP1] what passes is told with what carries it, and every check with its answer', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    const { status, json } = await explain(desk, live)
    expect(status).toBe(200)
    expect(json).toMatchObject({ decision: 'permit', grant: 'baseline', route: 'api', scope: 'base:read', reason: null, remedies: [], candidates: [{ grant: 'baseline', fault: null }] })
    expect((json['checks'] as readonly { readonly refuses: string | null }[]).filter(({ refuses }) => refuses !== null)).toEqual([]) // a list by the contract
    expect(JSON.stringify(json['checks'])).toContain('sessionLive')
  })

  test('[EXP1] what is missing names the elevations that could be asked for, and each that there is with why it does not carry', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    expect((await explain(desk, live, 'POST')).json).toMatchObject({ decision: 'refuse', reason: 'elevation_required', requestable: true, remedies: [{ is: 'elevation', profiles: ['fix', 'ticketed', 'approved'] }], candidates: [{ grant: 'baseline', fault: 'elevation_required' }] })
    await desk.operate('POST', '/v1/anchors/ticket/T-1', { state: 'open', tenant: 'acme', reason: 'x' })
    const id = String((await desk.operate('POST', '/v1/elevations', { session: live.record.id, profile: 'ticketed', purpose: { ticket: 'T-1' }, reason: 'x' })).json['id'])
    expect((await explain(desk, live, 'POST')).json).toMatchObject({ decision: 'refuse', reason: 'purpose_missing', candidates: [{ grant: 'baseline' }, { grant: id, profile: 'ticketed', fault: 'purpose_missing' }] })
    expect((await explain(desk, live, 'POST', { purposes: { ticket: 'T-1' } })).json).toMatchObject({ decision: 'permit', grant: id, candidates: [{ grant: 'baseline' }, { grant: id, fault: null }] })
    expect(live.record.elevations[0]?.spent).toBe(false)
  })

  test('[EXP1] a level, a taint, a lock and a freeze are named with when they pass', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    await desk.operate('POST', '/v1/elevations', { session: live.record.id, profile: 'fix', reason: 'x' })
    expect((await explain(desk, live, 'POST')).json).toMatchObject({ decision: 'permit' })
    await taints(desk, live)
    expect((await explain(desk, live, 'POST')).json).toMatchObject({ reason: 'tainted', remedies: [{ is: 'taint', name: 'secrets', until: new Date(desk.clock.now() + 600_000).toISOString() }], taints: [{ name: 'secrets' }] })
    await desk.operate('POST', `/v1/principals/${live.principal.name}/clear`, { taints: 'all', reason: 'x' })
    desk.views.set(live.record.id, view(desk))
    await rises(desk, live, 'watched', 20)
    expect((await explain(desk, live, 'POST')).json).toMatchObject({ reason: 'narrowed', level: 'watched', remedies: [{ is: 'level', level: 'watched', at: new Date(desk.clock.now() + 60_000).toISOString(), to: null }], risk: { score: 22.3 } })
    await rises(desk, live, 'hot', 60)
    expect((await explain(desk, live)).json).toMatchObject({ reason: 'frozen', remedies: [{ is: 'level', level: 'hot' }] })
    await desk.operate('POST', `/v1/principals/${live.principal.name}/clear`, { risk: true, reason: 'x' })
    await desk.operate('POST', `/v1/sessions/${live.record.id}/freeze`, { for: '5m', reason: 'x' })
    expect((await explain(desk, live)).json).toMatchObject({ reason: 'frozen', remedies: [{ is: 'resume', until: new Date(desk.clock.now() + 300_000).toISOString() }] })
    await desk.operate('POST', `/v1/sessions/${live.record.id}/resume`, { reason: 'x' })
    const { lock } = (await desk.operate('POST', '/v1/locks', { selector: { subject: 'ann' }, for: '5m', reason: 'x' })).json as { readonly lock: { readonly id: string } } // the contract's answer
    expect((await explain(desk, live)).json).toMatchObject({ reason: 'locked', remedies: [{ is: 'lock', lock: lock.id, until: new Date(desk.clock.now() + 300_000).toISOString() }] })
  })

  test('[EXP1] nothing of it is done: no session is touched, nothing is counted, and what is no address is refused', async () => {
    const desk = await opened()
    const live = await desk.session('ann')
    const before = [live.record.version, live.lastSeen, desk.inflight.size]
    await explain(desk, live)
    expect([live.record.version, live.lastSeen, desk.inflight.size]).toEqual(before)
    expect(desk.records).toEqual([])
    for (const url of ['/things', 'https://api.test', 'https://api.test/a/../b', 'ftp://api.test/x', 'https://api.test/%zz']) expect([url, (await explain(desk, live, 'GET', { url })).status]).toEqual([url, 400])
    expect((await explain(desk, live, 'GET', { url: 'https://other.test/x' })).json).toMatchObject({ decision: 'refuse', reason: 'wrong_host' })
    expect((await desk.operate('POST', '/v1/explain', { session: 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa', method: 'GET', url: 'https://api.test/' })).status).toBe(404)
  })
})
