// What may happen to gateways that share a store, in any order: their own deeds, and those of the network, the servers and the machines under them.
import * as fc from 'fast-check'
import type { Flaw } from './shared-state-model.ts'
import { PUSHES } from './shared-state-network.ts'
import { type End, FENCE, KEYS, type Mode, World } from './shared-state-world.ts'
import { SimulatedTime } from './simulated-time.ts'

type Deed = { readonly says: string; readonly run: (world: World) => void; readonly toString: () => string }
const deed = (says: string, run: Deed['run']): Deed => ({ says, run, toString: () => says })
/** A deed, and how many milliseconds pass after it. */
type Step = readonly [Deed, number]
export type Schedule = { readonly mode: Mode; readonly steps: readonly Step[] }

const who = fc.nat(3)
const key = fc.constantFrom(...KEYS)
const pick = fc.nat(7)

export const ways = fc.constantFrom<End>('terminate', 'terminate', 'elevation', 'elevation', 'ticket', 'lock')
const ends = fc.tuple(who, ways, pick).map(([at, how, which]) => deed(`m${at} ${how} ${which}`, world => world.end(at, how, which)))
const grants = fc.tuple(who, fc.constantFrom('open' as const, 'elevate' as const, 'reopenTicket' as const), key).map(([at, what, which]) => deed(`m${at} ${what} ${which}`, world => world[what](at, which)))
const requests = fc.tuple(who, pick).map(([at, which]) => deed(`m${at} request ${which}`, world => {
  const right = world.rights[which % world.rights.length]
  if (right !== undefined) world.request(at, right)
}))

const pushes = fc.tuple(who, fc.constantFrom(...PUSHES)).map(([at, how]) => deed(`m${at} pushes ${how}`, world => {
  const member = world.member(at)
  if (member !== null) member.pushes = how
}))
const slow = fc.tuple(who, fc.constantFrom(1, 40, 100), fc.constantFrom(1, 1, 60)).map(([at, down, up]) => deed(`m${at} slow ${up} up ${down} down`, world => {
  const member = world.member(at)
  if (member !== null) Object.assign(member, { up, down })
}))
const cuts = fc.tuple(who, fc.boolean()).map(([at, all]) => deed(`m${at} cut from ${all ? 'all' : 'the newest'}`, world => {
  const member = world.member(at)
  if (member !== null) world.cut(member, all ? world.network.hosts : [world.network.newest])
}))
/** Somebody hears slowly, and is cut off before he hears of an end: what he was told last is as old as it can be. */
const missed = fc.tuple(ends, who, fc.integer({ min: 100, max: 400 }), fc.integer({ min: 40, max: 95 })).map(([{ says, run }, at, from, ms]) => deed(`m${at} slow; in ${from} ms ${says}; ${ms} ms later m${at} is cut off`, world => {
  const member = world.member(at)
  if (member === null) return
  member.down = 100
  world.later(from, () => run(world))
  world.later(from + ms, () => world.cut(member))
  world.later(from + ms + 1_200, () => world.heal(member))
}))
const heals = who.map(at => deed(`m${at} heals`, world => {
  const member = world.member(at)
  if (member !== null) world.heal(member)
}))
const severs = fc.tuple(who, fc.nat(2)).map(([at, which]) => deed(`m${at} loses connection ${which}`, world => [...(world.member(at)?.cables ?? [])][which]?.hangUp()))

const stops = fc.tuple(who, fc.constantFrom(150, 900, 1_500, 7_000)).map(([at, ms]) => deed(`m${at} stops for ${ms}`, world => world.stop(world.member(at), ms)))
const crashes = who.map(at => deed(`m${at} crashes`, world => world.crash(at)))
const joins = fc.constant(deed('another joins', world => world.join()))

const serverStops = fc.constantFrom(100, 600, 1_500, 5_000).map(ms => deed(`the server stops for ${ms}`, world => world.stop(world.network.newest, ms)))
const restarts = fc.record({ lost: fc.constantFrom(0, 2, 20, 500), down: fc.constantFrom(1, 300, 1_200) }).map(({ lost, down }) => deed(`the server restarts after ${down} without its last ${lost}`, world => world.restart(lost, down)))
const promotes = fc.record({ lag: fc.constantFrom(0, 2, 20, 500), fence: fc.constantFrom(0, 300, 2_000, FENCE.sentinel), skew: fc.constantFrom(0, -3_000, 3_000), rumour: fc.constantFrom(0, 0, 200) })
  .map(({ lag, fence, skew, rumour }) => deed(`a replica ${lag} behind is promoted, the old master fenced after ${fence}, clock ${skew}, known after ${rumour}`, world => world.promote(lag, fence, skew, rumour)))

const deeds = fc.oneof(
  { weight: 8, arbitrary: ends }, { weight: 6, arbitrary: missed }, { weight: 3, arbitrary: grants }, { weight: 3, arbitrary: requests },
  { weight: 4, arbitrary: pushes }, { weight: 3, arbitrary: slow }, { weight: 4, arbitrary: cuts }, { weight: 4, arbitrary: heals }, { weight: 2, arbitrary: severs },
  { weight: 2, arbitrary: stops }, { weight: 1, arbitrary: crashes }, { weight: 2, arbitrary: joins }, { weight: 1, arbitrary: serverStops }, { weight: 2, arbitrary: restarts }, { weight: 4, arbitrary: promotes },
)
const passing = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 1, 2) }, { weight: 4, arbitrary: fc.integer({ min: 3, max: 300 }) }, { weight: 3, arbitrary: fc.integer({ min: 300, max: 1_500 }) }, { weight: 1, arbitrary: fc.constant(6_000) })

export const schedules: fc.Arbitrary<Schedule> = fc.record({ mode: fc.constantFrom('sentinel' as const, 'sentinel' as const, 'single' as const), steps: fc.array(fc.tuple(deeds, passing), { minLength: 1, maxLength: 24, size: 'max' }) })

const WELL_AFTER = 11_000

/** @returns what happened, how often. @throws Error what went wrong, and when */
export function play({ mode, steps }: Schedule, flaw: Flaw | null = null): Promise<ReadonlyMap<string, number>> {
  return SimulatedTime.run(async time => {
    const world = new World(time, mode, flaw)
    await world.start()
    for (const [{ run }, ms] of steps) {
      run(world)
      await world.pass(ms)
    }
    world.mend()
    await world.pass(WELL_AFTER)
    world.auditor.allIsWell()
    return world.auditor.seen
  })
}

/** A schedule as one reads it. */
export const told = ({ mode, steps }: Schedule): string => [mode, ...steps.map(([{ says }, ms]) => `${says}; ${ms} ms`)].join('\n  ')
