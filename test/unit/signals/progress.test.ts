// Orders that only go forward: whatever arrives in whatever order, at two gateways over one store, nothing that was passed comes back. SPEC: PUR6
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Anchor, progressAnchor } from '../../../src/core/anchor.ts'
import type { Position } from '../../../src/core/purpose.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import { AnchorBook } from '../../../src/sessions/anchor-book.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import { StoreFault } from '../../../src/sessions/store-fault.ts'
import type { SessionStore } from '../../../src/sessions/store.ts'
import { Intake } from '../../../src/signals/intake.ts'
import { Progress } from '../../../src/signals/progress.ts'
import { NOW, policyOf } from '../core/world.ts'

let store: EmbeddedStore
let full: number
/** Thrown by every read of the store, while it is there. */
let fault: Error | null
let reads: number
let mirror: Mirror
let intake: Intake
/** Hears announcements, as a gateway does; one made by the test hears none, and asks. */
let here: Progress

const gateway = (): Progress => new Progress(intake, () => full++)

beforeEach(async () => {
  const clock = new SystemClock()
  store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  ;[full, reads, fault] = [0, 0, null]
  const watched: SessionStore = new Proxy<SessionStore>(store, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name, target)
      if (name === 'load') return async (...given: Parameters<SessionStore['load']>) => {
        reads++
        if (fault !== null) throw fault
        return target.load(...given)
      }
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  mirror = new Mirror(watched, policyOf(), 10)
  intake = new Intake(new Ledger(watched, mirror, clock), watched, clock, () => {})
  here = gateway()
  mirror.onAnnounced = ({ record }) => {
    if (record.record === 'anchor') here.heard(record)
  }
  await mirror.start()
})
afterEach(() => store.close())

const turn = (at: number, line = 'line'): Position => ({ kind: 'turn', line, at })
const advance = (at: number, line = 'line', progress = here): Promise<void> => progress.advance(turn(at, line), `turn-${at}`, 'https://idp.test|agent')
const standings = (line = 'line', progress = here): readonly unknown[] => [6, 7, 8, 9].map(at => progress.standing(turn(at, line)))

test('[PUR6] what nobody told is unknown; a later one is told to the store, and ends what is earlier', async () => {
  expect(standings()).toEqual([null, null, null, null])
  await advance(7)
  expect(standings()).toEqual(['over', 'current', null, null])
  await advance(8)
  expect(standings()).toEqual(['over', 'over', 'current', null])
  expect((await mirror.anchor(progressAnchor(turn(0))))?.matter).toEqual({ is: 'progress', position: 8, value: 'turn-8' })
})

test('[PUR6] asking for an earlier one learns how far it is, and changes nothing', async () => {
  await advance(8)
  const later = gateway()
  expect(standings('line', later)).toEqual([null, null, null, null])
  await advance(7, 'line', later)
  expect(standings('line', later)).toEqual(['over', 'over', 'current', null])
  expect((await mirror.anchor(progressAnchor(turn(0))))?.version).toBe(1)
})

test('[PUR6] what another gateway told is known without asking', async () => {
  await advance(8)
  const anchor = await mirror.anchor(progressAnchor(turn(0)))
  if (anchor === null) throw new Error('it is not there')
  const other = gateway()
  other.heard(anchor)
  other.heard({ ...anchor, matter: { is: 'progress', position: 6, value: 'late' } })
  expect(standings('line', other)).toEqual(['over', 'over', 'current', null])
})

test('[PUR6] other anchors of the kind tell nothing', () => {
  const anchor = { record: 'anchor', kind: 'turn', version: 1, state: 'open', generation: 0, since: 0, note: '' } as const
  here.heard({ ...anchor, name: 'manual/acme/line', matter: { is: 'progress', position: 8, value: '8' } } as never)
  here.heard({ ...anchor, name: 'signed/line', matter: null } as never)
  expect(standings()).toEqual([null, null, null, null])
})

test('[PUR6] many that arrive at once ask once', async () => {
  await Promise.all(Array.from({ length: 50 }, () => advance(7)))
  expect([standings(), reads]).toEqual([['over', 'current', null, null], 1])
})

test('[PUR6] what the store does not tell ends what is earlier, begins nothing, and is asked again', async () => {
  fault = new StoreFault('forged', 'not ours')
  await advance(7).catch(() => expect.unreachable('it never rejects'))
  expect(standings()).toEqual(['over', null, null, null])
  fault = null
  await advance(7)
  expect(standings()).toEqual(['over', 'current', null, null])
})

test('[PUR6] what is assumed while the store is down takes no order back', async () => {
  const book = new AnchorBook(store, () => {})
  const ref = progressAnchor(turn(0))
  await book.knowAll([ref])
  const takes = (position: number, assumed: boolean): void => void book.take({ record: 'anchor', ...ref, version: assumed ? 0 : position, state: 'open', generation: NOW, since: NOW, note: '', matter: { is: 'progress', position, value: '' } } satisfies Anchor, assumed)
  const after = ([position, assumed]: readonly [number, boolean]): unknown => {
    takes(position, assumed)
    return book.find(ref)?.matter
  }
  expect(([[9, false], [8, true], [10, true]] as const).map(after)).toMatchObject([{ position: 9 }, { position: 9 }, { position: 10 }])
})

test('[PUR6] beyond a thousand lines at once the next one is not asked about', async () => {
  const lines = Array.from({ length: 1_001 }, (_, i) => `line-${i}`)
  await Promise.all(lines.map(line => advance(7, line)))
  expect([full, lines.filter(line => here.standing(turn(7, line)) === null)]).toEqual([1, ['line-1000']])
})

test('[PUR6] property: two gateways, any order: the latest of all is current on both, and whatever is earlier over, for good', async () => {
  const arrivals = fc.array(fc.record({ at: fc.nat(20), second: fc.boolean(), wait: fc.boolean() }), { minLength: 1, maxLength: 30 })
  let run = 0
  await fc.assert(fc.asyncProperty(arrivals, async steps => {
    const line = `line-${++run}`
    const gateways = [here, gateway()] as const
    const pending: Promise<void>[] = []
    const known = [-1, -1]
    for (const { at, second, wait } of steps) {
      pending.push(advance(at, line, gateways[second ? 1 : 0]))
      if (wait) await Promise.all(pending)
      for (const [i, progress] of gateways.entries()) {
        const now = Array.from({ length: 21 }, (_, place) => place).findLast(place => progress.standing(turn(place, line)) === 'current') ?? -1
        expect(now).toBeGreaterThanOrEqual(known[i] ?? -1)
        known[i] = now
      }
    }
    await Promise.all(pending)
    const latest = Math.max(...steps.map(({ at }) => at))
    for (const { at } of steps) await Promise.all(gateways.map(each => advance(at, line, each)))
    for (const progress of gateways) for (let at = 0; at <= 21; at++) expect(progress.standing(turn(at, line))).toBe(at < latest ? 'over' : at === latest ? 'current' : null)
    expect((await mirror.anchor(progressAnchor(turn(0, line))))?.matter).toMatchObject({ position: latest })
  }), { numRuns: 40 })
})
