// The cases of class token of test/cases/bypasses.json, each variant built with real signatures and sent as raw octets to a gateway that takes every kind of
// credential on one route; then issuers that are slow, gone or lying. 401 with the right challenge, counted, on record without the token; no session, nothing
// upstream. SPEC: SES10, SES13, SES15, SES16, WIRE9
import { createHash, createHmac } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Attack, bearer, CLAIMED, type ClaimedKind, claimsOf, INVALID, ISSUERS, type Members, NONSENSE, OVER, part, partsOf, type Refusal, seconds, SIBLING, SIGNED, Signer, TokenWorld } from '../cases/token-cases.ts'
import { freePort } from '../support/free-port.ts'
import { CLIENT_LEAF, type LeafWords } from '../support/tls.ts'
import { type Answerer, json, Service } from '../unit/identity/service.ts'

let world: TokenWorld
/** Keys and words about tokens, by path. */
let place: Service
const served = new Map<string, Answerer>()
const remote = new Signer('remote-1')
/** Calls its key what the right one is called. */
const liar = new Signer('remote-1')
let thief: Signer
/** Where the thief publishes keys. */
let lair: Service
const issuerOf = (name: string): string => `https://${name}.example`
async function further(): Promise<string> {
  const { origin } = new URL(place.url)
  const closed = `http://127.0.0.1:${await freePort()}`
  const keys = (name: string, uri = `${origin}/${name}`): string => `  x-keys-${name}: { jwt: { issuer: "${issuerOf(name)}", audience: narrowgate, jwksUri: "${uri}" } }`
  const words = (name: string, url = `${origin}/${name}`): string => `  x-words-${name}: { introspection: { url: "${url}", clientId: gate, clientSecretFile: SECRET, audience: narrowgate } }`
  const found = (name: string, issuer = `${origin}/${name}`): string => `  x-found-${name}: { jwt: { issuer: "${issuer}", audience: narrowgate } }`
  const names = [...NONSENSE.keys(), 'good']
  return [...[...names, 'thief', 'strange', 'private'].map(name => keys(name)), keys('down', `${closed}/keys`), ...names.map(name => words(name)), words('down', closed), ...[...names, 'other-issuer', 'other-keys', 'file'].map(name => found(name)), found('down', closed)].join('\n')
}

beforeAll(async () => {
  ;[place, lair] = await Promise.all([Service.start(), Service.start()])
  place.answer = (response, asked) => (served.get(asked.path) ?? json({}, 404))(response, asked)
  world = await TokenWorld.start(await further())
  thief = new Signer('thief-1')
  lair.answer = json({ keys: [thief.jwk] })
})
afterAll(async () => {
  await world.stop()
  await Promise.all([place.close(), lair.close()])
})
beforeEach(() => {
  world.introspection.otherwise = JSON.stringify(claimsOf('introspection')) // whoever let a refused JWT through to it would find it good
})
afterEach(() => expect(lair.asked).toEqual([]))

const presented = (what: string, token: string, refusal: Refusal = INVALID): Attack => [`${what}: ${token.slice(0, 120)}`, { lines: bearer(token) }, refusal]

/** The good token passes; nobody is asked about the others, but about those that are no JWT, of which an issuer knows nothing. */
async function refused(good: string, attacks: readonly Attack[], opaque: readonly Attack[] = []): Promise<void> {
  await world.passes({ lines: bearer(good) })
  const { asked } = world.introspection
  await world.refuses(attacks)
  expect(world.introspection.asked).toBe(asked)
  world.introspection.otherwise = '{"active":false}'
  await world.refuses(opaque)
}

/** Header and payload of a good token with another signature, or with another header before it. */
const resigned = (token: string, signature: Uint8Array | string): string => `${token.split('.').slice(0, 2).join('.')}.${typeof signature === 'string' ? signature : part(signature)}`
const spliced = (token: string, header: Members, signature = token.split('.')[2] ?? ''): string => `${part(JSON.stringify(header))}.${token.split('.')[1] ?? ''}.${signature}`
const headOf = (token: string): Members => JSON.parse(partsOf(token)[0]) as Members // the test's own

