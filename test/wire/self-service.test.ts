// What a caller may see and ask of itself under /.narrowgate/, on every host, with its own credential: its session, its elevations, their waits
// and limits, and what operators and approvers do to them meanwhile. Nothing of it ever reaches an upstream.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { headerOf, RawClient, request } from '../support/raw-client.ts'

const TOKENS = { operator: 'nga_' + 'o'.repeat(42) + 'A', ann: 'nga_' + 'a'.repeat(42) + 'A', self: 'nga_' + 's'.repeat(42) + 'A', alias: 'nga_' + 'l'.repeat(42) + 'A' } as const
type Who = keyof typeof TOKENS

const IDENTITIES: { readonly [W in Who]: readonly [identity: string, role: string] } = {
  operator: ['corp|operator', 'operator'], ann: ['corp|ann', 'approver'], self: ['https://login.example|agent-1', 'approver'], alias: ['corp|boss', 'approver'],
}

let directory: string
let gate: TestGateway
/** A token of a session of its own, new for each test. */
let token: string
let session: string

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url')

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-self-'))
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  writeFileSync(join(directory, 'state', 'admin.token'), `${TOKENS.operator}\n`, { mode: 0o600 })
  const entries = Object.entries(IDENTITIES).map(([name, [identity, role]]) => ({ name, sha256: sha256(TOKENS[name as Who]), roles: [role], identity })) // keys of the literal above
  writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: entries }), { mode: 0o600 })
  gate = await TestGateway.start({
    directory,
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - allow: { paths: [/write/**] }
      scope: api:write
    - allow: { paths: [/extra/**, /download/**] }
      scope: api:extra
    - allow: { paths: [/guarded/**] }
      scope: api:guarded
    - allow: {}
- name: wild
  match: { host: "*.wild.test" }
  upstream: api
  rules: [{ allow: {} }]
- name: part
  match: { host: part.test, path: /v1/** }
  upstream: api
  rules: [{ allow: {} }]`,
    elevations: `
writer: { adds: [api:write], for: 10m, max: 1h, purpose: [ticket] }
extra: { adds: [api:extra], for: 2m, max: 10m }
guarded: { adds: [api:guarded], for: 10m, approval: { by: approver, within: 10m } }
hasty: { adds: [api:guarded], for: 10m, approval: { by: approver, within: 1s } }
leads: { adds: [api:guarded], for: 10m, eligible: 'subject.claims.role == "lead"' }
sized: { adds: [api:extra], for: 10m, params: { level: { type: number, max: 3, required: true }, names: { type: list, max: 2 } } }`,
    more: `
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
identities: [["https://login.example|agent-1", "corp|boss"]]
admin: { auth: { tokenFile: ${directory}/operators.json } }`,
  })
})
afterAll(async () => {
  await gate.stop()
  rmSync(directory, { recursive: true, force: true })
})

beforeEach(async () => {
  gate.upstream.forget()
  token = await gate.token()
  session = (await gate.session(token)).id
})

// ---- how tests speak

const own = (method: string, path: string, body: unknown = null, as = token): Promise<Answer> =>
  gate.ask(method, `/.narrowgate/${path}`, { ...bearer(as), ...(body === null ? {} : { 'content-type': 'application/json' }) }, body === null ? '' : JSON.stringify(body))

async function admin(who: Who, method: string, path: string, body: unknown = null): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const response = await fetch(`http://${gate.gateway.front.address('admin')}${path}`, {
    method, headers: { ...bearer(TOKENS[who]), 'content-type': 'application/json' }, ...(body === null ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as Record<string, unknown> }
}

async function did(doing: Promise<{ readonly status: number; readonly json: Record<string, unknown> }>): Promise<void> {
  const { status, json } = await doing
  expect(status, JSON.stringify(json)).toBe(200)
}

const word = (ticket: string, state: 'open' | 'ended') => did(admin('operator', 'POST', `/v1/anchors/ticket/${ticket}`, { state, reason: 'test' }))
const verb = (name: string, body: Record<string, unknown> = {}, of = session) => did(admin('operator', 'POST', `/v1/sessions/${of}/${name}`, { reason: 'test', ...body }))

async function asked(body: Record<string, unknown>, status = 201): Promise<Record<string, unknown> & { readonly id: string }> {
  const answer = await own('POST', 'elevations', body)
  expect(answer.status, answer.text).toBe(status)
  return { ...answer.json, id: String(answer.json['id']) }
}

const visit = (path: string, ticket: string | null = null, as = token): Promise<Answer> => gate.ask('GET', path, { ...bearer(as), ...(ticket === null ? {} : { 'narrowgate-ticket': ticket }) })
const reasonOf = ({ status, json }: Answer): string => `${status} ${String(json['reason'])}`
const stateOf = async (id: string): Promise<unknown> => (await own('GET', `elevations/${id}`)).json['state']

/** A refusal that can be read, and tells nothing of the inside. */
function refused(answer: Answer, status: number, reason: string): void {
  expect(reasonOf(answer), answer.text).toBe(`${status} ${reason}`)
  expect(answer.headers['content-type']).toBe('application/problem+json')
  expect(answer.json['type']).toBe(`urn:narrowgate:reason:${reason}`)
  expect(answer.text).not.toMatch(/node:|\/src\/|\n\s+at |Zod|invalid_type/)
}

async function eventually(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const until = performance.now() + 8_000
  while (!(await holds())) {
    if (performance.now() > until) throw new Error(`not within 8 s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

// ---- where it is

describe('the prefix', () => {
  const ENDPOINTS: readonly (readonly [method: string, path: string, status: number])[] = [
    ['GET', 'session', 200], ['POST', 'session/renew', 200], ['GET', 'profiles', 200], ['POST', 'elevations', 400], ['GET', 'elevations/elv_aaaaaaaaaaaaaaaaaaaaaaaaaa', 404],
    ['POST', 'elevations/elv_aaaaaaaaaaaaaaaaaaaaaaaaaa/release', 404], ['POST', 'elevations/elv_aaaaaaaaaaaaaaaaaaaaaaaaaa/withdraw', 404],
    ['POST', 'elevations/elv_aaaaaaaaaaaaaaaaaaaaaaaaaa/extend', 400], ['GET', 'jwks.json', 200],
  ]
  for (const host of ['api.test', 'API.test:8443', 'a.wild.test', 'part.test']) {
    test(`[ADM1] every endpoint answers on ${host} and none goes upstream`, async () => {
      for (const [method, path, status] of ENDPOINTS) {
        const answer = await gate.ask(method, `/.narrowgate/${path}`, { host, ...bearer(token) })
        expect(answer.status, `${method} ${path}: ${answer.text}`).toBe(status)
        expect(answer.headers['cache-control']).toBe(path === 'jwks.json' ? 'public, max-age=60' : 'no-store')
      }
      expect(gate.upstream.requests).toEqual([])
    })
  }

  test('[ADM1] nothing else under the prefix exists, in any spelling, and none of it goes upstream', async () => {
    const wrong: readonly (readonly [string, string])[] = [
      ['GET', '/.narrowgate/'], ['GET', '/.narrowgate'], ['GET', '/.narrowgate/admin'], ['GET', '/.narrowgate/session/'], ['DELETE', '/.narrowgate/session'], ['GET', '/.narrowgate/elevations'],
      ['POST', '/.narrowgate/profiles'], ['GET', '/.narrowgate/elevations/elv_x'], ['POST', '/.narrowgate/elevations/elv_aaaaaaaaaaaaaaaaaaaaaaaaaa/approve'], ['GET', '/.narrowgate/session;x=1'],
      ['GET', '/%2Enarrowgate/none'], ['GET', '/.narrowgate%3Fx'],
    ]
    for (const [method, path] of wrong) {
      const answer = await gate.ask(method, path, bearer(token))
      if (path === '/.narrowgate%3Fx') expect(answer.status).toBe(200) // a path of the upstream's own
      else refused(answer, 404, 'no_route')
    }
    expect((await gate.ask('GET', '/%2Enarrowgate/session', bearer(token))).json['id']).toBe(session)
    refused(await gate.ask('GET', '/.narrowgate%2fsession', bearer(token)), 400, 'bad_request')
    expect(gate.upstream.requests.map(({ url }) => url)).toEqual(['/.narrowgate%3Fx'])
  })

  test('[ADM1] a host that is not served has no self-service; without a credential there is none anywhere', async () => {
    refused(await gate.ask('GET', '/.narrowgate/session', { host: 'elsewhere.test', ...bearer(token) }), 421, 'wrong_host')
    for (const path of ['session', 'profiles', 'events']) {
      const bare = await gate.ask('GET', `/.narrowgate/${path}`)
      refused(bare, 401, 'no_credential')
      expect(bare.headers['www-authenticate']).toMatch(/^Bearer/)
      refused(await gate.ask('GET', `/.narrowgate/${path}`, bearer('x.y.z')), 401, 'credential_invalid')
    }
    refused(await gate.ask('GET', '/.narrowgate/session', bearer(await gate.issuer.sign({}, { now: Date.now() - 3_600_000 }))), 401, 'credential_expired')
  })

  test('[WIRE13] our keys are public, and only public', async () => {
    const answer = await gate.ask('GET', '/.narrowgate/jwks.json')
    expect(answer.json).toEqual({ keys: [expect.objectContaining({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig' })] })
    expect(answer.text).not.toContain('"d"')
    expect((await gate.ask('GET', '/.well-known/jwks.json', { host: 'nobody.test' })).json).toEqual(answer.json)
  })
})

describe('reading', () => {
  test('[ADM1] a session reads how it stands', async () => {
    await asked({ profile: 'extra' })
    const { json } = await own('GET', 'session')
    expect(json).toMatchObject({
      id: session, state: 'live', reason: null, subject: 'agent-1', issuer: 'https://login.example', kind: 'agent', scopes: { baseline: ['base:read'], elevated: ['api:extra'] }, cap: 'none',
      elevations: [{ profile: 'extra', state: 'active', adds: ['api:extra'], for: 120, max: 600 }],
    })
    expect(JSON.stringify(json)).not.toContain(token)
    const left = Number((json['elevations'] as readonly Record<string, unknown>[])[0]?.['secondsLeft'])
    expect(left).toBeGreaterThan(100)
    expect(left).toBeLessThanOrEqual(120)
  })

  test('[ELV1] profiles are offered only to who may ask for them', async () => {
    const names = async (as: string): Promise<readonly unknown[]> => ((await own('GET', 'profiles', null, as)).json['profiles'] as readonly Record<string, unknown>[]).map(({ name }) => name)
    expect(await names(token)).toEqual(['writer', 'extra', 'guarded', 'hasty', 'sized'])
    expect(await names(await gate.token({ role: 'lead' }))).toContain('leads')
    refused(await own('POST', 'elevations', { profile: 'leads' }), 403, 'not_eligible')
    expect((await visit('/guarded/x')).json['access_request']).toMatchObject({ offers: [{ profile: 'guarded' }, { profile: 'hasty' }] })
  })

  test('[SES6] a later credential of the same key moves the end, an earlier one does not', async () => {
    const now = Date.now()
    const first = await gate.issuer.sign({ sid: 'renewing' }, { now: now - 10_000, lifetime: 100 })
    const before = (await own('GET', 'session', null, first)).json
    const second = await gate.issuer.sign({ sid: 'renewing' }, { now, lifetime: 500 })
    const renewed = (await own('POST', 'session/renew', null, second)).json
    expect(renewed['id']).toBe(before['id'])
    expect(Date.parse(String(renewed['credentialEndsAt'])) - Date.parse(String(before['credentialEndsAt']))).toBeGreaterThan(400_000)
    expect((await own('POST', 'session/renew', null, first)).json['credentialEndsAt']).toBe(renewed['credentialEndsAt'])
  })
})

// ---- asking

describe('asking', () => {
  const WRONG: readonly (readonly [what: string, body: unknown, status: number, reason: string])[] = [
    ['no profile', {}, 400, 'bad_request'],
    ['a list', [], 400, 'bad_request'],
    ['a member nobody knows', { profile: 'extra', scope: 'all' }, 400, 'bad_request'],
    ['a time that is none', { profile: 'extra', for: 'soon' }, 400, 'bad_request'],
    ['a number as time', { profile: 'extra', for: 60 }, 400, 'bad_request'],
    ['no time', { profile: 'extra', for: '0s' }, 400, 'bad_request'],
    ['less than none', { profile: 'extra', for: '-1m' }, 400, 'bad_request'],
    ['more than the longest time', { profile: 'extra', for: '601s' }, 403, 'limit_reached'],
    ['a profile that is not there', { profile: 'none' }, 403, 'not_eligible'],
    ['a name of the language', { profile: '__proto__' }, 403, 'not_eligible'],
    ['no purpose where one is needed', { profile: 'writer' }, 403, 'purpose_missing'],
    ['a purpose where none is known', { profile: 'extra', purpose: { ticket: 'T-1' } }, 400, 'bad_request'],
    ['a kind of purpose nobody knows', { profile: 'extra', purpose: { mood: 'good' } }, 400, 'bad_request'],
    ['a ticket that is no name', { profile: 'writer', purpose: { ticket: 'T 1\n' } }, 400, 'bad_request'],
    ['a ticket no source confirmed', { profile: 'writer', purpose: { ticket: 'T-never' } }, 403, 'ticket_unknown'],
    ['no parameter where one is needed', { profile: 'sized' }, 400, 'bad_request'],
    ['a parameter of another type', { profile: 'sized', params: { level: 'high' } }, 400, 'bad_request'],
    ['a parameter that is too large', { profile: 'sized', params: { level: 4 } }, 400, 'bad_request'],
    ['a parameter that is too long', { profile: 'sized', params: { level: 1, names: ['a', 'b', 'c'] } }, 400, 'bad_request'],
    ['a parameter nobody knows', { profile: 'sized', params: { level: 1, more: true } }, 400, 'bad_request'],
    ['a start that is no time', { profile: 'extra', startAt: 'tomorrow' }, 400, 'bad_request'],
    ['a start too far away', { profile: 'extra', startAt: '2999-01-01T00:00:00Z' }, 403, 'limit_reached'],
    ['a reason that is too long', { profile: 'extra', reason: 'a'.repeat(513) }, 400, 'bad_request'],
  ]
  for (const [what, body, status, reason] of WRONG) {
    test(`[ELV1] ${what}: ${status} ${reason}, and nothing is kept`, async () => {
      refused(await own('POST', 'elevations', body), status, reason)
      expect((await own('GET', 'session')).json['elevations']).toEqual([])
    })
  }

  test('[ELV1] a body that is not JSON, and one that is too long', async () => {
    refused(await gate.ask('POST', '/.narrowgate/elevations', bearer(token), '{"profile":'), 400, 'bad_request')
    refused(await gate.ask('POST', '/.narrowgate/elevations', bearer(token), JSON.stringify({ profile: 'extra', reason: 'a'.repeat(20_000) })), 413, 'body_too_large')
  })

  test('[WIRE14] a body that never comes: 408; a caller that goes away before: nothing', async () => {
    const client = await RawClient.connect(gate.target)
    await client.send(request('POST', '/.narrowgate/elevations', { ...bearer(token), 'content-length': '30' }))
    await client.send('{"profile"')
    const gone = await RawClient.connect(gate.target)
    await gone.send(request('POST', '/.narrowgate/elevations', { ...bearer(token), 'content-length': '30' }))
    await gone.send('{"profile"')
    const before = (await gate.trail()).length
    gone.close('reset')
    const answer = await client.response('POST', 12_000)
    expect([answer.status, (JSON.parse(answer.body.toString()) as Record<string, unknown>)['reason']]).toEqual([408, 'request_timeout'])
    expect(headerOf(answer, 'content-type')).toBe('application/problem+json')
    await client.ended
    expect((await gate.trail()).slice(before).filter(line => line['kind'] === 'request.refused').map(line => line['reason'])).toEqual(['request_timeout'])
  })

  test('[ELV1] a dry run answers what it would be, and nothing is kept', async () => {
    const answer = await own('POST', 'elevations', { profile: 'extra', for: '5m', dryRun: true })
    expect([answer.status, answer.json['state'], answer.json['for']]).toEqual([200, 'dry_run', 300])
    expect((await own('GET', 'session')).json['elevations']).toEqual([])
    expect(reasonOf(await visit('/extra/x'))).toBe('403 elevation_required')
    refused(await own('POST', 'elevations', { profile: 'extra', for: '601s', dryRun: true }), 403, 'limit_reached')
  })

  test('[ELV1, SES8] a session holds at most 32 at once; one given back makes room', async () => {
    const ids: string[] = []
    for (let i = 0; i < 32; i++) ids.push((await asked({ profile: 'extra' })).id)
    refused(await own('POST', 'elevations', { profile: 'extra' }), 403, 'limit_reached')
    expect((await own('POST', `elevations/${ids[7] ?? ''}/release`)).status).toBe(200)
    await asked({ profile: 'extra' })
    refused(await own('POST', 'elevations', { profile: 'extra' }), 403, 'limit_reached')
  })

  test('[ELV3] one that starts later carries nothing before, and then runs its whole time', async () => {
    const waiting = await asked({ profile: 'extra', for: '1m', startAt: new Date(Date.now() + 1_500).toISOString() })
    expect(waiting['state']).toBe('scheduled')
    expect(reasonOf(await visit('/extra/x'))).toBe('403 elevation_required')
    const started = (await own('GET', `elevations/${waiting.id}?wait=10`)).json
    expect(started['state']).toBe('active')
    expect(Number(started['secondsLeft'])).toBeGreaterThan(55)
    expect((await visit('/extra/x')).status).toBe(200)
  })
})

// ---- several at once, each with its purpose

describe('purposes', () => {
  const grantOf = (i: number): unknown => decodeJwt(gate.upstream.requests[i]?.header('narrowgate-context')[0] ?? '')['elevation']

  test('[ELV2, PUR2] several at once, each carries what shows its own purpose, and every request must show it', async () => {
    await word('T-1', 'open')
    await word('T-2', 'open')
    const [one, two, extra] = [await asked({ profile: 'writer', purpose: { ticket: 'T-1' } }), await asked({ profile: 'writer', purpose: { ticket: 'T-2' } }), await asked({ profile: 'extra' })]
    for (const [path, ticket] of [['/write/1', 'T-1'], ['/write/2', 'T-2'], ['/extra/3', null], ['/write/4', 'T-1']] as const) expect((await visit(path, ticket)).status).toBe(200)
    expect([0, 1, 2, 3].map(grantOf)).toEqual([one.id, two.id, extra.id, one.id])
    expect(gate.upstream.bytes()).not.toMatch(/narrowgate-ticket/i)
    refused(await visit('/write/5'), 403, 'purpose_missing')
    refused(await visit('/write/6', 'T-3'), 403, 'purpose_mismatch')
    refused(await visit('/write/7', 't-1'), 403, 'purpose_mismatch')
    expect(gate.upstream.requests).toHaveLength(4)
  })

  test('[PUR1] a purpose shown twice, or not as one word, is a malformed request', async () => {
    await word('T-1', 'open')
    await asked({ profile: 'writer', purpose: { ticket: 'T-1' } })
    gate.upstream.forget()
    for (const lines of ['Narrowgate-Ticket: T-1\r\nNarrowgate-Ticket: T-1', 'narrowgate-ticket: T-1\r\nNARROWGATE-TICKET: T-2', 'Narrowgate-Ticket: T-1, T-2', `Narrowgate-Ticket: ${'a'.repeat(201)}`, 'Narrowgate_Ticket: T-1']) {
      const client = await RawClient.connect(gate.target)
      await client.send(`GET /write/x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\n${lines}\r\n\r\n`)
      expect((await client.response()).status, lines).toBe(400)
      client.close()
    }
    expect(gate.upstream.requests).toEqual([])
  })

  test('[ELV6, PUR3] an ended ticket takes its elevations, reopening revives none, a new one may be asked for', async () => {
    await word('T-1', 'open')
    await word('T-2', 'open')
    const [one, two] = [await asked({ profile: 'writer', purpose: { ticket: 'T-1' } }), await asked({ profile: 'writer', purpose: { ticket: 'T-2' } })]
    expect((await visit('/write/x', 'T-1')).status).toBe(200)
    await word('T-1', 'ended')
    expect((await visit('/write/x', 'T-1')).status).toBe(403)
    expect((await visit('/write/x', 'T-2')).status).toBe(200)
    refused(await own('POST', 'elevations', { profile: 'writer', purpose: { ticket: 'T-1' } }), 403, 'ticket_closed')
    await word('T-1', 'open')
    expect((await visit('/write/x', 'T-1')).status).toBe(403)
    await eventually(async () => (await stateOf(one.id)) === 'ended', 'the end to be settled')
    expect((await own('GET', `elevations/${one.id}`)).json['reason']).toBe('ticket_closed')
    expect(await stateOf(two.id)).toBe('active')
    refused(await own('POST', `elevations/${one.id}/extend`, { for: '1m' }), 403, 'limit_reached')
    await asked({ profile: 'writer', purpose: { ticket: 'T-1' } })
    expect((await visit('/write/x', 'T-1')).status).toBe(200)
  })
})

// ---- more time, and giving back

describe('extending and ending', () => {
  test('[ELV4] more time up to the longest, not a second beyond; the end it tells is the end it has', async () => {
    const { id, until } = await asked({ profile: 'extra', for: '2m' })
    const extended = await own('POST', `elevations/${id}/extend`, { for: '8m' })
    expect(extended.status).toBe(200)
    expect(Date.parse(String(extended.json['until'])) - Date.parse(String(until))).toBe(480_000)
    refused(await own('POST', `elevations/${id}/extend`, { for: '1s' }), 403, 'limit_reached')
    refused(await own('POST', `elevations/${id}/extend`, { for: '0s' }), 400, 'bad_request')
    refused(await own('POST', `elevations/${id}/extend`, {}), 400, 'bad_request')
    refused(await own('POST', `elevations/${id}/extend`, { for: '1m', max: '9h' }), 400, 'bad_request')
    expect((await own('GET', `elevations/${id}`)).json['until']).toBe(extended.json['until'])
  })

  test('[ELV3] its time ends by the clock, without news', async () => {
    await asked({ profile: 'extra', for: '1s' })
    expect((await visit('/extra/x')).status).toBe(200)
    await eventually(async () => (await visit('/extra/x')).status === 403, 'the end')
    expect(reasonOf(await visit('/extra/x'))).toBe('403 elevation_required')
  })

  test('[ELV5, ENF3] given back: what runs on it is cut, new requests are refused, it never comes back', async () => {
    const { id } = await asked({ profile: 'extra' })
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/download/100000000', bearer(token)))
    await client.head()
    client.pause()
    const answer = await own('POST', `elevations/${id}/release`, { reason: 'done' })
    expect([answer.status, answer.json['state'], answer.json['reason']]).toEqual([200, 'ended', 'released'])
    client.resume()
    expect(await client.ended).toBe('reset')
    expect(client.received).toBeLessThan(10_000_000)
    expect(reasonOf(await visit('/extra/x'))).toBe('403 elevation_required')
    expect((await own('POST', `elevations/${id}/release`)).status).toBe(200)
    refused(await own('POST', `elevations/${id}/extend`, { for: '1m' }), 403, 'limit_reached')
    expect(await stateOf(id)).toBe('ended')
  })

  test('[ADM1] nobody reads or ends what is another session’s', async () => {
    const { id } = await asked({ profile: 'extra' })
    const other = await gate.token()
    for (const [method, path, body] of [['GET', `elevations/${id}`, null], ['POST', `elevations/${id}/release`, {}], ['POST', `elevations/${id}/extend`, { for: '1m' }], ['POST', `elevations/${id}/withdraw`, {}]] as const) {
      refused(await own(method, path, body, other), 404, 'no_route')
    }
    expect(await stateOf(id)).toBe('active')
    expect(reasonOf(await visit('/extra/x', null, other))).toBe('403 elevation_required')
  })

  test('[ELV9, SES3] the end of the session ends them; the next life starts without', async () => {
    const { id } = await asked({ profile: 'extra' })
    await verb('terminate')
    const next = await gate.issuer.sign({ sid: 'x' }, { now: Date.now() + 1_000 })
    expect((await own('GET', 'session', null, next)).json['elevations']).toEqual([])
    const told = (await gate.trail()).filter(line => line['kind'] === 'fact').map(line => line['fact'] as Record<string, unknown>)
    expect(told.findLast(fact => fact['what'] === 'elevation.ended')).toMatchObject({ elevation: id, reason: 'session_ended' })
  })
})

// ---- approvals

/** A word on a request as it is now. */
async function approve(who: Who, id: string, body: Record<string, unknown> = {}) {
  const { shown } = (await admin('operator', 'GET', `/v1/elevations/${id}`)).json
  return admin(who, 'POST', `/v1/elevations/${id}/approve`, { shown, reason: 'looked at it', ...body })
}

describe('approval', () => {
  test('[APR2, ELV1] 202 until one approver agrees; never the requester, under any of its names', async () => {
    const { id, state } = await asked({ profile: 'guarded' }, 202)
    expect(state).toBe('requested')
    expect(reasonOf(await visit('/guarded/x'))).toBe('403 elevation_required')
    for (const who of ['self', 'alias', 'operator'] as const) expect((await approve(who, id)).status, who).toBe(403)
    expect(await stateOf(id)).toBe('requested')
    const waiting = own('GET', `elevations/${id}?wait=30`)
    const started = performance.now()
    expect((await approve('ann', id)).status).toBe(200)
    const answer = await waiting
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(answer.json).toMatchObject({ state: 'active', approvals: { needed: 1, given: 1 } })
    expect((await visit('/guarded/x')).status).toBe(200)
    expect((await approve('ann', id)).status).toBe(409)
  })

  test('[APR1] an approver may give less, never more', async () => {
    const less = await asked({ profile: 'guarded' }, 202)
    expect((await approve('ann', less.id, { for: '1m' })).status).toBe(200)
    expect((await own('GET', `elevations/${less.id}`)).json['for']).toBe(60)
    const more = await asked({ profile: 'guarded' }, 202)
    expect((await approve('ann', more.id, { for: '9h' })).status).toBe(400)
    expect(await stateOf(more.id)).toBe('requested')
    expect((await approve('ann', more.id, { adds: ['api:guarded', 'api:write'] })).status).toBe(200)
    expect((await own('GET', `elevations/${more.id}`)).json).toMatchObject({ for: 600, adds: ['api:guarded'] })
    expect(reasonOf(await visit('/write/x', 'T-1'))).toBe('403 elevation_required')
  })

  test('[ELV5, ELV8] denied, withdrawn or waited for too long: it never starts', async () => {
    const denied = await asked({ profile: 'guarded' }, 202)
    expect((await admin('ann', 'POST', `/v1/elevations/${denied.id}/deny`, { reason: 'no' })).status).toBe(200)
    const withdrawn = await asked({ profile: 'guarded' }, 202)
    expect((await own('POST', `elevations/${withdrawn.id}/withdraw`, { reason: 'not needed' })).json['state']).toBe('withdrawn')
    const late = await asked({ profile: 'hasty' }, 202)
    expect((await own('GET', `elevations/${late.id}?wait=10`)).json['state']).toBe('expired')
    for (const { id } of [denied, withdrawn, late]) expect((await approve('ann', id)).status).toBe(409)
    expect([await stateOf(denied.id), await stateOf(withdrawn.id), await stateOf(late.id)]).toEqual(['denied', 'withdrawn', 'expired'])
    expect(reasonOf(await visit('/guarded/x'))).toBe('403 elevation_required')
  })

  test('[ELV5] what is active cannot be withdrawn, and what was approved is extended by operators only', async () => {
    const { id } = await asked({ profile: 'guarded' }, 202)
    expect((await approve('ann', id, { for: '1m' })).status).toBe(200)
    refused(await own('POST', `elevations/${id}/withdraw`), 403, 'limit_reached')
    refused(await own('POST', `elevations/${id}/extend`, { for: '1m' }), 403, 'denied')
    expect(await stateOf(id)).toBe('active')
  })

  test('[APR2] an approval taken back ends what stands on it', async () => {
    const { id } = await asked({ profile: 'guarded' }, 202)
    expect((await approve('ann', id)).status).toBe(200)
    expect((await visit('/guarded/x')).status).toBe(200)
    expect((await admin('ann', 'POST', `/v1/elevations/${id}/revoke`, { reason: 'changed my mind' })).status).toBe(200)
    expect((await own('GET', `elevations/${id}`)).json).toMatchObject({ state: 'ended', reason: 'approval_withdrawn' })
    expect(reasonOf(await visit('/guarded/x'))).toBe('403 elevation_required')
  })
})

// ---- waiting and watching

describe('waiting', () => {
  test('[ADM2] a wait ends with its time, and tells how it stands', async () => {
    const { id } = await asked({ profile: 'guarded' }, 202)
    const started = performance.now()
    expect((await own('GET', `elevations/${id}?wait=1`)).json['state']).toBe('requested')
    expect(performance.now() - started).toBeGreaterThan(950)
    for (const query of ['', '?wait=0', '?wait=x', '?wait=-1', '?wait=1000']) {
      const at = performance.now()
      expect((await own('GET', `elevations/${id}${query}`)).json['state']).toBe('requested')
      expect(performance.now() - at, query).toBeLessThan(900)
    }
  })

  test('[ADM2, ADM6] who goes away while waiting is not waited for', async () => {
    const { id } = await asked({ profile: 'guarded' }, 202)
    const before = gate.parts.hub.size
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', `/.narrowgate/elevations/${id}?wait=60`, bearer(token)))
    await eventually(() => gate.parts.hub.size === before + 1, 'the wait')
    client.close('reset')
    await eventually(() => gate.parts.hub.size === before, 'the end of the wait')
  })

  test('[ADM2, ADM6] events tell a session its own story, nobody else’s, and end with it', async () => {
    const other = await gate.token()
    await gate.session(other)
    const before = gate.parts.hub.size
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/.narrowgate/events', bearer(token)))
    expect(headerOf(await client.head(), 'content-type')).toBe('text/event-stream')
    await own('POST', 'elevations', { profile: 'sized', params: { level: 1 } }, other)
    const { id } = await asked({ profile: 'extra' })
    await verb('freeze')
    await verb('resume')
    await own('POST', `elevations/${id}/release`)
    await verb('terminate')
    expect((await client.response()).complete).toBe(true)
    const text = client.bytes().toString('utf8')
    expect([...text.matchAll(/^event: (.+)$/gm)].map(([, name]) => name)).toEqual(['elevation.requested', 'elevation.activated', 'session.frozen', 'session.resumed', 'elevation.ended', 'session.revoked'])
    expect(text).not.toContain('sized')
    expect(text).not.toContain(token)
    client.close()
    await eventually(() => gate.parts.hub.size === before, 'the listener to be gone')
  })

  test('[ADM2, ADM6] events tell of what happens to what is open', async () => {
    const { id } = await asked({ profile: 'extra' })
    const events = await RawClient.connect(gate.target)
    await events.send(request('GET', '/.narrowgate/events', bearer(token)))
    await events.head()
    const download = await RawClient.connect(gate.target)
    await download.send(request('GET', '/download/100000000', bearer(token)))
    await download.head()
    download.pause()
    await own('POST', `elevations/${id}/release`)
    await events.until(() => events.bytes().toString('utf8').includes('event: exchange.cut'))
    expect(/event: exchange\.cut\ndata: (.+)\n/.exec(events.bytes().toString('utf8'))?.[1]).toContain('"reason":"released"')
    events.close()
    download.close()
  })
})

// ---- frozen and over

describe('frozen and terminated', () => {
  test('[ENF6] a frozen session reads its session and events, and nothing else', async () => {
    const { id } = await asked({ profile: 'extra' })
    await verb('freeze')
    const standing = await own('GET', 'session')
    expect([standing.status, standing.json['state'], standing.json['reason']]).toEqual([200, 'frozen', 'frozen'])
    for (const [method, path, body] of [['GET', 'profiles', null], ['POST', 'elevations', { profile: 'extra' }], ['GET', `elevations/${id}`, null], ['POST', `elevations/${id}/release`, {}], ['POST', `elevations/${id}/extend`, { for: '1m' }], ['POST', 'session/renew', {}]] as const) {
      refused(await own(method, path, body), 403, 'frozen')
    }
    const events = await RawClient.connect(gate.target)
    await events.send(request('GET', '/.narrowgate/events', bearer(token)))
    expect((await events.head()).status).toBe(200)
    await verb('resume')
    await events.until(() => events.bytes().toString('utf8').includes('event: session.resumed'))
    events.close()
    expect((await visit('/extra/x')).status).toBe(200)
  })

  test('[SES4] a terminated one reads nothing, and is told why', async () => {
    const { id } = await asked({ profile: 'extra' })
    await verb('terminate')
    for (const [method, path, body] of [['GET', 'session', null], ['GET', 'events', null], ['GET', 'profiles', null], ['POST', 'elevations', { profile: 'extra' }], ['GET', `elevations/${id}`, null], ['POST', 'session/renew', {}]] as const) {
      const answer = await own(method, path, body)
      refused(answer, 401, 'credential_revoked')
      expect(answer.headers['www-authenticate']).toContain('invalid_token')
    }
    expect(gate.upstream.requests).toEqual([])
  })

  test('[ENF5, ELV7] a narrowed one says what is left; what waits for approval starts only after widen', async () => {
    await asked({ profile: 'extra' })
    const waiting = await asked({ profile: 'guarded' }, 202)
    await verb('narrow')
    expect((await own('GET', 'session')).json).toMatchObject({ state: 'live', cap: 'baseline', scopes: { baseline: ['base:read'], elevated: [] } })
    expect(reasonOf(await visit('/extra/x'))).toBe('403 narrowed')
    await did(approve('ann', waiting.id))
    expect(await stateOf(waiting.id)).toBe('suspended')
    refused(await own('POST', 'session/widen'), 404, 'no_route')
    expect(reasonOf(await visit('/guarded/x'))).toBe('403 narrowed')
    await verb('widen')
    expect((await visit('/guarded/x')).status).toBe(200)
    expect((await visit('/extra/x')).status).toBe(200)
  })
})
