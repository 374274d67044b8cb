// What is asked of those who give credentials, and what is read of their answers. SPEC: CRD4, CRD8
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ExchangeSettings, LeaseSettings } from '../../../../src/config/compile/credential.ts'
import { instant } from '../../../../src/core/time.ts'
import { leaseIn, revocationBody, valueAt } from '../../../../src/enforcement/brokered/lease.ts'
import { clientCredentialsRequest, errorIn, exchangeRequest, revocationRequest, tokenIn } from '../../../../src/enforcement/brokered/oauth.ts'

const NOW = instant(1_000_000)
const WANTED = { url: 'https://as/token', scope: null, audience: null, resource: null }
const BASIC = { id: 'gate way', secretFile: '/s', auth: 'basic' } as const
const EXCHANGE: ExchangeSettings = { is: 'exchange', ...WANTED, client: null, subject: 'caller', actor: 'context', requestedTokenType: null }
const LEASE: LeaseSettings = { is: 'lease', url: 'https://v', method: 'POST', body: null, tokenFile: '/t', header: 'x-vault-token', token: '/a/b~1c', lease: '/id', ttl: '/ttl' }
const params = (body: string): object => Object.fromEntries(new URLSearchParams(body))

describe('requests', () => {
  it('[CRD4] show the secret as configured, form-encoded (RFC 6749 §2.3.1), and what is asked for', () => {
    const { body, headers } = clientCredentialsRequest({ is: 'clientCredentials', ...WANTED, client: BASIC, scope: 'a b', audience: 'crm' }, 'p:w+1')
    expect(params(body)).toEqual({ grant_type: 'client_credentials', scope: 'a b', audience: 'crm' })
    expect(headers['authorization']).toBe(`Basic ${btoa('gate+way:p%3Aw%2B1')}`)
    const posted = clientCredentialsRequest({ is: 'clientCredentials', ...WANTED, client: { ...BASIC, auth: 'post' }, resource: 'https://crm' }, 'pw')
    expect(params(posted.body)).toEqual({ grant_type: 'client_credentials', resource: 'https://crm', client_id: 'gate way', client_secret: 'pw' })
    expect(posted.headers['authorization']).toBeUndefined()
    expect(params(revocationRequest('tok', { ...BASIC, auth: 'post' }, 'pw').body)).toEqual({ token: 'tok', token_type_hint: 'access_token', client_id: 'gate way', client_secret: 'pw' })
  })

  it('[CRD4] exchange what is there, with who acts, or are not made', () => {
    const asked = (settings: Partial<ExchangeSettings>, shown: { bearer: string | null; context: string | null }): object | null => {
      const sent = exchangeRequest({ ...EXCHANGE, ...settings }, '', shown)
      return sent === null ? null : params(sent.body)
    }
    const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange' }
    const [access, jwt] = ['urn:ietf:params:oauth:token-type:access_token', 'urn:ietf:params:oauth:token-type:jwt']
    expect(asked({}, { bearer: 'b', context: 'c' })).toEqual({ ...grant, subject_token: 'b', subject_token_type: access, actor_token: 'c', actor_token_type: jwt })
    expect(asked({ actor: 'none', requestedTokenType: jwt }, { bearer: 'b', context: null })).toEqual({ ...grant, subject_token: 'b', subject_token_type: access, requested_token_type: jwt })
    expect(asked({ subject: 'context', actor: 'none' }, { bearer: null, context: 'c' })).toEqual({ ...grant, subject_token: 'c', subject_token_type: jwt })
    expect([asked({}, { bearer: null, context: 'c' }), asked({}, { bearer: 'b', context: null }), asked({ subject: 'context' }, { bearer: 'b', context: null })]).toEqual([null, null, null])
  })

  it('[CRD8] name the lease wherever it stands in a text, and leave all else', () => {
    expect(JSON.parse(revocationBody('{"a":"{lease}","b":["x/{lease}",1,null],"{lease}":true}', 'id"$&'))).toEqual({ a: 'id"$&', b: ['x/id"$&', 1, null], '{lease}': true })
  })
})

describe('answers', () => {
  const read = (answer: object, wanted: string | null = null): unknown => tokenIn(JSON.stringify(answer), wanted, NOW)

  it('[CRD4] of a token endpoint give a token and its end', () => {
    expect(read({ access_token: 'abc', token_type: 'bearer', expires_in: 60, refresh_token: 'dropped' })).toEqual({ token: 'abc', expiresAt: NOW + 60_000, lease: null })
    expect(read({ access_token: 'abc', token_type: 'N_A', issued_token_type: 'x' }, 'x')).toEqual({ token: 'abc', expiresAt: null, lease: null })
  })

  it.each<readonly [object, string | null]>([
    [{}, null], [{ access_token: '' }, null], [{ access_token: 'a b' }, null], [{ access_token: 'é' }, null], [{ access_token: 7 }, null], [{ access_token: 'x'.repeat(8_193) }, null], [{ access_token: 'a', token_type: 'DPoP' }, null],
    [{ access_token: 'a', token_type: 7 }, null], [{ access_token: 'a', expires_in: -1 }, null], [{ access_token: 'a', expires_in: '60' }, null], [{ access_token: 'a', expires_in: 1e300 }, null], [{ access_token: 'a', issued_token_type: 'y' }, 'x'],
  ])('[CRD4] %j is none', (answer, wanted) => {
    expect(read(answer, wanted)).toEqual(expect.any(String))
  })

  it('[CRD4] whatever their text is, they throw nothing, and nothing of it is repeated', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), text => {
      const secret = `${text}`
      for (const told of [tokenIn(secret, null, NOW), leaseIn(secret, LEASE, NOW)]) if (typeof told === 'string' && secret.length > 8) expect(told).not.toContain(secret)
      expect([null, 'invalid_request', 'invalid_client', 'invalid_grant']).toContain(errorIn(secret))
    }))
    expect([errorIn('{"error":"invalid_grant"}'), errorIn('{"error":"my-secret"}'), errorIn('{"error":["invalid_grant"]}')]).toEqual(['invalid_grant', null, null])
  })

  it('[CRD4] of who gives leases are read where they are said to be', () => {
    const leased = (answer: object, settings: Partial<LeaseSettings> = {}): unknown => leaseIn(JSON.stringify(answer), { ...LEASE, ...settings }, NOW)
    expect(leased({ a: { 'b/c': 'tok' }, id: 'l/1', ttl: 30 })).toEqual({ token: 'tok', expiresAt: NOW + 30_000, lease: 'l/1' })
    expect(leased({ a: { 'b/c': 'tok' }, id: 'l/1' }, { ttl: null })).toEqual({ token: 'tok', expiresAt: null, lease: 'l/1' })
    for (const wrong of [{ id: 'l', ttl: 1 }, { a: { 'b/c': 'tok' }, ttl: 1 }, { a: { 'b/c': 'tok' }, id: 'l' }, { a: { 'b/c': 'tok' }, id: 'l\n', ttl: 1 }, { a: { 'b/c': 'tok' }, id: 'is tok', ttl: 1 }, { a: { 'b/c': 'tok' }, id: 'of-tok', ttl: 1 }, { a: 'b/c', id: 'l', ttl: 1 }]) expect(leased(wrong)).toEqual(expect.any(String))
  })

  it('[CRD4] hold nothing that is not their own', () => {
    expect([valueAt({}, '/constructor'), valueAt({ a: null }, '/a/b'), valueAt({ 'a~b': [5] }, '/a~0b/0')]).toEqual([undefined, undefined, 5])
  })
})
