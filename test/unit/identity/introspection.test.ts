import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { IntrospectionSettings } from '../../../src/config/settings.ts'
import { duration } from '../../../src/core/time.ts'
import { CIRCUIT } from '../../../src/identity/circuit.ts'
import { INQUIRY_LIMITS } from '../../../src/identity/inquiry.ts'
import { IntrospectionProvider } from '../../../src/identity/introspection.ts'
import { Identifier } from '../../../src/identity/identify.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { testAuthority } from '../../support/tls.ts'
import { type TokenClaims, TokenIssuer } from '../../support/token-issuer.ts'
import { bearer, DIGEST_KEY, HandClock, introspectionSettings, NO_STORE, NOON, proven, refused } from './fixtures.ts'
import { type Answerer, json, raw, Service } from './service.ts'

let service: Service
let http: HttpClient
let clock: HandClock
let notices: string[]
beforeAll(async () => {
  service = await Service.start()
  http = new HttpClient()
})
afterAll(async () => {
  await http.close()
  await service.close()
})
beforeEach(() => {
  clock = new HandClock()
  notices = []
  service.asked.length = 0
})

const TOKEN = 'opaque.token-1/~+_=='
const active = (changes: TokenClaims = {}): TokenClaims => ({
  active: true, iss: 'https://login.example', aud: 'narrowgate', sub: 'agent-1', client_id: 'client-1', token_type: 'Bearer', iat: NOON / 1000 - 5, exp: NOON / 1000 + 600, ...changes,
})
const provider = (changes: Partial<IntrospectionSettings> = {}, files: { readonly ca?: string; readonly secret?: string } = {}): IntrospectionProvider => {
  const settings = introspectionSettings({ url: service.url, ...changes })
  return new IntrospectionProvider(settings, { ca: null, secret: 's3cret', ...files }, { clock, http, notice: error => void notices.push(error.message) }, 'f')
}
const detail = async (answer: Answerer, changes: Partial<IntrospectionSettings> = {}, text = TOKEN): Promise<string> => {
  service.answer = answer
  return (await refused(provider(changes), text)).detail
}
const identifierOf = (one: IntrospectionProvider): Identifier => new Identifier(new Map([['opaque', one]]), { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })
const AUTHN = ['opaque']