test.each(SIGNED)('[TOK-001, SES10, WIRE9] %s: no algorithm, however it is spelt, with and without a signature', async kind => {
  const good = world.token(kind)
  const attacks = ['none', 'None', 'NONE', 'nOnE', ' none', '', undefined, null, 0, ['ES256'], { ES256: 1 }].flatMap(alg =>
    ['', 'AAAA', undefined].flatMap(signature => [presented(`alg ${JSON.stringify(alg)}`, spliced(good, { ...headOf(good), alg }, signature))]))
  const { alg: _, ...bare } = headOf(good)
  const secrets = ['', 'secret', world.signers[kind].publicPem, JSON.stringify(world.signers[kind].jwk)]
  const confused = secrets.map(secret => {
    const input = spliced(good, { ...headOf(good), alg: 'HS256' }, '').slice(0, -1)
    return presented('a secret', `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`)
  })
  await refused(good, [...attacks, ...confused, presented('without alg', spliced(good, bare, ''))], [presented('two parts', good.split('.').slice(0, 2).join('.'))])
})

test.each(SIGNED)('[TOK-003, SES10, WIRE9] %s: a key that the token brings along, or says where to fetch', async kind => {
  const url = `${lair.url}/keys`
  const { kid } = world.signers[kind]
  const brought: readonly Members[] = [{ jwk: thief.jwk }, { jwk: { ...thief.jwk, kid } }, { jku: url }, { x5u: url }, { x5c: [part('certificate')] }, { jwk: thief.jwk, jku: url, x5u: url }, {}]
  await refused(world.token(kind), brought.flatMap(more => [kid, thief.kid, undefined, url].map(named => presented(`${JSON.stringify(more)} ${named}`, thief.compact(...world.texts(kind, { ...more, kid: named }))))))
})

/** The order of P-256. */
const ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const bytesOf = (number: bigint): Buffer => Buffer.from(number.toString(16).padStart(64, '0'), 'hex')

test.each(SIGNED)('[TOK-006, SES10, WIRE9] %s: signatures of zeros, out of range, in another form or too long', async kind => {
  const good = world.token(kind)
  const input = good.split('.').slice(0, 2).join('.')
  const signature = Buffer.from(good.split('.')[2] ?? '', 'base64url')
  const [r, s, zero, ones] = [signature.subarray(0, 32), signature.subarray(32), Buffer.alloc(32), Buffer.alloc(32, 0xff)]
  const one = bytesOf(1n)
  const next = bytesOf(numberOf(ORDER) + 1n)
  const pairs = [[zero, zero], [zero, s], [r, zero], [ORDER, s], [r, ORDER], [ORDER, ORDER], [zero, ORDER], [ORDER, zero], [next, s], [r, next], [next, next], [ones, s], [r, ones], [ones, ones], [one, one], [one, zero], [s, r]] as const
  const other = [world.signers[kind].signature(input, 'der'), Buffer.from('3006020100020100', 'hex'), Buffer.from('3006020101020101', 'hex'), Buffer.alloc(0), Buffer.alloc(63), Buffer.alloc(65), signature.subarray(0, 63), Buffer.concat([signature, Buffer.alloc(1)]), Buffer.concat([zero, signature]), Buffer.concat([signature, signature]), Buffer.alloc(96), Buffer.alloc(132)]
  await refused(good, [...pairs.map(pair => Buffer.concat(pair)), ...other].map(bytes => presented(bytes.toString('hex'), resigned(good, bytes))))
})

test.each(SIGNED)('[TOK-006, SES10] %s: the other half of a signature signs the same, and names the same session', async kind => {
  const good = world.token(kind)
  const signature = Buffer.from(good.split('.')[2] ?? '', 'base64url')
  const other = Buffer.concat([signature.subarray(0, 32), bytesOf(numberOf(ORDER) - numberOf(signature.subarray(32)))])
  await world.passes(...[good, resigned(good, other)].map(token => ({ lines: bearer(token) })))
})

