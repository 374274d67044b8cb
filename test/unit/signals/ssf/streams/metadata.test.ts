// What a transmitter says of itself: where it is found, what is believed of it, and for how long.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HttpClient } from '../../../../../src/runtime/http-client.ts'
import { metadataIn, MetadataFault, MetadataSource, metadataUrls, safeUrl } from '../../../../../src/signals/ssf/streams/metadata.ts'
import { SsfTransmitter } from '../../../../support/ssf-transmitter.ts'
import { SetClock } from '../../../sessions/world.ts'

const ISSUER = 'https://idp.example/tenant/'
let transmitter: SsfTransmitter
let http: HttpClient
let clock: SetClock
beforeEach(async () => {
  transmitter = await SsfTransmitter.start({ path: '/tenant/' })
  http = new HttpClient()
  clock = new SetClock()
})
afterEach(async () => {
  await http.close()
  await transmitter.close()
})

const source = (): MetadataSource => new MetadataSource(transmitter.issuer, null, { http, clock })
const asked = (): number => transmitter.askedFor('/.well-known/ssf').length

test('[SSF4] it lies between host and path of the issuer, without its last slash', () => {
  expect(metadataUrls(ISSUER).map(String)).toEqual(['https://idp.example/.well-known/ssf-configuration/tenant', 'https://idp.example/.well-known/risc-configuration/tenant'])
  expect(metadataUrls('https://idp.example').map(String)).toEqual(['https://idp.example/.well-known/ssf-configuration', 'https://idp.example/.well-known/risc-configuration'])
})

test('[SSF4] it is read once for everybody, and again after an hour', async () => {
  const one = source()
  const [first, second] = await Promise.all([one.get(), one.get()])
  expect([first === second, first.issuer, first.version, first.jwksUri?.href, first.wantsSubjects]).toEqual([true, transmitter.issuer, '1_0', `${transmitter.origin}/keys`, false])
  clock.pass(3_599_000)
  await one.get()
  expect(asked()).toBe(1)
  clock.pass(1_000)
  await one.get()
  expect(asked()).toBe(2)
})

test('[SSF4] what was read counts on while it does not answer, and no longer when it speaks for another', async () => {
  const one = source()
  await one.get()
  transmitter.conduct.down = 503
  clock.pass(3_600_000)
  expect((await one.get()).issuer).toBe(transmitter.issuer)
  transmitter.conduct.down = 0
  transmitter.conduct.claimedIssuer = 'https://other.example'
  clock.pass(5_000)
  await expect(one.get()).rejects.toThrow(MetadataFault)
  await expect(one.get()).rejects.toThrow(MetadataFault)
  expect(asked()).toBe(3)
})

test('[SSF4] where it was before it was a standard is looked at second', async () => {
  transmitter.conduct.legacy = true
  expect((await source().get()).issuer).toBe(transmitter.issuer)
})

test('[SSF4] each place it names may be missing, and none may be less safe than https', () => {
  const bare = metadataIn({ issuer: ISSUER }, ISSUER)
  expect(bare).toEqual({ issuer: ISSUER, version: '1_0-ID1', jwksUri: null, configuration: null, status: null, addSubject: null, verification: null, critical: [], wantsSubjects: true })
  for (const name of ['jwks_uri', 'configuration_endpoint', 'status_endpoint', 'add_subject_endpoint', 'verification_endpoint']) {
    for (const bad of ['http://idp.example/x', 'ftp://idp.example', 'https://user:secret@idp.example', 7, '']) expect(() => metadataIn({ issuer: ISSUER, [name]: bad }, ISSUER), `${name} ${bad}`).toThrow(MetadataFault)
  }
  expect([safeUrl('http://127.0.0.1:1/x')?.href, safeUrl('http://[::1]/')?.href, safeUrl('http://10.0.0.1/')]).toEqual(['http://127.0.0.1:1/x', 'http://[::1]/', null])
})

test.each([[[]], ['text'], [null], [{}], [{ issuer: 'https://idp.example/tenant' }], [{ issuer: ISSUER, critical_subject_members: 'user' }], [{ issuer: ISSUER, critical_subject_members: [1] }]])('[SSF4] %j is no metadata of it', value => {
  expect(() => metadataIn(value, ISSUER)).toThrow(MetadataFault)
})

test('[SSF4] critical members are told as they are named', () => {
  expect(metadataIn({ issuer: ISSUER, critical_subject_members: ['tenant', 'user'], default_subjects: 'ALL' }, ISSUER)).toMatchObject({ critical: ['tenant', 'user'], wantsSubjects: false })
})
