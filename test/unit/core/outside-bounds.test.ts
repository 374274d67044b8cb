// Of whom a source may speak: whoever stands outside of that is not meant, however well it is named.
import { expect, test } from 'vitest'
import { isMeant, type Subject } from '../../../src/core/outside.ts'
import type { Session } from '../../../src/core/session.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import { life } from './lives.ts'

const session = life()
const { issuer } = session.principal
const device: Subject = [{ of: 'device', any: [{ kind: 'device', value: 'd-1' }] }]
const ofIssuer = (value: string): Subject => [...device, { of: 'issuer', any: [{ kind: 'issuer', value }] }]
const ofTenant = (value: string): Subject => [...device, { of: 'ownTenant', any: [{ kind: 'tenant', value }] }]
const on = (tenant: string, own: string | null = 'd-1'): Session => ({ ...session, principal: { ...session.principal, tenant }, bindings: { ...NOT_BOUND, device: own } })

test('[OUT2, SSF3] a device is a name of anybody: only sessions of the issuers and the tenants of whoever speaks are meant', () => {
  expect([isMeant(on('acme'), ofIssuer(issuer)), isMeant(on('acme'), ofIssuer('https://other.test'))]).toEqual([true, false])
  expect([isMeant(on('acme'), ofTenant('acme')), isMeant(on('acme'), ofTenant('beta'))]).toEqual([true, false])
})

test('[OUT2, SSF3] a session without a tenant is in none of those that somebody may speak of', () => {
  expect(isMeant(on(''), ofTenant('acme'))).toBe(false)
})

test('[OUT2, SSF3] being within bounds names nobody: a session without a device is not meant by one', () => {
  expect([isMeant(on('acme', null), ofTenant('acme')), isMeant(on('acme', null), ofIssuer(issuer))]).toEqual([false, false])
})