test.each(SIGNED)('[TOK-008, SES10, WIRE9] %s: any form but the compact one, also with one good signature of several', async kind => {
  const good = world.token(kind)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const bad = { protected: header, signature: part(Buffer.alloc(64)) }
  const forms: readonly Members[] = [
    { protected: header, payload, signature }, { payload, signatures: [{ protected: header, signature }] }, { payload, signatures: [{ protected: header, signature }, bad] }, { payload, signatures: [bad, { protected: header, signature }] },
    { payload, signatures: [{ header: { alg: 'none' }, signature: '' }, { protected: header, signature }] }, { protected: header, header: { alg: 'none' }, payload, signature }, { payload, signatures: [] },
  ]
  const texts = forms.map(form => JSON.stringify(form))
  const parts = [`${header}..${signature}`, `.${payload}.${signature}`, `${good}.`, `.${good}`, `${good}.${signature}`, `${header}.${payload}.${signature}.${signature}.${signature}`, `${good},${good}`, `${good};${good}`, `${good}, Bearer ${good}`, `${good} ${good}`]
  const inside = texts.flatMap(text => [`${part(text)}.${payload}.${signature}`, `${header}.${part(text)}.${signature}`])
  await refused(good, [...texts, ...inside].map(text => presented('form', text)), [...texts.map(text => part(text)), ...parts].map(text => presented('form', text)))
})

/** With one claim as this JSON text, which a JavaScript value may not be able to say. */
function saying(kind: ClaimedKind, claim: string, value: string): string {
  const claims = JSON.stringify(claimsOf(kind, { [claim]: undefined }))
  const text = `${claims.slice(0, -1)},"${claim}":${value}}`
  return kind === 'introspection' ? world.opaque(text) : world.signers[kind].compact(world.texts(kind)[0], text)
}
const EITHER: Refusal = { ...INVALID, reason: expect.stringMatching(/^credential_(?:invalid|expired)$/) }

test.each(CLAIMED)('[TOK-011, SES10, WIRE9] %s: times that are no times, that are over and that have not come', async kind => {
  const soon = String(seconds(600))
  const noNumbers = [`"${soon}"`, '"never"', '""', 'null', 'true', 'false', '[]', `[${soon}]`, '{}', '1e400', '9e15', '1e300', '8640000000001']
  const past = ['0', '-0', '1', '1e-9', '0.5', String(seconds(-3_600)), `${seconds(-60)}.5`, String(seconds(-6))]
  const ahead = [String(seconds(3_600)), String(seconds(60)), String(seconds(30)), '8640000000000', '1e12']
  const attacks = [
    ...noNumbers.map(value => presented(`exp ${value}`, saying(kind, 'exp', value))),
    ...['-1', '-1e9', '-1e400', String(-seconds(600))].map(value => presented(`exp ${value}`, saying(kind, 'exp', value), EITHER)),
    ...past.map(value => presented(`exp ${value}`, saying(kind, 'exp', value), OVER)),
    presented('no exp', world.token(kind, { exp: undefined })),
    ...['iat', 'nbf'].flatMap(claim => [...noNumbers.filter(value => value !== 'null'), '-1', '-1e400', ...ahead].map(value => presented(`${claim} ${value}`, saying(kind, claim, value)))),
  ]
  await world.passes({ lines: bearer(saying(kind, 'exp', soon)) })
  for (const [claim, value] of [['exp', `${soon}.5`], ['exp', String(seconds(-1))], ['nbf', String(seconds(2))], ['iat', String(seconds(2))], ['iat', '0']] as const) expect((await world.ask({ lines: bearer(saying(kind, claim, value)) })).status, `the slack: ${claim} ${value}`).toBe(200)
  await world.refuses(attacks)
})

const LOOKALIKES = (issuer: string): readonly unknown[] => [
  ['https://evil.example', issuer], [issuer, 'https://evil.example'], [issuer], [[issuer]], { iss: issuer }, `${issuer}/`, `${issuer}//`, `${issuer}?`, `${issuer}#`, `${issuer}.`, `${issuer}/.`, ` ${issuer}`, `${issuer} `, `${issuer}\u0000`, issuer.toUpperCase(), issuer.replace('https', 'HTTPS'),
  issuer.replace('https', 'http'), issuer.replace('https://', ''), issuer.replace('.example', '.example:443'), issuer.replace('https://', 'https://evil@'), `${issuer}@evil.example`, `${issuer}.evil.example`, issuer.replace('l', 'І'), issuer.replace('e', 'е'), issuer.replace('e', '%65'), issuer.replace('l', '\u200bl'),
  '', 'null', 'https://evil.example', SIBLING, null, 7, true, undefined,
]

