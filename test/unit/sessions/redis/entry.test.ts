// What is written in Redis: every text is read as it was written or is damage, and what does not carry the MAC is forged. SPEC: STO14, STO18
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RecordRef } from '../../../../src/core/record.ts'
import { type Entry, entryOf, epochOfId, type Kept, keptOf, listedOf, placeOfSelector, placeOfTie, refOf, refText, Seal, sequenceOf, toldOf } from '../../../../src/sessions/redis/entry.ts'
import { StoreFault } from '../../../../src/sessions/store-fault.ts'

const SEPARATOR = '\x1f'
const kinds: readonly RecordRef['kind'][] = ['session', 'lock', 'ticket', 'run']
const name = fc.oneof(fc.string({ maxLength: 30 }), fc.string({ unit: 'binary', maxLength: 30 }), fc.constantFrom('', '/', '"', '\\', 'a/b', '\x1f', '\0', '\ud800'))
const ref: fc.Arbitrary<RecordRef> = fc.record({ kind: fc.constantFrom(...kinds), name })
const json = fc.jsonValue().map(value => JSON.stringify(value))
const damaged = (read: () => unknown): void => expect(read).toThrow(expect.objectContaining({ name: 'StoreFault', code: 'corrupt' }))

describe('texts', () => {
  test('[STO14] a reference is read as it was written, whatever its name, and never holds a separator', () => {
    fc.assert(fc.property(ref, ref, (one, other) => {
      expect(refOf(refText(one))).toEqual(one)
      expect(refText(one)).not.toContain(SEPARATOR)
      expect(refText(one) === refText(other)).toBe(one.kind === other.kind && one.name === other.name)
    }))
  })

  test('[STO14] a log entry is read as the library writes it', () => {
    const entry = fc.record({ epoch: fc.nat(), sequence: fc.nat(), nonce: fc.stringMatching(/^[0-9a-f]{12}[ae]?$/), ref: fc.option(ref), at: fc.nat(), body: json, facts: json, news: fc.oneof(json, fc.constant('')), awaited: fc.boolean() })
    fc.assert(fc.property(entry, each => {
      const id = `${each.epoch}-${each.sequence}`
      const text = [id, each.nonce, 'before', each.at, each.awaited ? 'a' : '', each.ref === null ? '' : refText(each.ref), '3', 'mac', each.body, each.facts, each.news].join(SEPARATOR)
      expect(entryOf(text)).toEqual({ ...each, id, epoch: String(each.epoch), previous: 'before', version: '3', mac: 'mac' })
      expect([epochOfId(id), sequenceOf(id)]).toEqual([String(each.epoch), each.sequence])
    }))
  })

  test('[STO14] a stored record is read as the library writes it, alone and in a list', () => {
    fc.assert(fc.property(ref, fc.nat(), json, (its, seen, body) => {
      const text = [String(seen).padStart(13, '0'), '4', 'places', 'mac', body].join(SEPARATOR)
      const kept: Kept = { seen: seen === 0 ? null : seen, version: '4', mac: 'mac', body } as Kept // an instant is a number
      expect(keptOf(text)).toEqual(kept)
      expect(listedOf(`${refText(its)}${SEPARATOR}${text}`)).toEqual({ ref: its, kept })
    }))
    expect(keptOf('')).toBeNull()
  })

  test('[STO14, STO18] a text that this version did not write is damage that is named, never a guess and never another fault', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(SEPARATOR, '-', '/', '"', '\\', 'x', '1') })), text => {
      for (const read of [entryOf, keptOf, listedOf, refOf]) {
        try {
          read(text)
        } catch (error) {
          expect(error).toBeInstanceOf(StoreFault)
          expect(error).toMatchObject({ code: 'corrupt' })
        }
      }
    }))
    for (const text of ['', 'session', '/name', 'session/\\x', 'session/"']) damaged(() => refOf(text))
    for (const text of ['1', 'a\x1fb', ['7-x', 'n', 'p', '1', '', '', '1', '', '', '[]', ''].join(SEPARATOR), ['7-1', 'n', 'p', '1', '', '', '1', '', '', '[]', '', 'more'].join(SEPARATOR)]) damaged(() => entryOf(text))
    for (const text of ['1', '1\x1f2\x1f3\x1f4', '1\x1f2\x1f3\x1f4\x1f5\x1f6']) damaged(() => keptOf(text))
    damaged(() => listedOf('session/a'))
  })

  test('[STO14] places in the index are of one length and tell selectors and ties apart', () => {
    const tie: RecordRef = { kind: 'ticket', name: 'T' }
    const places = [placeOfSelector({ kind: 'subject', value: 'T' }), placeOfSelector({ kind: 'tenant', value: 'T' }), placeOfTie(tie), placeOfTie({ ...tie, name: 'U' })]
    expect(new Set(places).size).toBe(places.length)
    expect(new Set(places.map(({ length }) => length)).size).toBe(1)
    for (const place of places) expect(place).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(placeOfTie(tie)).toBe(places[2])
  })
})

