// Approvals through a whole gateway: what was shown and nothing else, by whom a stage asks for, looked at again before anything starts.
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest'
import { ApprovalsGate } from './approvals-gate.ts'

let desk: ApprovalsGate
const opened: ApprovalsGate[] = []
const own = async (more: Parameters<typeof ApprovalsGate.open>[0] = {}): Promise<ApprovalsGate> => {
  const made = await ApprovalsGate.open(more)
  opened.push(made)
  return made
}
beforeAll(async () => { desk = await ApprovalsGate.open() })
afterAll(() => desk.close())
afterEach(async () => { for (const each of opened.splice(0)) await each.close() })

const approvalsOf = async (gate: ApprovalsGate, id: string): Promise<readonly unknown[]> => ((await gate.view(id))['approvals'] as readonly { readonly by: unknown }[]).map(({ by }) => by) // a list by the contract

describe('what was shown', () => {
  test('[APR4] an approval names what was shown; without it, or with another, nothing is approved', async () => {
    const id = await desk.asked(await desk.caller('a'), 'one')
    expect((await desk.operate('ann', 'POST', `/v1/elevations/${id}/approve`, { reason: 'x' })).status).toBe(400)
    for (const shown of ['', 'another', String((await desk.view(await desk.asked(await desk.caller('a2'), 'one')))['shown'])]) {
      const { status, json } = await desk.operate('ann', 'POST', `/v1/elevations/${id}/approve`, { reason: 'x', shown })
      expect([shown, status, json['title']]).toEqual([shown, 409, 'conflict'])
    }
    expect(await desk.state(id)).toBe('requested')
    expect((await desk.approve('ann', id)).status).toBe(200)
  })

  test('[APR4] what one approver took away is shown to the next: the word for what was there before is refused', async () => {
    const id = await desk.asked(await desk.caller('b'), 'two')
    const { shown } = await desk.view(id)
    expect((await desk.approve('ann', id, { for: '2m' })).status).toBe(200)
    const late = await desk.operate('bob', 'POST', `/v1/elevations/${id}/approve`, { reason: 'x', shown })
    expect([late.status, await desk.state(id)]).toEqual([409, 'requested'])
    expect((await desk.approve('bob', id)).status).toBe(200)
    expect(await desk.view(id)).toMatchObject({ state: 'active', for: '2m' })
  })

  test('[APR4] scopes, time, uses and parameters only ever shrink', async () => {
    const id = await desk.asked(await desk.caller('c'), 'one', { params: { rows: 100, names: ['x', 'y'] } })
    for (const more of [{ for: '1h' }, { params: { rows: 101 } }, { params: { names: ['x', 'z'] } }, { params: { other: 1 } }]) expect([more, (await desk.approve('ann', id, more)).status]).toEqual([more, 400])
    expect((await desk.approve('ann', id, { adds: ['base:write', 'base:more'], for: '3m', uses: 2, params: { rows: 10, names: ['y'] } })).status).toBe(200)
    expect(await desk.view(id)).toMatchObject({ state: 'active', adds: ['base:write'], for: '3m', limits: { uses: 2 }, params: { rows: 10, names: ['y'] } })
  })

  test('[APR4, LIM1] an approval for one use is for one, also where the profile counts none', async () => {
    const token = await desk.caller('c2')
    const id = await desk.asked(token, 'vouched')
    expect((await desk.approve({ token: await desk.staff('carl', { team: 'oncall' }) }, id, { uses: 1 })).status).toBe(200)
    const answers = [await desk.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` }), await desk.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` })]
    expect(answers.map(({ status, json }) => [status, json['reason']])).toEqual([[200, undefined], [403, 'limit_reached']])
  })

  test('[APR1, APR4] what is decided or expired is told as that', async () => {
    const gate = await own()
    const token = await gate.caller('d')
    const [denied, late] = [await gate.asked(token, 'one'), await gate.asked(token, 'one')]
    expect((await gate.operate('ann', 'POST', `/v1/elevations/${denied}/deny`, { reason: 'no' })).status).toBe(200)
    const answers = [await gate.approve('bob', denied)]
    gate.clock.shift += 601_000
    answers.push(await gate.approve('bob', late))
    expect(answers.map(({ status, json }) => [status, json['detail']])).toEqual([[409, 'the elevation is denied'], [409, 'the time to approve is over']])
  })
})

