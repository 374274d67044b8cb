// What others call a session: digests of claims, told apart by who vouches for them.
import { createSecretKey, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { ALIASES_MAX } from '../../../src/core/outside.ts'
import { aliasesOf, aliasOf } from '../../../src/identity/aliases.ts'

const KEY = createSecretKey(randomBytes(32))
const IDP = 'https://idp.test'

test('[OUT2] each configured claim that is a text, or a list of them, gives a name that gives nothing away', () => {
  const found = aliasesOf(KEY, { sid: 'sid', email: 'mail', group: 'groups', phone: 'phone' }, IDP, { sid: 's-1', mail: 'ann@acme.test', groups: ['ops', 7, '', 'dev'], phone: { number: '+1' } })
  expect(found).toEqual([aliasOf(KEY, 'sid', IDP, 's-1'), aliasOf(KEY, 'email', IDP, 'ann@acme.test'), aliasOf(KEY, 'group', IDP, 'ops'), aliasOf(KEY, 'group', IDP, 'dev')])
  expect(found.join()).not.toMatch(/s-1|ann|acme|ops/)
  expect(found.every(alias => /^(sid|email|group):[\w-]{22}$/.test(alias))).toBe(true)
})

test('[OUT2] the same text of another issuer, of another kind or under another key is another name; only an address’s domain may be written in any case', () => {
  const one = aliasOf(KEY, 'email', IDP, 'Ann@acme.test')
  expect(aliasOf(KEY, 'email', IDP, 'Ann@ACME.test')).toBe(one)
  for (const other of [aliasOf(KEY, 'email', IDP, 'ann@acme.test'), aliasOf(KEY, 'email', 'https://other.test', 'Ann@acme.test'), aliasOf(KEY, 'sid', IDP, 'Ann@acme.test'), aliasOf(createSecretKey(randomBytes(32)), 'email', IDP, 'Ann@acme.test')]) expect(other).not.toBe(one)
})

test('[OUT2] there is a limit to how many names a session has', () => {
  expect(aliasesOf(KEY, { group: 'groups' }, IDP, { groups: Array.from({ length: 500 }, (_, i) => `g${i}`) })).toHaveLength(ALIASES_MAX)
  expect(aliasesOf(KEY, { sid: 'sid' }, IDP, { sid: 'x'.repeat(513) })).toEqual([])
})