test.each(CLAIMED)('[TOK-013, SES10, WIRE9] %s: another issuer, a list with the right one, and whatever looks like it', async kind => {
  const issuer = ISSUERS[kind] ?? 'spiffe://example.org'
  const attacks = LOOKALIKES(issuer).filter(iss => iss !== issuer && (kind !== 'jwtSvid' || iss !== undefined)).map(iss => presented(JSON.stringify(iss) ?? 'none', world.token(kind, { iss })))
  await world.passes({ lines: bearer(world.token(kind)) })
  await world.refuses(attacks)
})

test('[TOK-013, SES10, WIRE9] issuers with the same keys, and one that names the other while it signs with its own, are not mixed up', async () => {
  const [login, sibling] = [world.signed('jwt'), world.signed('jwt', {}, { iss: SIBLING })]
  await world.passes({ lines: bearer(login) })
  await world.passes({ host: 'sibling.test', lines: bearer(sibling) })
  const foreign = SIGNED.flatMap(by => SIGNED.filter(kind => kind !== by).flatMap(kind => [world.signers[by].kid, world.signers[kind].kid, undefined].map(kid => presented(`${kind} signed by ${by}, kid ${kid}`, world.signers[by].compact(...world.texts(kind, { kid }))))))
  await refused(world.signed('jwt'), [['the login’s at its sibling', { host: 'sibling.test', lines: bearer(login) }], ['the sibling’s at the login', { host: 'jwt.test', lines: bearer(sibling) }], ['the sibling’s where all are taken', { lines: bearer(sibling) }], ...foreign])
  const same = { sub: 'one', client_id: 'one', jti: 'one' }
  const sessions = [await world.passes({ lines: bearer(world.signed('jwt', {}, same)) }), await world.passes({ host: 'sibling.test', lines: bearer(world.signed('jwt', {}, { ...same, iss: SIBLING })) })]
  expect(new Set(sessions).size).toBe(2)
})

/** What is not ours. */
const AUDIENCES: readonly unknown[] = ['other', 'narrowgate2', 'Narrowgate', 'narrowgate/', ' narrowgate', 'narrow', 'other narrowgate', 'other,narrowgate', '', [], ['other'], ['narrowgate '], [['narrowgate']], { narrowgate: 1 }, 7, true, null, undefined]

test.each(SIGNED)('[TOK-016, SES10, SES18, WIRE9] %s: for another resource, and of a pod for another one too', async kind => {
  await world.passes({ lines: bearer(world.token(kind, { aud: ['narrowgate'] })) })
  const both = kind === 'kubernetes' ? [['narrowgate', 'other'], ['other', 'narrowgate']] : []
  await world.refuses([...AUDIENCES, ...both].map(aud => presented(JSON.stringify(aud) ?? 'none', world.token(kind, { aud }))))
})

test('[TOK-016, SES16, WIRE9] an active token of another resource or another client, and one of which its issuer does not say', async () => {
  const others: readonly Members[] = [
    ...AUDIENCES.map(aud => ({ aud })), { aud: ['narrowgate', 7] },
    ...['client-2', 'client', 'client-1 ', 'CLIENT-1', '', ['client-1'], { id: 'client-1' }, 7, null, undefined].map(client_id => ({ client_id })),
    ...['Refresh', 'refresh_token', 'N_A', 'mac', '', 7, ['Bearer'], 'DPoP'].map(token_type => ({ token_type })),
    ...['refresh', 'refresh_token', 'id_token', 'id', '', 7].map(token_use => ({ token_use })),
    ...[false, 'true', 1, null, undefined, [true], {}, 'active'].map(active => ({ active })),
    { sub: undefined, username: 'agent-1' }, { aud: 'other', resource: 'narrowgate' }, { client_id: 'client-2', azp: 'client-1' },
  ]
  await world.passes({ lines: bearer(world.token('introspection')) })
  await world.refuses(others.map(claims => presented(JSON.stringify(claims), world.token('introspection', claims))))
})

