// Credentials of every kind in the place of every other, spelt a second time, and changed at one place at a time (`SEED=… RUNS=…` explores elsewhere),
// through a real gateway. What does not count is refused with a challenge and opens no session; what counts names the one it always named.
// SPEC: SES10, SES15, BND2, BND3, WIRE9
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { API_KEY, type Attack, bearer, CLAIMED, type ClaimedKind, claimsOf, INVALID, ISSUERS, type Lines, type Members, NONE, part, partsOf, PROOF, type Refusal, seconds, type Shown, SIGNED, type SignedKind, SVID, TokenWorld } from '../cases/token-cases.ts'
import { DpopKey, type ProofChanges } from '../support/possession.ts'
import type { Leaf } from '../support/tls.ts'
import { pause } from './support.ts'

const SEED = Number(process.env['SEED'] ?? 41)
const RUNS = Number(process.env['RUNS'] ?? 150)

let world: TokenWorld
let leaf: Leaf
beforeAll(async () => {
  world = await TokenWorld.start()
  leaf = await world.clients.issue({ subject: '/O=x/CN=admin' })
})
afterAll(() => world.stop())
beforeEach(() => {
  world.introspection.otherwise = '{"active":false}'
})

const KINDS = [...CLAIMED, 'apiKey', 'mtls'] as const
type Kind = (typeof KINDS)[number]
/** Without a host: where all are taken. */
function shownOf(kind: Kind): Shown {
  if (kind === 'mtls') return { leaf, lines: [] }
  return { lines: kind === 'apiKey' ? [`X-Api-Key: ${API_KEY}`] : bearer(world.token(kind)) }
}

describe('a credential of each kind in the place of each other', () => {
  /** All of one issuer, signed with one key: only the kind tells them apart. */
  const texts: { readonly [K in Exclude<Kind, 'mtls'>]: () => string } = {
    jwt: () => world.signed('jwt'),
    kubernetes: () => world.signers.jwt.compact(JSON.stringify({ alg: 'ES256', kid: 'login-1' }), JSON.stringify(claimsOf('kubernetes', { iss: ISSUERS.jwt }))),
    jwtSvid: () => world.signers.jwt.compact(JSON.stringify({ alg: 'ES256', kid: 'login-1' }), JSON.stringify(claimsOf('jwtSvid', { iss: ISSUERS.jwt }))),
    introspection: () => world.token('introspection'),
    apiKey: () => API_KEY,
  }
  const TEXTS = ['jwt', 'kubernetes', 'jwtSvid', 'introspection', 'apiKey'] as const
  const inPlace = (host: string, text: string): Shown => ({ host: `${host.toLowerCase()}.test`, lines: host === 'apiKey' ? [`X-Api-Key: ${text}`] : bearer(text) })

  test.each(TEXTS)('[SES15, WIRE9] where only %s counts, no other does, with one issuer and one key for all', async kind => {
    await world.passes(inPlace(kind, texts[kind]()))
    const { asked } = world.introspection
    await world.refuses(TEXTS.filter(other => other !== kind).map((other): Attack => [`${other} for ${kind}`, inPlace(kind, texts[other]())]))
    expect(world.introspection.asked - asked).toBe(kind === 'introspection' ? 1 : 0) // the key, which is no JWT
    await world.refuses([[`a certificate for ${kind}`, { host: `${kind.toLowerCase()}.test`, leaf, lines: [] }, NONE]])
  })

  test('[SES15, WIRE9] where only certificates count nothing else does, and beside a credential that is refused none counts', async () => {
    await world.passes({ host: 'mtls.test', leaf, lines: [] })
    await world.refuses(TEXTS.flatMap((kind): readonly Attack[] => [[kind, { host: 'mtls.test', lines: bearer(texts[kind]()) }, NONE], [kind, { host: 'mtls.test', lines: [`X-Api-Key: ${texts[kind]()}`] }, NONE]]))
    await world.refuses(['x', `${world.signed('jwt').slice(0, -9)}AAAAAAAAA`].flatMap((text): readonly Attack[] => [['beside a bad token', { leaf, lines: bearer(text) }], ['beside a bad key', { leaf, lines: [`X-Api-Key: ${text}`] }], ['two credentials', { lines: [...bearer(world.token('jwt')), `X-Api-Key: ${API_KEY}`] }]]))
  })

  const TYPES: { readonly [K in SignedKind]: readonly unknown[] } = { jwt: ['JWT', 'jwt', 'JOSE', undefined], kubernetes: ['at+jwt', 'application/at+jwt', 'JOSE'], jwtSvid: ['at+jwt', 'application/at+jwt'] }
  test.each(SIGNED)('[SES10, SES15, WIRE9] %s: signed by its issuer as a token of another type', async kind => {
    await world.passes({ lines: bearer(world.token(kind)) })
    const types = [...TYPES[kind], 'dpop+jwt', 'secevent+jwt', 'logout+jwt', 'txntoken+jwt', 'wit+jwt', 'wpt+jwt', 'token-introspection+jwt', 'JOSE+JSON', 'at+jwt ', 'at jwt', 'application/application/at+jwt', 'text/at+jwt', '', 7, null, ['at+jwt'], {}]
    await world.refuses(types.map(typ => [`typ ${JSON.stringify(typ)}`, { lines: bearer(world.signed(kind, { typ })) }]))
  })
})

