import { describe, expect, it } from 'vitest'
import { didYouMean, nearest } from '../../../src/config/spelling.ts'

describe('did you mean', () => {
  it.each([['upstrem', 'upstream'], ['Upstream', 'upstream'], ['pstream', 'upstream'], ['upsrteam', 'upstream'], ['rulse', 'rules'], ['routes', 'routes']])('[CFG2] %s: %s', (written, meant) => {
    expect(nearest(written, ['routes', 'rules', 'upstream'])).toBe(meant)
  })

  it('[CFG2] says nothing where nothing is near', () => {
    expect(didYouMean('banana', ['routes', 'rules', 'upstream'])).toBeNull()
    expect(didYouMean('ab', ['xy'])).toBeNull()
    expect(didYouMean('x'.repeat(100), ['x'.repeat(99)])).toBeNull()
    expect(didYouMean('a', [])).toBeNull()
  })
})
