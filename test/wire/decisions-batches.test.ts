// Many questions at once, searches, and questions that are none: what is malformed is told as that, never decided. SPEC: PDP2, PDP5, PDP6
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answered, asker, send, tokenOf } from '../support/decisions.ts'
import { TestGateway } from '../support/gateway.ts'
import { decisionsPlan, EVALUATION, EVALUATIONS, evaluate, ofSession, question, type Told } from './decisions-stage.ts'

let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start(decisionsPlan({ decisions: '  evaluationsMax: 5\n  perSecond: 5000' }))
})
afterAll(() => gate.stop())

const USER = { type: 'user', id: 'una' }
const GOOD = question(USER, 'GET', '/read')
const route = (id: string) => ({ resource: { type: 'route', id } })

describe('what is no question', () => {
  const without = (part: string, member: string): object => ({ ...GOOD, [part]: Object.fromEntries(Object.entries(GOOD[part] as object).filter(([name]) => name !== member)) })
  const CASES: readonly (readonly [string, unknown, RegExp])[] = [
    ['nothing', '', /not JSON/], ['no JSON', '{', /not JSON/], ['a list', [], /must be an object/], ['a text', '"x"', /must be an object/], ['null', 'null', /must be an object/],
    ['no subject', { ...GOOD, subject: undefined }, /^subject is missing/], ['no action', { ...GOOD, action: undefined }, /^action is missing/], ['no resource', { ...GOOD, resource: undefined }, /^resource is missing/],
    ['a subject that is a text', { ...GOOD, subject: 'una' }, /^subject must be an object/], ['an action that is a list', { ...GOOD, action: ['GET'] }, /^action must be an object/], ['a resource that is null', { ...GOOD, resource: null }, /^resource must be an object/],
    ['a subject without type', without('subject', 'type'), /^subject.type is missing/], ['a subject without id', without('subject', 'id'), /^subject.id is missing/], ['an action without name', without('action', 'name'), /^action.name is missing/],
    ['a resource without type', without('resource', 'type'), /^resource.type is missing/], ['a resource without id', without('resource', 'id'), /^resource.id is missing/],
    ['an id that is a number', { ...GOOD, subject: { type: 'user', id: 1 } }, /^subject.id must be a text/], ['an empty id', { ...GOOD, subject: { type: 'user', id: '' } }, /^subject.id must be a text/],
    ['an id beyond all measure', { ...GOOD, subject: { type: 'user', id: 'x'.repeat(20_000) } }, /^subject.id is too long/],
    ['a name that is an object', { ...GOOD, action: { name: { GET: true } } }, /^action.name must be a text/], ['properties that are a list', { ...GOOD, subject: { ...USER, properties: [] } }, /^subject.properties must be an object/],
    ['a context that is a text', { ...GOOD, context: 'x' }, /^context must be an object/], ['a context that is null', { ...GOOD, context: null }, /^context must be an object/],
    ['a member named twice', '{"subject":{"type":"user","id":"una","id":"root"},"action":{"name":"GET"},"resource":{"type":"route","id":"/read"}}', /one reading/],
    ['a part named twice in other letters', '{"subject":{"type":"user","id":"una"},"Subject":{"type":"user","id":"root"},"action":{"name":"GET"},"resource":{"type":"route","id":"/read"}}', /one reading/],
    ['a number that loses digits', '{"subject":{"type":"user","id":"una"},"action":{"name":"GET"},"resource":{"type":"route","id":"/read"},"context":{"n":12345678901234567890}}', /one reading/],
    ['too much of everything', { ...GOOD, context: { filler: 'x'.repeat(300 * 1024) } }, /too_large/],
  ]

  test.each(CASES)('[PDP2] %s is refused as malformed, with a text that says what is wrong', async (_name, body, says) => {
    const { status, json, headers } = await evaluate(gate, body)
    expect({ status, json, type: headers['content-type'] }).toEqual({ status: 400, json: expect.stringMatching(says), type: 'application/json' })
  })

  test('[PDP2] another content type, a compressed body, and one that is not UTF-8 are refused as malformed', async () => {
    const headers = { authorization: `Bearer ${tokenOf('app')}`, 'content-type': 'application/json' }
    const body = JSON.stringify(GOOD)
    for (const [more, sent] of [[{ 'content-type': 'text/plain' }, body], [{ 'content-encoding': 'gzip' }, gzipSync(body)], [{ 'content-type': 'application/json; charset=latin1' }, body], [{}, Buffer.from(body.replace('una', '\xff'), 'latin1')]] as const) {
      expect((await send(gate, EVALUATION, { headers: { ...headers, ...more }, body: sent })).status).toBe(400)
    }
    expect((await send(gate, EVALUATION, { headers: { ...headers, 'content-type': 'application/json; charset=utf-8' }, body })).status).toBe(200)
  })

  test('[PDP2] members that nobody knows are ignored, wherever they stand', async () => {
    const more = { ...GOOD, subject: { ...USER, nickname: 'u' }, extra: { a: [1, 2] }, action: { name: 'GET', why: null } }
    expect((await evaluate(gate, more)).json).toMatchObject({ decision: true })
  })
})

