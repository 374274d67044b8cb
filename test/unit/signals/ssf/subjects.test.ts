// Whom subjects of every format mean, what is not understood, and of whom a transmitter may not speak.
import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { SUBJECT_FORMATS } from '../../../../src/config/schema/signals.ts'
import { aliasing } from '../../../../src/identity/aliases.ts'
import { identify } from '../../../../src/identity/signed-token.ts'
import { subjectOf, type SubjectRules } from '../../../../src/signals/ssf/subjects.ts'

const IDP = 'https://idp.example'
const alias = aliasing(createHmac('sha256', 'key').update('').digest())
const RULES: SubjectRules = { issuers: [IDP], tenants: [], formats: SUBJECT_FORMATS, opaque: 'session' }
const SESSION = `ses_${'a'.repeat(26)}`

const read = (subject: { readonly [name: string]: unknown }, rules: Partial<SubjectRules> = {}, folds = false) => subjectOf(subject, { ...RULES, ...rules }, { alias, folds: () => folds })
const any = (kind: string, ...values: readonly string[]) => values.map(value => ({ kind, value }))
const user = (...subjects: readonly string[]) => ({ of: 'user', any: any('subject', ...subjects) })
const bound = { of: 'issuer', any: any('issuer', IDP) }
const aliased = (of: string, kind: Parameters<typeof alias>[0], ...values: readonly string[]) => ({ of, any: any('alias', ...values.map(value => alias(kind, IDP, value))) })
const means = (...subject: readonly unknown[]) => ({ is: 'subject', subject, unread: [] })

