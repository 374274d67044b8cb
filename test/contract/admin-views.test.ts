// What operators are told in lists and answers: the effective view, who did it as far as it is known, and a warning where a word meets nothing.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Session } from '../../src/core/session.ts'
import { AdminDesk, type Answer } from './admin-desk.ts'

let desk: AdminDesk
beforeEach(async () => { desk = await AdminDesk.open() })
afterEach(() => desk.close())

const rows = ({ json }: Answer, list: string): readonly Record<string, unknown>[] => json[list] as readonly Record<string, unknown>[] // the contract's lists

test('[ADM12] the list of sessions shows what a lock leaves of each, and counts the elevations that carry', async () => {
  const { id } = (await desk.session('listed')).record
  const row = async () => rows(await desk.operate('GET', '/v1/sessions'), 'sessions').find(each => each['id'] === id)
  await desk.operate('POST', '/v1/elevations', { session: id, profile: 'fix', reason: 'x' })
  expect(await row()).toMatchObject({ state: 'live', reason: null, elevations: 1 })
  const lock = async (selector: object, effect: string) => ((await desk.operate('POST', '/v1/locks', { selector, effect, reason: 'x' })).json['lock'] as { readonly id: string }).id // what the answer names
  const profile = await lock({ profile: 'fix' }, 'deny')
  expect(await row()).toMatchObject({ state: 'live', elevations: 0 })
  await desk.operate('DELETE', `/v1/locks/${profile}`, { reason: 'x' })
  const frozen = await lock({ tenant: 'acme' }, 'freeze')
  expect(await row()).toMatchObject({ state: 'frozen', reason: 'frozen', elevations: 1 })
  await desk.operate('DELETE', `/v1/locks/${frozen}`, { reason: 'x' })
  await lock({ tenant: 'acme' }, 'deny')
  expect(await row()).toMatchObject({ state: 'refused', reason: 'locked', elevations: 0 })
})

test('[APR2, ADM12] an approval for longer than asked is refused and says what was asked; what was asked is given whole', async () => {
  const { id } = (await desk.session('approved')).record
  const elevation = String((await desk.operate('POST', '/v1/elevations', { session: id, profile: 'approved', for: '5m', reason: 'x' })).json['id'])
  const longer = await desk.approve(`/v1/elevations/${elevation}`, { for: '10m' })
  expect([longer.status, longer.json['detail']]).toEqual([400, 'an approval gives at most what was asked: 5m'])
  expect((await desk.operate('GET', `/v1/elevations/${elevation}`)).json['state']).toBe('requested')
  expect((await desk.approve(`/v1/elevations/${elevation}`, { for: '5m' })).status).toBe(200)
})

test('[ENF8, SES11] a lock on a subject in letters that nobody is known by says so, whether its issuer is named or not', async () => {
  const warned = async (selector: object): Promise<boolean> => 'warning' in (await desk.operate('POST', '/v1/locks', { selector, reason: 'x' })).json
  expect([await warned({ subject: 'https://people.test|Bob' }), await warned({ subject: 'Bob' }), await warned({ issuedBefore: '2030-01-01T00:00:00Z', subject: 'Bob' })]).toEqual([true, true, true])
  expect([await warned({ subject: 'https://people.test|bob' }), await warned({ subject: 'bob' }), await warned({ subject: 'https://idp.test|Bob' }), await warned({ issuedBefore: '2030-01-01T00:00:00Z' })]).toEqual([false, false, false, false])
})

test('[ENF8] a lock on a route or profile nobody configured stands, and the answer warns', async () => {
  for (const [selector, warning] of [[{ route: 'nope' }, 'no route nope is configured: the lock meets nothing now'], [{ profile: 'nope' }, 'no profile nope is configured: the lock meets nothing now'], [{ route: 'api' }, undefined], [{ profile: 'fix' }, undefined], [{ tenant: 'nope' }, undefined]] as const) {
    const { status, json } = await desk.operate('POST', '/v1/locks', { selector, reason: 'x' })
    expect([selector, status, json['warning']]).toEqual([selector, 200, warning])
  }
  expect(rows(await desk.operate('GET', '/v1/locks'), 'locks')).toHaveLength(5)
})

test('[SES4] a mark names nobody: its subject did not revoke itself', async () => {
  const { id } = (await desk.session('marked')).record
  await desk.operate('POST', `/v1/sessions/${id}/terminate`, { reason: 'leak' })
  expect(rows(await desk.operate('GET', '/v1/locks'), 'marks')).toEqual([expect.objectContaining({ id: `mark_${id}`, by: '' })])
})

test('[AUD1] a timeline says whether its facts fold to the very session that is stored, not only to its version', async () => {
  let folded: Session | null = null
  const other = await AdminDesk.open({ room: room => ({ ...room, timeline: async () => ({ session: folded, gap: null, lines: [{} as never], left: 0 }) }) }) // one line; nobody reads it
  const { record } = await other.session('folded')
  const compared = async (session: Session | null) => {
    folded = session
    const { stored, asStored } = (await other.operate('GET', `/v1/sessions/${record.id}/timeline`)).json
    return [stored, asStored]
  }
  expect(await compared(record)).toEqual([1, true])
  expect(await compared({ ...record, barred: ['fix'] })).toEqual([1, false])
  expect(await compared({ ...record, version: 0 })).toEqual([1, null])
  expect(await compared({ ...record, id: 'ses_other' as never })).toEqual([null, null]) // a later life took the key
  expect(await compared(null)).toEqual([null, null])
  await other.close()
})

test('[ADM13] a limit that is none says which are', async () => {
  for (const limit of ['999999', '0', 'x', '501']) expect((await desk.operate('GET', `/v1/sessions?limit=${limit}`)).json['detail']).toBe('limit: expected a whole number from 1 to 500')
})