describe('several at once', () => {
  const ask = (body: object): Promise<Answered> => asker(gate, 'app').post(EVALUATIONS, body)
  const decisions = async (body: object): Promise<readonly boolean[]> => ((await ask(body)).json as { evaluations: readonly Told[] }).evaluations.map(({ decision }) => decision)
  const MIXED = { ...GOOD, resource: undefined, evaluations: [route('/read'), route('/lead'), route('/list'), route('/never')] }

  test('[PDP5] each is answered in its order; with the other semantics up to the first denial, or the first permit', async () => {
    expect(await decisions(MIXED)).toEqual([true, false, true, false])
    expect(await decisions({ ...MIXED, options: { evaluations_semantic: 'execute_all' } })).toEqual([true, false, true, false])
    expect(await decisions({ ...MIXED, options: { evaluations_semantic: 'deny_on_first_deny' } })).toEqual([true, false])
    expect(await decisions({ ...MIXED, options: { evaluations_semantic: 'permit_on_first_permit' } })).toEqual([true])
    expect(await decisions({ ...MIXED, evaluations: [route('/never'), route('/lead'), route('/read'), route('/list')], options: { evaluations_semantic: 'permit_on_first_permit' } })).toEqual([false, false, true])
    expect((await ask({ ...MIXED, options: { evaluations_semantic: 'first_come' } })).json).toMatch(/evaluations_semantic/)
    for (const options of ['x', [], null, { evaluations_semantic: 1 }]) expect((await ask({ ...MIXED, options })).status).toBe(400)
  })

  test('[PDP5] what one says itself takes the place of what stands beside all of them, as a whole', async () => {
    const lead = { subject: { type: 'user', id: 'una', properties: { role: 'lead' } }, action: { name: 'POST' } }
    expect(await decisions({ ...lead, ...route('/lead'), evaluations: [{}, { subject: USER }, { action: { name: 'GET' } }, { ...route('/read'), action: { name: 'GET' } }] })).toEqual([true, false, false, true])
    expect(await decisions({ ...GOOD, ...route('/from'), context: { ip: '10.0.0.1', kind: 'robot' }, evaluations: [{}, { context: { ip: '10.0.0.1' } }] })).toEqual([true, false])
  })

  test('[PDP5] what is wrong with one is that one’s denial, which says so; the others are answered', async () => {
    const { status, json } = await ask({ subject: USER, action: { name: 'GET' }, evaluations: [route('/read'), {}, 'x', { ...route('/read'), subject: { type: 'session', id: 1 } }, { resource: { type: 'route', id: '/read', properties: { host: 'other.test' } } }] })
    expect(status).toBe(200)
    expect(json).toMatchObject({ evaluations: [{ decision: true }, { decision: false, context: { error: { status: 400, message: 'resource is missing' } } }, { decision: false, context: { error: { status: 400 } } }, { decision: false, context: { error: { status: 400 } } }, { decision: true }] })
    const { json: edge } = await asker(gate, 'edge').post(EVALUATIONS, { subject: USER, action: { name: 'GET' }, evaluations: [route('/read'), { resource: { type: 'route', id: '/x', properties: { host: 'other.test' } } }] })
    expect(edge).toMatchObject({ evaluations: [{ decision: false, context: { error: { status: 403 } } }, { decision: true }] })
  })

  test('[PDP5] none, or an empty list, is a single question; too many, and what is no list, are malformed', async () => {
    for (const evaluations of [undefined, []]) expect((await ask({ ...GOOD, evaluations })).json).toMatchObject({ decision: true, context: { grant: 'baseline' } })
    expect((await ask({ subject: USER, evaluations: [] })).status).toBe(400)
    expect((await ask({ ...GOOD, evaluations: Array.from({ length: 5 }, () => ({})) })).status).toBe(200)
    for (const evaluations of [Array.from({ length: 6 }, () => ({})), {}, 'x', null]) expect((await ask({ ...GOOD, evaluations })).status).toBe(400)
  })
})