describe('simple subjects', () => {
  test.each([
    ['iss_sub', { iss: IDP, sub: 'ann' }, means(user(`${IDP}|ann`))],
    ['email', { email: 'ann@acme.test' }, means(aliased('user', 'email', 'ann@acme.test'))],
    ['phone_number', { phone_number: '+1555' }, means(aliased('user', 'phone', '+1555'))],
    ['phone_number', { phone: '+1555' }, means(aliased('user', 'phone', '+1555'))],
    ['did', { url: 'did:example:1' }, means(aliased('user', 'did', 'did:example:1'))],
    ['account', { uri: 'acct:ann@acme.test' }, means(aliased('user', 'account', 'acct:ann@acme.test', 'ann@acme.test'))],
    ['uri', { uri: 'https://acme.test/ann' }, means(aliased('user', 'uri', 'https://acme.test/ann'))],
    ['uri', { uri: 'spiffe://acme.test/build' }, means({ of: 'workload', any: any('workload', 'spiffe://acme.test/build') }, bound)],
    ['opaque', { id: 's-1' }, means(aliased('session', 'sid', 's-1'), bound)],
    ['aliases', { identifiers: [{ format: 'email', email: 'a@b.test' }, { format: 'iss_sub', iss: IDP, sub: 'ann' }] }, means({ of: 'user', any: [...aliased('user', 'email', 'a@b.test').any, ...user(`${IDP}|ann`).any] })],
  ])('[OUT2, SSF3] %s %j names somebody', (format, subject, meant) => {
    expect(read({ format, ...subject })).toEqual(meant)
  })

  test('[OUT2] a token is known by its issuer and id, as it is where it was shown', () => {
    expect(read({ format: 'jwt_id', iss: IDP, jti: 'j-1' })).toEqual(means({ of: 'credential', any: any('credential', identify('', IDP, 'j-1').credential) }))
  })

  test('[OUT2] an id alone is what its source is configured to mean by it', () => {
    expect(read({ format: 'opaque', id: 'x' }, { opaque: 'user' })).toEqual(means(user(`${IDP}|x`)))
    expect(read({ format: 'opaque', id: 'x' }, { opaque: 'device' })).toEqual(means({ of: 'device', any: any('device', 'x') }, bound))
    expect(read({ format: 'opaque', id: 'x' }, { opaque: 'tenant' })).toEqual(means({ of: 'tenant', any: any('tenant', 'x') }, bound))
    expect(read({ format: 'opaque', id: SESSION })).toEqual(means({ of: 'session', any: [...aliased('session', 'sid', SESSION).any, ...any('session', SESSION)] }, bound))
  })

  test('[OUT2] whose name nobody can have is nobody', () => {
    expect(read({ format: 'iss_sub', iss: IDP, sub: ' ann' })).toEqual(means(user()))
    expect(read({ format: 'iss_sub', iss: IDP, sub: 'x'.repeat(513) })).toEqual(means(user()))
  })

  test('[OUT2] letters of a subject are folded where its provider folds them, and nowhere else', () => {
    expect(read({ format: 'iss_sub', iss: IDP, sub: 'Ann' }, {}, true)).toEqual(means(user(`${IDP}|ann`)))
    expect(read({ format: 'iss_sub', iss: IDP, sub: 'Ann' })).toEqual(means(user(`${IDP}|Ann`)))
    expect(read({ format: 'opaque', id: 'Ann' }, { opaque: 'user' }, true)).toEqual(means(user(`${IDP}|ann`)))
  })

  test('[OUT2] without an issuer of its own it is meant under each issuer its source may speak of', () => {
    const issuers = [IDP, 'https://other.example']
    expect(read({ format: 'email', email: 'a@b.test' }, { issuers })).toEqual(means({ of: 'user', any: any('alias', ...issuers.map(issuer => alias('email', issuer, 'a@b.test'))) }))
    expect(read({ format: 'opaque', id: 'x' }, { issuers, opaque: 'user' })).toEqual(means(user(...issuers.map(issuer => `${issuer}|x`))))
  })

  test.each([
    [{ format: 'saml_assertion_id', issuer: IDP, assertion_id: 'a' }, 'saml_assertion_id'],
    [{ format: 'ip-addresses', 'ip-addresses': ['192.0.2.1'] }, 'ip-addresses'],
    [{ format: 'of next year', id: 'x' }, 'of next year'],
    [{ format: 'aliases', identifiers: [{ format: 'uri', uri: 'spiffe://acme.test/a' }, { format: 'iss_sub', iss: IDP, sub: 'ann' }] }, 'aliases'],
  ])('[SSF3] %j is not understood, and nothing is guessed', (subject, unread) => {
    expect(read(subject)).toEqual({ is: 'unread', unread: [unread] })
  })

  test.each([
    [{}], [{ format: 7 }], [{ format: 'iss_sub', iss: IDP }], [{ format: 'iss_sub', iss: IDP, sub: 7 }], [{ format: 'opaque', id: '' }], [{ format: 'opaque' }], [{ format: 'email', mail: 'x' }], [{ format: 'did' }], [{ format: 'uri' }], [{ format: 'account' }],
    [{ format: 'phone_number' }], [{ format: 'jwt_id', iss: IDP }], [{ format: 'aliases', identifiers: [] }], [{ format: 'aliases', identifiers: 'x' }], [{ format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [{ format: 'email', email: 'x' }] }] }],
    [{ format: 'aliases', identifiers: [{ format: 'email', email: 'x' }, 'y'] }], [{ format: 'aliases', identifiers: Array.from({ length: 17 }, () => ({ format: 'email', email: 'x' })) }], [{ format: 'opaque', id: '\ud800' }],
    [{ format: 'complex' }], [{ format: 'complex', user: 'ann' }], [{ format: 'complex', user: { format: 'complex', user: { format: 'email', email: 'x' } } }],
  ])('[SSF3] %j is not as its format defines it', subject => {
    expect(read(subject)).toEqual({ is: 'malformed' })
  })
})

describe('of whom a transmitter may speak', () => {
  test('[SSF3] of nobody of another issuer', () => {
    for (const subject of [{ format: 'iss_sub', iss: `${IDP}/`, sub: 'ann' }, { format: 'jwt_id', iss: 'https://other.example', jti: 'j' }]) expect(read(subject)).toEqual({ is: 'foreign' })
    expect(read({ format: 'complex', session: { format: 'opaque', id: 's' }, user: { format: 'iss_sub', iss: 'https://other.example', sub: 'ann' } })).toEqual({ is: 'foreign' })
    expect(read({ format: 'aliases', identifiers: [{ format: 'iss_sub', iss: 'https://other.example', sub: 'ann' }] })).toEqual({ is: 'foreign' })
  })

  test('[SSF3] of somebody by his name elsewhere where he is named here as well', () => {
    expect(read({ format: 'aliases', identifiers: [{ format: 'iss_sub', iss: 'https://other.example', sub: 'a' }, { format: 'iss_sub', iss: IDP, sub: 'ann' }] })).toEqual(means(user(`${IDP}|ann`)))
  })

  test('[SSF3] in no format that is not listed', () => {
    expect(read({ format: 'email', email: 'x' }, { formats: ['iss_sub'] })).toEqual({ is: 'foreign' })
    expect(read({ format: 'complex', user: { format: 'iss_sub', iss: IDP, sub: 'ann' } }, { formats: ['iss_sub'] })).toEqual({ is: 'foreign' })
    expect(read({ format: 'complex', user: { format: 'email', email: 'x' } }, { formats: ['complex', 'iss_sub'] })).toEqual({ is: 'foreign' })
  })

  test('[SSF3] of these tenants only: others are foreign, and nobody of others is meant', () => {
    const own = { of: 'ownTenant', any: any('tenant', 'acme', 'beta') }
    const rules = { tenants: ['acme', 'beta'] }
    expect(read({ format: 'iss_sub', iss: IDP, sub: 'ann' }, rules)).toEqual(means(user(`${IDP}|ann`), own))
    expect(read({ format: 'opaque', id: 'd' }, { ...rules, opaque: 'device' })).toEqual(means({ of: 'device', any: any('device', 'd') }, bound, own))
    expect(read({ format: 'opaque', id: 'acme' }, { ...rules, opaque: 'tenant' })).toEqual(means({ of: 'tenant', any: any('tenant', 'acme') }, bound, own))
    expect(read({ format: 'opaque', id: 'gamma' }, { ...rules, opaque: 'tenant' })).toEqual({ is: 'foreign' })
    expect(read({ format: 'complex', user: { format: 'iss_sub', iss: IDP, sub: 'ann' }, tenant: { format: 'opaque', id: 'gamma' } }, rules)).toEqual({ is: 'foreign' })
  })
})

