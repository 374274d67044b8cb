// News from outside that was stored and not acted on, because its gateway died or its store failed it: another one acts on it, once, and nothing is left between.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually } from '../support/redis-server.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { bearer, newsOf, ofTenant, ofUser, outcomeAt, restarted, SETTINGS, type Stage } from './outside-stage.ts'

type Asked = { readonly name: string; readonly first: unknown }
/** A store that does something else with some calls, as long as it is told to. */
function meddled(meddle: { with: ((asked: Asked) => Promise<void>) | null }): (store: SessionStore) => SessionStore {
  return store => new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      const isAsync = name === 'find' || name === 'commit' || name === 'commitRestrictive'
      return !isAsync ? (...args: unknown[]) => Reflect.apply(member, target, args) as unknown : async (...args: unknown[]) => {
        await meddle.with?.({ name, first: args[0] })
        return Reflect.apply(member, target, args) as unknown
      }
    },
  })
}

const down = (): Promise<never> => Promise.reject(new StoreFault('unreachable', 'it is down'))
const kindOf = ({ first }: Asked): string => (first as { readonly ref: { readonly kind: string } }).ref.kind // a commit has one
const revoked = (facts: readonly Record<string, unknown>[]): readonly unknown[] => facts.filter(({ what }) => what === 'session.revoked')
const acts = (facts: readonly Record<string, unknown>[]): readonly unknown[] => facts.filter(({ what, kind }) => what === 'anchor.ended' && kind === 'event').map(({ matter }) => matter)

describe.each(SETTINGS)('over the %s store', (_, setting) => {
  const stages: Stage[] = []
  afterEach(async () => { for (const stage of stages.splice(0)) await stage.stop() })
  afterAll(() => setting.close())

  test('[OUT1] what the store does not take is refused, so that it comes again; it is written down as an end is, and done once whether or not it comes', async () => {
    const meddle: Parameters<typeof meddled>[0] = { with: null }
    const stage = await setting.raise('', meddled(meddle))
    stages.push(stage)
    const own = await bearer(stage.a, { sub: 'eve' })
    expect(await outcomeAt(stage.a, own)).toBe('200')
    const other = await bearer(stage.a, { sub: 'mallory' })
    expect(await outcomeAt(stage.a, other)).toBe('200')
    const [event, lost] = [newsOf(stage.a, ofUser(stage.a, 'eve')), newsOf(stage.a, ofUser(stage.a, 'mallory'))]
    meddle.with = ({ name }) => (name === 'commitRestrictive' ? down() : Promise.resolve())
    for (const each of [event, lost, lost, lost]) await expect(stage.a.parts.outside.inbox.take(each)).rejects.toThrow('the store does not take it')
    expect(stage.a.parts.ledger.owed).toBe(2) // however often it comes: what is owed has no room for all that a sender says again
    expect(await outcomeAt(stage.a, own)).toBe('200')
    meddle.with = null
    const { acted } = await stage.a.parts.outside.inbox.take(event)
    expect((await acted).outcome).toBe('acted')
    await eventually('what nobody said again is done too', 20_000, async () => ((await outcomeAt(stage.a, other)).startsWith('401') ? true : null))
    await eventually('both are over', 10_000, async () => (acts(await stage.facts()).length === 2 ? true : null))
  })

  test('[OUT1, OUT3] a store that fails between two ends leaves the news open: when it is back both have ended, once each', async () => {
    const meddle: Parameters<typeof meddled>[0] = { with: null }
    const stage = await setting.raise('', meddled(meddle))
    stages.push(stage)
    const { a, b, facts } = stage
    const tokens = [await bearer(a, { sub: 'eve', sid: '1' }), await bearer(a, { sub: 'eve', sid: '2' }), await bearer(a, { sub: 'eve', sid: '3' })]
    for (const token of tokens) expect(await outcomeAt(a, token)).toBe('200')
    let ends = 0
    meddle.with = asked => (asked.name === 'commitRestrictive' && kindOf(asked) === 'session' && ++ends > 1 ? down() : Promise.resolve())
    const { is, acted } = await a.parts.outside.inbox.take(newsOf(a, ofUser(a, 'eve')))
    expect([is, await acted]).toEqual(['taken', { outcome: 'failed', met: 0, enforced: false }])
    meddle.with = null
    await eventually('it is done', 10_000, async () => (acts(await facts()).length > 0 ? true : null))
    expect(acts(await facts())).toEqual([expect.objectContaining({ outcome: 'acted', met: 3 })])
    await eventually('what was owed is paid', 10_000, async () => (a.parts.ledger.owed === 0 ? true : null))
    expect(revoked(await facts())).toHaveLength(3)
    for (const token of tokens) expect(await outcomeAt(b, token)).toMatch(/^401/)
  })
})

test('[OUT1] a gateway that hangs between taking news and acting on it is stood in for by the other, and does nothing more when it goes on', async () => {
  const [, setting] = SETTINGS[1] ?? []
  const held = Promise.withResolvers<void>()
  const meddle: Parameters<typeof meddled>[0] = { with: null }
  const stage = await setting?.raise('', meddled(meddle))
  if (stage === undefined) throw new Error('no stage')
  try {
    const { a, b, facts } = stage
    const [own, other] = [await bearer(a, { sub: 'eve' }), await bearer(a, { sub: 'bob' })]
    for (const token of [own, other]) expect(await outcomeAt(b, token)).toBe('200')
    meddle.with = ({ name }) => (name === 'find' ? held.promise : Promise.resolve())
    const { is, acted } = await a.parts.outside.inbox.take(newsOf(a, ofTenant('t1'), { effects: [{ do: 'freeze', for: null }] }))
    expect(is).toBe('taken')
    expect(await outcomeAt(b, own)).toBe('200')
    await eventually('the other acts', 10_000, async () => ((await outcomeAt(b, own)) === '403 frozen' ? true : null))
    await eventually('and says so', 5_000, async () => (acts(await facts()).length > 0 ? true : null))
    held.resolve()
    expect(await acted).toMatchObject({ outcome: 'acted', met: 2 })
    expect(acts(await facts())).toEqual([expect.objectContaining({ outcome: 'acted', met: 2 })])
    expect((await facts()).filter(({ what }) => what === 'session.frozen')).toHaveLength(2)
  } finally {
    held.resolve()
    await stage.stop()
    await setting?.close()
  }
})

test('[OUT1] news that its only gateway stored and did not act on is acted on when that starts again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-outside-'))
  const meddle: Parameters<typeof meddled>[0] = { with: null }
  const world = { upstream: await RecordingUpstream.start(), issuer: await TokenIssuer.create() }
  const first = await restarted(directory, world, meddled(meddle))
  const own = await bearer(first, { sub: 'eve' })
  expect(await outcomeAt(first, own)).toBe('200')
  meddle.with = ({ name }) => (name === 'find' ? down() : Promise.resolve())
  const { acted } = await first.parts.outside.inbox.take(newsOf(first, ofUser(first, 'eve')))
  expect((await acted).outcome).toBe('failed')
  await first.stop()
  const again = await restarted(directory, world)
  try {
    await eventually('it is acted on', 10_000, async () => ((await outcomeAt(again, own)) === '401 revoked_outside' ? true : null))
    await eventually('and said so', 5_000, async () => ((await again.trail()).some(({ fact }) => JSON.stringify(fact ?? '').includes('"outcome":"acted"')) ? true : null))
  } finally {
    await again.stop()
    await world.upstream.close()
    rmSync(directory, { recursive: true, force: true })
  }
}, 30_000)