describe('who approves', () => {
  test('[APR5] two of a role are two people: neither twice, nor under another name, nor both names at the same instant', async () => {
    const [first, raced] = [await desk.asked(await desk.caller('e'), 'two'), await desk.asked(await desk.caller('e2'), 'two')]
    expect((await desk.approve('ann', first)).status).toBe(200)
    for (const again of ['ann', 'annToo'] as const) expect([again, (await desk.approve(again, first)).status]).toEqual([again, 409])
    expect((await desk.approve('bob', first)).status).toBe(200)
    expect([await desk.state(first), await approvalsOf(desk, first)]).toEqual(['active', ['ops|ann', 'ops|bob']])
    const both = await Promise.all([desk.approve('ann', raced), desk.approve('annToo', raced)])
    expect(both.map(({ status }) => status).toSorted((x, y) => x - y)).toEqual([200, 409])
    expect([await desk.state(raced), (await approvalsOf(desk, raced)).length]).toEqual(['requested', 1])
  })

  test('[APR5] stages come one after the other, each by its role and condition; admin is an operator and no approver', async () => {
    const id = await desk.asked(await desk.caller('f'), 'staged')
    const oncall = { token: await desk.staff('carl', { team: 'oncall' }) }
    expect([(await desk.approve('ann', id)).status, (await desk.approve(oncall, id)).status]).toEqual([403, 403])
    expect((await desk.approve('admin', id)).status).toBe(200)
    expect([(await desk.approve('ann', id)).status, (await desk.approve('olga', id)).status, await desk.state(id)]).toEqual([403, 403, 'requested'])
    expect((await desk.approve(oncall, id)).status).toBe(200)
    expect(await desk.view(id)).toMatchObject({ state: 'active', approvals: [{ by: 'ops|admin', stage: 0 }, { by: 'https://staff.example|carl', stage: 1 }] })
    const plain = await desk.asked(await desk.caller('f2'), 'one')
    expect([(await desk.approve('admin', plain)).status, (await desk.approve('operator', plain)).status]).toEqual([403, 403])
  })

  test('[APR2] nobody who asks approves: not the caller by another name, not who filed it', async () => {
    const own = await desk.asked(await desk.caller('dana'), 'one')
    const token = await desk.caller('g')
    const session = (await desk.gate.session(token)).id
    const filed = String((await desk.operate('olga', 'POST', '/v1/elevations', { session, profile: 'staged', reason: 'for it' })).json['id'])
    for (const [person, id] of [['dana', own], ['olga', filed]] as const) {
      const { status, json } = await desk.approve(person, id)
      expect([person, status, json['reason']]).toEqual([person, 403, 'denied'])
    }
    expect((await desk.approve('operator', filed)).status).toBe(200)
  })

  test('[APR6] a locked approver gives nothing', async () => {
    const gate = await own()
    const id = await gate.asked(await gate.caller('h'), 'one')
    await gate.operate('operator', 'POST', '/v1/locks', { selector: { subject: 'ops|ann' }, reason: 'odd' })
    const { status, json } = await gate.approve('ann', id)
    expect([status, json['reason'], (await gate.approve('bob', id)).status]).toEqual([403, 'locked', 200])
  })

  test('[APR6] a credential that says more than can be kept approves nothing', async () => {
    const id = await desk.asked(await desk.caller('i'), 'vouched')
    const { status, json } = await desk.approve({ token: await desk.staff('wordy', { team: 'oncall', groups: 'x'.repeat(4_096) }) }, id)
    expect([status, json['reason'], await desk.state(id)]).toEqual([409, 'limit_reached', 'requested'])
  })

  test('[APR3] whichever of several approvers withdraws: it ends, and what stood on it is cut', async () => {
    const token = await desk.caller('j')
    const id = await desk.asked(token, 'two')
    await desk.approve('ann', id)
    await desk.approve('bob', id)
    expect((await desk.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` })).status).toBe(200)
    expect((await desk.operate('dana', 'POST', `/v1/elevations/${id}/revoke`, { reason: 'x' })).status).toBe(403)
    expect((await desk.operate('bob', 'POST', `/v1/elevations/${id}/revoke`, { reason: 'changed my mind' })).status).toBe(200)
    expect([await desk.state(id), (await desk.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` })).status]).toEqual(['ended approval_withdrawn', 403])
  })
})

