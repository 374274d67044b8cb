// The step that leaves behind what a rule says, over a real ledger and mirror, with a door that answers when the test lets it.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Aftereffect, Rule } from '../../../src/core/route.ts'
import { duration } from '../../../src/core/time.ts'
import { Aftereffects } from '../../../src/enforcement/aftereffects.ts'
import type { Gathering } from '../../../src/enforcement/gather.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import type { Enforcement } from '../../../src/sessions/store.ts'
import { World } from '../sessions/world.ts'

const QUIET = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
const enforcedBy = (total: number, acknowledged: number, expired = 0): Enforcement => ({ gateways: { total, acknowledged, expired }, exchanges: QUIET, exchangesUnknown: 0 })
const AFTER: Aftereffect = { shorten: null, taint: { name: 'secrets', of: 'session', for: null }, narrow: null }

let world: World
let live: LiveSession
let enforcement: Enforcement | null
/** Settled when every gateway has enforced what is told. */
let everywhere: Promise<void>
let told: number
beforeEach(async () => {
  world = await World.start()
  live = await world.opened()
  enforcement = enforcedBy(2, 2)
  everywhere = Promise.resolve()
  told = 0
})
afterEach(() => world.close())

function stepOf() {
  const { ledger, clock, mirror } = world
  const answered = async <A>(applying: Promise<A>) => {
    const applied = await applying
    told++
    await everywhere
    return { ...applied, enforcement }
  }
  return new Aftereffects({
    clock, mirror, ledger, lease: duration(0),
    door: {
      session: (key, news, word) => answered(ledger.applyToSession(key, { ...news, ...word, id: newSignalId() })),
      anchor: (ref, news, word) => answered(ledger.applyToAnchor(ref, { ...news, ...word, id: newSignalId() })),
    },
  }).step
}

const request = (after: Aftereffect | null = AFTER): Gathering => ({ inquiry: { id: 'exc_1', live, place: { rule: { name: 'api#1', after } as unknown as Rule } }, done: new Map() }) as unknown as Gathering // what the step asks of it
/** As gather runs it. */
const run = (step: ReturnType<typeof stepOf>, asked: Gathering) => {
  asked.done.set(step.name, '')
  return step.run(asked)
}

const OF_PRINCIPAL: Aftereffect = { ...AFTER, taint: { name: 'secrets', of: 'principal', for: null } }
describe.each([['the session', AFTER], ['its principal', OF_PRINCIPAL], ['its end', { ...AFTER, taint: null, shorten: duration(60_000) }], ['its scopes', { ...AFTER, taint: null, narrow: { to: null } }]] as const)('what concerns %s', (_, after) => {
  beforeEach(async () => { await world.mirror.anchor(live.principal) })

  test('[CND4] is waited for also by those that come while it is committed, and not enforced everywhere yet', async () => {
    let enforced = (): void => {}
    everywhere = new Promise(resolve => { enforced = resolve })
    const step = stepOf()
    const [first, second] = [request(after), request(after)]
    expect(step.needed(first)).toBe(true)
    const running = run(step, first)
    await expect.poll(() => told).toBe(1)
    expect(step.needed(second)).toBe(true)
    let through = false
    const following = run(step, second).then(outcome => (through = true, outcome))
    await new Promise(resolve => { setImmediate(resolve) })
    expect(through).toBe(false)
    enforced()
    expect([await running, await following]).toEqual(['again', 'again'])
    expect([step.needed(first), step.needed(second), step.needed(request(after)), told]).toEqual([false, false, false, 1])
  })

  test('[CND4] is refused where a gateway neither enforced it nor lost its lease, and goes on where it did', async () => {
    enforcement = enforcedBy(3, 2)
    expect(await run(stepOf(), request(after))).toBe('store_failed')
  })

  test('[CND4] goes on where those that are silent can no longer act on anything older', async () => {
    enforcement = enforcedBy(3, 2, 1)
    expect(await run(stepOf(), request(after))).toBe('again')
  })
})

test('[CND4] a session that ended meanwhile goes no further', async () => {
  const step = stepOf()
  const asked = request()
  await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  expect(await run(step, asked)).toBe('session_ended')
})

test('[CND4] a rule that leaves nothing behind needs nothing', () => {
  expect(stepOf().needed(request(null))).toBe(false)
})

test('[CND4] a taint that runs out lasts as long as it says from each request on, and is written anew only when it would not', async () => {
  const step = stepOf()
  const [MINUTE, after] = [60_000, { ...AFTER, taint: { name: 'secrets', of: 'session', for: duration(16 * 60_000) } } as const]
  await run(step, request(after))
  const until = (): number => (live.record.taints[0]?.until ?? 0) - world.clock.current
  expect(until()).toBe(17 * MINUTE)
  world.clock.pass(MINUTE)
  expect([step.needed(request(after)), until()]).toEqual([false, 16 * MINUTE])
  world.clock.pass(1)
  expect(step.needed(request(after))).toBe(true)
  await run(step, request(after))
  expect(until()).toBe(17 * MINUTE)
})
