// A member's place in a log: whatever the order in which entries come, each is applied once and after the one before it; what a server lost is known.
// SPEC: STO14-STO16
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { instant } from '../../../../src/core/time.ts'
import type { Entry, Point } from '../../../../src/sessions/redis/entry.ts'
import { type Applied, Follower, type Reply } from '../../../../src/sessions/redis/follower.ts'

const PAGE = 4
const DATA_SET = 'set'
const START: Point = { id: '7-0', nonce: 'start' }
const MINUTE = 60_000

/** Entries that follow a point, named so that two histories never share a nonce; all but each third are restrictive news. */
function chain(from: Point, count: number, history = 'n', epoch = '7', at = 0): readonly Entry[] {
  const entries: Entry[] = []
  for (let i = 1; i <= count; i++) {
    const sequence = Number(from.id.split('-')[1]) + i
    entries.push({
      id: `${epoch}-${sequence}`, nonce: `${history}${sequence}`, previous: entries.at(-1)?.nonce ?? from.nonce, epoch, sequence, at: instant(at + sequence), awaited: false,
      ref: { kind: 'ticket', name: `${history}-${sequence}` }, version: '1', mac: '', body: `body ${sequence}`, facts: '[]', news: sequence % 3 === 0 ? '' : `news ${sequence}`,
    })
  }
  return entries
}

const reply = (changes: Partial<Reply> = {}): Reply => ({ status: 'OK', epoch: '7', dataSet: DATA_SET, head: START, base: { id: '0-0', nonce: '-' }, entries: [], ...changes })
const appliedOf = ({ id, nonce, ref, at, news, body }: Entry): Applied => ({ id, nonce, ref, at, news, body: news === '' ? '' : body })

function joined(journalMax?: number): Follower {
  const follower = new Follower(PAGE, journalMax)
  expect(follower.replied(reply({ status: 'NEW' }))).toEqual({ is: 'join' })
  follower.rejoin(START, reply(), false, [])
  return follower
}
const following = (entries: readonly Entry[], journalMax?: number): Follower => {
  const follower = joined(journalMax)
  for (const entry of entries) expect(follower.take(entry)).toBe('applied')
  return follower
}

describe('what follows', () => {
  test('[STO14] before it has joined nothing is applied', () => {
    const follower = new Follower(PAGE)
    expect(chain(START, 2).map(entry => follower.take(entry))).toEqual(['known', 'known'])
    expect(follower.applied).toBeNull()
  })

  test('[STO14, STO15] pushes lost, doubled and out of order beside heartbeats of any age: each entry is applied once and in order, and the heartbeats alone bring all', () => {
    const step = (length: number) => fc.oneof(
      fc.record({ is: fc.constant('push' as const), at: fc.nat(length - 1) }),
      fc.record({ is: fc.constant('beat' as const), asked: fc.nat(length), written: fc.nat(length) }),
    )
    const runs = fc.integer({ min: 1, max: 25 }).chain(length => fc.record({ length: fc.constant(length), steps: fc.array(step(length), { maxLength: 80 }) }))
    fc.assert(fc.property(runs, ({ length, steps }) => {
      const log = chain(START, length)
      const follower = joined()
      const got: Entry[] = []
      const take = (entry: Entry): void => { if (follower.take(entry) === 'applied') got.push(entry) }
      /** As the library answers one that said it had `asked` entries. */
      const beat = (asked: number, written: number): boolean => {
        const found = follower.replied(reply({ entries: log.slice(asked, Math.min(written, asked + PAGE)) }))
        if (found.is !== 'apply') throw new Error(found.is)
        found.entries.forEach(take)
        return found.more
      }
      for (const each of steps) {
        const here = got.length
        if (each.is === 'beat') beat(Math.min(each.asked, here), each.written)
        else if (log[each.at] !== undefined) take(log[each.at] ?? log[0] as Entry) // just looked up
        expect(got).toEqual(log.slice(0, got.length))
      }
      while (beat(got.length, length)) expect(got.length).toBeLessThanOrEqual(length)
      expect(got).toEqual(log)
      expect(follower.applied).toEqual({ id: log.at(-1)?.id, nonce: log.at(-1)?.nonce })
    }))
  })

  test('[STO14] the next number of another history is a gap: the link decides, not the number', () => {
    const [one, two] = chain(START, 2)
    const [, stranger] = chain(START, 2, 'other')
    if (one === undefined || two === undefined || stranger === undefined) throw new Error('no entries')
    const follower = following([one])
    expect(follower.take(stranger)).toBe('gap')
    expect(follower.applied).toEqual({ id: one.id, nonce: one.nonce })
    expect([follower.take(two), follower.take(two), follower.take(one)]).toEqual(['applied', 'known', 'known'])
  })

  test('[STO14] an entry that comes by push and by heartbeat does not break the chain; a heartbeat that leaves one out is of no use', () => {
    const log = chain(START, 6)
    const follower = following(log.slice(0, 3))
    expect(follower.replied(reply({ entries: log.slice(1, 5) }))).toEqual({ is: 'apply', entries: log.slice(3, 5), more: true })
    expect(follower.replied(reply({ entries: log.slice(0, 3) }))).toEqual({ is: 'apply', entries: [], more: false })
    expect(follower.replied(reply({ entries: log.slice(4, 6) }))).toEqual({ is: 'broken' })
    expect(follower.replied(reply({ entries: chain(START, 4, 'other').slice(3) }))).toEqual({ is: 'broken' })
  })
})

