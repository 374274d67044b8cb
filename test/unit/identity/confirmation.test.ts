import { beforeAll, describe, expect, test } from 'vitest'
import type { Possession } from '../../../src/config/settings.ts'
import { bindingOf } from '../../../src/identity/confirmation.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { HandClock, jwtProvider, NOON, proven, refused } from './fixtures.ts'

const JKT = sha256('a key')
const X5T = sha256('a certificate')
const SET = ['off', 'optional', 'required'] as const
const EVERY: readonly Possession[] = SET.flatMap(dpop => SET.map(mtls => ({ dpop, mtls })))
const told = (cnf: unknown, possession: Possession): unknown => {
  const read = bindingOf(cnf, possession)
  return read.is === 'fault' ? read.fault : read.binding
}

describe('what `cnf` asks for', () => {
  test.each(EVERY)('[SES10, BND3] %o: each form is bound, unbound or refused', possession => {
    const { dpop, mtls } = possession
    const needed = dpop === 'required' || mtls === 'required'
    expect(told(null, possession)).toBe(needed ? 'proof_missing' : null)
    expect(told({ jkt: JKT }, possession)).toEqual(dpop === 'off' || (mtls === 'required' && dpop !== 'required') ? 'proof_missing' : { is: 'dpop', thumbprint: JKT })
    expect(told({ 'x5t#S256': X5T }, possession)).toEqual(mtls === 'off' || dpop === 'required' ? 'proof_missing' : { is: 'certificate', thumbprint: X5T })
  })

  test.each(EVERY)('[SES10, BND3] %o: another method, none or two are never taken for a bearer token', possession => {
    for (const cnf of [{}, { jwk: {} }, { kid: 'k' }, { jku: 'https://x' }, { jkt: JKT, 'x5t#S256': X5T }, { jkt: JKT, kid: 'k' }, { JKT }, { 'x5t#s256': X5T }, { x5t: X5T }, JSON.parse(`{"__proto__":"${JKT}"}`), { constructor: JKT }]) {
      expect(told(cnf, possession)).toBe('proof_missing')
    }
    for (const cnf of ['x', 7, true, [], [{ jkt: JKT }]]) expect(told(cnf, possession)).toMatch(/proof_missing|claim_malformed/)
  })

  test('[SES10, BND3] a thumbprint has one spelling', () => {
    const both: Possession = { dpop: 'optional', mtls: 'optional' }
    const hex = Buffer.from(X5T, 'base64url').toString('hex')
    const spare = JKT.slice(0, -1) + String.fromCharCode(JKT.charCodeAt(42) + 1)
    for (const bad of ['', JKT.slice(1), `${JKT}=`, `${JKT}A`, hex, spare, '+'.repeat(43), 7, null, [JKT], {}]) {
      expect(told({ jkt: bad }, both)).toBe('claim_malformed')
      expect(told({ 'x5t#S256': bad }, both)).toBe('claim_malformed')
    }
  })
})

describe('a token with `cnf`', () => {
  let issuer: TokenIssuer
  beforeAll(async () => {
    issuer = await TokenIssuer.create()
  })
  const sign = (cnf: unknown): Promise<string> => issuer.sign({ cnf }, { now: NOON })

  test('[TOK-023, TOK-028, SES10] is no bearer token where nothing was said of it', async () => {
    for (const cnf of [{ jkt: JKT }, { 'x5t#S256': X5T }]) expect((await refused(jwtProvider(issuer, new HandClock()), await sign(cnf))).detail).toBe('proof_missing')
  })

  test('[SES10, BND3] says which key must be shown, and is the session’s by that key', async () => {
    const one = jwtProvider(issuer, new HandClock(), { possession: { dpop: 'optional', mtls: 'optional' } })
    const bound = await proven(one, await sign({ jkt: JKT }))
    expect([bound.binding, bound.evidence.keyThumbprint]).toEqual([{ is: 'dpop', thumbprint: JKT }, JKT])
    expect((await proven(one, await sign({ 'x5t#S256': X5T }))).binding).toEqual({ is: 'certificate', thumbprint: X5T })
    const free = await proven(one, await sign(undefined))
    expect([free.binding, free.evidence.keyThumbprint]).toEqual([null, null])
  })
})
