// Operators by signed token and by client certificate, beside the token file and the break-glass token: one credential a request, roles by what it says.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { entryFor, newToken } from '../../src/admin/first-token.ts'
import { TestGateway } from '../support/gateway.ts'
import { type Authority, ClientAuthority, type Leaf, svidLeaf, testAuthority } from '../support/tls.ts'
import { TokenIssuer } from '../support/token-issuer.ts'

const ANN = 'CN=ann,O=Example'
const SVID = 'spiffe://example.org/ns/ops/sa/console'
const [fileToken, glassToken] = [newToken(), newToken()]

let site: Authority
let authority: ClientAuthority
let leaves: { readonly ann: Leaf; readonly bob: Leaf; readonly workload: Leaf; readonly stranger: Leaf; readonly old: Leaf; readonly revoked: Leaf }
let crl = ''
let issuer: TokenIssuer
let gate: TestGateway
let lonely: TestGateway
let lost: TokenIssuer
const directories: string[] = []

/** With `state/admin.token`, which the harness reads and this gateway does not know. */
function room(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ng-operators-'))
  directories.push(directory)
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  writeFileSync(join(directory, 'state', 'admin.token'), `${newToken()}\n`, { mode: 0o600 })
  const file = (token: string, name: string): string => JSON.stringify({ tokens: [{ ...entryFor(token, name, ['operator'], `file|${name}`), expires: undefined }] })
  writeFileSync(join(directory, 'tokens.json'), file(fileToken, 'filed'), { mode: 0o600 })
  writeFileSync(join(directory, 'glass.json'), file(glassToken, 'glass'), { mode: 0o600 })
  return directory
}

const config = (directory: string, keys: string, auth: string, clients: string): string => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin], tls: { certFile: ${site.server.certFile}, keyFile: ${site.server.keyFile}${clients} } }
admin:
  auth:
    oidc:
      issuer: ${issuer.issuer}
      audience: narrowgate-admin
      ${keys}
      roles:
        viewer: 'true == (has(identity.groups) && identity.groups.exists(g, g == "staff"))'
        operator: identity.groups.exists(g, g == "secops")
${auth}
  breakGlassTokenFile: ${directory}/glass.json
