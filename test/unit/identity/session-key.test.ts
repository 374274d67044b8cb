import { createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NO_PURPOSES } from '../../../src/core/purpose.ts'
import type { Actor } from '../../../src/core/principal.ts'
import type { Mark, Proven } from '../../../src/identity/credential.ts'
import { discriminatorOf, sessionKeyOf } from '../../../src/identity/session-key.ts'
import { DIGEST_KEY } from './fixtures.ts'

const KEY = createSecretKey(DIGEST_KEY)
type Parts = { readonly issuer: string; readonly tenant: string; readonly subject: string; readonly client: string; readonly claims: Proven['claims']; readonly keyThumbprint: string | null; readonly mark: Mark; readonly actor?: Actor | null }

const provenOf = ({ issuer, tenant, subject, client, claims, keyThumbprint, mark, actor = null }: Parts): Proven => ({
  principal: { kind: 'agent', issuer, tenant, subject, client, owner: null, actor },
  claims,
  evidence: { provider: 'login', fingerprint: 'f', credential: 'c', issuer, keyId: null, issuedAt: null, expiresAt: null, keyThumbprint, device: null, claimed: NO_PURPOSES },
  mark,
  binding: null,
  workload: null,
  knownUntil: null,
})

const PLAIN: Parts = { issuer: 'i', tenant: '', subject: 's', client: 'c', claims: {}, keyThumbprint: null, mark: { is: 'jti', value: 'v' } }
const key = (parts: Partial<Parts> = {}, names: readonly string[] = []): string => sessionKeyOf(KEY, names, provenOf({ ...PLAIN, ...parts }))

describe('the session key', () => {
  test('[SES2] takes the first of configured claims, sid, proven key, and the credential’s own mark', () => {
    const of = (parts: Partial<Parts>, names: readonly string[] = []) => discriminatorOf(names, provenOf({ ...PLAIN, ...parts }))
    const full = { claims: { sid: 'S', run: 7 }, keyThumbprint: 'K' }
    expect(of(full, ['claims.run', 'sid'])).toEqual(['claims', 'run', 7, 'sid', 'S'])
    expect(of(full, ['claims.run', 'task'])).toEqual(['sid', 'S'])
    expect(of(full)).toEqual(['sid', 'S'])
    expect(of({ keyThumbprint: 'K' })).toEqual(['key', 'K'])
    expect(of({})).toEqual(['jti', 'v'])
    expect(of({ claims: { sid: {} }, mark: { is: 'payload', value: 'p' } })).toEqual(['payload', 'p'])
  })

  test('[SES2] values of different kinds never meet', () => {
    const keys = [
      key({ claims: { sid: 'v' } }),
      key({ claims: { sid: 'v' } }, ['sid']),
      key({ claims: { run: 'v' } }, ['run']),
      key({ keyThumbprint: 'v' }),
      key(),
      key({ mark: { is: 'payload', value: 'v' } }),
      key({ mark: { is: 'entry', value: 'v' } }),
      key({ claims: { sid: '1' } }),
      key({ claims: { sid: 1 } }),
    ]
    expect(new Set(keys).size).toBe(keys.length)
    expect(key({ claims: { sid: 'v' } }, ['claims.sid'])).toBe(key({ claims: { sid: 'v' } }, ['sid']))
  })

  test('[SES2] other tokens of one sid, and refreshed ones, are one session', () => {
    expect(key({ claims: { sid: 'S', iat: 1 }, mark: { is: 'jti', value: 'a' } })).toBe(key({ claims: { sid: 'S', iat: 2 }, mark: { is: 'jti', value: 'b' } }))
  })

  test('[SES2] two agents that act for one person are two sessions, and neither is that person\'s own; whom an agent acts for in its turn makes no other', () => {
    const agent = (subject: string, actsFor: Actor | null = null): Actor => ({ issuer: 'i', subject, actsFor })
    const acting = (actor: Actor | null): string => key({ claims: { sid: 'S' }, actor })
    expect(new Set([acting(null), acting(agent('one')), acting(agent('two')), acting({ ...agent('one'), issuer: 'j' })]).size).toBe(4)
    expect(acting(agent('one', agent('two')))).toBe(acting(agent('one')))
  })

  test('[SES2] gives the identity away to nobody without the digest key', () => {
    expect(sessionKeyOf(createSecretKey(Buffer.alloc(32, 8)), [], provenOf(PLAIN))).not.toBe(key())
    expect(key()).toMatch(/^[\w-]{43}$/)
  })

  test('[SES2] two principals or lives have one key only if they are the same', () => {
    const text = fc.oneof(fc.constantFrom('', 'a', 'b', 'a","b', '["a"]', ',', 'sid', '\\'), fc.string({ maxLength: 6 }))
    const parts = fc.record({ issuer: text, tenant: text, subject: text, client: text, sid: fc.option(text.filter(sid => sid !== '')), keyThumbprint: fc.option(text), value: text, is: fc.constantFrom('jti', 'payload', 'entry') })
    type Drawn = { readonly issuer: string; readonly tenant: string; readonly subject: string; readonly client: string; readonly sid: string | null; readonly keyThumbprint: string | null; readonly value: string; readonly is: Mark['is'] }
    const keyOf = ({ sid, value, is, ...rest }: Drawn): string => key({ ...rest, claims: sid === null ? {} : { sid }, mark: { is, value } })
    const same = (a: Drawn, b: Drawn): boolean => {
      if (a.issuer !== b.issuer || a.tenant !== b.tenant || a.subject !== b.subject || a.client !== b.client) return false
      if (a.sid !== null || b.sid !== null) return a.sid === b.sid
      if (a.keyThumbprint !== null || b.keyThumbprint !== null) return a.keyThumbprint === b.keyThumbprint
      return a.is === b.is && a.value === b.value
    }
    fc.assert(fc.property(parts, parts, (a, b) => (keyOf(a) === keyOf(b)) === same(a, b)), { numRuns: 2_000 })
    fc.assert(fc.property(parts, a => keyOf(a) === keyOf({ ...a })))
  })
})
