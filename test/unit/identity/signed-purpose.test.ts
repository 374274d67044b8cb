// Signed purposes: what is read of a JWS, whose it is, in which line it stands, and what counts for nothing. Real keys, a real key file.
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PurposeSource } from '../../../src/core/policy.ts'
import { NO_PURPOSES, type PurposeKind } from '../../../src/core/purpose.ts'
import type { SessionKey } from '../../../src/core/session.ts'
import { after, duration, type Instant, instant } from '../../../src/core/time.ts'
import type { Verified } from '../../../src/identity/credential.ts'
import { isSignedText, openSignedPurposes, type SignedPurposes } from '../../../src/identity/signed-purpose.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { policyOf } from '../core/world.ts'
import { NOON } from './fixtures.ts'

let directory: string
let orchestrator: TokenIssuer
let other: TokenIssuer
let turns: SignedPurposes
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-signed-'))
  ;[orchestrator, other] = await Promise.all([TokenIssuer.create(), TokenIssuer.create()])
  await orchestrator.writeJwks(join(directory, 'keys.json'))
  turns = await opened('turn')
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

type Options = { readonly claim?: string; readonly line?: string | null; readonly audience?: string | null; readonly file?: string }
async function opened(kind: PurposeKind, { claim = kind, line = null, audience = null, file = 'keys.json' }: Options = {}): Promise<SignedPurposes> {
  const source: PurposeSource = { kind, source: null, from: { is: 'signed', header: 'x-signed', claim, line } }
  const [signed] = await openSignedPurposes({ signedPurposes: new Map([[kind, { jwksFile: join(directory, file), audience, meta: null }]]), policy: { ...policyOf(), purposes: new Map([[kind, source]]) } })
  if (signed === undefined) throw new Error('it was not opened')
  return signed
}

type Claims = { readonly [name: string]: unknown }
/** Of turn 7 for agent-1, for a minute, unless told otherwise. */
const word = (claims: Claims = {}, header: Claims = {}, by = orchestrator): Promise<string> =>
  by.sign({ iss: undefined, aud: undefined, client_id: undefined, turn: 7, exp: NOON / 1000 + 60, ...claims }, { now: NOON, header: { typ: undefined, ...header } })
const reading = async (text: string, signed = turns, now: Instant = NOON): Promise<unknown> => signed.read(text, now)

const PRINCIPAL: Verified['principal'] = { kind: 'agent', issuer: 'https://login.example', tenant: 'acme', subject: 'agent-1', client: '', owner: null, actor: null }
const shower = (principal: Partial<Verified['principal']> = {}, claims: Claims = {}, key = 'key-1'): Verified => ({
  provider: 'login', principal: { ...PRINCIPAL, ...principal }, claims, key: key as SessionKey, aliases: [], binding: null, workload: null, knownUntil: null, opens: true, // a word of the test
  evidence: { provider: 'login', fingerprint: '', credential: 'c', issuer: PRINCIPAL.issuer, keyId: null, issuedAt: null, expiresAt: null, keyThumbprint: null, device: null, claimed: NO_PURPOSES },
})

/** Within what it stands for that caller; null where it does not count. */
async function lineOf(claims: Claims, who: Verified, signed = turns): Promise<string | null> {
  const text = await word(claims)
  const read = await signed.read(text, NOON)
  if (read.is !== 'signed') throw new Error(`it is ${JSON.stringify(read)}`)
  return signed.line(text, read, who)
}

