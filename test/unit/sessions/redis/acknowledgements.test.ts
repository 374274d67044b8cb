// Strict acknowledgement: everybody has said so, or the last lease has run out; nothing moves that deadline, nobody is counted twice. SPEC: STO6, STO16
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { instant } from '../../../../src/core/time.ts'
import { Acknowledgements, type Roll, rollOf } from '../../../../src/sessions/redis/acknowledgements.ts'
import type { Enforcement, Tally } from '../../../../src/sessions/store.ts'
import { NO_TALLY } from '../../../contract/session-store-contract.ts'

const ID = '7-10'
const [LEASE, WINDOW, NOW] = [1_000, 5_100, 1_000_000]
const DEADLINE = LEASE * 1.001 + 100
const CUT: Tally = { ...NO_TALLY, cut: 2, narrowed: 1 }

type Row = Roll['members'][number]
const member = (name: string, changes: Partial<Row> = {}): Row => ({ name, endsAt: NOW + LEASE, epoch: '7', enforced: '7-9', lease: LEASE, ...changes })
const rollWith = (members: readonly Row[], changes: Partial<Roll> = {}): Roll => ({ now: NOW, epoch: '7', epochStart: 0, settled: true, members, ...changes })

let said: string[]
let roll: () => Promise<Roll>
let acknowledgements: Acknowledgements
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  said = []
  roll = async () => rollWith([member('a'), member('b')])
  const clock = { now: () => instant(NOW), elapsed: () => performance.now() }
  acknowledgements = new Acknowledgements({ clock, roll: () => roll(), window: WINDOW, told: outcome => said.push(outcome) })
})
afterEach(() => void vi.useRealTimers())

/** What it settles with, and after how many milliseconds; null while it has not. */
function watched(id = ID): () => { readonly answer: Enforcement; readonly after: number } | null {
  const began = performance.now()
  let settled: { readonly answer: Enforcement; readonly after: number } | null = null
  void acknowledgements.enforced(id).then(answer => (settled = { answer, after: performance.now() - began }))
  return () => settled
}
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const gateways = (total: number, acknowledged: number): Enforcement['gateways'] => ({ total, acknowledged, expired: total - acknowledged })

describe('everybody says so', () => {
  test('[STO16] it settles when the last one has, with what all of them did', async () => {
    acknowledgements.committed(ID, await roll())
    const settled = watched()
    acknowledgements.heard('a', ID, CUT)
    await pass(300)
    expect(settled()).toBeNull()
    acknowledgements.heard('b', ID, CUT)
    await pass(0)
    expect(settled()?.answer).toEqual({ gateways: gateways(2, 2), exchanges: { ...NO_TALLY, cut: 4, narrowed: 2 }, exchangesUnknown: 0 })
    expect(said).toEqual(['acked'])
  })

  test('[STO16] what was said before the answer to the commit counts; saying it twice, of another entry or as a stranger does not', async () => {
    acknowledgements.heard('a', ID, CUT)
    acknowledgements.heard('a', ID, CUT)
    acknowledgements.heard('stranger', ID, CUT)
    acknowledgements.heard('b', '7-9', CUT)
    acknowledgements.committed(ID, await roll())
    const settled = watched()
    await pass(500)
    expect(settled()).toBeNull()
    acknowledgements.heard('b', ID, NO_TALLY)
    await pass(0)
    expect(settled()?.answer).toEqual({ gateways: gateways(2, 2), exchanges: CUT, exchangesUnknown: 0 })
  })

  test('[STO16] one whose lease was over at the commit is not waited for, and who asks later waits for those that are there then', async () => {
    acknowledgements.committed(ID, rollWith([member('a'), member('dead', { endsAt: NOW - 1 })]))
    acknowledgements.heard('a', ID, CUT)
    const settled = watched()
    roll = async () => rollWith([])
    const unknown = watched('7-11')
    await pass(0)
    expect([settled()?.answer.gateways, unknown()?.answer.gateways]).toEqual([gateways(1, 1), gateways(0, 0)])
  })

  test('[STO16] a sign of life that shows the entry enforced is an acknowledgement of unknown effect; one of another epoch or of less is none', async () => {
    acknowledgements.committed(ID, await roll())
    const settled = watched()
    for (const enforced of ['7-9', '6-10', '8-11', '']) {
      roll = async () => rollWith([member('a', { enforced }), member('b', { enforced: '7-9' })])
      await pass(200)
      expect(settled()).toBeNull()
    }
    acknowledgements.heard('b', ID, CUT)
    roll = async () => rollWith([member('a', { enforced: '7-12' })])
    await pass(250)
    expect(settled()?.answer).toEqual({ gateways: gateways(2, 2), exchanges: CUT, exchangesUnknown: 1 })
  })
})