authn: { login: { jwt: { issuer: ${issuer.issuer}, audience: narrowgate, jwksFile: ${directory}/jwks.json } } }
telemetry: { logs: { level: silent } }
routes: [{ name: api, match: { host: api.test }, upstream: "http://127.0.0.1:9", rules: [{ allow: { methods: [GET] } }] }]
`

beforeAll(async () => {
  ;[site, authority, issuer, lost] = await Promise.all([testAuthority(), ClientAuthority.create('Operators'), TokenIssuer.create({ audience: 'narrowgate-admin' }), TokenIssuer.create({ audience: 'narrowgate-admin' })])
  const other = await ClientAuthority.create('Others')
  leaves = {
    ann: await authority.issue({ subject: '/O=Example/CN=ann' }), bob: await authority.issue({ subject: '/O=Example/CN=bob' }), stranger: await other.issue({ subject: '/O=Example/CN=ann' }),
    workload: await authority.issue({ subject: '/O=Example', extensions: svidLeaf(SVID) }), old: await authority.issue({ subject: '/O=Example/CN=ann', from: new Date(Date.now() - 7_200_000), to: new Date(Date.now() - 3_600_000) }),
    revoked: await authority.issue({ subject: '/O=Example/CN=ann' }),
  }
  await authority.revoke(leaves.revoked)
  crl = await authority.crl()
  await lost.serve()
  lost.down = true
  const [first, second] = [room(), room()]
  const clients = `, clients: { caFile: ${join(first, 'clients.crt')}, crlFile: ${crl} }`
  writeFileSync(join(first, 'clients.crt'), authority.cert.cert)
  const auth = `    tokenFile: ${first}/tokens.json\n    mtls: { subjects: ["${ANN}", "CN=bob,O=Example"], roles: { operator: 'identity.sub == "${ANN}"' } }`
  gate = await TestGateway.start({ routes: '', directory: first, issuer, config: () => config(first, `jwksFile: ${first}/jwks.json`, auth, clients) })
  lonely = await TestGateway.start({ routes: '', directory: second, issuer, config: () => config(second, `jwksUri: ${lost.jwksUri}`, '', '') })
})
afterAll(async () => {
  await Promise.all([gate.stop(), lonely.stop()])
  await Promise.all([gate.upstream.close(), lonely.upstream.close(), lost.close()])
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

type Heard = { readonly status: number; readonly challenge: string | undefined; readonly text: string }
type Asked = { readonly leaf?: Leaf; readonly authorization?: string | readonly string[]; readonly body?: object; readonly at?: TestGateway }

const portOf = (at: TestGateway): number => at.gateway.front.bound.get('admin')?.address.port ?? 0

async function ask(path: string, { leaf, authorization, body, at = gate }: Asked): Promise<Heard> {
  const text = body === undefined ? '' : JSON.stringify(body)
  const sent = request({
    host: '127.0.0.1', port: portOf(at), path, method: text === '' ? 'GET' : 'POST', ca: site.ca, agent: false, ...(leaf === undefined ? {} : { cert: leaf.cert, key: leaf.key }),
    headers: { ...(authorization === undefined ? {} : { authorization: authorization as string }), ...(text === '' ? {} : { 'content-type': 'application/json' }) }, // node writes a list as lines
  })
  const answer = new Promise<Heard>((resolve, reject) => {
    sent.once('error', reject)
    sent.once('response', response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, challenge: response.headers['www-authenticate'], text: Buffer.concat(chunks).toString('utf8') }))
    })
  })
  sent.end(text)
  return answer
}

const token = (claims: { readonly [name: string]: unknown } = {}, options: Parameters<TokenIssuer['sign']>[1] = {}): Promise<string> => issuer.sign({ aud: 'narrowgate-admin', sub: 'olga', groups: ['staff'], ...claims }, options)
const bearer = (text: string): string => `Bearer ${text}`
const open = (name: string) => [`/v1/anchors/ticket/${name}`, { body: { state: 'open', reason: 'test' } }] as const
const whoDid = async (target: string): Promise<unknown> => (await gate.trail()).find(line => JSON.stringify(line).includes(target) && JSON.stringify(line).includes('admin.changed'))
const INVALID = 'Bearer realm="narrowgate-admin", error="invalid_token"'
const NO_CODE = 'Bearer realm="narrowgate-admin"'

describe('signed tokens', () => {
  test('[ADM22] what the token says gives the roles, and its subject stands in the trail', async () => {
    const [reader, actor] = [bearer(await token()), bearer(await token({ sub: 'sam', groups: ['secops'] }))]
    expect((await ask('/v1/sessions', { authorization: reader })).status).toBe(200)
    const [path, body] = open('T-reader')
    expect((await ask(path, { authorization: reader, ...body })).status).toBe(403)
    const [own, words] = open('T-sam')
    expect((await ask(own, { authorization: actor, ...words })).status).toBeLessThan(300)
    expect(JSON.stringify(await whoDid('T-sam'))).toContain(`${issuer.issuer}|sam`)
    expect(await whoDid('T-reader')).toBeUndefined()
  })

  test('[ADM22] a token that fits no role is refused, also where a condition cannot be evaluated', async () => {
    for (const groups of [undefined, [], ['guests'], 'secops', 7, [7]]) expect((await ask('/v1/sessions', { authorization: bearer(await token({ groups })) })).status).toBe(403)
  })

  test('[ADM22] whatever is wrong with a token: 401 with the code of the standard, and nothing of it in the answer', async () => {
    const stranger = await TokenIssuer.create({ issuer: issuer.issuer })
    const good = await token()
    const wrong: { readonly [what: string]: string } = {
      'a caller’s audience': await token({ aud: 'narrowgate' }), 'another issuer': await token({ iss: 'https://evil.example' }), expired: await token({}, { lifetime: -60 }), 'no end': await token({ exp: undefined }),
      'an id token': await token({}, { header: { typ: 'JWT' } }), 'an extension': good.replace(/^[^.]+/, Buffer.from('{"alg":"EdDSA","typ":"at+jwt","kid":"key-1","crit":["x"],"x":1}').toString('base64url')), 'a key that points elsewhere': await token({}, { header: { kid: '../../etc/passwd' } }),
      'bound to a key': await token({ cnf: { jkt: 'A'.repeat(43) } }), 'held for somebody': await token({ act: { sub: 'robot' } }), 'not yet': await token({ nbf: Math.floor(Date.now() / 1000) + 600 }), 'no subject': await token({ sub: undefined }),
      'signed by another': await stranger.sign({ aud: 'narrowgate-admin', sub: 'olga', groups: ['staff'] }), 'cut off': good.slice(0, -6), 'no signature': good.replace(/[^.]+$/, ''), 'no token': 'x', 'an unknown token of ours': newToken(), 'very long': `${good}${'A'.repeat(8_000)}`,
    }
    for (const [what, text] of Object.entries(wrong)) {
      const { status, challenge, text: said } = await ask('/v1/sessions', { authorization: bearer(text) })
      expect([what, status, challenge]).toEqual([what, 401, INVALID])
      if (text.length > 20) expect(said).not.toContain(text.slice(0, 20))
    }
    const cut = await ask('/v1/sessions', { authorization: bearer('A'.repeat(65_536)) }).then(({ status }) => status, () => 'closed') // it may hang up before all of it is sent
    expect([431, 'closed']).toContain(cut)
  })

  test('[ADM22] no error code where no credential came, or one of another scheme, or two', async () => {
    const good = bearer(await token())
    for (const authorization of [undefined, 'Basic b2xnYTpvbGdh', `DPoP ${await token()}`, '', [good, good]]) {
      const { status, challenge } = await ask('/v1/sessions', authorization === undefined ? {} : { authorization })
      expect([authorization, status, challenge]).toEqual([authorization, 401, NO_CODE])
    }
  })
})

describe('client certificates', () => {
  test('[ADM22] the whole name counts, gives its roles, and stands in the trail', async () => {
    const [path, words] = open('T-ann')
    expect((await ask(path, { leaf: leaves.ann, ...words })).status).toBeLessThan(300)
    expect(JSON.stringify(await whoDid('T-ann'))).toContain(`|${ANN}`)
    expect((await ask('/v1/sessions', { leaf: leaves.bob })).status).toBe(403)
  })

  test('[ADM22] one of another authority, out of time, revoked, or of nobody named here proves nothing', async () => {
    for (const name of ['stranger', 'old', 'revoked', 'workload'] as const) {
      const { status, challenge, text } = await ask('/v1/sessions', { leaf: leaves[name] })
      expect([name, status, challenge, text]).toEqual([name, 401, NO_CODE, expect.stringContaining('the client certificate is nobody’s here')])
    }
  })

  test('[ADM22] a header is the one credential: a certificate beside it makes nothing of a bad token, and nothing more of a good one', async () => {
    for (const authorization of [bearer('x'), bearer(newToken()), 'Basic b2xnYTpvbGdh', '']) expect((await ask('/v1/sessions', { leaf: leaves.ann, authorization })).status).toBe(401)
    const [path, words] = open('T-both')
    expect((await ask(path, { leaf: leaves.ann, authorization: bearer(await token()), ...words })).status).toBe(403)
    expect((await ask('/v1/sessions', { leaf: leaves.stranger, authorization: bearer(await token()) })).status).toBe(200)
  })

  test('[ADM22] a reload with other authorities ends the connections of those who proved something by the former', async () => {
    const dial = connect({ host: '127.0.0.1', port: portOf(gate), ca: site.ca, cert: leaves.ann.cert, key: leaves.ann.key })
    dial.on('error', () => {})
    await once(dial, 'secureConnect')
    dial.write('GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n') // an answer without end, so that nothing else closes it
    const [first] = await once(dial, 'data') as [Buffer] // what the event carries
    expect(first.toString('latin1')).toMatch(/^HTTP\/1\.1 200 /)
    const closed = once(dial, 'close')
    const other = await ClientAuthority.create('Successor')
    const file = join(gate.directory, 'clients.crt')
    const before = readFileSync(file, 'utf8')
    writeFileSync(file, `${before}${other.cert.cert}`)
    const reload = await ask('/v1/config/reload', { authorization: bearer(fileToken), body: {} })
    expect([reload.status, reload.text]).toEqual([200, expect.stringContaining('digest')])
    dial.resume()
    await closed
    expect((await ask('/v1/sessions', { leaf: leaves.ann })).status).toBe(200)
  })

  test('[ADM22] a reload with other names and roles holds from the next request on', async () => {
    const before = readFileSync(gate.configFile, 'utf8')
    const reload = async (text: string): Promise<void> => {
      writeFileSync(gate.configFile, text)
      expect((await ask('/v1/config/reload', { authorization: bearer(glassToken), body: {} })).status).toBe(200)
    }
    const guest = bearer(await token({ groups: ['guests'] }))
    await reload(before.replace('CN=bob,O=Example', 'CN=eve,O=Example').replace('g == "staff"', 'g == "guests"'))
    expect([(await ask('/v1/sessions', { leaf: leaves.bob })).status, (await ask('/v1/sessions', { authorization: guest })).status]).toEqual([401, 200])
    await reload(before)
    expect([(await ask('/v1/sessions', { leaf: leaves.bob })).status, (await ask('/v1/sessions', { authorization: guest })).status]).toEqual([403, 403])
  })
})

describe('beside the others', () => {
  test('[ADM22, ADM14] tokens of the file and for emergencies count as before, and the latter alarm', async () => {
    for (const text of [fileToken, glassToken]) expect((await ask('/v1/sessions', { authorization: bearer(text) })).status).toBe(200)
    expect(JSON.stringify((await gate.trail()).filter(line => JSON.stringify(line).includes('break_glass.used')))).toContain('file|glass')
  })

  test('[ADM22, ADM14] with the provider of keys down a signed token is refused, and the break-glass token works', async () => {
    const { status, challenge } = await ask('/v1/sessions', { at: lonely, authorization: bearer(await token()) })
    expect([status, challenge]).toEqual([401, INVALID])
    const [path, words] = open('T-glass')
    expect((await ask(path, { at: lonely, authorization: bearer(glassToken), ...words })).status).toBeLessThan(300)
    expect((await ask('/v1/sessions', { at: lonely, authorization: bearer(lonely.adminToken) })).status).toBe(401)
  })
})
