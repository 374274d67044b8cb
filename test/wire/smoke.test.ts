import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'

let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start({
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - allow: { methods: [GET], paths: [/public/**] }
    - allow: { methods: [GET, POST], paths: [/write/**] }
      scope: api:write`,
    elevations: `
writer: { adds: [api:write], for: 10m, max: 1h, purpose: [ticket] }`,
    more: 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }',
  })
})
afterAll(() => gate.stop())

test('[DEC1] a request is judged and relayed', async () => {
  const token = await gate.token()
  const bare = await gate.ask('GET', '/public/x')
  expect(bare.status, bare.text).toBe(401)
  const read = await gate.ask('GET', '/public/x', { authorization: `Bearer ${token}` })
  expect(read.status, read.text).toBe(200)
  const write = await gate.ask('GET', '/write/x', { authorization: `Bearer ${token}` })
  expect(write.status, write.text).toBe(403)
  expect(write.json['reason']).toBe('elevation_required')
  await gate.elevate(token, 'writer', 'T-1')
  const without = await gate.ask('GET', '/write/x', { authorization: `Bearer ${token}` })
  expect(without.json['reason']).toBe('purpose_missing')
  const written = await gate.ask('POST', '/write/x', { authorization: `Bearer ${token}`, 'narrowgate-ticket': 'T-1' }, 'hello')
  expect(written.status, written.text).toBe(200)
  expect(gate.upstream.requests.at(-1)?.header('authorization')).toEqual([])
})