const REPEATED = ['"sub":"root"', '"s\\u0075b":"root"', '"\\u0073\\u0075\\u0062":"root"', '"iss":"https://evil.example"', '"i\\u0073s":"https://login.example"', '"exp":9999999999', '"\\u0065xp":9999999999', '"scope":"public","scope":"admin"', '"scope":"public","sco\\u0070e":"admin"', '"x":{"y":1,"y":2}', '"x":[{"y":1,"\\u0079":2}]', '"aud":["narrowgate"]', '"":1,"":2', '"__proto__":{},"__proto__":{}']

test.each(CLAIMED)('[TOK-021, SES10, WIRE9] %s: a claim named twice, in any spelling and at either end', async kind => {
  const sealed = (text: string): string => (kind === 'introspection' ? world.opaque(text) : world.signers[kind].compact(world.texts(kind)[0], text))
  const body = (): string => JSON.stringify(claimsOf(kind)).slice(1, -1)
  await world.passes({ lines: bearer(sealed(`{${body()}}`)) })
  const texts = REPEATED.flatMap(twice => [`{${body()},${twice}}`, `{${twice},${body()}}`])
  await world.refuses(texts.map(text => presented(text, sealed(text))))
})

test.each(SIGNED)('[TOK-021, SES10, WIRE9] %s: a header member named twice, in any spelling', async kind => {
  const [header, claims] = world.texts(kind)
  const body = header.slice(1, -1)
  const twice = ['"alg":"ES256"', '"alg":"none"', '"\\u0061lg":"none"', '"kid":"key-1"', `"k\\u0069d":"${world.signers[kind].kid}"`, '"x":1,"x":1', '"x":1,"\\u0078":2', '"jwk":{"kty":"EC","kty":"oct"}', ...(kind === 'jwt' ? ['"typ":"at+jwt"', '"t\\u0079p":"JWT"'] : ['"typ":"JWT","typ":"JWT"'])]
  await refused(world.token(kind), twice.flatMap(more => [`{${body},${more}}`, `{${more},${body}}`]).map(text => presented(text, world.signers[kind].compact(text, claims))))
})

