// S19: a federated workload escalates inside its session. Here the initial checks: SVIDs of a partner's trust domain and tokens of its CI pass them, each by the
// keys of its own domain; what another domain signed, or names another one, does not. And the decision of its own that attaching a policy needs.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { comesToNothing } from '../support/possession.ts'
import { ClientAuthority, svidLeaf } from '../support/tls.ts'
import { type TokenClaims, TokenIssuer } from '../support/token-issuer.ts'
import { asked, both, type Caller, keySetOf, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { approve } from './operators.ts'
import { bearer, factsIn, type Line, loadsAsItStands, outcome, type Staging, word } from './stage.ts'

const HOST = { host: 'iam.internal' }
const PROVISIONER = 'spiffe://partner.example/ns/prod/sa/provisioner'
const OWN = 'spiffe://acme.example/ns/prod/sa/provisioner'

let own: TokenIssuer
let partner: TokenIssuer
let ci: TokenIssuer
let authority: ClientAuthority
let ownAuthority: ClientAuthority
let staging: Staging
beforeAll(async () => {
  const domain = (): Promise<TokenIssuer> => TokenIssuer.create({ algorithm: 'ES256' })
  ;[own, partner, ci, authority, ownAuthority] = await Promise.all([domain(), domain(), TokenIssuer.create({ issuer: 'https://ci.partner.example' }), ClientAuthority.create('Partner'), ClientAuthority.create('Acme')])
  const trustDomains = { 'acme.example': ownAuthority.cert.certFile, 'partner.example': authority.cert.certFile }
  staging = { trustDomains, keySets: { 'own': keySetOf(own, 'jwt-svid'), 'partner': keySetOf(partner, 'jwt-svid'), 'partner-ci': keySetOf(ci) } }
})

const holder = (token: string, leaf: Caller['leaf'] = null): Caller => ({ leaf, headers: bearer(token, HOST) })
/** A JWT-SVID has no `iss`, `client_id` or `typ` of its own. */
const svid = (by: TokenIssuer, sub: string, claims: TokenClaims = {}, header: TokenClaims = {}): Promise<string> =>
  by.sign({ iss: undefined, client_id: undefined, sub, jti: Math.random().toString(36), ...claims }, { header: { typ: 'JWT', ...header } })
const pipeline = (by: TokenIssuer, claims: TokenClaims = {}): Promise<string> =>
  by.sign({ iss: 'https://ci.partner.example', sub: 'repo:partner/infra', organization: 'partner', jti: Math.random().toString(36), ...claims }, { header: { typ: 'JWT' } })
const certified = async (id: string, by = authority): Promise<Caller> => ({ leaf: await by.issue({ subject: '/O=Partner', extensions: svidLeaf(id) }), headers: HOST })

const reads = (setting: Setting, caller: Caller): Promise<readonly string[]> => through(setting, caller, 'GET', '/policies/all')
const escalates = (setting: Setting, caller: Caller): Promise<readonly string[]> => through(setting, caller, 'POST', '/attach-policy')
const attaches = (setting: Setting, caller: Caller, policy: string): Promise<readonly string[]> => through(setting, caller, 'POST', '/attach-policy', { role: 'provisioner', policy })

/** Asks B for the decision on one policy. */
async function asksFor({ b }: Setting, caller: Caller, policy: string): Promise<readonly [status: number, id: string]> {
  const { status, json } = await asked(b, caller, 'POST', '/.narrowgate/elevations', { profile: 'attach-policy', params: { policy } })
  return [status, String(json['id'])]
}

/** It passes the initial checks through both, as one session, and nothing more. Who it is on record. */
async function passes(setting: Setting, caller: Caller): Promise<unknown> {
  expect(await reads(setting, caller)).toEqual(both('200'))
  expect(await escalates(setting, caller)).toEqual(both('403 elevation_required'))
  const session = await sessionAt(setting.a, caller)
  expect(await sessionAt(setting.b, caller)).toBe(session)
  const lines = (await setting.trail()).filter(({ kind, session: of }) => kind === 'exchange.opened' && of === session)
  expect(lines).toHaveLength(2)
  return [...new Set(lines.map(({ subject }) => subject))].join()
}

const ASKED = [['GET', '/policies/all'], ['POST', '/attach-policy'], ['GET', '/.narrowgate/session']] as const

/** Refused at both for what it shows, whatever it asks: no session, nothing at the upstream. */
async function isNobody(setting: Setting, caller: Caller, what: string): Promise<void> {
  const gates = [...new Set([setting.a, setting.b])]
  for (const gate of gates) {
    const heard = async () => {
      const outcomes: string[] = []
      for (const [method, path] of ASKED) outcomes.push(outcome(await asked(gate, caller, method, path)))
      return { status: 401, challenges: [], reason: outcomes.join(), json: {} }
    }
    await comesToNothing(gates, setting.a.upstream, heard, { reason: ASKED.map(() => '401 credential_invalid').join() }, what)
  }
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s19.yaml'))

describe.each(SETTINGS)('%s', (_, raised) => {
  let setting: Setting
  beforeAll(async () => { setting = await raised('s19.yaml', staging) }, 30_000)
  afterAll(() => setting.stop())

  test('[S19.a] a JWT-SVID of the partner\'s domain passes by the partner\'s bundle', async () => {
    expect(await passes(setting, holder(await svid(partner, PROVISIONER)))).toBe(`spiffe://partner.example|${PROVISIONER}`)
  })

  test('[S19.a] an X.509-SVID of it passes by the authorities of its domain', async () => {
    expect(await passes(setting, await certified(PROVISIONER))).toBe(`spiffe://partner.example|${PROVISIONER}`)
  })

  test('[S19.a] a token of the partner\'s CI passes, as a subject of its organization', async () => {
    const caller = holder(await pipeline(ci))
    expect(await passes(setting, caller)).toBe('https://ci.partner.example|repo:partner/infra')
    const session = await sessionAt(setting.a, caller)
    expect((await setting.trail()).find(({ kind, session: of }) => kind === 'exchange.opened' && of === session)).toMatchObject({ tenant: 'partner' })
  })

  test('[S19.a] a JWT-SVID that another domain\'s key signed, or that names another domain, is refused', async () => {
    for (const signer of [own, ci]) await isNobody(setting, holder(await svid(signer, PROVISIONER)), 'signed by another domain')
    await isNobody(setting, holder(await svid(partner, OWN)), 'names our own domain')
    await isNobody(setting, holder(await svid(partner, 'spiffe://third.example/ns/prod/sa/provisioner')), 'names a third domain')
    await isNobody(setting, holder(await svid(partner, OWN, { iss: 'spiffe://partner.example' })), 'names our own domain beside an issuer')
    await isNobody(setting, holder(await svid(own, PROVISIONER, { iss: 'spiffe://acme.example' })), 'names the partner by our own domain\'s word')
    await isNobody(setting, holder(await svid(own, PROVISIONER, {}, { jwk: own.jwks().keys[0] })), 'brings a key')
    await isNobody(setting, holder(await svid(partner, PROVISIONER, { iss: 'https://ci.partner.example' })), 'is of another issuer')
  })

  test('[S19.a] nor is any other workload of the partner one of those, nor a name in another spelling, nor a word for another audience', async () => {
    await isNobody(setting, holder(await svid(partner, 'spiffe://partner.example/ns/prod/sa/other')), 'another workload')
    await isNobody(setting, holder(await svid(partner, 'spiffe://PARTNER.example/ns/prod/sa/provisioner')), 'upper case')
    await isNobody(setting, holder(await svid(partner, `${PROVISIONER}/`)), 'a slash behind it')
    await isNobody(setting, holder(await svid(partner, PROVISIONER, { aud: 'iam.partner.example' })), 'another audience')
    await isNobody(setting, holder(await pipeline(partner)), 'a CI token by the key of the trust domain')
    await isNobody(setting, holder(await pipeline(ci, { iss: 'https://ci.partner.example/' })), 'a CI token of almost its issuer')
    await isNobody(setting, holder(await pipeline(ci, { sub: PROVISIONER, iss: undefined })), 'a CI token as an SVID')
    await isNobody(setting, await certified('spiffe://partner.example/ns/prod/sa/other'), 'the certificate of another workload')
    await isNobody(setting, await certified(OWN), 'a certificate that names another domain')
    await isNobody(setting, await certified(PROVISIONER, await ClientAuthority.create('Partner')), 'a certificate of another authority')
    await isNobody(setting, await certified(PROVISIONER, ownAuthority), 'a certificate that our own domain\'s authority signed')
    await isNobody(setting, await certified(OWN, ownAuthority), 'a certificate of our own domain, which no provider knows')
    await isNobody(setting, holder(await svid(own, PROVISIONER), (await certified(PROVISIONER)).leaf), 'a wrong SVID over the connection of the right one')
  })

  test('[S19.b] attaching a policy needs a decision of its own by somebody on call, for that policy and this session, and is refused until then', async () => {
    const [caller, another] = [holder(await svid(partner, PROVISIONER, { sid: 'approved' })), holder(await pipeline(ci, { sub: 'repo:partner/other' }))]
    expect([await reads(setting, caller), await attaches(setting, caller, 'PowerUserAccess')]).toEqual([both('200'), both('403 elevation_required')])
    const refused = await asked(setting.a, caller, 'POST', '/attach-policy', { policy: 'PowerUserAccess' })
    expect(refused.json['access_request']).toMatchObject({ offers: [{ profile: 'attach-policy', approval: 'conditional' }] })
    const [status, id] = await asksFor(setting, caller, 'PowerUserAccess')
    expect([status, await attaches(setting, caller, 'PowerUserAccess')]).toEqual([202, both('403 elevation_required')])
    await approve(setting.a, id)
    expect(await attaches(setting, caller, 'PowerUserAccess')).toEqual(both('200'))
    expect(await attaches(setting, caller, 'AdministratorAccess')).toEqual(both('403 condition_false'))
    expect(await attaches(setting, another, 'PowerUserAccess')).toEqual(both('403 elevation_required'))
    const [next] = await asksFor(setting, caller, 'AdministratorAccess')
    expect([next, await attaches(setting, caller, 'AdministratorAccess')]).toEqual([202, both('403 condition_false')])
    await word(setting.a, `/v1/elevations/${id}/revoke`)
    expect(await attaches(setting, caller, 'PowerUserAccess')).toEqual(both('403 elevation_required'))
    const lines = await setting.trail()
    expect(factsIn(lines, 'elevation.approved').filter(({ elevation }) => elevation === id)).toMatchObject([{ approver: 'https://login.example|ann' }])
    expect(lines.filter(({ kind, grant }) => kind === 'exchange.opened' && grant === id).map(({ path }) => path)).toEqual(['/attach-policy', '/attach-policy'])
  })

  test('[S19.b] or a decision of the policy: what it says of one of them is given at once, for that one alone', async () => {
    const caller = holder(await svid(partner, PROVISIONER, { sid: 'by policy' }))
    expect(await attaches(setting, caller, 'ReadOnlyAccess')).toEqual(both('403 elevation_required'))
    const [status, id] = await asksFor(setting, caller, 'ReadOnlyAccess')
    expect([status, await attaches(setting, caller, 'ReadOnlyAccess')]).toEqual([201, both('200')])
    expect(await attaches(setting, caller, 'PowerUserAccess')).toEqual(both('403 condition_false'))
    const [asksMore] = await asksFor(setting, caller, 'PowerUserAccess')
    expect([asksMore, await attaches(setting, caller, 'PowerUserAccess')]).toEqual([202, both('403 condition_false')])
    const facts = (await setting.trail()).filter(({ kind, fact }) => kind === 'fact' && (fact as Line)['elevation'] === id).map(({ fact }) => (fact as Line)['what']) // a fact line has one
    expect(facts).toEqual(['elevation.activated'])
  })
})