describe('complex subjects', () => {
  const id = (text: string) => ({ format: 'opaque', id: text })

  test('[OUT2, SSF3] each member names by what it is called', () => {
    const subject = { format: 'complex', user: id('ann'), session: id('s-1'), device: id('d-1'), tenant: id('acme'), application: id('app-1'), group: id('g'), org_unit: id('u') }
    expect(read(subject)).toEqual(means(
      user(`${IDP}|ann`), aliased('session', 'sid', 's-1'), { of: 'device', any: any('device', 'd-1') }, { of: 'tenant', any: any('tenant', 'acme') },
      { of: 'application', any: any('alias', 'application:app-1') }, aliased('group', 'group', 'g'), aliased('orgUnit', 'orgUnit', 'u'),
    ))
  })

  test('[SSF3] a session may be named by its token, a device and an application as subjects of their issuer', () => {
    const own = (sub: string) => ({ format: 'iss_sub', iss: IDP, sub })
    expect(read({ format: 'complex', session: { format: 'jwt_id', iss: IDP, jti: 'j-1' } })).toMatchObject(means({ of: 'credential' }))
    expect(read({ format: 'complex', session: own('s-1'), device: own('d-1'), application: own('app-1') })).toEqual(means(aliased('session', 'sid', 's-1'), { of: 'device', any: any('device', 'd-1') }, { of: 'application', any: any('alias', 'application:app-1') }, bound))
    expect(read({ format: 'complex', application: { format: 'uri', uri: 'https://app.test' }, user: id('ann') })).toMatchObject({ subject: [{ any: [{ value: 'application:https://app.test' }] }, {}] })
  })

  test('[SSF3] what is not understood is passed over where somebody is named by himself, and said', () => {
    expect(read({ format: 'complex', user: id('ann'), orbit: id('low') })).toEqual({ is: 'subject', subject: [user(`${IDP}|ann`)], unread: ['orbit'] })
    expect(read({ format: 'complex', device: id('d-1'), group: { format: 'email', email: 'x' } })).toEqual({ is: 'subject', subject: [{ of: 'device', any: any('device', 'd-1') }, bound], unread: ['group'] })
  })

  test('[SSF3] where it would widen whom it means, nobody is meant', () => {
    expect(read({ format: 'complex', tenant: id('acme'), orbit: id('low') })).toEqual({ is: 'unread', unread: ['orbit'] })
    expect(read({ format: 'complex', user: { format: 'saml_assertion_id', issuer: IDP, assertion_id: 'a' }, tenant: id('acme') })).toEqual({ is: 'unread', unread: ['user'] })
    expect(read({ format: 'complex', user: { format: 'jwt_id', iss: IDP, jti: 'j' }, tenant: id('acme') })).toEqual({ is: 'unread', unread: ['user'] })
    expect(read({ format: 'complex', tenant: { format: 'iss_sub', iss: IDP, sub: 'acme' } })).toEqual({ is: 'unread', unread: ['tenant'] })
  })

  test('[SSF3] by an application alone nobody is found', () => {
    expect(read({ format: 'complex', application: id('app-1') })).toEqual({ is: 'unread', unread: ['application'] })
  })
})