describe('a certificate', () => {
  type Case = readonly [host: string, good: LeafWords, others: readonly LeafWords[]]
  const named = (...names: readonly string[]): LeafWords => ({ subject: '/O=x/CN=nobody', extensions: [...CLIENT_LEAF, `subjectAltName=${names.join(',')}`] })
  const svid = (path: string): LeafWords => named(`URI:spiffe://${path}`)
  const CASES: readonly Case[] = [
    ['mtls.test', { subject: '/O=x/CN=admin' }, [
      '/CN=admin/O=x', '/CN=admin\\, O=y', '/CN=admin\\,O=x', '/O=x/CN=admin\\,O=x', '/O=y\\,O=x/CN=admin', '/CN=admin\\,O=x/CN=admin', '/O=x/CN=admin+OU=y', '/O=x+CN=admin', '/O=x/OU=y/CN=admin', '/C=DE/O=x/CN=admin', '/O=x/CN=admin/CN=admin', '/O=x/CN=admin/OU=y', '/CN=admin', '/O=x', '/O=x/CN=administrator', '/O=x/CN=badmin',
      '/O=x/CN=Admin', '/O=X/CN=admin', '/O=x/CN=admin ', '/O=x/CN= admin', '/O=xy/CN=admin', '/O=y/CN=admin', '/O=x/OU=admin', '/O=x/CN=аdmin',
    ].map(subject => ({ subject }))],
    ['names.test', named('DNS:admin.example'), [named('DNS:admin.example.evil'), named('DNS:x.admin.example'), named('DNS:*.example'), named('DNS:badmin.example'), named('email:a@admin.example'), named('URI:dns://admin.example'), { subject: '/CN=admin.example' }, { subject: '/O=x/CN=admin.example', extensions: [...CLIENT_LEAF, 'subjectAltName=DNS:other.example'] }]],
    ['svids.test', svid('example.org/admin'), [svid('example.org/admin2'), svid('example.org/admin/x'), svid('example.org/admin/'), svid('example.org/Admin'), svid('example.org//admin'), svid('example.org/x/../admin'), svid('example.org/admin?x'), svid('example.org.evil/admin'), svid('evil@example.org/admin'), svid('example.org:443/admin'), svid('EXAMPLE.org/admin'), svid('example.org/%61dmin'), svid('evil.org/admin'), named('URI:spiffe://example.org/admin', 'URI:spiffe://example.org/other'), named('DNS:spiffe.example.org'), { subject: '/CN=spiffe:\\/\\/example.org\\/admin' }]],
  ]
  test.each(CASES)('[TOK-031, SES19, SES11, WIRE9] at %s counts for its whole name alone: no part of it, no other order, no other place', async (host, good, others) => {
    const leaf = await world.clients.issue(good)
    await world.passes({ host, leaf, lines: [] })
    const attacks: Attack[] = []
    for (const words of others) attacks.push([`${words.subject} ${words.extensions?.at(-1)}`, { host, leaf: await world.clients.issue(words), lines: [] }])
    await world.refuses(attacks)
  })

  test('[TOK-028, BND3, WIRE5, WIRE9] that a token is bound to is that of the connection, whatever headers say of it', async () => {
    const [mine, other] = [await world.clients.issue({ subject: '/CN=mine' }), await world.clients.issue({ subject: '/CN=other' })]
    const digest = createHash('sha256').update(mine.der).digest()
    const lines = bearer(world.signed('jwt', {}, { cnf: { 'x5t#S256': part(digest) } }))
    await world.passes({ leaf: mine, lines })
    const pem = encodeURIComponent(mine.cert)
    const said = [`Client-Cert: :${mine.der.toString('base64')}:`, `X-Forwarded-Client-Cert: Hash=${digest.toString('hex')}`, `X-Forwarded-Client-Cert: Hash=${digest.toString('hex')};Cert="${pem}"`, `X-SSL-Client-Cert: ${pem}`, `SSL-Client-Cert: ${pem}`, `X-Client-Cert: ${pem}`, `X-ARR-ClientCert: ${mine.der.toString('base64')}`, `X-Forwarded-Tls-Client-Cert: ${pem}`, `X-Amzn-Mtls-Clientcert: ${pem}`]
    await world.refuses([[], ...said.map(line => [line]), said].flatMap(more => [null, other].map((leaf): Attack => [`${more.join(' ').slice(0, 60)}, ${leaf === null ? 'none' : 'another'} on the connection`, { leaf, lines: [...lines, ...more] }])))
  })
})

// ---- bad input