describe('what is read', () => {
  test('[PUR5] the value, its place and its end; known at once behind that, and by nobody before', async () => {
    const text = await word()
    expect(turns.known(text, NOON)).toBeNull()
    expect(await reading(text)).toEqual({ is: 'signed', value: '7', at: 7, subject: 'agent-1', session: null, within: null, until: instant(NOON + 65_000) })
    expect(turns.known(text, NOON)).toMatchObject({ value: '7', at: 7 })
  })

  test.each<[string, Claims, object]>([
    ['a number', { turn: 12 }, { value: '12', at: 12 }],
    ['a number written out', { turn: '12' }, { value: '12', at: 12 }],
    ['a name with a place', { turn: 'seventh', seq: 7 }, { value: 'seventh', at: 7 }],
    ['a place that says more than the value', { turn: 3, seq: 9 }, { value: '3', at: 9 }],
    ['the first of all', { turn: 0 }, { value: '0', at: 0 }],
  ])('[PUR5] %s', async (_, claims, read) => expect(await reading(await word(claims))).toMatchObject(read))

  test.each<[string, Claims]>([
    ['no value', { turn: undefined }], ['an empty value', { turn: '' }], ['a value with a line break', { turn: 'a\nb', seq: 1 }], ['a list', { turn: ['7'] }], ['an object', { turn: { is: 7 } }], ['a fraction', { turn: 7.5 }],
    ['a negative number', { turn: -1 }], ['a name without a place', { turn: 'seventh' }], ['a place that is text', { turn: 'x', seq: '7' }], ['a negative place', { turn: 7, seq: -1 }], ['a place that is a fraction', { turn: 7, seq: 1.5 }],
    ['a place beyond what a number can count', { turn: 7, seq: 2 ** 53 }], ['a number with a leading zero', { turn: '07' }],
  ])('[PUR5] %s is malformed', async (_, claims) => expect(await reading(await word(claims))).toEqual({ is: 'malformed' }))

  test('[PUR5] a kind without an order needs no place', async () => {
    const tickets = await opened('ticket')
    expect(await reading(await word({ ticket: 'INC-42' }), tickets)).toMatchObject({ value: 'INC-42', at: null })
  })

  test('[PUR5] a member that stands twice is malformed', async () => {
    const text = await orchestrator.signText(`{"turn":7,"turn":8,"sub":"agent-1","exp":${NOON / 1000 + 60}}`, { typ: undefined })
    expect(await reading(text)).toEqual({ is: 'malformed' })
  })

  test('[PUR5] a second spelling of the same signature says the same thing in the same line', async () => {
    const text = await word()
    const end = text.at(-1) ?? ''
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const twin = text.slice(0, -1) + (alphabet[alphabet.indexOf(end) ^ 1] ?? '') // 64 bytes leave four bits over that no decoder looks at
    const [one, two] = [await turns.read(text, NOON), await turns.read(twin, NOON)]
    expect(twin).not.toBe(text)
    expect(two).toEqual(one)
    if (one.is === 'signed' && two.is === 'signed') expect(turns.line(twin, two, shower())).toBe(turns.line(text, one, shower()))
  })

  test.each([['three parts', 'a.b.c', true], ['four', 'a.b.c.d', false], ['padding', 'a.b.c=', false], ['a list', 'a.b.c, a.b.c', false], ['JSON', '{"payload":"x"}', false], ['too long', `a.${'b'.repeat(4_093)}.c`, false], ['nothing', '', false]])('[PUR5] the form: %s', (_, text, is) => expect(isSignedText(text)).toBe(is))
})

