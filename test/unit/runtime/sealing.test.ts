// Texts sealed for a place that may neither read nor change them. SPEC: CRD5
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Seal } from '../../../src/runtime/sealing.ts'

describe('a seal', () => {
  it('[CRD5] opens what was sealed with the same secret for the same purpose, about the same thing, and nothing else', () => {
    fc.assert(fc.property(fc.string({ minLength: 1 }), fc.string(), fc.string(), fc.string(), (secret, text, about, other) => {
      const seal = new Seal(secret, 'purpose')
      const sealed = seal.seal(text, about)
      expect(new Seal(secret, 'purpose').open(sealed, about)).toBe(text)
      expect(new Seal(`${secret}x`, 'purpose').open(sealed, about)).toBeNull()
      expect(new Seal(secret, 'another').open(sealed, about)).toBeNull()
      if (other !== about) expect(seal.open(sealed, other)).toBeNull()
    }))
  })

  it('[CRD5] opens nothing that is not as it was, whichever bit is another', () => {
    const seal = new Seal('secret', 'purpose')
    const sealed = Buffer.from(seal.seal('a token', 'about'), 'base64url')
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(seal.open(changed.toString('base64url'), 'about')).toBeNull()
    }
    for (let length = 0; length < sealed.length; length++) expect(seal.open(sealed.subarray(0, length).toString('base64url'), 'about')).toBeNull()
  })

  it('[CRD5] never writes the same twice, and its name tells keys apart without telling them', () => {
    const seal = new Seal('secret', 'purpose')
    expect(new Set(Array.from({ length: 100 }, () => seal.seal('a token', 'about'))).size).toBe(100)
    expect(new Seal('secret', 'purpose').name).toBe(seal.name)
    expect(new Set(['secret', 'secret2'].flatMap(secret => ['a', 'b'].map(purpose => new Seal(secret, purpose).name))).size).toBe(4)
  })
})
