// POST /v1/signals: an operator's news of trust, told as a transmitter would tell it.
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import type { TestGateway } from '../support/gateway.ts'
import { bearer, outcomeAt, SETTINGS, type Stage } from './outside-stage.ts'

/** With the operator's token, under one key. */
async function keyed(gate: TestGateway, body: object): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const { port } = gate.gateway.front.bound.get('admin')?.address ?? { port: 0 }
  const answer = await fetch(`http://127.0.0.1:${port}/v1/signals`, { method: 'POST', headers: { authorization: `Bearer ${gate.adminToken}`, 'content-type': 'application/json', 'idempotency-key': 'k1' }, body: JSON.stringify(body) })
  return { status: answer.status, json: (await answer.json()) as Record<string, unknown> } // every answer of the admin API is an object
}

describe.each(SETTINGS)('an operator over the %s store', (_, setting) => {
  const stages: Stage[] = []
  afterEach(async () => { for (const stage of stages.splice(0)) await stage.stop() })
  afterAll(() => setting.close())

  async function raise(...plan: Parameters<typeof setting.raise>): Promise<Stage> {
    const stage = await setting.raise(...plan)
    stages.push(stage)
    return stage
  }

  test('[OUT9] revokes a user by an address that its issuer gave it, and is answered when every gateway acts on it', async () => {
    const { a, b, facts } = await raise()
    const [own, other] = [await bearer(a, { sub: 'eve', email: 'eve@corp.test' }), await bearer(a, { sub: 'bob', email: 'bob@corp.test' })]
    for (const token of [own, other]) expect(await outcomeAt(b, token)).toBe('200')
    const answer = await a.admin('POST', '/v1/signals', { subject: { issuer: a.issuer.issuer, email: 'eve@CORP.test' }, type: 'session-revoked', do: ['terminate'], reason: 'INC-7' })
    expect([answer.status, answer.json]).toEqual([200, { is: 'taken', outcome: 'acted', sessions: 1, enforced: true, durable: true }])
    expect(await outcomeAt(b, own)).toMatch(/^401/)
    expect(await outcomeAt(b, other)).toBe('200')
    expect((await facts()).find(({ what }) => what === 'session.revoked')).toMatchObject({ by: 'signals:operator', note: 'INC-7', reason: 'revoked_outside' })
    expect((await a.trail()).find(({ kind, action }) => kind === 'admin.changed' && action === 'signal.tell')).toMatchObject({ target: 'session-revoked user', note: 'INC-7' })
  })

  test('[OUT9, OUT1] the same key is the same news: told again it does nothing, at the other gateway too', async () => {
    const { a, b, facts } = await raise()
    expect(await outcomeAt(a, await bearer(a, { sub: 'eve' }))).toBe('200')
    const body = { subject: { subject: 'eve' }, do: ['freeze', 'risk'], points: 10 }
    const told = await Promise.all([a, b, a].map(gate => keyed(gate, body)))
    expect(told.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(told.filter(({ json }) => json['is'] === 'taken')).toHaveLength(1)
    expect(told[0]?.json).toMatchObject({ reasonMissing: true })
    expect((await facts()).filter(({ what }) => what === 'session.frozen')).toHaveLength(1)
  })

  test('[OUT9] what names nobody, says nothing or contradicts itself is refused, and does nothing', async () => {
    const { a } = await raise()
    const issuer = 'https://idp.test'
    const bad: readonly (readonly [string, object])[] = [
      ['nobody', { subject: {}, do: ['freeze'] }], ['an address of nobody', { subject: { email: 'a@b.test' }, do: ['freeze'] }], ['an empty name', { subject: { subject: '' }, do: ['freeze'] }],
      ['a name that cannot be one', { subject: { subject: ' eve' }, do: ['freeze'] }], ['a token of nobody', { subject: { credential: 'x' }, do: ['terminate'] }], ['nothing to do', { subject: { subject: 'eve' }, do: [] }],
      ['a sign-in that nobody made', { subject: { issuer, subject: 'eve' }, do: ['claims'], claims: { role: 'a', auth_time: 1 } }], ['something nobody knows', { subject: { subject: 'eve' }, do: ['explode'] }], ['claims that are not there', { subject: { issuer, subject: 'eve' }, do: ['claims'] }], ['claims that nothing is done with', { subject: { issuer, subject: 'eve' }, do: ['freeze'], claims: { a: 1 } }],
      ['points that are missing', { subject: { subject: 'eve' }, do: ['risk'] }], ['the future', { subject: { subject: 'eve' }, do: ['freeze'], at: '2099-01-01T00:00:00Z' }], ['a member nobody knows', { subject: { subject: 'eve', colour: 'red' }, do: ['freeze'] }],
    ]
    for (const [what, body] of bad) expect([what, (await a.admin('POST', '/v1/signals', body)).status]).toEqual([what, 400])
    expect((await a.trail()).filter(({ kind }) => kind === 'fact')).toEqual([])
  })

  test('[OUT9, ADM3] while no store takes it, it is in force here for whoever is known here, and is not called enforced', async () => {
    let isDown = false
    const stage = await raise('', store => new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target)
        const fails = name === 'commit' || name === 'commitRestrictive' || name === 'find' || name === 'load'
        return typeof member !== 'function' ? member : (...args: unknown[]) => (isDown && fails ? Promise.reject(new StoreFault('unreachable', 'it is down')) : Reflect.apply(member, target, args) as unknown)
      },
    }) satisfies SessionStore)
    const { a, facts } = stage
    const [own, other] = [await bearer(a, { sub: 'eve' }), await bearer(a, { sub: 'bob' })]
    for (const token of [own, other]) expect(await outcomeAt(a, token)).toBe('200')
    isDown = true
    const answer = await a.admin('POST', '/v1/signals', { subject: { subject: 'eve' }, do: ['terminate'], reason: 'INC-8' })
    expect([answer.status, answer.json]).toEqual([202, { is: 'assumed', outcome: 'acted', sessions: 1, enforced: false, durable: false }])
    expect(await outcomeAt(a, own)).toMatch(/^401/)
    expect(await outcomeAt(a, other)).toBe('200')
    isDown = false
    await expect.poll(() => a.parts.ledger.owed, { timeout: 10_000 }).toBe(0)
    expect((await facts()).filter(({ what }) => what === 'session.revoked')).toHaveLength(1)
  })
})