const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const CLAIMS = { turn: 7, sub: 'agent-1', exp: NOON / 1000 + 60 }
function byMac(secret: string): string {
  const input = `${segment({ alg: 'HS256', kid: 'key-1' })}.${segment(CLAIMS)}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}
const changed = (text: string): string => {
  const [head = '', , signature = ''] = text.split('.')
  return `${head}.${segment({ ...CLAIMS, turn: 9 })}.${signature}`
}

describe('what does not count', () => {
  test.each<[string, () => Promise<string> | string]>([
    ['`alg: none`', () => `${segment({ alg: 'none' })}.${segment(CLAIMS)}.`],
    ['a shared secret', () => byMac('secret')],
    ['the public key as a secret', () => byMac(JSON.stringify(orchestrator.jwks().keys[0]))],
    ['another key', () => word({}, {}, other)],
    ['another key under a new id', () => word({}, { kid: 'key-9' }, other)],
    ['a key that the header brings', () => word({}, { kid: undefined, jwk: other.jwks().keys[0] }, other)],
    ['other claims under an old signature', async () => changed(await word())],
    ['an access token of the same keys', () => word({}, { typ: 'at+jwt' })],
    ['a proof', () => word({}, { typ: 'dpop+jwt' })],
    ['a critical extension', () => word({}, { crit: ['b64'], b64: true })],
    ['no end', () => word({ exp: undefined })],
    ['an end that is text', () => word({ exp: '1900000000' })],
  ])('[PUR5] %s', async (_, text) => {
    const shown = await text()
    expect(await reading(shown)).toEqual({ is: 'fault', fault: 'purpose_unverified' })
    expect(turns.known(shown, NOON)).toBeNull()
  })

  test.each<[string, Claims]>([['expired', { exp: NOON / 1000 - 6 }], ['not yet valid', { nbf: NOON / 1000 + 6 }], ['issued in the future', { iat: NOON / 1000 + 6 }]])('[PUR5] %s', async (_, claims) =>
    expect(await reading(await word(claims))).toEqual({ is: 'fault', fault: 'purpose_untimely' }))

  test('[PUR5] what is known ends with its `exp`, to the millisecond of the tolerance, and is not known longer than five minutes', async () => {
    const [short, long] = [await word(), await word({ exp: NOON / 1000 + 3_600 })]
    await Promise.all([turns.read(short, NOON), turns.read(long, NOON)])
    const at = (ms: number): Instant => after(NOON, duration(ms))
    expect([turns.known(short, at(64_999)), turns.known(short, at(65_000)), turns.known(long, at(299_999)), turns.known(long, at(300_000))].map(known => known !== null)).toEqual([true, false, true, false])
    expect(await reading(short, turns, at(65_000))).toEqual({ is: 'fault', fault: 'purpose_untimely' })
    expect(await reading(long, turns, at(300_000))).toMatchObject({ value: '7' })
  })

  test('[PUR5] another audience, or none, where one is configured', async () => {
    const signed = await opened('turn', { audience: 'narrowgate' })
    for (const aud of ['other', undefined]) expect(await reading(await word({ aud }), signed)).toEqual({ is: 'fault', fault: 'purpose_unverified' })
    expect(await reading(await word({ aud: ['other', 'narrowgate'] }), signed)).toMatchObject({ value: '7' })
  })

  test('[PUR5] too many at once are not heard, and the next one is', async () => {
    const signed = await opened('turn')
    const texts = await Promise.all(Array.from({ length: 501 }, (_, i) => word({ jti: String(i) })))
    const read = await Promise.all(texts.map(text => signed.read(text, NOON)))
    expect(read.map(each => (each.is === 'fault' ? each.fault : each.is))).toEqual([...Array.from({ length: 500 }, () => 'signed'), 'purpose_unheard'])
    expect(await reading(await word(), signed)).toMatchObject({ is: 'signed' })
  })
})

describe('whose it is', () => {
  test.each<[string, Claims, Verified, boolean]>([
    ['its subject', {}, shower(), true],
    ['its subject with its issuer', { sub: 'https://login.example|agent-1' }, shower(), true],
    ['another subject', { sub: 'agent-2' }, shower(), false],
    ['another issuer', { sub: 'https://elsewhere.example|agent-1' }, shower(), false],
    ['a subject that is a number', { sub: 1 }, shower({ subject: '1' }), false],
    ['nobody', { sub: undefined }, shower(), false],
    ['its session', { sub: undefined, sid: 's-1' }, shower({}, { sid: 's-1' }), true],
    ['another session', { sub: undefined, sid: 's-2' }, shower({}, { sid: 's-1' }), false],
    ['its subject, another session', { sid: 's-2' }, shower({}, { sid: 's-1' }), false],
    ['its session, another subject', { sub: 'agent-2', sid: 's-1' }, shower({}, { sid: 's-1' }), false],
    ['a session, where the caller has none', { sub: undefined, sid: 's-1' }, shower(), false],
  ])('[PUR5] %s', async (_, claims, who, counts) => expect((await lineOf(claims, who)) !== null).toBe(counts))

  test.each<[string, Claims, Claims, boolean]>([
    ['the conversation of both', { sub: undefined, talk: 'c-1' }, { talk: 'c-1' }, true],
    ['the conversation of both, once as a number', { sub: undefined, talk: 5 }, { talk: '5' }, true],
    ['another conversation than the token says', { talk: 'c-2' }, { talk: 'c-1' }, false],
    ['a conversation that the token does not say, for nobody', { sub: undefined, talk: 'c-1' }, {}, false],
    ['a conversation that the token does not say, for its subject', { talk: 'c-1' }, {}, true],
    ['the conversation of the token alone', {}, { talk: 'c-1' }, true],
    ['no conversation', {}, {}, false],
  ])('[PUR5] with a line: %s', async (_, claims, own, counts) => {
    const signed = await opened('turn', { line: 'talk' })
    expect((await lineOf(claims, shower({}, own), signed)) !== null).toBe(counts)
  })

  test('[PUR6] two sessions, tenants, issuers, conversations and kinds have a line each; one conversation has one in all its sessions', async () => {
    const [turn, step] = [await opened('turn', { line: 'talk' }), await opened('step', { line: 'talk' })]
    const both = { step: 7, talk: 'c-1' }
    const lines = [
      await lineOf({}, shower()), await lineOf({}, shower({}, {}, 'key-2')),
      await lineOf(both, shower(), turn), await lineOf({ ...both, talk: 'c-2' }, shower(), turn), await lineOf(both, shower({ tenant: 'globex' }), turn), await lineOf(both, shower({ issuer: 'https://two.example' }), turn), await lineOf(both, shower(), step),
    ]
    expect(new Set(lines).size).toBe(lines.length)
    expect(lines).not.toContain(null)
    expect(await lineOf({ ...both, sub: 'agent-2' }, shower({ subject: 'agent-2' }, {}, 'key-2'), turn)).toBe(lines[2])
  })

  test('[PUR5] the same text, shown by one caller and then by another, is asked for each', async () => {
    const text = await word()
    const read = await turns.read(text, NOON)
    if (read.is !== 'signed') throw new Error('it is signed')
    expect([turns.line(text, read, shower()) !== null, turns.line(text, read, shower({ subject: 'agent-2' })), turns.line(text, read, shower()) !== null]).toEqual([true, null, true])
  })
})

test('[PUR5] a key file that is wrong is told with its purpose and its name', async () => {
  for (const [text, told] of [['{', 'is not JSON'], ['{"keys":[]}', 'is not a JSON Web Key Set'], ['{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', 'keys[0] is not a public key']] as const) {
    writeFileSync(join(directory, 'bad.json'), text)
    await expect(opened('turn', { file: 'bad.json' })).rejects.toThrow(`purposes.turn.signed: ${directory}/bad.json: ${told}`)
  }
  await expect(opened('turn', { file: 'none.json' })).rejects.toThrow(`${directory}/none.json: no such file`)
})
