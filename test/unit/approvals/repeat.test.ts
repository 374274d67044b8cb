// An ask without a key that comes again: within a short time, from the same caller, for the same, it is the one it was.
import { expect, test } from 'vitest'
import { repeatedLately } from '../../../src/approvals/repeat.ts'
import type { ElevationState } from '../../../src/core/elevation.ts'
import { at, elevation, NOW, SESSION } from '../core/world.ts'

const BODY = { profile: 'fix' }
const REQUESTED: ElevationState = { is: 'requested', expiresAt: null }
const OVER: ElevationState = { is: 'ended', at: NOW, reason: 'released' }

const asks = (by = 'me', body: object = BODY, seconds = 0, held: readonly (readonly [string, ElevationState])[] = []) =>
  repeatedLately({ ...SESSION, elevations: held.map(([id, state]) => elevation(id, { state })) }, by, body, at(seconds))

test('[MCP15, ELV17] the same at once has the same name, on any gateway; from somebody else, or for something else, it has not', () => {
  const { id, asked } = asks()
  expect(asks()).toEqual({ id, asked })
  for (const other of [asks('you'), asks('me', { profile: 'other' })]) expect(other.id).not.toBe(id)
  expect(repeatedLately({ ...SESSION, id: 'ses_2' as typeof SESSION.id }, 'me', BODY, NOW).id).not.toBe(id)
})

test('[MCP15, ELV17] it is remembered for half a minute at least, and a minute at most', () => {
  for (const began of [0, 7, 29.9]) {
    const { id } = asks('me', BODY, began)
    expect(asks('me', BODY, began + 29, [[id, REQUESTED]]).id).toBe(id)
    expect(asks('me', BODY, began + 61, [[id, REQUESTED]]).id).not.toBe(id)
  }
})

test('[MCP15, ELV17] what is over is not asked for again: the next is another, however often', () => {
  const held: [string, ElevationState][] = []
  for (let tries = 0; tries < 40; tries++) {
    const { id } = asks('me', BODY, 1, held)
    expect(held.map(([known]) => known)).not.toContain(id)
    held.push([id, OVER])
  }
})
