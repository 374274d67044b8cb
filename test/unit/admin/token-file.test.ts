// The file of operators: what it accepts, and what it says about what it does not.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { entryFor, newToken } from '../../../src/admin/first-token.ts'
import { TOKEN, TOKENS_MAX, tokensOf } from '../../../src/admin/token-file.ts'
import { sha256 } from '../../../src/runtime/id.ts'

const token = newToken()
const digest = sha256(token)
const entry = { name: 'ann', sha256: digest, roles: ['operator'], identity: 'corp|ann' }
const file = (...tokens: readonly unknown[]): string => JSON.stringify({ tokens })

test('[ADM11] a token is nga_ and 256 bits, and never the same twice', () => {
  expect(token).toMatch(TOKEN)
  expect(Buffer.from(token.slice(4), 'base64url')).toHaveLength(32)
  expect(newToken()).not.toBe(token)
})

test('[ADM11] digests are read as hex or base64url, and found by the digest of the token', () => {
  const hex = Buffer.from(digest, 'base64url').toString('hex')
  for (const written of [digest, hex, hex.toUpperCase()]) expect(tokensOf(file({ ...entry, sha256: written, expires: '2027-01-31T00:00:00Z' })).get(digest)).toEqual({ ...entry, expires: Date.parse('2027-01-31T00:00:00Z') })
  expect(tokensOf(file({ ...entryFor(token, 'ann', ['operator'], 'corp|ann'), expires: undefined })).get(digest)).toEqual({ ...entry, expires: null })
})

test.each([
  ['no JSON', '{', /not JSON/], ['a list', '[]', /must be/], ['a member more', '{"tokens":[],"more":1}', /must be/], ['an entry that is none', file(7), /tokens\[0\]: must be a mapping/],
  ['an unknown member', file({ ...entry, role: 'x' }), /"role" is not known/], ['a name with blanks', file({ ...entry, name: 'a b' }), /tokens\[0\]: name/], ['the token itself', file({ ...entry, sha256: token }), /sha256 must/],
  ['a digest cut off', file({ ...entry, sha256: digest.slice(1) }), /sha256 must/], ['no roles', file({ ...entry, roles: [] }), /roles/], ['an unknown role', file({ ...entry, roles: ['root'] }), /roles/], ['roles as a text', file({ ...entry, roles: 'admin' }), /roles/],
  ['an identity without issuer', file({ ...entry, identity: 'ann' }), /identity/], ['a date without time', file({ ...entry, expires: '2027-01-31' }), /expires/], ['a time that is none', file({ ...entry, expires: '2027-13-31T00:00:00Z' }), /expires/],
  ['a name twice', file(entry, { ...entry, sha256: sha256('x') }), /tokens\[1\]: name "ann" is used twice/], ['a digest twice', file(entry, { ...entry, name: 'bob' }), /tokens\[1\]: sha256/],
  ['too many', file(...Array.from({ length: TOKENS_MAX + 1 }, () => entry)), /more than/],
])('[ADM11] %s is refused with its place', (_, text, says) => {
  expect(() => tokensOf(text)).toThrow(says)
})

test('[ADM11] whatever the file holds: entries or one error that does not show it', () => {
  const secret = 'nga_this-must-not-be-told'
  const anything = fc.record({ name: fc.oneof(fc.string(), fc.constant(secret)), sha256: fc.oneof(fc.string(), fc.constant(secret)), roles: fc.anything(), identity: fc.oneof(fc.string(), fc.constant(secret)) }, { requiredKeys: [] })
  fc.assert(fc.property(fc.oneof(fc.string(), fc.array(anything).map(tokens => JSON.stringify({ tokens }))), text => {
    try {
      for (const { sha256: key } of tokensOf(text).values()) expect(key).toHaveLength(43)
    } catch (error) {
      expect(error).toBeInstanceOf(Error)
      expect(String(error)).not.toContain(secret)
    }
  }))
})
