// Purposes stated in headers: exactly one value each, as one word.
import { expect, test } from 'vitest'
import type { PurposeSource } from '../../../src/core/policy.ts'
import { NO_PURPOSES, type PurposeKind, type Purposes } from '../../../src/core/purpose.ts'
import { purposesShown } from '../../../src/proxy/describe/purposes.ts'
import { policyOf } from '../core/world.ts'

const SOURCES: ReadonlyMap<PurposeKind, PurposeSource> = new Map<PurposeKind, PurposeSource>([
  ['ticket', { kind: 'ticket', from: { is: 'header', header: 'narrowgate-ticket' }, source: 'manual' }],
  ['run', { kind: 'run', from: { is: 'header', header: 'x-run' }, source: null }],
  ['task', { kind: 'task', from: { is: 'claim', claim: 'task_id' }, source: null }],
])

const shownPurposes = (purposes: typeof SOURCES, headers: readonly string[]): Purposes | null => purposesShown({ ...policyOf(), purposes }, headers, NO_PURPOSES, null)?.purposes ?? null

test('[PUR1] what is shown is told by kind; a claim is not read from headers', () => {
  expect(shownPurposes(SOURCES, [])).toEqual({})
  expect(shownPurposes(SOURCES, ['Accept', '*/*', 'Narrowgate-Ticket', 'INC-42', 'task_id', 'T', 'X-RUN', '7'])).toEqual({ ticket: 'INC-42', run: '7' })
  expect(shownPurposes(new Map(), ['Narrowgate-Ticket', 'INC-42'])).toEqual({})
})

test.each([
  ['twice', ['narrowgate-ticket', 'A', 'Narrowgate-Ticket', 'A']], ['twice, the second of another kind too', ['x-run', '1', 'narrowgate-ticket', 'A', 'x-run', '2']], ['empty', ['narrowgate-ticket', '']], ['two words', ['narrowgate-ticket', 'A B']],
  ['a list', ['narrowgate-ticket', 'A, B']], ['a control', ['narrowgate-ticket', 'A\t']], ['beyond ASCII', ['narrowgate-ticket', '\u00c4']], ['too long', ['narrowgate-ticket', 'a'.repeat(201)]],
])('[PUR1] %s: malformed', (_, headers) => expect(shownPurposes(SOURCES, headers)).toBeNull())

test('[PUR1] the longest and oddest that count', () => {
  for (const value of ['a'.repeat(200), '!', 'jira/acme/OPS-1', '~']) expect(shownPurposes(SOURCES, ['narrowgate-ticket', value])).toEqual({ ticket: value })
})

test('[MCP17] of what a header and `_meta` both may say, either counts, and both only alike', () => {
  const sources = new Map<PurposeKind, PurposeSource>([
    ['ticket', { kind: 'ticket', from: { is: 'meta', key: 'acme/ticket', header: 'narrowgate-ticket' }, source: 'manual' }],
    ['run', { kind: 'run', from: { is: 'meta', key: 'acme/run', header: null }, source: null }],
  ])
  const shown = (headers: readonly string[], meta: object): Purposes | null => purposesShown({ ...policyOf(), purposes: sources }, headers, NO_PURPOSES, null, new Map(Object.entries(meta)))?.purposes ?? null
  expect(shown([], { 'acme/ticket': 'T-1', 'acme/run': 7 })).toEqual({ ticket: 'T-1', run: '7' })
  expect(shown(['narrowgate-ticket', 'T-1'], {})).toEqual({ ticket: 'T-1' })
  expect(shown(['narrowgate-ticket', 'T-1'], { 'acme/ticket': 'T-1' })).toEqual({ ticket: 'T-1' })
  expect(shown(['acme/run', '7'], {})).toEqual({})
  for (const [headers, meta] of [[['narrowgate-ticket', 'T-1'], { 'acme/ticket': 'T-2' }], [['narrowgate-ticket', 'T-1', 'narrowgate-ticket', 'T-1'], { 'acme/ticket': 'T-1' }], [['narrowgate-ticket', 'T-1'], { 'acme/ticket': null }], [[], { 'acme/run': 1.5 }], [[], { 'acme/run': ['7'] }], [[], { 'acme/run': '' }]] as const) {
    expect([headers, meta, shown(headers, meta)]).toEqual([headers, meta, null])
  }
})