describe('what was lost', () => {
  test('[STO16] whatever the server has after the place where the histories part, exactly what was applied after it is lost, and from there it goes on', () => {
    fc.assert(fc.property(fc.nat(12), fc.integer({ min: 1, max: 12 }), fc.nat(12), fc.constantFrom('7', '8'), fc.nat(3), (kept, lost, fresh, epoch, pledged) => {
      const log = chain(START, kept + lost)
      const follower = following(log)
      const own = chain(log.at(-1) ?? START, pledged, 'own').map(appliedOf)
      for (const each of own) follower.pledge(each)
      const base = log[kept - 1] ?? START
      const other = chain(base, fresh + 1, 'other', epoch)
      const status = epoch === '7' && fresh + 1 >= lost ? 'FORK' : 'LOST'
      const found = follower.replied(reply({ status, epoch, base, head: other.at(-1) ?? base, entries: [] }))
      expect(found).toEqual({ is: 'forked', known: true, rejoinAt: base, orphans: [...log.slice(kept).map(appliedOf), ...own] })
      follower.rejoin(base, reply({ epoch }), true, found.is === 'forked' ? found.orphans : [])
      expect([follower.epoch, other.map(entry => follower.take(entry))]).toEqual([epoch, other.map(() => 'applied')])
      follower.caughtUp()
      const again = follower.replied(reply({ status: 'LOST', epoch: '9', base }))
      expect(again).toEqual({ is: 'forked', known: true, rejoinAt: base, orphans: other.map(appliedOf) }) // what was dealt with is forgotten, pledges too
    }))
  })

  test('[STO16] what was said again is said once more to a server that lost that too, until everything was heard that the first one had: another may have said it there', () => {
    const log = chain(START, 4)
    const news = log.map(appliedOf).filter(each => each.news !== '')
    const forked = (follower: Follower, epoch: string): readonly Applied[] => {
      const found = follower.replied(reply({ status: 'LOST', epoch, base: START }))
      return found.is === 'forked' ? found.orphans : []
    }
    const follower = following(log)
    follower.rejoin(START, reply({ epoch: '8' }), true, forked(follower, '8'))
    expect([follower.unheard('8'), follower.unheard('9'), forked(follower, '9')]).toEqual([news, news, news])
    follower.turn(reply({ epoch: '9' })) // the same history went on there, without what was said to 8
    expect([follower.unheard('10'), forked(follower, '10')]).toEqual([news, news])
    follower.caughtUp()
    expect([follower.unheard('10'), forked(follower, '10')]).toEqual([[], []])
  })

  test('[STO16] where the histories part before everything known here, all that is known may be lost', () => {
    const log = chain(START, 3)
    const head = { id: '8-1', nonce: 'head' }
    const orphans = log.map(appliedOf).filter(({ news }) => news !== '') // what gives is not said again
    for (const base of [{ id: '6-0', nonce: 'older' }, { id: '7-2', nonce: 'another' }, { id: '7-9', nonce: 'later' }]) {
      expect(following(log).replied(reply({ status: 'LOST', epoch: '8', base, head }))).toEqual({ is: 'forked', known: false, rejoinAt: head, orphans })
    }
  })

  test('[STO16] of what may be lost there the last quarter of an hour is said again and nothing older: no longer does a server remember what it has done already', () => {
    const old = chain(START, 3, 'old', '7', 0)
    const young = chain(old.at(-1) ?? START, 3, 'young', '7', 16 * MINUTE)
    const head = { id: '8-1', nonce: 'head' }
    const found = following([...old, ...young]).replied(reply({ status: 'LOST', epoch: '8', base: { id: '6-0', nonce: 'unknown' }, head }))
    expect(found).toEqual({ is: 'forked', known: false, rejoinAt: head, orphans: young.map(appliedOf).filter(({ news }) => news !== '') })
  })

  test('[STO16] a log that went on and was trimmed past this member undid nothing; one that is behind it in the same epoch, or began that epoch elsewhere, did', () => {
    const log = chain(START, 3)
    expect(following(log).replied(reply({ status: 'LOST', head: { id: '7-50009', nonce: 'far' } }))).toEqual({ is: 'missed' })
    expect(following(log).replied(reply({ status: 'LOST', head: { id: '7-50009', nonce: 'far' }, base: START }))).toMatchObject({ is: 'forked', known: true })
    expect(following(log).replied(reply({ status: 'LOST', head: log[0] ?? START, base: START }))).toEqual({ is: 'forked', known: true, rejoinAt: START, orphans: log.map(appliedOf) })
  })

  test('[STO16] news of its own is lost when the store took it and it was never heard; once heard it is an entry like any other', () => {
    const [one, two] = chain(START, 2)
    if (one === undefined || two === undefined) throw new Error('no entries')
    const follower = following([one])
    follower.pledge(appliedOf(one))
    follower.pledge(appliedOf(two))
    const lost = (): readonly string[] => {
      const found = follower.replied(reply({ status: 'LOST', epoch: '8', base: START }))
      return found.is === 'forked' ? found.orphans.map(({ id }) => id) : []
    }
    expect(lost()).toEqual([one.id, two.id])
    follower.take(two)
    expect(lost()).toEqual([one.id, two.id])
  })

  test('[STO16] to another data set the restrictive news of a quarter of an hour is said again, also what was heard before a fork', () => {
    const old = chain(START, 2, 'old', '7', 0)
    const then = chain(old.at(-1) ?? START, 3, 'then', '7', 10 * MINUTE)
    const now = chain(then.at(-1) ?? START, 3, 'now', '7', 16 * MINUTE)
    const follower = following([...old, ...then])
    follower.rejoin(then.at(-1) ?? START, reply(), false, [])
    for (const entry of now) follower.take(entry)
    const head = { id: '9-1', nonce: 'new' }
    const found = follower.replied(reply({ status: 'LOST', dataSet: 'another', epoch: '9', head }))
    expect(found).toEqual({ is: 'replaced', rejoinAt: head, orphans: [...then, ...now].filter(({ news }) => news !== '').map(appliedOf) })
    follower.rejoin(head, reply({ dataSet: 'another', epoch: '9' }), false, [])
    expect([follower.dataSet, follower.epoch, follower.applied]).toEqual(['another', '9', head])
  })

  test('[STO16] memory is bounded: the newest entries and pledges stay', () => {
    const log = chain(START, 50)
    const follower = following(log, 10)
    for (const each of chain(log.at(-1) ?? START, 20, 'own').map(appliedOf)) follower.pledge(each)
    const found = follower.replied(reply({ status: 'LOST', epoch: '8', base: START }))
    if (found.is !== 'forked') throw new Error(found.is)
    expect(found.known).toBe(false)
    expect(found.orphans).toHaveLength(10)
    const newest = new Set([...log.slice(-10), ...chain(log.at(-1) ?? START, 20, 'own')].map(({ id }) => id))
    expect(found.orphans.filter(({ id }) => !newest.has(id))).toEqual([])
  })
})
