// Decisions for others about live sessions and about principals: the judge's own, at once other when anything behind them is, and nothing happens by them.
// SPEC: PDP1-PDP4
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asker, send, tokenOf } from '../support/decisions.ts'
import { TestGateway } from '../support/gateway.ts'
import { decisionsPlan, EVALUATION, evaluate, ofSession, question, type Told, told } from './decisions-stage.ts'

let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start(decisionsPlan())
})
afterAll(() => gate.stop())

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
async function session(claims: object = {}): Promise<{ readonly token: string; readonly id: string }> {
  const token = await gate.token({ ...claims })
  return { token, id: (await gate.session(token)).id }
}
const operate = async (path: string, body: object = {}): Promise<void> => {
  const { status, text } = await gate.admin('POST', path, { reason: 'test', ...body })
  if (status >= 300) throw new Error(`${path}: ${status} ${text}`)
}
const reasonOf = async (...asked: Parameters<typeof told> extends [unknown, ...infer Rest] ? Rest : never): Promise<unknown> => {
  const { decision, context } = await told(gate, ...asked)
  return decision ? 'permit' : context['reason']
}

describe('about a live session', () => {
  test('[PDP2, PDP4] what its baseline allows is allowed, and the answer says which session, which version and on what it stands', async () => {
    const { id } = await session()
    const live = gate.parts.mirror.byId(id)
    const { status, headers, json } = await evaluate(gate, question(ofSession(id), 'GET', '/read'))
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('application/json')
    const { decision, context } = json as Told
    expect(decision).toBe(true)
    expect(context).toEqual({
      evaluation_id: expect.stringMatching(/^eval_[a-z2-7]{26}$/), evaluated_at: expect.stringMatching(/^\d{4}-.*Z$/), session: id, version: live?.record.version, grant: 'baseline',
      expires_at: new Date(live?.record.credential.expiresAt ?? 0).toISOString(),
    })
  })

  test('[PDP2] each refusal is the judge’s own: no rule, a denial, a scope that is not there, a path that has no one reading, a host nobody serves', async () => {
    const who = ofSession((await session()).id)
    expect(await reasonOf(who, 'PATCH', '/read')).toBe('no_rule')
    expect(await reasonOf(who, 'GET', '/never')).toBe('denied')
    expect(await reasonOf(who, 'POST', '/lead')).toBe('elevation_required')
    expect(await reasonOf(who, 'GET', '/READ')).toBe('path_ambiguous')
    expect(await reasonOf(who, 'GET', '/read/../never')).toBe('bad_request')
    expect(await reasonOf(who, 'GET', '/read/a%2Fb')).toBe('bad_request')
    expect(await reasonOf(who, 'TRACE', '/read')).toBe('method_refused')
    expect(await reasonOf(who, 'get', '/read')).toBe('unsupported_method')
    expect(await reasonOf(who, 'GET', '/.narrowgate/session')).toBe('no_route')
    const elsewhere = { ...question(who, 'GET', '/read'), resource: { type: 'route', id: '/read', properties: { host: 'nowhere.test' } } }
    expect((await evaluate(gate, elsewhere)).json).toMatchObject({ decision: false, context: { reason: 'wrong_host' } })
    const { decision, context } = await told(gate, who, 'GET', '/public')
    expect([decision, context['grant'], Object.hasOwn(context, 'expires_at')]).toEqual([true, 'anonymous', false])
  })

  test('[PDP4] a denial that an elevation turns says which one may be asked for; once it is there the answer names it, and says until when', async () => {
    const { token, id } = await session()
    const before = await told(gate, ofSession(id), 'POST', '/write', { ticket: 'CHG-1' })
    expect(before).toMatchObject({ decision: false, context: { reason: 'elevation_required', says: expect.stringMatching(/scope/), access_request: { endpoint: '/.narrowgate/elevations', template: { profile: 'writer', purpose: { ticket: 'CHG-1' } }, expires_at: expect.any(String) } } })
    const elevation = await gate.elevate(token, 'writer', 'CHG-1')
    const given = gate.parts.mirror.byId(id)?.record.elevations.find(one => one.id === elevation)?.state
    const until = given?.is === 'active' ? given.until : 0
    expect(await told(gate, ofSession(id), 'POST', '/write', { ticket: 'CHG-1' })).toMatchObject({ decision: true, context: { grant: elevation, elevation_id: elevation, expires_at: new Date(until).toISOString() } })
    expect(await reasonOf(ofSession(id), 'POST', '/write')).toBe('purpose_missing')
    expect(await reasonOf(ofSession(id), 'POST', '/write', { ticket: 'CHG-2' })).toBe('purpose_mismatch')
    expect(await reasonOf(ofSession(id), 'POST', '/write', { ticket: 'CHG 1' })).toBe('bad_request')
    await gate.admin('POST', '/v1/anchors/ticket/CHG-1', { state: 'ended', reason: 'test' })
    expect(await reasonOf(ofSession(id), 'POST', '/write', { ticket: 'CHG-1' })).toBe('ticket_closed')
  })

  test('[PDP2] narrowed, frozen, resumed, locked or ended: the next answer is another', async () => {
    const { token, id } = await session({ role: 'lead' })
    const ask = (): Promise<unknown> => reasonOf(ofSession(id), 'POST', '/lead')
    expect(await ask()).toBe('permit')
    await operate(`/v1/sessions/${id}/narrow`, { to: ['base:read'] })
    expect(await ask()).toBe('narrowed')
    await operate(`/v1/sessions/${id}/widen`)
    expect(await ask()).toBe('permit')
    await operate(`/v1/sessions/${id}/freeze`)
    expect(await ask()).toBe('frozen')
    await operate(`/v1/sessions/${id}/resume`)
    expect(await ask()).toBe('permit')
    const { json } = await gate.admin('POST', '/v1/locks', { selector: { route: 'api' }, reason: 'test' })
    expect(await ask()).toBe('locked')
    await gate.admin('DELETE', `/v1/locks/${(json['lock'] as { id: string }).id}?reason=test`)
    expect(await ask()).toBe('permit')
    await operate(`/v1/sessions/${id}/terminate`)
    expect(await ask()).toBe('revoked')
    expect((await gate.ask('GET', '/read', bearer(token))).status).toBe(401)
  })

  test('[PDP2] nobody’s id, and what is none, is a session that has ended', async () => {
    for (const id of [`ses_${'a'.repeat(26)}`, 'ses_', 'x', '../../etc', `ses_${'A'.repeat(26)}`]) expect(await told(gate, ofSession(id), 'GET', '/read')).toMatchObject({ decision: false, context: { reason: 'session_ended' } })
    const { context } = await told(gate, ofSession(`ses_${'a'.repeat(26)}`), 'GET', '/read')
    expect(context).not.toHaveProperty('session')
  })

  test('[PDP2] asking sends nothing upstream, takes no use of a limit, and keeps no session from being idle', async () => {
    const { token, id } = await session()
    const elevation = await gate.elevate(token, 'once')
    const [before, seen] = [gate.upstream.requests.length, gate.parts.mirror.byId(id)?.lastSeen]
    for (let i = 0; i < 5; i++) expect(await told(gate, ofSession(id), 'GET', '/once')).toMatchObject({ decision: true, context: { elevation_id: elevation } })
    expect(gate.upstream.requests.length).toBe(before)
    expect(gate.parts.mirror.byId(id)?.lastSeen).toBe(seen)
    expect((await gate.ask('GET', '/once', bearer(token))).status).toBe(200)
    expect(await reasonOf(ofSession(id), 'GET', '/once')).toBe('limit_reached')
  })

  test('[PDP2] what a request would leave behind, or what the gateway would record of it, is not done by an answer, so there is no right to it', async () => {
    const { token, id } = await session()
    for (const path of ['/tainting', '/digested']) expect(await reasonOf(ofSession(id), 'GET', path)).toBe('not_shown')
    expect(await reasonOf(ofSession(id), 'GET', '/filmed')).toBe('elevation_required')
    await gate.elevate(token, 'filmed')
    expect(await reasonOf(ofSession(id), 'GET', '/filmed')).toBe('not_shown')
    expect(gate.parts.mirror.byId(id)?.record.taints).toEqual([])
  })

  test('[PDP3] conditions read what the question says of source, headers and body; what it does not say is not there', async () => {
    const { id } = await session({ sub: 'ann' })
    const who = ofSession(id)
    expect(await reasonOf(who, 'GET', '/from', { ip: '10.1.2.3', kind: 'robot' })).toBe('permit')
    expect(await reasonOf(who, 'GET', '/from', { ip: '11.1.2.3', kind: 'robot' })).toBe('condition_false')
    expect(await reasonOf(who, 'GET', '/from', { ip: '10.1.2.3' })).toBe('condition_error')
    for (const kind of ['robot\r\nx-kind: man', 'x'.repeat(9_000), 1]) expect(await reasonOf(who, 'GET', '/from', { ip: '10.1.2.3', kind })).toBe('bad_request')
    expect(await reasonOf(who, 'PUT', '/docs/1', { body: { owner: 'ann' } })).toBe('permit')
    expect(await reasonOf(who, 'PUT', '/docs/1', { body: { owner: 'bob' } })).toBe('condition_false')
    expect(await reasonOf(who, 'PUT', '/docs/1')).toBe('condition_error')
  })

  test('[PDP3] a question that no form reads is denied, and so is one of which that cannot be told', async () => {
    const { id } = await session()
    const about = (resource: object): Promise<unknown> => evaluate(gate, { ...question(ofSession(id), 'GET', '/read'), resource }).then(({ json }) => (json as Told).context['reason'])
    expect(await about({ type: 'thing', id: '1', properties: { broken: false } })).toBe('no_route')
    expect(await about({ type: 'thing', id: '1', properties: {} })).toBe('condition_error')
    expect(await about({ type: 'route', id: 'https://api.test/read', properties: { broken: false } })).toBe('bad_request')
  })

  test('[PDP4] what has to be shown first is an obligation: a sign-in by its name, an operator’s word as ours', async () => {
    const { id } = await session()
    expect(await told(gate, ofSession(id), 'GET', '/gold')).toMatchObject({ decision: false, context: { reason: 'step_up_required', obligations: [{ id: 'step-up', type: 'step-up', properties: { acr_value: 'gold', because: 'api#5' } }] } })
    expect(await told(gate, ofSession(id), 'GET', '/shown')).toMatchObject({ decision: false, context: { reason: 'step_up_required', obligations: [{ id: 'step-up', type: 'custom', properties: { vendor: 'narrowgate', action: 'step-up', by: ['approval'] } }] } })
    expect((await told(gate, ofSession(id), 'POST', '/write')).context).not.toHaveProperty('obligations')
  })

  test('[PDP4] with `explain` the answer says what each check says, and what would turn it; without it nothing of that', async () => {
    const { id } = await session()
    const { context } = await told(gate, ofSession(id), 'POST', '/write', { explain: true })
    expect(context['explain']).toMatchObject({ checks: expect.arrayContaining([{ check: 'sessionLive', refuses: null }]), candidates: [{ grant: 'baseline', profile: null, fault: 'elevation_required' }], remedies: [{ is: 'elevation', profiles: ['writer'] }] })
    expect((await told(gate, ofSession(id), 'POST', '/write')).context).not.toHaveProperty('explain')
    expect((await told(gate, ofSession(id), 'POST', '/write', { explain: 'true' })).context).not.toHaveProperty('explain')
  })

  test('[PDP4] each decision on a session is on record, under the id that its answer names; nothing of a query is', async () => {
    const { id } = await session({ sub: 'kept' })
    const [yes, no] = [await told(gate, ofSession(id), 'GET', '/read?secret=1'), await told(gate, ofSession(id), 'POST', '/write')]
    const lines = (await gate.trail()).filter(({ kind, session: of }) => kind === 'decision.given' && of === id)
    expect(lines).toMatchObject([
      { evaluation: yes.context['evaluation_id'], pep: 'app', subject: `${gate.issuer.issuer}|kept`, route: 'api', rule: 'api#1', method: 'GET', host: 'api.test', path: '/read', decision: 'permit', grant: 'baseline', reason: null },
      { evaluation: no.context['evaluation_id'], decision: 'refuse', grant: null, reason: 'elevation_required', until: null },
    ])
    expect(JSON.stringify(lines)).not.toMatch(/secret/)
    expect((await gate.ops('/metrics')).text).toMatch(/narrowgate_decisions_total\{pep="app",decision="deny",reason="elevation_required"\} \d+/)
  })
})

