import { describe, expect, test } from 'vitest'
import { Chain, digestOf, FRESH } from '../../../src/audit/chain.ts'
import { noted, parseLine, queryDigest, RECORD_KINDS } from '../../../src/audit/record.ts'
import { instant } from '../../../src/core/time.ts'
import { opened } from './samples.ts'

describe('record', () => {
  test('[AUD2] a line is one JSON object with number, link, time, gateway and kind first', () => {
    const line = new Chain('gw_1', FRESH).line(instant(5), 'gateway.stopped', { reason: 'drained' })
    expect(line).toBe('{"seq":1,"prev":"","at":5,"gateway":"gw_1","kind":"gateway.stopped","reason":"drained"}')
  })

  test('[AUD2] only lines with a whole envelope and a known kind are records', () => {
    const good = { seq: 1, prev: '', at: 5, gateway: 'g', kind: 'gateway.stopped', reason: 'x' }
    expect(parseLine(JSON.stringify(good))).toEqual(good)
    for (const bad of [{ ...good, seq: 1.5 }, { ...good, prev: null }, { ...good, at: '5' }, { ...good, gateway: 1 }, { ...good, kind: 'toString' }, null, 3, []]) {
      expect(parseLine(JSON.stringify(bad))).toBeNull()
    }
    expect(parseLine('{"seq":1')).toBeNull()
    expect(RECORD_KINDS).toHaveLength(28)
  })

  test('[AUD3] a query is kept as its digest, never as text', () => {
    expect(queryDigest('')).toBeNull()
    expect(queryDigest('?token=hush')).toBe(digestOf('?token=hush'))
    const line = new Chain('gw_1', FRESH).line(instant(5), 'exchange.opened', opened({ queryDigest: queryDigest('?token=hush') }))
    expect(line).not.toContain('hush')
  })

  test('[EXP4] a score is on record to one decimal, its level only where one stands', () => {
    expect(noted({ before: 0, after: 0, level: null })).toEqual({ before: 0, after: 0 })
    expect(noted({ before: 12.3456, after: 20.05, level: 'watched' })).toEqual({ before: 12.3, after: 20.1, level: 'watched' })
    expect(noted({ before: 0.01, after: 0, level: null })).toEqual({ before: 0, after: 0 })
  })

  test('[AUD4] each line holds the digest of the exact bytes before it, whatever they are', () => {
    const chain = new Chain('gw_1', FRESH)
    const first = chain.line(instant(1), 'exchange.opened', opened({ path: '/ü/\ud800/"\u2028', until: instant(Infinity) }))
    chain.accept(first)
    const second = chain.line(instant(2), 'gateway.stopped', { reason: 'drained' })
    expect(parseLine(second)).toMatchObject({ seq: 2, prev: digestOf(Buffer.from(first, 'utf8')) })
    expect(parseLine(first)).toMatchObject({ until: null, path: '/ü/\ud800/"\u2028' })
  })
})