describe('the seal', () => {
  const [OLD, NEW, OTHER] = ['old', 'new', 'other'].map(word => Buffer.from(word.repeat(16))) as [Buffer, Buffer, Buffer] // three words, three keys
  type Sealed = { readonly dataSet: string; readonly ref: string; readonly version: string; readonly body: string; readonly facts: string; readonly news: string }
  const SEALED: Sealed = { dataSet: 'set', ref: 'session/a', version: '3', body: '{"a":1}', facts: '[{"what":"x"}]', news: '{"kind":"session.frozen"}' }
  const signed = (seal: Seal, { dataSet, ref: its, version, body, facts, news }: Sealed): string => seal.sign(dataSet, its, version, body, toldOf(facts, news))
  const kept = ({ version, body }: Sealed, mac: string): Kept => ({ seen: null, version, mac, body })
  const entry = ({ version, body, facts, news }: Sealed, mac: string): Entry => ({ ...entryOf(['7-1', 'n', 'p', '1', '', 'session/a', version, mac, body, facts, news].join(SEPARATOR)) })
  /** Does it pass as a record, as an entry? */
  const passes = (seal: Seal, sealed: Sealed, mac: string): readonly boolean[] => [() => seal.checkRecord(sealed.dataSet, sealed.ref, kept(sealed, mac)), () => seal.checkEntry(sealed.dataSet, sealed.ref, entry(sealed, mac))].map(check => {
    try {
      check()
      return true
    } catch (error) {
      expect(error).toMatchObject({ name: 'StoreFault', code: 'forged', message: expect.stringContaining(sealed.ref) })
      return false
    }
  })

  test('[STO18] what carries the MAC of the key passes; what carries none, another key’s or a cut one is forged', () => {
    const seal = new Seal([NEW])
    const mac = signed(seal, SEALED)
    expect(passes(seal, SEALED, mac)).toEqual([true, true])
    for (const wrong of ['', '.', signed(new Seal([OTHER]), SEALED), mac.split('.').toReversed().join('.')]) expect(passes(seal, SEALED, wrong), wrong).toEqual([false, false])
    expect([passes(seal, SEALED, mac.slice(1)), passes(seal, SEALED, mac.slice(0, -1))]).toEqual([[false, true], [true, false]])
  })

  test('[STO18] it is bound to data set, reference, version, body, facts and news: a change of any of them is found', () => {
    const seal = new Seal([NEW])
    fc.assert(fc.property(fc.constantFrom(...(Object.keys(SEALED) as (keyof Sealed)[])), json, (field, other) => {
      fc.pre(SEALED[field] !== other)
      const moved: Sealed = { ...SEALED, [field]: other }
      const told = field === 'facts' || field === 'news'
      expect(passes(seal, moved, signed(seal, SEALED))).toEqual([told, false])
    }))
  })

  test('[STO18] the record’s part does not pass for an entry’s, nor text moved from one field to its neighbour', () => {
    const seal = new Seal([NEW])
    const [record = ''] = signed(seal, SEALED).split('.')
    expect(passes(seal, SEALED, `${record}.${record}`)).toEqual([true, false])
    const shifted: Sealed = { ...SEALED, facts: '', news: SEALED.facts + SEALED.news }
    expect(passes(seal, shifted, signed(seal, SEALED))).toEqual([true, false])
  })

  test('[STO18] while keys are exchanged the first signs and both verify; without the old one its MACs are forged', () => {
    const [before, during, after] = [new Seal([OLD]), new Seal([NEW, OLD]), new Seal([NEW])]
    const [old, fresh] = [signed(before, SEALED), signed(during, SEALED)]
    expect([passes(during, SEALED, old), passes(during, SEALED, fresh)]).toEqual([[true, true], [true, true]])
    expect([passes(after, SEALED, fresh), passes(after, SEALED, old), passes(before, SEALED, fresh)]).toEqual([[true, true], [false, false], [false, false]])
  })

  test('[STO18] without a key nothing is signed and everything passes', () => {
    const seal = new Seal([])
    expect(signed(seal, SEALED)).toBe('')
    expect(passes(seal, SEALED, 'anything')).toEqual([true, true])
  })
})
