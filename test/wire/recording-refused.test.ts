// A request that had to be recorded and is refused at its last look leaves no recording open behind it.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Tape } from '../../src/audit/recording.ts'
import { TestGateway } from '../support/gateway.ts'

let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start({
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: { paths: [/**] }, scope: api:extra }]`,
    elevations: 'seen: { adds: [api:extra], for: 10m, recording: required }',
  })
})
afterAll(() => gate.stop())

test('[REC1, AUD2] its recording is closed with it', async () => {
  const token = await gate.token()
  await gate.elevate(token, 'seen')
  const closed = vi.spyOn(Tape.prototype, 'close')
  vi.spyOn(gate.parts.trail, 'flushNow').mockImplementationOnce(() => { throw new Error('no space left on device') })
  expect((await gate.ask('GET', '/one', { authorization: `Bearer ${token}` })).json['reason']).toBe('record_failed')
  expect([closed.mock.calls.length, gate.upstream.requests.length]).toEqual([1, 0])
  vi.restoreAllMocks()
})
