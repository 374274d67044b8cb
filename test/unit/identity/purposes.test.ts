import { describe, expect, test } from 'vitest'
import type { PurposeSource } from '../../../src/core/policy.ts'
import { NO_PURPOSES, type PurposeKind } from '../../../src/core/purpose.ts'
import { purposesClaimed } from '../../../src/identity/purposes.ts'

const sources = new Map<PurposeKind, PurposeSource>([
  ['run', { kind: 'run', from: { is: 'claim', claim: 'run_id' }, source: null }],
  ['conversation', { kind: 'conversation', from: { is: 'claim', claim: 'conversation_id' }, source: null }],
  ['ticket', { kind: 'ticket', from: { is: 'header', header: 'narrowgate-ticket' }, source: 'manual' }],
])

describe('purposes a credential claims', () => {
  test('[PUR1] are read from the claims the policy names, and from nothing else', () => {
    expect(purposesClaimed(sources, { run_id: 'r-1', ticket: 'T-1', 'narrowgate-ticket': 'T-1', conversation_id: 42 })).toEqual({ run: 'r-1', conversation: '42' })
  })

  test.each(['', ' r', 'r\u0000', 1.5, 2 ** 60, true, null, ['r'], {}])('[PUR1] %j is no purpose value', value => {
    expect(purposesClaimed(sources, { run_id: value })).toBe(NO_PURPOSES)
  })
})