// ---- second spellings

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** The same bytes: the last character of 64 has four bits that say nothing. */
const padded = (token: string): readonly string[] => {
  const last = BASE64URL.indexOf(token.at(-1) ?? '')
  return Array.from({ length: 16 }, (_, i) => `${token.slice(0, -1)}${BASE64URL[(last & 48) + i] ?? ''}`).filter(text => text !== token)
}
const LINES: readonly ((text: string) => string)[] = [
  text => `authorization: Bearer ${text}`, text => `AUTHORIZATION:Bearer ${text}`, text => `Authorization: bearer ${text}`, text => `Authorization: BEARER ${text}`, text => `Authorization: bEaReR ${text}`, text => `Authorization: Bearer    ${text}`,
  text => `Authorization: Bearer ${text}  `, text => `Authorization: \t Bearer ${text} \t`,
]

describe('a second spelling', () => {
  test.each(CLAIMED.flatMap(kind => (['with a `jti`', 'without one'] as const).map(jti => [kind, jti] as const)))('[SES10, SES12, WIRE9] of %s %s is the same session, and is refused when that has ended', async (kind, jti) => {
    const token = world.token(kind, jti === 'without one' ? { jti: undefined } : {})
    const spellings: Shown[] = LINES.map(line => ({ lines: [line(token)] }))
    const session = await world.passes({ lines: bearer(token) }, ...spellings)
    const before = await world.traces()
    const others = kind === 'introspection' ? [] : padded(token).map((text): Shown => ({ lines: bearer(text), path: '/.narrowgate/session' }))
    for (const shown of others) expect(await world.ask(shown)).toMatchObject({ status: 200, session }) // the signature of ECDSA is 64 bytes, however they are spelt
    expect(await world.traces()).toEqual(before)
    expect((await world.gate.admin('POST', `/v1/sessions/${session}/terminate`)).status).toBe(200)
    for (const shown of [...spellings, ...others]) expect(await world.ask({ ...shown, path: '/x' }), shown.lines[0] ?? '').toMatchObject({ status: 401, reason: 'credential_revoked', challenges: [expect.stringMatching(INVALID.challenge)] })
    expect((await world.traces()).slice(1)).toEqual(before.slice(1))
  })

  test('[SES14, WIRE9] of a key is its own in the spaces around it alone', async () => {
    const lines = [`x-api-key: ${API_KEY}`, `X-API-KEY:${API_KEY}`, `X-Api-Key: \t${API_KEY}  `]
    await world.passes(...lines.map((line): Shown => ({ lines: [line] })))
    const others = [API_KEY.toLowerCase(), API_KEY.toUpperCase(), `${API_KEY}=`, API_KEY.slice(0, -1), API_KEY.replace('==', ''), API_KEY.replace('+', ' '), API_KEY.replace('/', '%2F'), API_KEY.replace('_', '/'), `"${API_KEY}"`, `${API_KEY},`, `${API_KEY},${API_KEY}`, `Bearer ${API_KEY}`, part(API_KEY)]
    await world.refuses(others.map((text): Attack => [text, { lines: [`X-Api-Key: ${text}`] }]))
  })

  test.each(CLAIMED)('[SES10, WIRE9] of %s that its bytes do not allow is none', async kind => {
    const token = world.token(kind)
    await world.passes({ lines: bearer(token) })
    const [header = '', payload = ''] = token.split('.')
    const texts = [`${token}=`, `${token}==`, `${token}.`, `"${token}"`, `<${token}>`, `${token};`, `${token},`, `${token}%20`, `%20${token}`, encodeURIComponent(`${token} `), ` ${token} x`, `\t${token}`, `${token.slice(0, 9)} ${token.slice(9)}`, part(token), `${token}A`, `${token}AA`, token.toLowerCase(), token.toUpperCase()]
    const inside = kind === 'introspection' ? [] : [...['=', '==', 'A'].map(more => token.replace('.', `${more}.`)), token.replace(`.${payload}.`, `.${payload}=.`), token.replaceAll('.', '%2E'), token.replace('.', '..'), `${part(` ${partsOf(token)[0]}`)}${token.slice(header.length)}`, `${header}.${part(`${partsOf(token)[1]} `)}.${token.split('.')[2] ?? ''}`]
    await world.refuses([...texts, ...inside].map((text): Attack => [text, { lines: bearer(text) }]))
  })

  test.each(KINDS.filter(kind => kind !== 'mtls'))('[SES1, WIRE9] of %s under another scheme, or in another header, is none', async kind => {
    const { lines: [line = ''] } = shownOf(kind)
    await world.passes({ lines: [line] })
    const text = line.slice(line.lastIndexOf(' ') + 1)
    const schemes = ['Basic', 'Digest', 'Negotiate', 'Token', 'Bearers', 'JWT', 'Bearer:', 'Bearer,', 'Bearer=', '"Bearer"', 'Mutual', 'HOBA']
    const none = [...schemes.map(scheme => `Authorization: ${scheme} ${text}`), `Authorization: ${text}`, `Authorization: Bearer\t${text}`, `Proxy-Authorization: Bearer ${text}`, `X-Authorization: Bearer ${text}`, `Cookie: access_token=${text}; token=${text}`, `X-Forwarded-Access-Token: ${text}`]
    const malformed = ['Authorization: Bearer', 'Authorization: Bearer ']
    await world.refuses([...none.map((shown): Attack => [shown, { lines: [shown] }, NONE]), ...malformed.map((shown): Attack => [shown, { lines: [shown] }])])
  })
})

