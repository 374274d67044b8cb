// narrow twice, as an operator says it: the second word never gives back what the first took, in either order, and neither is acknowledged
// without effect. SPEC: ENF5, SIG3
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { operate, outcomeOf, planFor, takeOff, tallyOf, TapUpstream } from './support.ts'

const PLACES = ['base', 'also', 'extra'] as const
let upstream: TapUpstream
let gate: TestGateway
let asked = 0

beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(planFor(upstream, {
    baseline: '[{ scopes: [base:use, also:use] }]',
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use }
    - { allow: { paths: ["/*/also"] }, scope: also:use }
    - { allow: { paths: ["/*/extra"] }, scope: extra:use }`,
  }))
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

/** What becomes of a new request for each place. */
const tries = (token: string): Promise<readonly unknown[]> => Promise.all(PLACES.map(place => outcomeOf(gate, upstream, `/try${++asked}/${place}`, token)))

const ORDERS = [
  { said: [{}, { to: ['base:use', 'extra:use'] }], first: { cut: 1, continued: 2 }, second: { cut: 1, continued: 1 }, between: [200, 200, 'narrowed'] },
  { said: [{ to: ['base:use', 'extra:use'] }, {}], first: { cut: 1, continued: 2 }, second: { cut: 1, continued: 1 }, between: [200, 'narrowed', 200] },
] as const
for (const { said, first, second, between } of ORDERS) {
  test(`[ENF5, SIG3] ${JSON.stringify(said[0])}, then ${JSON.stringify(said[1])}: both hold, and widen lifts both`, async () => {
    const token = await gate.token()
    await gate.elevate(token, 'long')
    const { id } = await gate.session(token)
    const [base, also, extra] = [await takeOff(gate, upstream, 'download', 'base', token), await takeOff(gate, upstream, 'download', 'also', token), await takeOff(gate, upstream, 'download', 'extra', token)]
    expect(await tries(token)).toEqual([200, 200, 200])
    expect(tallyOf(await operate(gate, id, 'narrow', said[0]))).toMatchObject(first)
    expect(await tries(token)).toEqual(between)
    expect(tallyOf(await operate(gate, id, 'narrow', said[1]))).toMatchObject(second)
    for (const flight of [also, extra]) expect(await flight.ended).toBe('reset')
    expect(await tries(token)).toEqual([200, 'narrowed', 'narrowed'])
    for (const again of [said[0], said[1], { to: ['base:use', 'also:use', 'extra:use'] }]) {
      expect(tallyOf(await operate(gate, id, 'narrow', again))).toMatchObject({ cut: 0 })
      expect(await tries(token)).toEqual([200, 'narrowed', 'narrowed'])
    }
    await base.move()
    await operate(gate, id, 'widen', { reason: 'test' })
    expect(await tries(token)).toEqual([200, 200, 200])
    await base.finish()
    base.client.close()
  })
}
