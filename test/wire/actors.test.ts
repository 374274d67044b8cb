// Agents that act for one person, by tokens that are alike but for who acts (RFC 8693): what one of them was given carries none of the others.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'

let gate: TestGateway

beforeAll(async () => {
  gate = await TestGateway.start({
    routes: '- { name: api, match: { host: api.test }, upstream: api, rules: [ { allow: { paths: [/records] }, scope: "records:read" } ] }',
    elevations: 'read: { title: Read, adds: ["records:read"], for: 5m }',
  })
  gate.upstream.plays.set('/records', '/ok')
})
afterAll(() => gate.stop())

test('[SES2] an elevation of one agent carries neither another agent of the same person nor the person', async () => {
  const bearer = async (act?: object): Promise<{ authorization: string }> => ({ authorization: `Bearer ${await gate.token({ sub: 'olga', client_id: 'assistant', sid: 'one', ...(act === undefined ? {} : { act }) })}` })
  const [first, second, herself] = [await bearer({ sub: 'agent-1' }), await bearer({ sub: 'agent-2' }), await bearer()]
  const asked = await gate.ask('POST', '/.narrowgate/elevations', { ...first, 'content-type': 'application/json' }, JSON.stringify({ profile: 'read', reason: 'a look' }))
  expect([asked.status, asked.json['state']]).toEqual([201, 'active'])
  const status = async (headers: { authorization: string }): Promise<number> => (await gate.ask('GET', '/records', headers)).status
  expect([await status(first), await status(second), await status(herself)]).toEqual([200, 403, 403])
  expect(await status(await bearer({ sub: 'agent-1', act: { sub: 'agent-2' } }))).toBe(200) // the same agent, whomever it acts for
  const ids = await Promise.all([first, second, herself].map(async headers => (await gate.ask('GET', '/.narrowgate/session', headers)).json['id']))
  expect(new Set(ids).size).toBe(3)
})
