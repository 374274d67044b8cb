// News from outside, whoever brought it: stored before it is answered, acted on once by whichever gateway, for whom it means and nobody else.
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { duration } from '../../src/core/time.ts'
import { sha256 } from '../../src/runtime/id.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { eventually } from '../support/redis-server.ts'
import { ago, bearer, newsOf, ofTenant, ofUser, outcomeAt, SETTINGS, type Stage } from './outside-stage.ts'

/** Of the wall's clock, as tokens tell it. */
const seconds = (more: number): number => Math.floor(Date.now() / 1000) + more

describe.each(SETTINGS)('news over the %s store', (_, setting) => {
  const stages: Stage[] = []
  afterEach(async () => { for (const stage of stages.splice(0)) await stage.stop() })
  afterAll(() => setting.close())

  async function raise(...plan: Parameters<typeof setting.raise>): Promise<Stage> {
    const stage = await setting.raise(...plan)
    stages.push(stage)
    return stage
  }

  test('[OUT1, OUT3] a user revoked at one gateway is out at the other, with every credential from before, and in again with a newer one', async () => {
    const { a, b, facts } = await raise()
    const iat = seconds(-60)
    const [own, unseen, other] = [await bearer(a, { sub: 'eve', iat }), await bearer(a, { sub: 'eve', client_id: 'other', iat }), await bearer(a, { sub: 'bob', iat })]
    expect(await outcomeAt(b, own)).toBe('200')
    expect(await outcomeAt(b, other)).toBe('200')
    const event = newsOf(a, ofUser(a, 'eve'), { at: ago(a, 30_000) })
    const { is, acted } = await a.parts.outside.inbox.take(event)
    expect([is, await acted]).toEqual(['taken', { outcome: 'acted', met: 1, enforced: true }])
    expect(await outcomeAt(b, own)).toBe('401 revoked_outside')
    expect(await outcomeAt(b, unseen)).toBe('401 revoked_outside')
    expect(await outcomeAt(b, other)).toBe('200')
    expect(await outcomeAt(b, await bearer(a, { sub: 'eve', iat: seconds(0) }))).toBe('200')
    const told = await facts()
    expect(told.filter(({ what }) => what === 'session.revoked')).toEqual([expect.objectContaining({ reason: 'revoked_outside', by: 'signals:idp', note: 'session-revoked' })])
    expect(told.find(({ what, kind }) => what === 'anchor.opened' && kind === 'event')?.['matter']).toMatchObject({ event: { jti: event.jti, source: 'idp', type: 'session-revoked', effects: [{ do: 'terminate' }] } })
    expect(told.find(({ what, kind }) => what === 'anchor.ended' && kind === 'event')?.['matter']).toMatchObject({ outcome: 'acted', met: 1 })
  })

  test('[OUT1] the same news again does nothing, at either gateway and also where whom it meant is gone meanwhile', async () => {
    const { a, b, facts } = await raise()
    expect(await outcomeAt(a, await bearer(a, { sub: 'eve' }))).toBe('200')
    const event = newsOf(a, ofUser(a, 'eve'), { effects: [{ do: 'freeze', for: null }] })
    await (await a.parts.outside.inbox.take(event)).acted
    const { id } = [...a.parts.mirror.all()][0]?.record ?? { id: '' }
    for (const verb of ['resume', 'terminate']) expect((await a.admin('POST', `/v1/sessions/${id}/${verb}`, { reason: 'looked at it' })).status).toBe(200)
    for (const gate of [a, b]) {
      const { is, acted } = await gate.parts.outside.inbox.take(event)
      expect([is, (await acted).outcome, (await acted).met]).toEqual(['again', 'acted', 1])
    }
    expect((await facts()).filter(({ what }) => what === 'session.frozen')).toHaveLength(1)
    expect((await facts()).filter(({ what, kind }) => what === 'anchor.opened' && kind === 'event')).toHaveLength(1)
  })

  test('[OUT2] news of a user of one client means no session of that user by another client, and no other user', async () => {
    const { a, b } = await raise()
    const tokens = { eve: await bearer(a, { sub: 'eve' }), other: await bearer(a, { sub: 'eve', client_id: 'x' }), bob: await bearer(a, { sub: 'bob' }) }
    for (const token of Object.values(tokens)) expect(await outcomeAt(b, token)).toBe('200')
    const subject = [...ofUser(a, 'eve'), { of: 'application', any: [{ kind: 'alias', value: 'application:x' }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, subject))).acted).toMatchObject({ outcome: 'acted', met: 1 })
    expect(await Promise.all(Object.values(tokens).map(token => outcomeAt(b, token)))).toEqual(['200', '401 credential_revoked', '200'])
  })

  test('[OUT3] what was issued after the event is none of what it revokes, and is asked for no new proof', async () => {
    const { a } = await raise()
    const own = await bearer(a, { sub: 'eve' })
    expect(await outcomeAt(a, own)).toBe('200')
    for (const effect of [{ do: 'terminate' }, { do: 'reproof', by: ['signIn'] }] as const) {
      expect(await (await a.parts.outside.inbox.take(newsOf(a, ofUser(a, 'eve'), { at: ago(a, 60_000), effects: [effect] }))).acted).toMatchObject({ outcome: 'acted', met: 1 })
      expect(await outcomeAt(a, own)).toBe('200')
    }
  })

  test('[OUT3] a user that is called by its address alone loses the credentials from before too, though its session has a newer one', async () => {
    const { a, b } = await raise()
    const of = (iat: number, more: object = {}) => bearer(a, { sub: 'eve', sid: '1', email: 'eve@corp.example', iat: seconds(iat), ...more })
    const [stolen, own, unseen] = [await of(-60), await of(0), await of(-60, { client_id: 'other', email: 'none' })]
    for (const token of [own, stolen]) expect(await outcomeAt(b, token)).toBe('200')
    const subject = [{ of: 'user', any: [{ kind: 'alias', value: a.parts.outside.naming.alias('email', a.issuer.issuer, 'eve@corp.example') }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, subject, { at: ago(a, 30_000) }))).acted).toMatchObject({ outcome: 'acted', met: 1, enforced: true })
    expect(await Promise.all([stolen, own, unseen].map(token => outcomeAt(b, token)))).toEqual(['401 revoked_outside', '200', '401 revoked_outside'])
  })

  test('[OUT8] of one order only the newest counts, whichever comes last, and at whichever gateway', async () => {
    const { a, b } = await raise()
    const own = await bearer(a, { sub: 'eve' })
    expect(await outcomeAt(b, own)).toBe('200')
    const ordered = (at: number, effects: Parameters<typeof newsOf>[2]) => newsOf(a, ofUser(a, 'eve'), { order: 'compliance-of-eve', at: ago(a, at), ...effects })
    expect(await (await a.parts.outside.inbox.take(ordered(1_000, { effects: [{ do: 'narrow', to: null }] }))).acted).toMatchObject({ outcome: 'acted' })
    expect(await (await b.parts.outside.inbox.take(ordered(2_000, { effects: [{ do: 'terminate' }] }))).acted).toMatchObject({ outcome: 'late', met: 0 })
    expect(await outcomeAt(b, own)).toBe('200')
  })

  test('[OUT3] who has no session here is nobody, and credentials from before are refused all the same', async () => {
    const { a, b } = await raise()
    const own = await bearer(a, { sub: 'eve' })
    expect(await (await a.parts.outside.inbox.take(newsOf(a, ofUser(a, 'eve')))).acted).toMatchObject({ outcome: 'nobody', met: 0 })
    expect(await outcomeAt(b, own)).toBe('401 revoked_outside')
  })

  test('[OUT4] what means a whole tenant, and too many, ends nobody: all of it is held by one lock until an operator lifts it', async () => {
    const { a, b, facts } = await raise()
    const tokens = await Promise.all(['eve', 'bob', 'ann'].map(sub => bearer(a, { sub })))
    const elsewhere = await bearer(a, { sub: 'eve', org: 't2' })
    for (const token of [...tokens, elsewhere]) expect(await outcomeAt(b, token)).toBe('200')
    expect(await (await a.parts.outside.inbox.take(newsOf(a, ofTenant('t1'), { most: 2 }))).acted).toMatchObject({ outcome: 'withheld', met: 3, enforced: true })
    expect(await Promise.all(tokens.map(token => outcomeAt(b, token)))).toEqual(Array(3).fill('403 frozen'))
    expect(await outcomeAt(b, elsewhere)).toBe('200')
    const told = await facts()
    expect(told.filter(({ what }) => what === 'session.revoked' || what === 'session.frozen')).toEqual([])
    const [lock, more] = told.filter(({ what }) => what === 'lock.set')
    expect([lock, more]).toEqual([expect.objectContaining({ effect: 'freeze', until: null }), undefined])
    expect((await a.admin('DELETE', `/v1/locks/${String(lock?.['lock'])}`, { reason: 'it was a mistake' })).status).toBe(200)
    expect(await Promise.all(tokens.map(token => outcomeAt(b, token)))).toEqual(Array(3).fill('200'))
  })

  test('[OUT4] a source that is bound to its issuers holds the tenant as well where all of it is theirs', async () => {
    const { a, b, facts } = await raise()
    const tokens = await Promise.all(['eve', 'bob', 'ann'].map(sub => bearer(a, { sub })))
    for (const token of tokens) expect(await outcomeAt(b, token)).toBe('200')
    const of = (issuer: string) => [...ofTenant('t1'), { of: 'issuer', any: [{ kind: 'issuer', value: issuer }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, of('https://another.test'), { most: 2 }))).acted).toMatchObject({ outcome: 'nobody' })
    expect(await (await a.parts.outside.inbox.take(newsOf(a, of(a.issuer.issuer), { most: 2 }))).acted).toMatchObject({ outcome: 'withheld', met: 3 })
    expect((await facts()).filter(({ what }) => what === 'lock.set')).toEqual([expect.objectContaining({ selector: { kind: 'tenant', value: 't1' }, effect: 'freeze' })])
    expect(await outcomeAt(b, await bearer(a, { sub: 'new' }))).toBe('403 frozen')
  })

  test('[OUT4, OUT2] where others lie beside whom it means only those are held', async () => {
    const { a, b } = await raise()
    const named = async (client: string) => Promise.all(['eve', 'bob', 'ann'].map(sub => bearer(a, { sub, client_id: client })))
    const [meant, others] = [await named('x'), await named('y')]
    for (const token of [...meant, ...others]) expect(await outcomeAt(b, token)).toBe('200')
    const subject = [...ofTenant('t1'), { of: 'application', any: [{ kind: 'alias', value: 'application:x' }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, subject, { most: 3 }))).acted).toMatchObject({ outcome: 'acted', met: 3 })
    const again = await named('z')
    for (const token of again) expect(await outcomeAt(b, token)).toBe('200')
    const wider = [...ofTenant('t1'), { of: 'application', any: [{ kind: 'alias', value: 'application:z' }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, wider, { most: 2 }))).acted).toMatchObject({ outcome: 'withheld', met: 3 })
    expect(await Promise.all([...others, ...again].map(token => outcomeAt(b, token)))).toEqual([...Array(3).fill('200'), ...Array(3).fill('403 frozen')])
  })

  test('[OUT3, OUT5, OUT6] each effect does what it says, at the other gateway', async () => {
    const { a, b } = await raise()
    const does = async (sub: string, effects: Parameters<typeof newsOf>[2]) => (await (await a.parts.outside.inbox.take(newsOf(a, ofUser(a, sub), effects))).acted).outcome
    const at = async (sub: string) => {
      const headers = await bearer(a, { sub })
      for (const profile of ['secrets', 'notes']) await b.elevate(headers.authorization.slice('Bearer '.length), profile)
      const see = async () => [await outcomeAt(b, headers), await outcomeAt(b, headers, '/secrets/1'), await outcomeAt(b, headers, '/notes/1')]
      expect(await see()).toEqual(['200', '200', '200'])
      return see
    }
    const [frozen, narrowed, ended, proven] = [await at('frozen'), await at('narrowed'), await at('ended'), await at('proven')]
    expect(await does('frozen', { effects: [{ do: 'freeze', for: null }] })).toBe('acted')
    expect(new Set(await frozen())).toEqual(new Set(['403 frozen']))
    expect(await does('narrowed', { effects: [{ do: 'narrow', to: null }] })).toBe('acted')
    expect((await narrowed()).map(each => each.slice(0, 3))).toEqual(['200', '403', '403'])
    expect(await does('ended', { effects: [{ do: 'endElevations', scopes: ['secrets:read'] }] })).toBe('acted')
    expect((await ended()).map(each => each.slice(0, 3))).toEqual(['200', '403', '200'])
    expect(await does('proven', { effects: [{ do: 'reproof', by: ['signIn'] }] })).toBe('acted')
    expect(new Set(await proven())).toEqual(new Set(['401 step_up_required']))
    const { endsAt } = [...b.parts.mirror.all()].find(({ record }) => record.principal.subject === 'ended')?.record ?? { endsAt: 0 }
    expect(await does('ended', { effects: [{ do: 'shorten', to: duration(60_000) }, { do: 'claims', changes: { role: 'guest' } }, { do: 'risk', name: 'idp', points: 30 }] })).toBe('acted')
    const live = [...b.parts.mirror.all()].find(({ record }) => record.principal.subject === 'ended')
    expect(live?.record.endsAt).toBeLessThan(endsAt)
    expect(live?.record.overlay).toMatchObject([{ claim: 'role', value: 'guest' }])
    await eventually('the score is known', 5_000, async () => ([...a.parts.trust.risk.watched()].some(({ who }) => who.endsWith('|ended')) ? true : null))
  })

  test('[OUT3] a token that is named is refused, whether or not it was ever seen here, and no other of its holder', async () => {
    const { a, b } = await raise()
    const [named, other] = [await bearer(a, { sub: 'eve', jti: 'token-1' }), await bearer(a, { sub: 'eve', jti: 'token-2', sid: 'other' })]
    expect(await outcomeAt(b, other)).toBe('200')
    const subject = [{ of: 'credential', any: [{ kind: 'credential', value: sha256(JSON.stringify([a.issuer.issuer, 'jti', 'token-1'])) }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, subject))).acted).toMatchObject({ outcome: 'nobody' })
    expect(await outcomeAt(b, named)).toBe('401 revoked_outside')
    expect(await outcomeAt(b, other)).toBe('200')
  })

  test('[OUT3] a session that opens while those that are there are acted on is met as well', async () => {
    const late: { opens: (() => Promise<unknown>) | null } = { opens: null }
    const { a, b } = await raise('', store => new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target)
        if (name !== 'find' || typeof member !== 'function') return typeof member === 'function' ? member.bind(target) as unknown : member
        return async (...args: unknown[]) => {
          const found = (await Reflect.apply(member, target, args)) as unknown
          const { opens } = late
          late.opens = null
          await opens?.()
          return found
        }
      },
    }) satisfies SessionStore)
    const tokens = [await bearer(a, { sub: 'eve', device: 'd1' }), await bearer(a, { sub: 'bob', device: 'd1' })]
    expect(await outcomeAt(b, tokens[0] ?? {})).toBe('200')
    late.opens = () => outcomeAt(b, tokens[1] ?? {})
    const subject = [{ of: 'device', any: [{ kind: 'device', value: 'd1' }] }] as const
    expect(await (await a.parts.outside.inbox.take(newsOf(a, subject, { effects: [{ do: 'freeze', for: null }] }))).acted).toMatchObject({ outcome: 'acted', met: 2 })
    expect(await Promise.all(tokens.map(token => outcomeAt(b, token)))).toEqual(['403 frozen', '403 frozen'])
  })

  test('[OUT5] claims that changed end what stood on them, and that is on record though nobody asks for anything', async () => {
    const { a, b, facts } = await raise()
    const own = await bearer(a, { sub: 'eve', role: 'admin' })
    await b.elevate(own.authorization.slice('Bearer '.length), 'led')
    expect(await outcomeAt(b, own, '/led/1')).toBe('200')
    expect(await (await b.parts.outside.inbox.take(newsOf(a, ofUser(a, 'eve'), { effects: [{ do: 'claims', changes: { role: 'guest' } }] }))).acted).toMatchObject({ outcome: 'acted', met: 1 })
    await eventually('it has ended', 5_000, async () => ((await facts()).some(({ what }) => what === 'elevation.ended') ? true : null))
    expect(await outcomeAt(b, own, '/led/1')).toMatch(/^403/)
  })
})