describe('asking', () => {
  test('[SES16] posts the token and the hint as a form, with the client’s own name and secret, each encoded', async () => {
    service.answer = json(active())
    await proven(provider({ clientId: 'gate way:1' }, { secret: 'p+w ä%' }), TOKEN)
    const [asked] = service.asked
    expect([...new URLSearchParams(asked?.body)]).toEqual([['token', TOKEN], ['token_type_hint', 'access_token']])
    expect(asked).toMatchObject({ method: 'POST', path: '/ask', headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' } })
    expect(Buffer.from(asked?.headers.authorization?.replace(/^Basic /, '') ?? '', 'base64').toString()).toBe('gate+way%3A1:p%2Bw+%C3%A4%25')
  })

  test('[SES16] trusts the configured certificates alone', async () => {
    const { ca, server } = await testAuthority()
    const secure = await Service.start(server)
    secure.answer = json(active())
    try {
      expect((await proven(provider({ url: secure.url }, { ca }), TOKEN)).principal.subject).toBe('agent-1')
      expect((await refused(provider({ url: secure.url }), TOKEN)).detail).toBe('introspection_unavailable')
    } finally {
      await secure.close()
    }
  })

  test('[SES16] what is proved: principal, times, and until when it is known', async () => {
    service.answer = json(active({ act: { sub: 'bot' }, org: 'acme' }))
    const { principal, evidence, mark, binding, knownUntil } = await proven(provider({ claims: { tenant: 'org', owner: null, client: null, device: null, subjectCase: 'exact' } }), TOKEN)
    expect(principal).toEqual({ kind: 'agent', issuer: 'https://login.example', tenant: 'acme', subject: 'agent-1', client: 'client-1', owner: null, actor: { issuer: 'https://login.example', subject: 'bot', actsFor: null } })
    expect(evidence).toMatchObject({ provider: 'opaque', keyId: null, issuedAt: NOON - 5000, expiresAt: NOON + 600_000, keyThumbprint: null })
    expect(JSON.stringify([evidence, mark])).not.toContain(TOKEN)
    expect([mark.is, binding, knownUntil]).toEqual(['payload', null, NOON + 10_000])
  })

  test('[SES16] without an issuer in the configuration nobody’s word makes principals of another issuer', async () => {
    service.answer = json(active({ iss: 'https://other.example' }))
    expect((await proven(provider({ issuer: null }), TOKEN)).principal.issuer).toBe('introspection:opaque')
  })

  test('[SES16] username stands for no subject', async () => {
    expect(await detail(json(active({ sub: undefined, username: 'agent-1' })))).toBe('claim_missing')
  })

  test('[SES16] a text that cannot be a token is not asked about', async () => {
    for (const text of ['{"payload":""}', 'a b', 'a=b', '', 'é', 'a,b']) expect((await refused(provider(), text)).detail).toBe('malformed')
    expect(service.asked).toEqual([])
  })

  test('[SES16] one `jti` is one credential; a JWT is one in every spelling', async () => {
    service.answer = json(active({ jti: 'j' }))
    const ids = async (text: string): Promise<string> => (await proven(provider(), text)).evidence.credential
    expect(await ids('one')).toBe(await ids('two'))
    service.answer = json(active())
    expect(await ids('one')).not.toBe(await ids('two'))
    expect(await ids('e30.e30.AA')).toBe(await ids('e30.e30.AB'))
    expect(await ids('tok.v1.AA')).not.toBe(await ids('tok.v1.BB'))
  })

  test('[SES16] vouches as long as its settings are the same', async () => {
    service.answer = json(active())
    const { evidence } = await proven(provider(), TOKEN)
    expect([provider().vouchesFor(evidence), provider({}, { secret: 'new' }).vouchesFor(evidence), provider({ audience: ['b'] }).vouchesFor(evidence)]).toEqual([true, true, false])
  })
})

describe('what an answer must say', () => {
  test.each([
    [{ active: false }, 'inactive'],
    [{ active: 'true' }, 'claim_malformed'],
    [{ active: 1 }, 'claim_malformed'],
    [{ active: undefined }, 'claim_missing'],
    [{ active: null }, 'claim_missing'],
    [{ iss: 'https://login.example/' }, 'issuer_unknown'],
    [{ iss: ['https://login.example'] }, 'issuer_unknown'],
    [{ iss: undefined }, 'claim_missing'],
    [{ exp: undefined }, 'claim_missing'],
    [{ exp: `${NOON / 1000 + 60}` }, 'claim_malformed'],
    [{ exp: NOON / 1000 }, 'expired'],
    [{ nbf: NOON / 1000 + 1 }, 'not_yet_valid'],
    [{ iat: NOON / 1000 + 1 }, 'not_yet_valid'],
    [{ sub: '' }, 'claim_malformed'],
    [{ sub: 7 }, 'claim_malformed'],
    [{ client_id: 7 }, 'claim_malformed'],
    [{ jti: 7 }, 'claim_malformed'],
    [{ act: 'bot' }, 'actor_malformed'],
    [{ token_type: 'refresh_token' }, 'type_refused'],
    [{ token_type: 'N_A' }, 'type_refused'],
    [{ token_type: ['Bearer'] }, 'claim_malformed'],
    [{ token_type: 'DPoP' }, 'proof_missing'],
    [{ token_use: 'refresh_token' }, 'type_refused'],
    [{ cnf: { jkt: 'A'.repeat(43) } }, 'proof_missing'],
  ])('[SES16] %o is refused: %s', async (changes, fault) => {
    expect(await detail(json(active(changes)))).toBe(fault)
  })

  test('[TOK-016, SES16] an active token of another resource or another client is refused', async () => {
    for (const aud of ['elsewhere', ['a', 'b'], [], 'Narrowgate', 'narrowgate2', ' narrowgate']) expect(await detail(json(active({ aud })))).toBe('audience_refused')
    for (const aud of [7, [7], { narrowgate: 1 }, ['narrowgate', 7]]) expect(await detail(json(active({ aud })))).toBe('claim_malformed')
    expect(await detail(json(active({ aud: undefined })))).toBe('claim_missing')
    const clients = { audience: [], clients: ['app-1'] }
    expect(await detail(json(active()), clients)).toBe('client_refused')
    expect(await detail(json(active({ client_id: undefined })), clients)).toBe('claim_missing')
    expect(await detail(json(active({ client_id: 'app-1', aud: 'elsewhere' })), { clients: ['app-1'] })).toBe('audience_refused')
    service.answer = json(active({ client_id: 'app-1', aud: undefined }))
    expect((await proven(provider(clients), TOKEN)).principal.client).toBe('app-1')
    service.answer = json(active({ aud: ['other', 'narrowgate'] }))
    await proven(provider(), TOKEN)
  })

  test('[TOK-013, SES16] another issuer’s answer is refused, whatever its spelling', async () => {
    for (const iss of ['https://evil.example', 'HTTPS://login.example', ['https://login.example', 'https://evil'], 'https://login.exampl\u0435', 7, {}]) expect(await detail(json(active({ iss })))).toBe('issuer_unknown')
  })

  test('[TOK-021, SES16] an answer that two parsers read differently is none', async () => {
    const body = JSON.stringify(active()).slice(1, -1)
    for (const more of ['"active":false', '"sub":"root"', '"s\\u0075b":"root"', '"x":{"a":1,"a":2}']) expect(await detail(raw(`{${body},${more}}`))).toBe('introspection_unavailable')
  })

  test('[SES16] a token bound to a key is bound where the provider expects it, and names which', async () => {
    const jkt = 'A'.repeat(43)
    service.answer = json(active({ cnf: { jkt }, token_type: 'DPoP' }))
    const { binding, evidence } = await proven(provider({ possession: { dpop: 'optional', mtls: 'off' } }), TOKEN)
    expect([binding, evidence.keyThumbprint]).toEqual([{ is: 'dpop', thumbprint: jkt }, jkt])
    service.answer = json(active())
    expect((await refused(provider({ possession: { dpop: 'required', mtls: 'off' } }), TOKEN)).detail).toBe('proof_missing')
  })
})

describe('when the place is no help', () => {
  const PLACE = 'introspection_unavailable'

  test.each<[string, Answerer]>([
    ['not JSON', raw('<html>')],
    ['no object', raw('[{"active":true}]')],
    ['nothing', raw('')],
    ['a text', raw('"active"')],
    ['a JWT', raw('e30.e30.e30', 200, { 'content-type': 'application/token-introspection+jwt' })],
    ['not UTF-8', raw(Buffer.from([...Buffer.from('{"active":true,"sub":"'), 0xff, ...Buffer.from('"}')]))],
    ['a byte order mark', raw(`\ufeff${JSON.stringify(active())}`)],
    ['nested too deep', raw(`{"active":true,"x":${'['.repeat(40)}${']'.repeat(40)}}`)],
    ['too long', json(active({ pad: 'x'.repeat(INQUIRY_LIMITS.bytes) }))],
    ['compressed', raw('x', 200, { 'content-encoding': 'gzip' })],
    ['201', json(active(), 201)],
    ['a redirect', raw('', 302, { location: '/active' })],
    ['401', json({ error: 'invalid_client' }, 401)],
    ['500', json(active(), 500)],
    ['a reset', response => response.destroy()],
    ['half an answer', response => { response.writeHead(200, { 'content-length': '100' }); response.write('{"active":true'); response.destroy() }],
  ])('[SES16] %s is silence', async (_name, answer) => {
    expect(await detail(answer)).toBe(PLACE)
    expect(notices).toHaveLength(1)
    expect(notices[0]).not.toContain(TOKEN)
  })

  test('[SES16] nobody waits longer than the limit', { timeout: INQUIRY_LIMITS.timeout + 5_000 }, async () => {
    const started = performance.now()
    expect(await detail(() => {})).toBe(PLACE)
    expect(performance.now() - started).toBeLessThan(INQUIRY_LIMITS.timeout + 2_000)
    expect(notices[0]).toMatch(/did not answer within/)
  })

  test('[SES16] after three failures in a row nobody asks for a moment; then one finds out', async () => {
    service.answer = json({}, 503)
    const one = provider()
    const ask = async (text: string): Promise<string> => (await refused(one, text)).detail
    for (const text of ['a', 'b', 'c']) expect(await ask(text)).toBe(PLACE)
    service.answer = json(active())
    expect(await ask('d')).toBe(PLACE)
    expect(service.asked).toHaveLength(3)
    clock.advance(CIRCUIT.cooldown - 1)
    expect(await ask('e')).toBe(PLACE)
    clock.advance(1)
    const answers = await Promise.all(['f', 'g'].map(text => one.prove(text, sha256(text))))
    expect(answers.map(({ is }) => is)).toEqual(['proven', 'refused'])
    await proven(one, 'h')
    expect(service.asked).toHaveLength(5)
    expect(notices).toHaveLength(1)
  })

  test('[SES16] an answer that speaks of one token shuts nobody else out', async () => {
    const one = provider()
    for (const answer of [json({}, 400), raw('<html>'), json(active({ pad: 'x'.repeat(INQUIRY_LIMITS.bytes) }))]) {
      service.answer = answer
      for (const text of ['a', 'b', 'c', 'd']) expect((await refused(one, text)).detail).toBe(PLACE)
    }
    service.answer = json(active())
    await proven(one, 'e')
  })
})

describe('how long an answer counts', () => {
  const count = async (identifier: Identifier): Promise<number> => {
    await identifier.identify(AUTHN, bearer(TOKEN))
    return service.asked.length
  }

  test('[SES12, SES16] for its freshness from when it was asked for, and never past the token’s end', async () => {
    service.answer = json(active())
    const fresh = identifierOf(provider())
    expect([await count(fresh), await count(fresh)]).toEqual([1, 1])
    clock.advance(9_999)
    expect(await count(fresh)).toBe(1)
    clock.advance(1)
    expect(await count(fresh)).toBe(2)
    service.answer = json(active({ exp: clock.now() / 1000 + 3 }))
    clock.advance(10_000)
    expect(await count(fresh)).toBe(3)
    expect(await fresh.identify(AUTHN, bearer(TOKEN))).toMatchObject({ detail: 'expired' })
  })

  test('[SES12, SES16] a freshness of nothing asks for every request', async () => {
    service.answer = json(active())
    const never = identifierOf(provider({ freshness: duration(0) }))
    expect([await count(never), await count(never)]).toEqual([1, 2])
    expect(never.counts.cached).toBe(0)
  })

  test('[SES12, SES16] a withdrawn token is refused as soon as it is asked about; so is one whose issuer fell silent', async () => {
    service.answer = json(active())
    const fresh = identifierOf(provider())
    await count(fresh)
    service.answer = json({ active: false })
    clock.advance(10_000)
    expect(await fresh.identify(AUTHN, bearer(TOKEN))).toMatchObject({ is: 'refused', detail: 'inactive' })
    service.answer = json({}, 503)
    clock.advance(1_000)
    expect(await fresh.identify(AUTHN, bearer(TOKEN))).toMatchObject({ is: 'refused', detail: 'introspection_unavailable' })
  })

  test('[SES16] that a token is inactive is believed for a second at most', async () => {
    service.answer = json({ active: false })
    const one = provider()
    for (const _ of [1, 2, 3]) expect((await refused(one, TOKEN)).detail).toBe('inactive')
    expect(service.asked).toHaveLength(1)
    service.answer = json(active())
    clock.advance(999)
    expect((await refused(one, TOKEN)).detail).toBe('inactive')
    clock.advance(1)
    await proven(one, TOKEN)
  })

  test('[SES12, SES16] a burst of one token makes one call', async () => {
    service.answer = json(active())
    const burst = identifierOf(provider())
    const answers = await Promise.all(Array.from({ length: 200 }, () => burst.identify(AUTHN, bearer(TOKEN))))
    expect(answers.every(({ is }) => is === 'verified')).toBe(true)
    expect(service.asked).toHaveLength(1)
  })
})

describe('JWTs', () => {
  test('[SES15, SES16] are asked about only by `jwt: true`, and only those of the issuer', async () => {
    service.answer = json(active())
    const issuer = await TokenIssuer.create()
    const told = async (jwt: boolean, claims: TokenClaims): Promise<string> => {
      const answer = await identifierOf(provider({ jwt })).identify(AUTHN, bearer(await issuer.sign(claims, { now: NOON })))
      return answer.is === 'verified' ? answer.verified.principal.subject : answer.detail
    }
    expect(await told(false, {})).toBe('issuer_unknown')
    expect(await told(false, { iss: undefined })).toBe('malformed')
    expect(await told(true, { iss: 'https://other.example' })).toBe('issuer_unknown')
    expect(await told(true, { iss: undefined })).toBe('malformed')
    expect(service.asked).toEqual([])
    expect(await told(true, {})).toBe('agent-1')
  })
})
