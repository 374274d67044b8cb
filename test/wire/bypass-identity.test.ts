// Bypasses by who asks: one principal under several spellings, and one answer for several callers who ask the same at once.
// Cases HDR-041 and AZ-006 of test/cases/bypasses.json, through whole gateways.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, TestGateway } from '../support/gateway.ts'

describe('a principal under another spelling', () => {
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start({
      routes: '',
      config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person, subjectCase: fold }
sessions:
  baseline: [{ when: 'subject.subject == "bob"', scopes: [base:read] }]
upstreams: { api: { url: "${upstream.origin}" } }
telemetry: { logs: { level: silent } }
routes:
  - { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {}, scope: base:read }] }`,
    })
  })
  afterAll(() => gate.stop())

  const asks = async (sub: string): Promise<Answer> => gate.ask('GET', '/x', { authorization: `Bearer ${await gate.token({ sub })}` })
  const outcome = async (sub: string): Promise<string> => asks(sub).then(({ status, json: { reason } }) => (typeof reason === 'string' ? `${status} ${reason}` : String(status)))

  test('[HDR-041, SES11, ENF8] a frozen bob is frozen as BOB and as Bob, with tokens never seen before, and is nobody with a space that does not show or in wide letters', async () => {
    expect([await outcome('bob'), await outcome('BOB'), await outcome('Bob')]).toEqual(['200', '200', '200'])
    for (const sub of ['bob\u00a0', 'bob ', ' bob', 'bob\u200b', 'ｂｏｂ', 'bob\u0000']) expect([sub, (await asks(sub)).status]).toEqual([sub, 401])
    const set = await gate.admin('POST', '/v1/locks', { selector: { subject: 'bob' }, effect: 'freeze', reason: 'test' })
    expect(set.json).toMatchObject({ enforced: true })
    gate.upstream.forget()
    for (const sub of ['bob', 'BOB', 'Bob', 'bOB']) expect([sub, await outcome(sub)]).toEqual([sub, '403 frozen'])
    expect(gate.upstream.requests).toEqual([])
    const { id } = set.json['lock'] as { readonly id: string } // the answer of a lock that was set
    await gate.admin('DELETE', `/v1/locks/${id}?reason=test`)
    expect(await outcome('BOB')).toBe('200')
  })

  test('[HDR-041, SES11] all that is kept of it is kept once: the subject of every one of its sessions, and what it is called upstream', async () => {
    for (const sub of ['bob', 'BOB']) await asks(sub)
    const named = new Set([...gate.parts.mirror.all()].map(({ record: { principal } }) => principal.subject))
    expect(named).toEqual(new Set(['bob']))
    expect(new Set([...gate.parts.mirror.all()].map(({ principal }) => principal.name)).size, 'one anchor of risk, taints and pauses').toBe(1)
  })
})

describe('callers who ask the very same at once', () => {
  const EACH = 50
  const WHO = ['ann', 'bea', 'eve'] as const
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start({
      baseline: `[{ when: 'subject.subject == "ann" || subject.subject == "bea"', scopes: [base:read] }]`,
      routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: {}, scope: base:read }]`,
    })
  })
  afterAll(() => gate.stop())

  test.each(['one token each, never seen before', 'a new token for every request'])('[AZ-006, SES10, SES12] fifty requests of each, with %s: every answer is its own caller’s, and who may not ask gets none', async how => {
    const shared = { ann: await gate.token({ sub: 'ann' }), bea: await gate.token({ sub: 'bea' }), eve: await gate.token({ sub: 'eve' }) }
    const callers = Array.from({ length: EACH }, () => WHO).flat()
    const tokens = await Promise.all(callers.map(sub => (how.startsWith('one') ? Promise.resolve(shared[sub]) : gate.token({ sub }))))
    gate.upstream.forget()
    const answers = await Promise.all(tokens.map(token => gate.ask('GET', '/echo', { authorization: `Bearer ${token}` })))
    expect(answers.map(({ status, json }) => (status === 200 ? askedAs(json) : status))).toEqual(callers.map(sub => (sub === 'eve' ? 403 : `${gate.issuer.issuer}|${sub}`)))
    expect(gate.upstream.requests).toHaveLength(2 * EACH)
  })
})

/** For whom the gateway said it came, of a request as the upstream tells it back. */
function askedAs({ headers }: Answer['json']): unknown {
  const [, context = ''] = (headers as readonly (readonly [string, string])[]).find(([name]) => name.toLowerCase() === 'narrowgate-context') ?? [] // what the upstream's /echo answers
  const { sub } = JSON.parse(Buffer.from(context.split('.')[1] ?? '', 'base64url').toString('utf8')) as { readonly sub?: unknown } // a JWT
  return sub
}