describe('looked at again', () => {
  test('[APR6] at the last word: an earlier approver who lost the role ends the request', async () => {
    const gate = await own()
    const id = await gate.asked(await gate.caller('k'), 'two')
    expect((await gate.approve('ann', id)).status).toBe(200)
    await gate.dismiss('ann')
    const { status, json } = await gate.approve('bob', id)
    expect([status, json['reason'], await gate.state(id)]).toEqual([409, 'approval_withdrawn', 'ended approval_withdrawn'])
  })

  const soon = (gate: ApprovalsGate, ms: number): string => new Date(gate.clock.now() + ms).toISOString()

  test('[APR6, ELV10] at the start: whoever approved still has to be let in, with its role; else it ends and never runs', async () => {
    const gate = await own()
    const [token, kept] = [await gate.caller('l'), await gate.caller('l2')]
    const startAt = soon(gate, 3_500)
    const [id, fine] = [await gate.asked(token, 'one', { startAt }), await gate.asked(kept, 'one', { startAt })]
    await gate.approve('ann', id)
    await gate.approve('bob', fine)
    expect([await gate.state(id), await gate.state(fine)]).toEqual(['scheduled', 'scheduled'])
    await gate.dismiss('ann')
    await gate.settles(fine, 'active')
    await gate.settles(id, 'ended approval_withdrawn')
    expect([(await gate.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` })).status, (await gate.gate.ask('DELETE', '/x', { authorization: `Bearer ${kept}` })).status]).toEqual([403, 200])
    const facts = (await gate.gate.trail()).filter(line => JSON.stringify(line).includes(id)).map(line => (line['fact'] as { readonly what?: string } | undefined)?.what)
    expect(facts).not.toContain('elevation.activated')
  })

  test('[APR6] today\'s conditions are asked of what the approver\'s credential said', async () => {
    const gate = await own()
    const id = await gate.asked(await gate.caller('m'), 'vouched', { startAt: soon(gate, 2_500) })
    expect((await gate.approve({ token: await gate.staff('carl', { team: 'oncall' }) }, id)).status).toBe(200)
    await gate.reload({ team: 'other' })
    await gate.settles(id, 'ended approval_withdrawn')
  })

  test('[APR6] a lock on an approver ends nothing that runs, and lets nothing start', async () => {
    const gate = await own()
    const [running, waiting] = [await gate.asked(await gate.caller('n'), 'one'), await gate.asked(await gate.caller('n2'), 'one', { startAt: soon(gate, 1_500) })]
    for (const id of [running, waiting]) await gate.approve('ann', id)
    await gate.operate('operator', 'POST', '/v1/locks', { selector: { subject: 'ann' }, reason: 'stolen laptop' })
    await gate.settles(waiting, 'ended approval_withdrawn')
    expect(await gate.state(running)).toBe('active')
  })

  test('[APR6] what was approved under a cap is looked at when the cap is lifted', async () => {
    const gate = await own()
    const token = await gate.caller('o')
    const { id: session } = await gate.gate.session(token)
    await gate.operate('operator', 'POST', `/v1/sessions/${session}/narrow`, { reason: 'x' })
    const [id, fine] = [await gate.asked(token, 'one'), await gate.asked(token, 'one')]
    await gate.approve('ann', id)
    await gate.approve('bob', fine)
    expect(await gate.state(id)).toBe('suspended')
    await gate.dismiss('ann')
    await gate.operate('operator', 'POST', `/v1/sessions/${session}/widen`, { reason: 'x' })
    expect([await gate.state(id), await gate.state(fine)]).toEqual(['ended approval_withdrawn', 'active'])
  })
})
