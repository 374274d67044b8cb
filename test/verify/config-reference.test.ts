import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { configReference } from '../../src/config/reference.ts'

describe('docs/config.md', () => {
  it('[CFG2] is what the declaration says', () => {
    expect(readFileSync(new URL('../../docs/config.md', import.meta.url), 'utf8')).toBe(configReference())
  })
})
