// Pages of a search over many: each candidate once, in order, a bounded number in each page, and never the world in one turn.
import { describe, expect, test } from 'vitest'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import type { Mirror } from '../../../src/sessions/mirror.ts'
import { DecisionFault } from '../../../src/decisions/fault.ts'
import { Pace } from '../../../src/decisions/pace.ts'
import type { Question } from '../../../src/decisions/question.ts'
import { searched } from '../../../src/decisions/search.ts'

const COUNT = 3_500
/** In no order. */
const IDS = Array.from({ length: COUNT }, (_, i) => `ses_${String((i * 7_919) % COUNT).padStart(5, '0')}`)
const mirror = { all: () => IDS.map(id => ({ record: { id, state: { is: 'live' } } }) as unknown as LiveSession) } as unknown as Mirror // what a search reads of them

const map = (value: object): Map<string, unknown> => new Map(Object.entries(value).map(([name, of]) => [name, typeof of === 'object' && of !== null ? map(of as object) : of]))
const BODY = { subject: { type: 'session' }, action: { name: 'GET' }, resource: { type: 'route', id: '/x' } }

type Page = { readonly page: { readonly next_token: string; readonly count: number }; readonly results: readonly { readonly id: string }[] }
const search = async (page: object, holds: (question: Question) => Promise<boolean>): Promise<{ readonly told: Page; readonly looked: number }> => {
  let looked = 0
  const counted = (question: Question): Promise<boolean> => {
    looked++
    return holds(question)
  }
  const told = await searched('subject', map({ ...BODY, page }), { mirror, forms: [], holds: counted })
  return { told: told as unknown as Page, looked } // as it is written
}

describe('pages of a search', () => {
  test('[PDP6] together they hold each that may be found once, in order; none looks at more than a thousand', async () => {
    const found: string[] = []
    let pages = 0
    for (let token = ''; ; pages++) {
      const { told, looked } = await search({ token, limit: 500 }, ({ subject }) => Promise.resolve(subject.id.endsWith('7')))
      expect(looked).toBeLessThanOrEqual(1_000)
      expect(told.page.count).toBe(told.results.length)
      found.push(...told.results.map(({ id }) => id))
      token = told.page.next_token
      if (token === '') break
    }
    expect(found).toEqual(IDS.filter(id => id.endsWith('7')).toSorted())
    expect(pages).toBe(3)
  })

  test('[PDP6] one looks no further than its limit, and others have their turn meanwhile', async () => {
    const small = await search({ limit: 3 }, () => Promise.resolve(true))
    expect(small).toMatchObject({ looked: 3, told: { page: { next_token: 'ses_00002' }, results: [{ id: 'ses_00000' }, { id: 'ses_00001' }, { id: 'ses_00002' }] } })
    let turns = 0
    const counting = setInterval(() => turns++, 0)
    await search({}, () => Promise.resolve(false))
    clearInterval(counting)
    expect(turns).toBeGreaterThan(0)
  })

  test('[PDP6] what nobody can tell of one session leaves it out; what nobody can tell at all is no answer', async () => {
    const unseen = (question: Question): Promise<boolean> => (question.subject.id < 'ses_00010' ? Promise.reject(new DecisionFault('unseen', '')) : Promise.resolve(true))
    expect((await search({ limit: 1 }, unseen)).told.results).toEqual([{ type: 'session', id: 'ses_00010' }])
    await expect(search({}, () => Promise.reject(new DecisionFault('stale', 'not fresh')))).rejects.toThrow('not fresh')
  })
})

test('[PDP1] what is taken beyond a second’s share is owed and waited for; time gives no more than that share', () => {
  const pace = new Pace(10)
  expect(pace.take(25, 1_000)).toBe(true)
  expect(pace.take(1, 2_000)).toBe(false)
  expect(pace.take(1, 2_600)).toBe(true)
  expect([pace.take(9, 100_000), pace.take(1, 100_000), pace.take(1, 100_000)]).toEqual([true, true, false])
  pace.owe(100)
  expect(pace.take(1, 105_000)).toBe(false)
  expect(pace.take(1, 111_000)).toBe(true)
})