describe('an issuer', () => {
  const signedFor = (issuer: string, by: Signer = remote, kid = by.kid): string => by.compact(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid }), JSON.stringify(claimsOf('jwt', { iss: issuer })))
  const at = (name: string, text: string): Attack => [name, { host: `x-${name}.test`, lines: bearer(text) }]
  const origin = (): string => new URL(place.url).origin

  test('[SES13, WIRE9] whose keys are slow, gone, nonsense, another’s, or no keys to trust: 401, counted, on record; the others go on', async () => {
    served.set('/good', json({ keys: [remote.jwk] }))
    served.set('/thief', json({ keys: [liar.jwk] }))
    served.set('/strange', json({ keys: [{ kty: 'oct', k: part('secret'), kid: 'remote-1', alg: 'HS256' }, { kty: 'XYZ', kid: 'remote-1' }, null, 7] }))
    served.set('/private', json({ keys: [{ ...remote.jwk, use: 'enc' }, { ...remote.jwk, kty: 'RSA' }, { ...remote.jwk, alg: 'ES384' }] }))
    for (const [name, answer] of NONSENSE) served.set(`/${name}`, answer)
    const names = [...NONSENSE.keys(), 'thief', 'strange', 'private', 'down']
    await world.refuses(names.map(name => at(`keys-${name}`, signedFor(issuerOf(name)))))
    await world.passes({ host: 'x-keys-good.test', lines: bearer(signedFor(issuerOf('good'))) })
  })

  test('[SES13, WIRE9] whose metadata is slow, gone, nonsense, or of another: 401, counted, on record; the others go on', async () => {
    const metadata = (name: string, answer: Answerer): void => void served.set(`/${name}/.well-known/openid-configuration`, answer)
    served.set('/good', json({ keys: [remote.jwk] }))
    metadata('good', (response, asked) => json({ issuer: `${origin()}/good`, jwks_uri: `${origin()}/good` })(response, asked))
    metadata('other-issuer', (response, asked) => json({ issuer: `${origin()}/good`, jwks_uri: `${origin()}/good` })(response, asked))
    metadata('other-keys', (response, asked) => json({ issuer: `${origin()}/other-keys`, jwks_uri: `${origin()}/thief` })(response, asked))
    metadata('file', (response, asked) => json({ issuer: `${origin()}/file`, jwks_uri: 'file:///etc/passwd' })(response, asked))
    for (const [name, answer] of NONSENSE) metadata(name, answer)
    const names = [...NONSENSE.keys(), 'other-issuer', 'other-keys', 'file']
    const down = world.gate.parts.settings().providers.get('x-found-down')
    await world.refuses([...names.map(name => at(`found-${name}`, signedFor(`${origin()}/${name}`))), at('found-down', signedFor(down?.is === 'jwt' ? down.issuer : ''))])
    await world.passes({ host: 'x-found-good.test', lines: bearer(signedFor(`${origin()}/good`)) })
  })

  test('[SES16, WIRE9] that is slow, gone or talks nonsense about tokens: 401, counted, on record; the others go on', async () => {
    served.set('/good', json(claimsOf('introspection')))
    for (const [name, answer] of NONSENSE) served.set(`/${name}`, answer)
    await world.refuses([...NONSENSE.keys(), 'down'].map(name => at(`words-${name}`, 'opaque')))
    await world.passes({ host: 'x-words-good.test', lines: bearer('opaque') })
  })

  test.each(SIGNED)('[SES10, SES13, WIRE9] %s: a `kid` that points anywhere, and an extension that nobody knows', async kind => {
    await world.passes({ lines: bearer(world.token(kind)) })
    const { length } = place.asked
    const own = world.signers[kind].kid
    const kids = [place.url, 'file:///etc/passwd', '../../../../../../dev/null', '/dev/null', '..\\..\\x', 'keys.json', `${own}\u0000`, ` ${own}`, own.toUpperCase(), `${own}' OR '1'='1`, "' UNION SELECT 'AAAA' --", '"; DROP TABLE keys; --', '| id', '$(id)', '`id`', '{{7*7}}', '${7*7}', '__proto__', 'constructor', 'toString', '0', '', '*', '%00', '\u202e', 'k'.repeat(8_000), 0, null, true, [own], { kid: own }]
    const crits = [['exp'], ['b64'], ['urn:x'], ['alg'], ['crit'], [], 'exp', null, {}, [7], ['exp', 'exp'], { exp: true }]
    const headers: readonly Members[] = [...kids.map(kid => ({ kid })), ...crits.flatMap(crit => [{ crit }, { crit, b64: false }, { crit, b64: true, exp: seconds(600), 'urn:x': 1 }])]
    await world.refuses(headers.map((header): Attack => [JSON.stringify(header).slice(0, 80), { lines: bearer(world.signed(kind, header)) }]))
    expect(place.asked).toHaveLength(length)
  })

  test('[SES13, WIRE9] is asked for its keys at its own place alone, whatever a `kid` says', async () => {
    served.set('/good', json({ keys: [remote.jwk] }))
    const { length } = place.asked
    await world.refuses([`${origin()}/thief`, '../thief', '/thief', 'thief?', '%2e%2e/thief'].map(kid => at('keys-good', signedFor(issuerOf('good'), liar, kid))))
    expect(place.asked.slice(length).filter(({ path }) => path !== '/good')).toEqual([])
  })
})