describe('about a principal', () => {
  const user = (id: string, role: string | null = null) => ({ type: 'user', id, ...(role === null ? {} : { properties: { role } }) })

  test('[PDP2] it is judged as a session of its own that opens now would be: by its claims, and never by an elevation', async () => {
    expect(await reasonOf(user('una'), 'GET', '/read')).toBe('permit')
    expect(await reasonOf(user('una'), 'POST', '/lead')).toBe('elevation_required')
    const { context } = await told(gate, user('una'), 'POST', '/lead')
    expect(context).not.toHaveProperty('session')
    expect(context).not.toHaveProperty('access_request')
    expect(await reasonOf(user('una', 'lead'), 'POST', '/lead')).toBe('permit')
    expect(await reasonOf(user('una', 'led'), 'POST', '/lead')).toBe('elevation_required')
  })

  test('[PDP2] it leaves no session behind, and nothing in the trail', async () => {
    const [before, lines] = [gate.parts.mirror.size, (await gate.trail()).length]
    await told(gate, user('ghost'), 'GET', '/read')
    expect(gate.parts.mirror.size).toBe(before)
    expect((await gate.trail()).length).toBe(lines)
    expect((await gate.admin('GET', '/v1/sessions')).text).not.toMatch(/ghost/)
  })

  test('[PDP2] locks on it count', async () => {
    await operate('/v1/locks', { selector: { subject: 'barred' } })
    expect(await reasonOf(user('barred'), 'GET', '/read')).toBe('locked')
    expect(await reasonOf(user('free'), 'GET', '/read')).toBe('permit')
  })

  test('[PDP2] a type that nobody wrote, an issuer that no provider of the route vouches for, and names that are none are denied', async () => {
    expect(await reasonOf({ type: 'robot', id: 'r2' }, 'GET', '/read')).toBe('no_credential')
    expect(await reasonOf({ type: 'stranger', id: 'una' }, 'GET', '/read')).toBe('credential_invalid')
    expect(await reasonOf({ type: 'stranger', id: 'una' }, 'GET', '/public')).toBe('permit')
    expect(await reasonOf(user(' una'), 'GET', '/read')).toBe('bad_request')
    expect(await reasonOf(user('ｕna'), 'GET', '/read')).toBe('bad_request')
    expect(await reasonOf({ type: 'tenanted', id: 'una', properties: { tenant: '' } }, 'GET', '/read')).toBe('bad_request')
    expect(await reasonOf({ type: 'tenanted', id: 'una', properties: { tenant: 'acme' } }, 'GET', '/read')).toBe('permit')
  })
})

