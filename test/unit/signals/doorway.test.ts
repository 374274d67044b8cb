// How many are let in: of one source in a second, from one part of the network and in all at once.
import { expect, test } from 'vitest'
import { Doorway, type Entrance } from '../../../src/signals/doorway.ts'

function doorway(): { readonly door: Doorway; pass: (ms: number) => void } {
  let elapsed = 0
  return { door: new Doorway({ elapsed: () => elapsed }), pass: ms => { elapsed += ms } }
}
const idp = { name: 'idp', perSecond: 2 }
const many = { name: 'many', perSecond: 100_000 }
const leave = (entrance: Entrance): void => { if (entrance.is === 'in') entrance.leave() }

test('[SSF2] of one source that showed who it is so many are let in for ten seconds at once, and then so many in a second', () => {
  const { door, pass } = doorway()
  const enter = (): string => {
    const entrance = door.enter(idp, '192.0.2.1', 'shown')
    leave(entrance)
    return entrance.is
  }
  expect(Array.from({ length: 21 }, enter)).toEqual([...Array.from({ length: 20 }, () => 'in'), 'full'])
  expect(door.enter(idp, '198.51.100.1', 'shown')).toEqual({ is: 'full', wait: 1 })
  expect(door.enter({ name: 'other', perSecond: 1 }, '192.0.2.1', 'shown').is).toBe('in')
  pass(499)
  expect(enter()).toBe('full')
  pass(1)
  expect([enter(), enter()]).toEqual(['in', 'full'])
  pass(3_600_000)
  expect(Array.from({ length: 21 }, enter).filter(is => is === 'in')).toHaveLength(20)
})

test('[LGO2, OUT9] who has not shown who it is uses up what its own network may, and nobody elsewhere is kept out by it; ten of them use up all', () => {
  const { door, pass } = doorway()
  const flood = (address: string): number => {
    const entered = Array.from({ length: 25 }, () => door.enter(idp, address, 'stranger'))
    for (const entrance of entered) leave(entrance)
    return entered.filter(({ is }) => is === 'in').length
  }
  expect([flood('192.0.2.1'), flood('192.0.2.9'), flood('198.51.100.1')]).toEqual([20, 0, 20])
  expect(Array.from({ length: 9 }, (_, i) => flood(`203.0.${i}.1`))).toEqual([...Array.from({ length: 8 }, () => 20), 0])
  pass(500)
  expect([flood('203.0.8.1'), flood('192.0.2.1')]).toEqual([10, 0])
})

test('[SSF2] from one part of the network 64 are inside at once, and 256 in all; whoever leaves makes room', () => {
  const { door } = doorway()
  const inside = Array.from({ length: 64 }, (_, i) => door.enter(many, `192.0.2.${i}`, 'stranger'))
  expect(door.enter(many, '192.0.2.200', 'stranger')).toEqual({ is: 'full', wait: 1 })
  for (let network = 1; network < 4; network++) for (let i = 0; i < 64; i++) expect(door.enter(many, `198.51.${network}.1`, 'stranger').is).toBe('in')
  expect(door.enter(many, '203.0.113.1', 'stranger').is).toBe('full')
  for (const one of inside.slice(0, 2)) leave(one)
  expect([door.enter(many, '192.0.2.1', 'stranger').is, door.enter(many, '203.0.113.1', 'stranger').is, door.enter(many, '203.0.113.1', 'stranger').is]).toEqual(['in', 'in', 'full'])
})
