// What a refusal names as the way out: only what would open it for this very caller, with a body that can be sent as it is.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'

type Access = { readonly endpoint: string; readonly template: Record<string, unknown>; readonly expires_at: string | null; readonly offers: readonly Record<string, unknown>[] }

let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start({
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: [/write/**] }, scope: api:write }
    - { allow: { paths: [/root/**] }, scope: api:root }
    - { allow: { paths: [/never/**] }, scope: api:never }
    - allow: {}`,
    elevations: `
writer: { adds: [api:write], for: 10m, purpose: [ticket] }
once: { adds: [api:root], for: 10m, limits: { uses: 1 } }
approved: { adds: [api:root], for: 10m, approval: { by: approver, within: 10m } }
leads: { adds: [api:root], for: 10m, eligible: 'subject.claims.role == "lead"' }`,
    more: 'purposes: { ticket: { header: x-ticket, source: manual } }',
  })
})
afterAll(() => gate.stop())

const visit = (token: string, path: string, ticket: string | null = null): Promise<Answer> => gate.ask('GET', path, { authorization: `Bearer ${token}`, ...(ticket === null ? {} : { 'x-ticket': ticket }) })
const accessOf = ({ json }: Answer): Access | undefined => json['access_request'] as Access | undefined
const send = (token: string, { endpoint, template }: Access, ticket: string): Promise<Answer> =>
  gate.ask('POST', endpoint, { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'x-ticket': ticket }, JSON.stringify(template))

test('[WIRE9, ELV1] a refusal carries the very body that opens what was refused', async () => {
  const token = await gate.token()
  await gate.admin('POST', '/v1/anchors/ticket/T-1', { state: 'open', reason: 'test' })
  const refused = await visit(token, '/write/1', 'T-1')
  expect([refused.status, refused.json['reason'], refused.json['evaluation_id']]).toEqual([403, 'elevation_required', expect.stringMatching(/^eval_/)])
  expect(refused.headers['www-authenticate']).toMatch(/error="insufficient_scope", scope="api:write"/)
  const access = accessOf(refused)
  expect(access).toMatchObject({ endpoint: '/.narrowgate/elevations', template: { profile: 'writer', purpose: { ticket: 'T-1' } }, offers: [{ profile: 'writer', purpose: ['ticket'], approval: 'none' }] })
  expect(Date.parse(access?.expires_at ?? '')).toBeGreaterThan(Date.now())
  const sent = await send(token, access as Access, 'T-1') // just looked at
  expect(sent.status, sent.text).toBe(201)
  expect((await visit(token, '/write/1', 'T-1')).status).toBe(200)
})

test('[WIRE9, ELV6] what ended, and what is for something else, is offered anew', async () => {
  const token = await gate.token()
  await gate.elevate(token, 'writer', 'T-2')
  const other = await visit(token, '/write/1', 'T-3')
  expect([other.json['reason'], accessOf(other)?.template]).toEqual(['purpose_mismatch', { profile: 'writer', purpose: { ticket: 'T-3' } }])
  await gate.admin('POST', '/v1/anchors/ticket/T-2', { state: 'ended', reason: 'test' })
  const over = await visit(token, '/write/1', 'T-2')
  expect([over.json['reason'], accessOf(over)?.offers.length]).toEqual(['ticket_closed', 1])
})

test('[WIRE9, ELV1] nothing is offered that the caller may not ask for, or that opens nothing', async () => {
  const offers = async (claims: Record<string, unknown>): Promise<unknown> => accessOf(await visit(await gate.token(claims), '/root/1'))?.offers.map(({ profile, approval }) => [profile, approval])
  expect(await offers({})).toEqual([['once', 'none'], ['approved', 'required']])
  expect(await offers({ role: 'lead' })).toEqual([['once', 'none'], ['approved', 'required'], ['leads', 'none']])
  const never = await visit(await gate.token(), '/never/1')
  expect([never.json['reason'], accessOf(never)]).toEqual(['elevation_required', undefined])
})

test('[WIRE9, LIM1] what is used up is offered anew', async () => {
  const token = await gate.token()
  await gate.elevate(token, 'once')
  expect((await visit(token, '/root/1')).status).toBe(200)
  const refused = await eventually('it is known to be spent', 5_000, async () => {
    const answer = await visit(token, '/root/1')
    return accessOf(answer) === undefined ? null : answer
  })
  expect([refused.json['reason'], accessOf(refused)?.template]).toEqual(['limit_reached', { profile: 'once', purpose: {} }])
})