// ---- generated mutations

/** Refused each time; with the seed, and what failed as small as it can be made. */
const each = async <T>(mutants: fc.Arbitrary<T>, judge: (mutant: T) => Promise<void>): Promise<void> =>
  fc.assert(fc.asyncProperty(mutants, judge), { seed: SEED, numRuns: RUNS, skipEqualValues: true, includeErrorInReport: true, interruptAfterTimeLimit: 45_000, markInterruptAsFailure: true })

const value = fc.oneof(
  fc.string({ maxLength: 12 }), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null), fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }), fc.dictionary(fc.string({ maxLength: 5 }), fc.integer(), { maxKeys: 3 }),
  fc.constantFrom<unknown>('narrowgate ', ['narrowgate', 'other'], 'ES256 ', 'none', 'at+jwt ', ISSUERS.jwt, ISSUERS.kubernetes, `${ISSUERS.jwt}/`, [ISSUERS.jwt], SVID, [SVID], `${SVID}/`, 'system:serviceaccount:prod:deploy', { sub: 7 }, { jkt: 'x' }, -1, 1e300, '', [], {}, [[]], [null]),
)

const names = (aud: unknown): readonly unknown[] => (Array.isArray(aud) ? aud : [aud])
const isText = (given: unknown): boolean => typeof given === 'string' && given !== ''
const isNumber = (given: unknown): boolean => typeof given === 'number'
/** What a claim may say and still be right: such a value is no mutation. Others are refused. */
type Right = (given: unknown) => boolean
const absent: Right = given => given === null
const never: Right = () => false
const anyText: Right = given => isText(given) || absent(given)
const SHARED: { readonly [claim: string]: Right } = {
  aud: given => names(given).includes('narrowgate'), exp: isNumber, iat: given => isNumber(given) || absent(given), nbf: given => isNumber(given) || absent(given), jti: anyText,
  act: given => absent(given) || (typeof given === 'object' && given !== null && 'sub' in given && isText(given.sub)), cnf: absent,
}
const RIGHT: { readonly [K in ClaimedKind]: { readonly [claim: string]: Right } } = {
  jwt: { ...SHARED, iss: given => given === ISSUERS.jwt, sub: isText, client_id: anyText },
  kubernetes: { ...SHARED, aud: never, iss: given => given === ISSUERS.kubernetes, sub: given => given === 'system:serviceaccount:prod:deploy', 'kubernetes.io': never },
  jwtSvid: { ...SHARED, iss: never, sub: given => given === SVID, client_id: anyText },
  introspection: { ...SHARED, iss: given => given === ISSUERS.introspection, sub: isText, client_id: never, active: given => given === true, token_type: absent, token_use: absent },
}
const TIMES_OFF = fc.constantFrom<readonly (readonly [string, () => unknown])[]>([['exp', () => seconds(-30)]], [['exp', () => 0]], [['nbf', () => seconds(30)]], [['iat', () => seconds(3_600)]], [['exp', () => undefined]])
const ANY_TIME: Refusal = { ...INVALID, reason: expect.stringMatching(/^credential_(?:invalid|expired)$/) }