describe('what may be found', () => {
  type Found = { readonly page: { readonly next_token: string; readonly count: number }; readonly results: readonly { readonly type?: string; readonly id?: string; readonly name?: string }[] }
  const search = async (what: string, body: object): Promise<Found> => {
    const { status, json } = await asker(gate, 'app').post(`/access/v1/search/${what}`, body)
    expect({ status, json }).toMatchObject({ status: 200 })
    return json as Found
  }

  test('[PDP6] live sessions that may do it now, page by page, each once; what ends is not found any more', async () => {
    const sessions: string[] = []
    for (let i = 0; i < 5; i++) sessions.push((await gate.session(await gate.token({ sub: `s${i}`, role: i < 3 ? 'lead' : 'none' }))).id)
    const leads = sessions.slice(0, 3).toSorted()
    const asked = { ...question(ofSession('any'), 'POST', '/lead'), subject: { type: 'session' } }
    expect(await search('subject', asked)).toEqual({ page: { next_token: '', count: 3 }, results: leads.map(id => ({ type: 'session', id })) })
    const found: (string | undefined)[] = []
    for (let token = '', pages = 0; pages < 10; pages++) {
      const page = await search('subject', { ...asked, page: { limit: 1, ...(token === '' ? {} : { token }) } })
      found.push(...page.results.map(({ id }) => id))
      token = page.page.next_token
      if (token === '') break
    }
    expect(found).toEqual(leads)
    await gate.admin('POST', `/v1/sessions/${leads[0]}/terminate`, { reason: 'test' })
    expect((await search('subject', asked)).results.map(({ id }) => id)).toEqual(leads.slice(1))
  })

  test('[PDP6] paths that rules write out and that may be asked for so; methods of actions', async () => {
    expect((await search('resource', { ...GOOD, resource: { type: 'route' } })).results).toEqual(['/list', '/public', '/read'].map(id => ({ type: 'route', id })))
    expect((await search('action', { subject: USER, ...route('/read') })).results).toEqual([{ name: 'GET' }, { name: 'HEAD' }])
    expect((await search('action', { subject: USER, ...route('/never') })).results).toEqual([])
  })

  test('[PDP6] other types cannot be searched for; what is missing or malformed is refused', async () => {
    const status = async (what: string, body: object): Promise<number> => (await asker(gate, 'app').post(`/access/v1/search/${what}`, body)).status
    expect(await status('subject', { ...GOOD, subject: { type: 'user' } })).toBe(501)
    expect(await status('resource', { ...GOOD, resource: { type: 'todo' } })).toBe(501)
    expect(await status('thing', GOOD)).toBe(404)
    for (const body of [{ ...GOOD, subject: {} }, { ...GOOD, subject: { type: 'session' }, action: undefined }, { ...GOOD, subject: { type: 'session' }, page: 1 }, { ...GOOD, subject: { type: 'session' }, page: { limit: 0 } }, { ...GOOD, subject: { type: 'session' }, page: { token: 1 } }]) expect(await status('subject', body)).toBe(400)
  })

  test('[PDP6] what a search looks at is no decision on record', async () => {
    const { id } = await gate.session(await gate.token({ sub: 'looked-at' }))
    await search('subject', { ...question(ofSession('any'), 'GET', '/read'), subject: { type: 'session' } })
    expect((await gate.trail()).filter(({ kind, session }) => kind === 'decision.given' && session === id)).toEqual([])
  })
})

test('[PDP1] beyond its share a caller is told to wait, and gets its share again', async () => {
  const slow = await TestGateway.start(decisionsPlan({ decisions: '  perSecond: 3' }))
  try {
    const answers = []
    for (let i = 0; i < 8; i++) answers.push(await evaluate(slow, GOOD))
    const [passed, told] = [answers.filter(({ status }) => status === 200), answers.filter(({ status }) => status === 429)]
    expect(passed.length).toBeGreaterThanOrEqual(3)
    expect(passed.length + told.length).toBe(8)
    expect(told[0]).toMatchObject({ headers: { 'retry-after': '1' }, json: expect.any(String) })
    await expect.poll(async () => (await evaluate(slow, GOOD)).status, { timeout: 5_000, interval: 200 }).toBe(200)
  } finally {
    await slow.stop()
  }
})

test('[PDP1, PDP6] a search pays for what it looked at, though it comes to nothing', async () => {
  const slow = await TestGateway.start(decisionsPlan({
    decisions: '  perSecond: 30', more: 'pdps: { central: { url: "https://127.0.0.1:9", discover: false } }',
    routes: '  - name: asking\n    match: { host: api.test, path: /zz }\n    upstream: "http://127.0.0.1:9"\n    authn: [login]\n    rules: [{ allow: { paths: [/zz] }, scope: base:read, decision: { pdp: central } }]',
  }))
  try {
    const answers: number[] = []
    for (let i = 0; i < 8; i++) answers.push((await asker(slow, 'app').post('/access/v1/search/resource', { ...GOOD, resource: { type: 'route' } })).status)
    expect(answers[0]).toBe(503) // the last that it looks at
    expect(answers).toContain(429)
  } finally {
    await slow.stop()
  }
})
