// Whom a webhook or an operator names, as the names that sessions are found by.
import { describe, expect, test } from 'vitest'
import { aliasing } from '../../../../src/identity/aliases.ts'
import { sha256 } from '../../../../src/runtime/id.ts'
import { type Names, NO_NAMES, subjectNamed } from '../../../../src/signals/outside/named.ts'

const KEY = Buffer.alloc(32, 5)
const alias = aliasing(KEY)
const ports = { alias, folds: (issuer: string | null) => issuer === null || issuer === 'https://folds.test' }
const named = (names: Partial<Names>) => subjectNamed({ ...NO_NAMES, ...names }, ports)
const ISSUER = 'https://idp.test'

describe('who is named', () => {
  test.each<readonly [string, Partial<Names>, object]>([
    ['a subject of its issuer', { issuer: ISSUER, subject: 'Eve' }, { of: 'user', any: [{ kind: 'subject', value: `${ISSUER}|Eve` }] }],
    ['one whose issuer knows it in small letters', { issuer: 'https://folds.test', subject: 'Eve' }, { of: 'user', any: [{ kind: 'subject', value: 'https://folds.test|eve' }] }],
    ['one of any issuer, by both spellings', { subject: 'Eve' }, { of: 'user', any: [{ kind: 'subject', value: 'Eve' }, { kind: 'subject', value: 'eve' }] }],
    ['several names of one user', { issuer: ISSUER, subject: 'eve', email: 'e@x.test' }, { of: 'user', any: [{ kind: 'subject', value: `${ISSUER}|eve` }, { kind: 'alias', value: alias('email', ISSUER, 'e@x.test') }] }],
    ['a session of ours', { session: `ses_${'a'.repeat(26)}` }, { of: 'session', any: [{ kind: 'session', value: `ses_${'a'.repeat(26)}` }] }],
    ['a session as its issuer calls it', { issuer: ISSUER, session: 'sid-1' }, { of: 'session', any: [{ kind: 'alias', value: alias('sid', ISSUER, 'sid-1') }] }],
    ['a token', { issuer: ISSUER, credential: 'jti-1' }, { of: 'credential', any: [{ kind: 'credential', value: sha256(JSON.stringify([ISSUER, 'jti', 'jti-1'])) }] }],
    ['a tenant', { tenant: 't1' }, { of: 'tenant', any: [{ kind: 'tenant', value: 't1' }] }],
    ['a group', { issuer: ISSUER, group: 'ops' }, { of: 'group', any: [{ kind: 'alias', value: alias('group', ISSUER, 'ops') }] }],
  ])('[OUT2, OUT9] is %s', (_, names, member) => {
    expect(named(names)).toEqual({ is: 'subject', subject: [member] })
  })

  test('[OUT2] is everything that is named, by respect', () => {
    const { subject } = { subject: [], ...named({ issuer: ISSUER, subject: 'eve', device: 'd1', application: 'cli' }) }
    expect(subject.map(({ of }: { readonly of: string }) => of)).toEqual(['user', 'device', 'application'])
  })

  test.each<readonly [string, Partial<Names>, string]>([
    ['nobody', {}, 'nobody'], ['only an issuer', { issuer: ISSUER }, 'nobody'], ['an address of nobody', { email: 'e@x.test' }, 'email'], ['a token of nobody', { credential: 'x' }, 'credential'],
    ['a session of nobody', { session: 'sid-1' }, 'session'], ['an empty name', { subject: '' }, 'subject'], ['a name that nobody can have', { subject: ' eve' }, 'subject'], ['a name without end', { tenant: 'x'.repeat(513) }, 'tenant'],
    ['half of a character', { device: '\ud800' }, 'device'], ['an empty issuer', { issuer: '', subject: 'eve' }, 'issuer'],
  ])('[OUT9] %s is refused', (_, names, of) => {
    expect(named(names)).toEqual({ is: 'fault', of })
  })
})
