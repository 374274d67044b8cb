// Which definition of a tool counts, whatever is seen of it in whichever order: only the first one, a configured one and an accepted one ever do.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Anchor, AnchorRef, ToolPin } from '../../../src/core/anchor.ts'
import type { AnchorFact } from '../../../src/core/fact.ts'
import { applyToAnchor } from '../../../src/core/replay.ts'
import type { AnchorNews, SignalId } from '../../../src/core/signal.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import { type Definition, pinOf, PINS_MAX, pinsIn, pinsRef } from '../../../src/core/tools.ts'
import { transitionAnchor } from '../../../src/core/transition.ts'
import { START } from './news.ts'

const REF: AnchorRef = pinsRef('runbooks')
const at = (ms: number): Instant => instant(START + ms)
const apply = (anchor: Anchor | null, news: AnchorNews, ms = 0, by = 'mcp') => transitionAnchor(REF, anchor, { id: 'sig_x' as SignalId, by, note: '', ...news }, at(ms)) // a test word
const after = (...news: readonly AnchorNews[]): Anchor | null => news.reduce<Anchor | null>((anchor, one, i) => apply(anchor, one, i).record, null)
const one = (tool: string, digest: string, expected: string | null = null): Definition => ({ tool, digest, expected })
const seen = (...definitions: readonly Definition[]): AnchorNews => ({ kind: 'tools.seen', definitions })
const accepted = (tool: string, digest: string): AnchorNews => ({ kind: 'tool.accepted', tool, digest })
const pin = (anchor: Anchor | null, tool = 'a'): Pick<ToolPin, 'accepted' | 'changed'> | null => { const found = pinOf(pinsIn(anchor?.matter ?? null), tool); return found === null ? null : { accepted: found.accepted, changed: found.changed } }
const words = (anchor: Anchor | null, news: AnchorNews): readonly string[] => apply(anchor, news, 9).facts.map(fact => ('tool' in fact ? `${fact.what} ${fact.tool} ${fact.digest}` : fact.what))

test('[MCP14] the first definition seen counts; another one is a change once, and a third another', () => {
  expect(words(null, seen(one('a', '1'), one('b', '2')))).toEqual(['tool.pinned a 1', 'tool.pinned b 2'])
  const first = after(seen(one('a', '1')))
  expect([words(first, seen(one('a', '1'))), words(first, seen(one('a', '2')))]).toEqual([[], ['tool.changed a 2']])
  const changed = after(seen(one('a', '1')), seen(one('a', '2')))
  expect([pin(changed), words(changed, seen(one('a', '2'))), words(changed, seen(one('a', '3')))]).toEqual([{ accepted: '1', changed: '2' }, [], ['tool.changed a 3']])
})

test('[MCP14] being what it was before accepts nothing', () => {
  const changed = after(seen(one('a', '1')), seen(one('a', '2')))
  expect([words(changed, seen(one('a', '1'))), pin(after(seen(one('a', '1')), seen(one('a', '2')), seen(one('a', '1'))))]).toEqual([[], { accepted: '1', changed: '2' }])
})

test('[MCP14] what is accepted is what was seen last, or what counted before, and nothing else', () => {
  const changed = after(seen(one('a', '1')), seen(one('a', '2')))
  expect([words(changed, accepted('a', '2')), words(changed, accepted('a', '1'))]).toEqual([['tool.accepted a 2'], ['tool.accepted a 1']])
  expect(pin(apply(changed, accepted('a', '2'), 5, 'ann').record)).toEqual({ accepted: '2', changed: null })
  expect(apply(changed, accepted('a', '3')).rejected).toMatchObject({ rejected: 'conflict' })
  expect(apply(changed, accepted('b', '2')).rejected).toMatchObject({ rejected: 'not_found' })
  expect(apply(null, accepted('a', '2')).rejected).toMatchObject({ rejected: 'not_found' })
  expect(words(after(seen(one('a', '1'))), accepted('a', '1'))).toEqual([])
  expect(pinsIn(apply(changed, accepted('a', '2'), 5, 'ann').record?.matter ?? null).pins).toEqual([{ tool: 'a', accepted: '2', changed: null, since: at(5), by: 'ann' }])
})

test('[MCP14] a configured definition counts from the start, and when it becomes another one that is an acceptance', () => {
  expect(words(null, seen(one('a', '1', '9')))).toEqual(['tool.pinned a 9', 'tool.changed a 1'])
  const changed = after(seen(one('a', '1', '9')))
  expect([words(changed, seen(one('a', '1', '9'))), words(changed, seen(one('a', '1', '1'))), words(changed, seen(one('a', '1', '2')))]).toEqual([[], ['tool.accepted a 1'], ['tool.accepted a 2', 'tool.changed a 1']])
})

test('[MCP14] names mean nothing to JavaScript', () => {
  const anchor = after(seen(one('__proto__', '1'), one('constructor', '2')))
  expect([pin(anchor, '__proto__'), pin(anchor, 'constructor'), pin(anchor, 'toString')]).toEqual([{ accepted: '1', changed: null }, { accepted: '2', changed: null }, null])
})

test('[MCP14] a route remembers so many tools, and those that come beyond push none of them out', () => {
  const many = (from: number, count: number) => Array.from({ length: count }, (_, i) => one(`t${from + i}`, 'x'))
  const full = after(seen(...many(0, PINS_MAX - 1)), seen(...many(PINS_MAX - 1, 5)))
  expect([pinsIn(full?.matter ?? null).pins.length, pin(full, `t${PINS_MAX - 1}`), pin(full, `t${PINS_MAX}`)]).toEqual([PINS_MAX, { accepted: 'x', changed: null }, null])
  expect(words(full, seen(one('t0', 'y'), one('new', 'x')))).toEqual(['tool.changed t0 y'])
})

test('[MCP14, AUD1] whatever is seen, only a configured or an accepted definition takes the place of the first; the record is the fold of its facts', () => {
  const name = fc.constantFrom('a', 'b')
  const digest = fc.constantFrom('1', '2', '3')
  const news = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(name, digest).map(([tool, told]): AnchorNews => seen(one(tool, told))) }, { weight: 1, arbitrary: fc.tuple(digest, digest).map(([told, expected]): AnchorNews => seen(one('b', told, expected))) },
    { weight: 2, arbitrary: fc.tuple(name, digest).map(([tool, told]): AnchorNews => accepted(tool, told)) },
  )
  fc.assert(fc.property(fc.array(news, { maxLength: 20 }), steps => {
    let anchor: Anchor | null = null
    const facts: AnchorFact[] = []
    for (const [i, step] of steps.entries()) {
      const before = pin(anchor)
      const result: ReturnType<typeof apply> = apply(anchor, step, i)
      anchor = result.record
      facts.push(...result.facts)
      const now = pin(anchor)
      if (before !== null && now !== null && now.accepted !== before.accepted) expect([step.kind, now]).toEqual(['tool.accepted', { accepted: before.changed, changed: null }])
      if (before?.changed != null && now?.changed === null) expect(step.kind).toBe('tool.accepted')
      expect(result.rejected !== null || apply(anchor, step, i).facts.length === 0 || step.kind === 'tools.seen', 'said again').toBe(true)
    }
    expect((JSON.parse(JSON.stringify(facts)) as AnchorFact[]).reduce<Anchor | null>(applyToAnchor, null)).toEqual(anchor) // what was written is what is read
  }), { numRuns: 1_000 })
})