describe('a good credential with one thing changed', () => {
  test.each(CLAIMED)('[SES10, SES15, WIRE9] %s: a claim of another value, said by its issuer', async kind => {
    const claims = Object.entries(RIGHT[kind])
    const wrong = fc.constantFrom(...claims).chain(([claim, right]) => value.filter(given => !right(given)).map((given): Members => ({ [claim]: given })))
    const times = TIMES_OFF.map(([[claim, given] = ['exp', () => 0]]): Members => ({ [claim]: given() }))
    await each(fc.oneof({ weight: 8, arbitrary: wrong }, { weight: 1, arbitrary: times }), changes => world.refuses([[JSON.stringify(changes), { lines: bearer(world.token(kind, changes)) }, ANY_TIME]]))
    await world.passes({ lines: bearer(world.token(kind)) })
  })

  const HEADER: { readonly [member: string]: (kind: SignedKind) => Right } = {
    alg: () => never, crit: () => never, kid: kind => given => given === world.signers[kind].kid,
    typ: kind => given => typeof given === 'string' && (kind === 'jwt' ? ['at+jwt'] : kind === 'kubernetes' ? ['jwt'] : ['jwt', 'jose']).includes(given.toLowerCase().replace(/^application\//, '')),
  }
  test.each(SIGNED)('[SES10, WIRE9] %s: a header member of another value, signed by its issuer', async kind => {
    const wrong = fc.constantFrom(...Object.entries(HEADER)).chain(([member, right]) => value.filter(given => !right(kind)(given)).map((given): Members => ({ [member]: given })))
    await each(wrong, changes => world.refuses([[JSON.stringify(changes), { lines: bearer(world.signed(kind, changes)) }]]))
    await world.passes({ lines: bearer(world.signed(kind, { x: 1, cty: 'x' })) }) // what says nothing of how it is read
  })

  test.each(SIGNED)('[SES10, WIRE9] %s: a member of header or claims of another value, and the signature of before', async kind => {
    const good = world.token(kind)
    const [header, payload, signature] = partsOf(good)
    const [head, claims] = [JSON.parse(header) as Members, JSON.parse(payload) as Members] // the test's own
    const changed = (of: Members): fc.Arbitrary<Members> => fc.tuple(fc.oneof(fc.constantFrom(...Object.keys(of)), fc.string({ maxLength: 6 })), fc.option(value, { nil: undefined })).map(([member, given]) => ({ ...of, [member]: given })).filter(given => JSON.stringify(given) !== JSON.stringify(of))
    await each(fc.oneof(changed(head).map(given => [JSON.stringify(given), payload] as const), changed(claims).map(given => [header, JSON.stringify(given)] as const)), ([one, two]) =>
      world.refuses([[`${one} ${two}`, { lines: bearer(`${part(one)}.${part(two)}.${signature}`) }, ANY_TIME]]))
    await world.passes({ lines: bearer(good) })
  })

  type Edit = { readonly at: number; readonly char: string; readonly how: 'put' | 'insert' | 'take' | 'swap' | 'cut' | 'double' }
  const edit: fc.Arbitrary<Edit> = fc.record({ at: fc.nat(), char: fc.constantFrom(...`${BASE64URL} \t.=+/,;:"%~{}`.split('')), how: fc.constantFrom('put', 'put', 'insert', 'take', 'swap', 'cut', 'double') })
  function edited(text: string, { at, char, how }: Edit): string {
    const i = at % text.length
    const [before, here, after] = [text.slice(0, i), text[i] ?? '', text.slice(i + 1)]
    const made: { readonly [H in Edit['how']]: string } = { put: `${before}${char}${after}`, insert: `${before}${char}${here}${after}`, take: `${before}${after}`, swap: `${before}${after.slice(0, 1)}${here}${after.slice(1)}`, cut: before, double: `${text}${before}` }
    return made[how]
  }
  /** Do they say the same: but for the spaces around it, the octets of what was signed, and the bytes of its signature? */
  function isSpelling(one: string, other: string): boolean {
    const [[a = '', b = '', c = ''], [d = '', e = '', f = '', ...more]] = [one.split('.'), other.split('.')]
    return other === one || (more.length === 0 && a === d && b === e && /^[\w-]+$/.test(f) && c !== '' && Buffer.from(c, 'base64url').equals(Buffer.from(f, 'base64url')))
  }

  test.each(KINDS.filter(kind => kind !== 'mtls'))('[SES10, SES14, SES15, WIRE9] %s: one character put, taken, moved or added', async kind => {
    const shown = shownOf(kind)
    const session = await world.passes(shown)
    const { lines: [line = ''] } = shown
    const from = line.lastIndexOf(' ') + 1
    await each(edit, async change => {
      const text = edited(line.slice(from), change).replace(/[ \t]+$/, '').replace(kind === 'apiKey' ? /^[ \t]+/ : /^ +/, '')
      const lines: Lines = [`${line.slice(0, from)}${text}`]
      if (isSpelling(line.slice(from), text)) expect(await world.passes({ lines })).toBe(session)
      else await world.refuses([[text, { lines }, text === '' && kind === 'apiKey' ? NONE : INVALID]])
    })
  })

  const EITHER_SCHEME: Refusal = { reason: 'credential_invalid', challenge: /^(?:Bearer|DPoP) realm="narrowgate", error="(?:invalid_token|invalid_dpop_proof)"/ }

  test('[BND3, WIRE9] the certificate that a token is bound to, beside the one that is shown', async () => {
    const thumbprint = createHash('sha256').update(leaf.der).digest('base64url')
    const shown = (cnf: unknown): Shown => ({ leaf, lines: bearer(world.signed('jwt', {}, { cnf })) })
    const binding = fc.oneof(
      fc.tuple(fc.constant('x5t#S256'), fc.oneof(value, edit.map(change => edited(thumbprint, change)).filter(text => text !== thumbprint))), fc.tuple(fc.constantFrom('jkt', 'jwk', 'kid', 'x5t', 'X5T#S256', 'x5t#s256', 'x5t#S512'), fc.constant(thumbprint)),
    ).map(([member, given]): unknown => ({ [member]: given }))
    await each(fc.oneof(binding, value.filter(given => given !== null)), cnf => world.refuses([[JSON.stringify(cnf), shown(cnf), EITHER_SCHEME]]))
    await world.passes(shown({ 'x5t#S256': thumbprint }))
  })

  test('[BND2, WIRE9] the proof of a key that a token is bound to', async () => {
    await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
    const [key, stranger] = [await DpopKey.make(), await DpopKey.make()]
    const token = world.signed('jwt', {}, { cnf: { jkt: key.thumbprint } })
    const proof = (changes: ProofChanges = {}, by = key): Promise<string> => by.proof('GET', 'http://all.test/x', token, changes)
    const shown = (text: string): Shown => ({ lines: [`Authorization: DPoP ${token}`, `DPoP: ${text}`] })
    const right: { readonly [claim: string]: Right } = { jti: isText, iat: never, htm: given => given === 'GET', htu: never, ath: never }
    const claims = fc.constantFrom(...Object.entries(right)).chain(([claim, is]) => value.filter(given => !is(given)).map(given => ({ claims: { [claim]: given } })))
    const header = fc.constantFrom('typ', 'jwk', 'crit').chain(member => value.map(given => ({ header: { [member]: given } })))
    const strangers = fc.constantFrom({ header: { jwk: stranger.publicJwk } }, { header: { jwk: key.privateJwk } }, { claims: { jti: undefined } }, { claims: { ath: undefined } }, { claims: { iat: seconds(-90) } }, { claims: { iat: seconds(90) } })
    const mutant = fc.oneof({ weight: 3, arbitrary: fc.oneof(claims, header, strangers) }, { weight: 2, arbitrary: edit })
    await each(mutant, async change => {
      const good = await proof()
      const text = 'how' in change ? edited(good, change).trim() : await proof(change).catch(() => '') // what no library signs is no proof
      await world.refuses([[text, shown(isSpelling(good, text) ? `${good}.` : text), PROOF]])
    })
    await world.refuses([['of another key', shown(await proof({}, stranger)), PROOF]])
    expect((await world.ask(shown(await proof()))).status).toBe(200)
  })
})

test('[SES10, BND2, WIRE9] tokens, keys and proofs of 64 KiB: 401 before anything is decoded', async () => {
  const long = 'a'.repeat(64 * 1024)
  const token = world.token('jwt')
  const texts = [long, `${token}${long}`, token.replace('.', `${long}.`), world.signed('jwt', {}, { x: long }), world.signed('jwt', { x: long }), world.signed('kubernetes', {}, { x: long }), world.signed('jwtSvid', {}, { x: long }), `${long}.${long.slice(0, 9)}.`, '.'.repeat(long.length), JSON.stringify({ payload: long })]
  const { asked } = world.introspection
  await world.refuses(texts.flatMap((text): readonly Attack[] => [[text.slice(0, 40), { lines: bearer(text) }], [text.slice(0, 40), { lines: [`X-Api-Key: ${text}`] }]]))
  expect(world.introspection.asked).toBe(asked)
  const bound = world.signed('jwt', {}, { cnf: { jkt: part(Buffer.alloc(32, 7)) } })
  await world.refuses([long, `${token}${long}`, `${long}.${long.slice(0, 99)}.x`].map((proof): Attack => ['a proof', { lines: [`Authorization: DPoP ${bound}`, `DPoP: ${proof}`] }, PROOF]))
  await world.passes({ lines: bearer(token) })
})
