import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { duration, instant } from '../../../src/core/time.ts'
import { Nonces } from '../../../src/identity/dpop/nonces.ts'
import { hmac } from '../../../src/runtime/id.ts'
import { faultOf, seal } from './dpop-proofs.ts'
import { DIGEST_KEY, NOON } from './fixtures.ts'

const SLOT = duration(60_000) // NOON begins one
const noncesOf = (epoch = 0, key: Uint8Array = DIGEST_KEY): Nonces => new Nonces(key, SLOT, epoch)
const later = (ms: number) => instant(NOON + ms)

describe('a server nonce', () => {
  test('[BND2] is what RFC 9449 lets a nonce be, and says nothing', () => {
    expect(noncesOf().current(NOON)).toMatch(/^[\w-]{43}$/)
  })

  test('[BND2] counts in its slot and the next, and not a millisecond longer', () => {
    const nonces = noncesOf()
    const nonce = nonces.current(NOON)
    expect([0, 59_999, 60_000, 119_999, 120_000, 1e9, -1].map(ms => nonces.accepts(nonce, later(ms)))).toEqual([true, true, true, true, false, false, false])
    expect([nonces.current(later(59_999)), nonces.current(later(60_000)) === nonce, nonces.current(NOON)]).toEqual([nonce, false, nonce])
  })

  test('[BND2] of one gateway is known to every other of the data set, and to none of another', () => {
    expect(noncesOf().accepts(noncesOf().current(NOON), NOON)).toBe(true)
    expect(noncesOf().accepts(noncesOf(0, Buffer.alloc(32, 8)).current(NOON), NOON)).toBe(false)
  })

  test('[BND2] is useless at once after a rotation, as every one before it, on each gateway that heard of it', () => {
    const [here, there] = [noncesOf(), noncesOf()]
    const old = [here.current(later(-60_000)), here.current(NOON)]
    here.rotate(1)
    expect(old.map(nonce => [here.accepts(nonce, NOON), there.accepts(nonce, NOON)])).toEqual([[false, true], [false, true]])
    expect(there.accepts(here.current(NOON), NOON)).toBe(false)
    there.rotate(1)
    expect([there.current(NOON), there.accepts(here.current(NOON), NOON)]).toEqual([here.current(NOON), true])
    expect(noncesOf(1).current(NOON)).toBe(here.current(NOON))
  })

  test('[BND2] does not come back by a counter that went back', () => {
    const nonces = noncesOf(5)
    const old = nonces.current(NOON)
    nonces.rotate(7)
    for (const epoch of [7, 6, 5, 0]) nonces.rotate(epoch)
    expect([nonces.accepts(old, NOON), nonces.current(NOON)]).toEqual([false, noncesOf(7).current(NOON)])
  })

  test('[BND2] is none in any other spelling', () => {
    const nonces = noncesOf()
    const nonce = nonces.current(NOON)
    const wide = String.fromCharCode(nonce.charCodeAt(0) + 0x100) + nonce.slice(1)
    for (const text of ['', `${nonce}=`, ` ${nonce}`, nonce.slice(1), nonce + nonce, wide, 'é'.repeat(43), 'é'.repeat(21), '\ud800'.repeat(43)]) expect(nonces.accepts(text, NOON)).toBe(false)
    fc.assert(fc.property(fc.nat(42), fc.constantFrom(...'abcXYZ019-_'.split('')), (at, char) => nonces.accepts(nonce.slice(0, at) + char + nonce.slice(at + 1), NOON) === (nonce[at] === char)))
    fc.assert(fc.property(fc.string(), text => !nonces.accepts(text, NOON)))
  })

  test('[BND2] is made with a key of its own: the digest key itself signs none', () => {
    const slot = NOON / SLOT
    expect(noncesOf().accepts(hmac(DIGEST_KEY, `0.${slot}`), NOON)).toBe(false)
  })

  test('[BND2] of one counter and slot is never that of another', () => {
    const seen = new Set<string>()
    for (let epoch = 0; epoch < 12; epoch++) for (let slot = 0; slot < 40; slot++) seen.add(noncesOf(epoch).current(later(slot * SLOT)))
    expect(seen.size).toBe(480)
  })

  test('[BND2] has a real key, a real slot and a whole counter', () => {
    expect(() => new Nonces(Buffer.alloc(31), SLOT, 0)).toThrow('32 bytes')
    for (const slot of [0, 999, Number.NaN, -1]) expect(() => new Nonces(DIGEST_KEY, duration(slot), 0)).toThrow('a second')
    for (const epoch of [-1, 0.5, Number.NaN, Infinity, 2 ** 53]) {
      expect(() => noncesOf(epoch)).toThrow('whole number')
      expect(() => noncesOf().rotate(epoch)).toThrow('whole number')
    }
  })

  test('[BND2] rotated away, makes a proof made in advance useless', () => {
    const nonces = noncesOf()
    const proof = seal({}, { nonce: nonces.current(NOON) })
    expect(faultOf(proof, { nonceOk: nonces.accepts })).toBe('none: accepted')
    nonces.rotate(1)
    expect(faultOf(proof, { nonceOk: nonces.accepts })).toBe('nonce_stale')
    expect(faultOf(seal({}, { nonce: nonces.current(NOON) }), { nonceOk: nonces.accepts })).toBe('none: accepted')
  })
})