describe('somebody does not', () => {
  test.each([[['a'], 'partial'], [[], 'lease']] as const)('[STO16] when %j has, it settles with the longest lease and says `%s`: renewals do not move the deadline', async (those, outcome) => {
    roll = async () => rollWith([member('a', { endsAt: NOW + 1_000_000 }), member('b', { endsAt: NOW + 1_000_000 })])
    acknowledgements.committed(ID, await roll())
    const settled = watched()
    for (const name of those) acknowledgements.heard(name, ID, CUT)
    await pass(DEADLINE - 1)
    expect(settled()).toBeNull()
    await pass(2)
    expect(settled()?.answer).toEqual({ gateways: gateways(2, those.length), exchanges: those.length === 0 ? NO_TALLY : CUT, exchangesUnknown: 2 - those.length })
    expect(said).toEqual([outcome])
  })

  test('[STO16] also when the store is gone meanwhile', async () => {
    acknowledgements.committed(ID, await roll())
    roll = () => Promise.reject(new Error('unreachable'))
    const settled = watched()
    await pass(DEADLINE + 1)
    expect(settled()?.answer.gateways).toEqual(gateways(2, 0))
  })

  test('[STO16] of leases that differ the longest counts', async () => {
    acknowledgements.committed(ID, rollWith([member('a', { lease: 400 }), member('b', { lease: 3_000 })]))
    const settled = watched()
    await pass(3_000)
    expect(settled()).toBeNull()
    await pass(200)
    expect(settled()?.answer.gateways).toEqual(gateways(2, 0))
  })
})

describe('an epoch that is not settled', () => {
  test('[STO16] is waited for though all have said so, until it is', async () => {
    const unsettled = rollWith([member('a')], { settled: false, epochStart: NOW - 100 })
    roll = async () => unsettled
    acknowledgements.committed(ID, unsettled)
    acknowledgements.heard('a', ID, CUT)
    const settled = watched()
    await pass(WINDOW - 200)
    expect(settled()).toBeNull()
    roll = async () => rollWith([])
    await pass(250)
    expect(settled()?.answer).toEqual({ gateways: gateways(1, 1), exchanges: CUT, exchangesUnknown: 0 })
  })

  test('[STO16] or until nobody can be on the one before: the window after its start', async () => {
    const unsettled = rollWith([member('a')], { settled: false, epochStart: NOW - 100 })
    roll = async () => unsettled
    acknowledgements.committed(ID, unsettled)
    acknowledgements.heard('a', ID, CUT)
    const settled = watched()
    await pass(WINDOW - 101)
    expect(settled()).toBeNull()
    await pass(2)
    expect(settled()?.answer.gateways).toEqual(gateways(1, 1))
  })
})

test('[STO16] whoever says what and when: it never settles before all have spoken or the longest lease is over, and nobody is lost from the count', async () => {
  const speaking = fc.array(fc.record({ lease: fc.integer({ min: 100, max: 2_000 }), speaks: fc.option(fc.nat(3_000)) }), { maxLength: 6 })
  let sequence = 1_000
  await fc.assert(fc.asyncProperty(speaking, async members => {
    const rows = members.map(({ lease }, i) => member(`m${i}`, { lease }))
    roll = async () => rollWith(rows)
    const id = `7-${sequence++}`
    acknowledgements.committed(id, await roll())
    const settled = watched(id)
    for (const [i, { speaks }] of members.entries()) if (speaks !== null) setTimeout(() => acknowledgements.heard(`m${i}`, id, CUT), speaks)
    await pass(10_000)
    const deadline = members.length === 0 ? 0 : Math.max(...members.map(({ lease }) => lease)) * 1.001 + 100
    const spoken = Math.max(0, ...members.map(({ speaks }) => speaks ?? Infinity))
    const found = settled()
    expect(found?.after).toBeGreaterThanOrEqual(Math.floor(Math.min(deadline, spoken)))
    expect(found?.after).toBeLessThanOrEqual(Math.ceil(Math.min(deadline, spoken)) + 1)
    const { total = NaN, acknowledged = NaN, expired = NaN } = found?.answer.gateways ?? {}
    expect([total, acknowledged + expired, found?.answer.exchanges.cut]).toEqual([members.length, members.length, 2 * acknowledged])
    expect(spoken <= deadline ? expired : Math.sign(expired)).toBe(spoken <= deadline ? 0 : 1)
  }), { numRuns: 50 })
})

test('[STO14] a roll is read as the library tells it', () => {
  expect(rollOf(['1000', '7', '900', '0', ['gw_a', '1500|7|7-3|1000|digest', 'gw_b', '1400|6||400|']])).toEqual({
    now: 1_000, epoch: '7', epochStart: 900, settled: false,
    members: [{ name: 'gw_a', endsAt: 1_500, epoch: '7', enforced: '7-3', lease: 1_000 }, { name: 'gw_b', endsAt: 1_400, epoch: '6', enforced: '', lease: 400 }],
  })
})

test('[STO16, STO17] who takes no lease is in no roll: a word from the command line decides nothing, however fresh its sign of life', () => {
  const { members } = rollOf(['1000', '7', '900', '1', ['gw_a', '1500|7|7-3|1000|digest', 'gw_cli', '1000|7|7-3|0|digest']])
  expect(members.map(({ name }) => name)).toEqual(['gw_a'])
})