describe('who may ask', () => {
  const body = JSON.stringify(question({ type: 'user', id: 'una' }, 'GET', '/read'))
  const json = { 'content-type': 'application/json' }

  test('[PDP1] nobody without the token of a known caller, shown once', async () => {
    const app = tokenOf('app')
    for (const authorization of [null, 'Bearer', `Bearer ${app}x`, `Basic ${app}`, app, `Bearer ${app}, Bearer ${app}`]) {
      const answer = await send(gate, EVALUATION, { headers: { ...json, ...(authorization === null ? {} : { authorization }) }, body })
      expect({ authorization, status: answer.status, challenge: answer.headers['www-authenticate'], text: typeof answer.json }).toEqual({ authorization, status: 401, challenge: expect.stringMatching(/^Bearer realm="narrowgate-decisions"/), text: 'string' })
    }
    expect((await send(gate, EVALUATION, { headers: ['host', 'x', 'content-type', 'application/json', 'authorization', `Bearer ${app}`, 'authorization', `Bearer ${app}`], body })).status).toBe(401)
    expect((await send(gate, EVALUATION, { headers: { ...json, authorization: `Bearer ${app}` }, body })).status).toBe(200)
    await gate.parts.noise.flush()
    expect(readFileSync(join(gate.directory, 'state', 'noise.jsonl'), 'utf8')).toMatch(/"kind":"request.refused".*"path":"\/access\/v1\/evaluation".*"reason":"credential_invalid"/)
    expect((await gate.ops('/metrics')).text).toMatch(/narrowgate_decisions_total\{pep="",decision="error",reason="unauthenticated"\} 7/)
  })

  test('[PDP1] a caller asks what it may, and about the routes it may ask about', async () => {
    const edge = asker(gate, 'edge')
    expect((await edge.post('/access/v1/search/action', question({ type: 'user', id: 'una' }, 'GET', '/read'))).status).toBe(403)
    expect((await edge.post(EVALUATION, body)).status).toBe(403)
    expect((await edge.post(EVALUATION, { ...question({ type: 'user', id: 'una' }, 'GET', '/x'), resource: { type: 'route', id: '/x', properties: { host: 'other.test' } } })).json).toMatchObject({ decision: true })
  })

  test('[PDP1] only POST asks, only GET reads what it is; anything else is not there', async () => {
    const authorization = `Bearer ${tokenOf('app')}`
    expect(await send(gate, EVALUATION, { method: 'GET', headers: { authorization } })).toMatchObject({ status: 405, headers: { allow: 'POST' } })
    expect(await send(gate, '/.well-known/authzen-configuration', { body: '{}' })).toMatchObject({ status: 405, headers: { allow: 'GET' } })
    expect((await send(gate, '/.well-known/authzen-configuration', { method: 'GET' })).json).toMatchObject({ policy_decision_point: 'https://pdp.example', access_evaluation_endpoint: 'https://pdp.example/access/v1/evaluation' })
    for (const path of ['/', '/access/v1', `${EVALUATION}/`, '/v1/sessions', '/access/v1/evaluation%73']) expect((await send(gate, path, { headers: { ...json, authorization }, body })).status).toBe(404)
  })

  test('[PDP1] its own id of a request is told back', async () => {
    expect((await asker(gate, 'app').post(EVALUATION, body, { 'x-request-id': 'req-1/2' })).headers['x-request-id']).toBe('req-1/2')
    expect((await send(gate, EVALUATION, { headers: { 'x-request-id': 'req-3' }, body })).headers['x-request-id']).toBe('req-3')
    for (const id of ['', 'x'.repeat(257), 'a b']) expect(await asker(gate, 'app').post(EVALUATION, body, { 'x-request-id': id })).toMatchObject({ status: 400, headers: expect.not.objectContaining({ 'x-request-id': id }) })
  })

  test('[PDP1] a reload that gives a caller another token knows it by that alone', async () => {
    const file = join(gate.directory, 'pep-edge')
    const other = 'y'.repeat(40)
    const ask = (token: string) => send(gate, EVALUATION, { headers: { ...json, authorization: `Bearer ${token}` }, body: JSON.stringify({ ...question({ type: 'user', id: 'una' }, 'GET', '/x'), resource: { type: 'route', id: '/x', properties: { host: 'other.test' } } }) })
    expect((await ask(tokenOf('edge'))).status).toBe(200)
    writeFileSync(file, other, { mode: 0o600 })
    expect((await gate.admin('POST', '/v1/config/reload', {})).status).toBe(200)
    expect([(await ask(tokenOf('edge'))).status, (await ask(other)).status]).toEqual([401, 200])
    writeFileSync(file, tokenOf('app'), { mode: 0o600 })
    expect((await gate.admin('POST', '/v1/config/reload', {})).json).toMatchObject({ problems: [expect.objectContaining({ message: expect.stringMatching(/pep-edge: 'edge' and 'app' have the same token/) })] })
    expect((await ask(other)).status).toBe(200)
    writeFileSync(file, 'short', { mode: 0o600 })
    expect((await gate.admin('POST', '/v1/config/reload', {})).json).toMatchObject({ problems: [expect.objectContaining({ message: expect.stringMatching(/pep-edge: does not hold a token/) })] })
  })
})
