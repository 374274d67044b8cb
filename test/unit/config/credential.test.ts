// What upstreams are shown, as written and as compiled. SPEC: CRD1, CRD11
import { describe, expect, it } from 'vitest'
import { load } from '../../../src/config/load.ts'
import type { UpstreamSettings } from '../../../src/config/settings.ts'
import { loaded, problems, SMALL, WORLD } from './fixture.ts'

const written = (keys: string): string => `${SMALL}upstreams: { api: { url: http://api:1, credential: { ${keys} } } }\n`
const upstream = (keys: string): UpstreamSettings | undefined => loaded(written(keys)).upstreams.get('api')
const warnings = (text: string): readonly string[] => {
  const result = load(text, 'test.yaml', WORLD)
  return result.ok ? result.warnings.map(({ message }) => message) : result.problems.map(({ message }) => `error: ${message}`)
}
const inRoute = (route: string, credential: string): string =>
  SMALL.replace('    upstream: http://deploy:8080\n', `    upstream: { url: http://deploy:8080${credential === '' ? '' : `, credential: { ${credential} }`} }\n${route === '' ? '' : `    ${route}\n`}`)

const CLIENT = 'clientId: gate, clientSecretFile: s'
const GRANT = `clientCredentials: { tokenUrl: "https://as/token", ${CLIENT} }`
const OBTAIN = 'obtain: { url: "https://v/creds", token: /data/token, lease: /lease_id }'
const LEASE = `lease: { tokenFile: t, ${OBTAIN} }`

describe('where a credential comes from', () => {
  it('[CRD1] a file is the whole value of a header', () => {
    expect(upstream('header: X-Key, valueFile: key')).toMatchObject({ inject: { header: 'x-key', valueFile: '/work-dir/key' }, brokered: null })
  })

  it('[CRD1] client credentials, with every default', () => {
    expect(upstream(GRANT)).toMatchObject({ inject: null, brokered: {
      header: 'authorization', prefix: 'Bearer ', timeout: 5_000, caFile: null, revoke: null,
      obtain: { is: 'clientCredentials', url: 'https://as/token', client: { id: 'gate', secretFile: '/work-dir/s', auth: 'basic' }, scope: null, audience: null, resource: null },
    } })
  })

  it('[CRD1] an exchange of what the caller showed, with who acts', () => {
    expect(upstream(`exchange: { url: "https://as/token", audience: crm }, revoke: false`)?.brokered).toEqual({
      header: 'authorization', prefix: 'Bearer ', timeout: 5_000, caFile: null, revoke: null,
      obtain: { is: 'exchange', url: 'https://as/token', client: null, scope: null, audience: 'crm', resource: null, subject: 'caller', actor: 'context', requestedTokenType: null },
    })
    expect(upstream(`exchange: { url: "https://as/token", ${CLIENT}, auth: post, subject: context, actor: none, scope: "a b" }, revoke: { url: "https://as/revoke", alarmAfter: 5s }`)?.brokered).toMatchObject({
      revoke: { is: 'rfc7009', url: 'https://as/revoke', alarmAfter: 5_000 }, obtain: { client: { auth: 'post' }, subject: 'context', actor: 'none', scope: 'a b' },
    })
  })

  it('[CRD1] a lease, with where its parts are and how it is given back', () => {
    expect(upstream(`header: x-key, prefix: "", caFile: ca, timeout: 1s, lease: { tokenFile: t, ${OBTAIN}, revoke: { url: "https://v/revoke", method: PUT, body: { lease_id: "{lease}" } } }`)?.brokered).toEqual({
      header: 'x-key', prefix: '', timeout: 1_000, caFile: '/work-dir/ca',
      obtain: { is: 'lease', url: 'https://v/creds', method: 'POST', body: null, tokenFile: '/work-dir/t', header: 'x-vault-token', token: '/data/token', lease: '/lease_id', ttl: null },
      revoke: { is: 'call', url: 'https://v/revoke', method: 'PUT', body: '{"lease_id":"{lease}"}', alarmAfter: 30_000 },
    })
  })

  it.each<readonly [string, string]>([
    ['', 'a credential is exactly one of `valueFile`, `clientCredentials`, `exchange` and `lease`'],
    [`${GRANT}, ${LEASE}`, 'a credential is exactly one of `valueFile`, `clientCredentials`, `exchange` and `lease`'],
    ['valueFile: f', '`valueFile` needs a `header`'],
    ['header: a, valueFile: f, prefix: "Bearer "', '`prefix` is for credentials that are obtained'],
    ['header: a, valueFile: f, revoke: false', '`revoke` is for credentials that are obtained'],
    [`header: host, ${GRANT}`, 'the header \'host\' cannot be set'],
    [`header: narrowgate-x, ${GRANT}`, 'the header \'narrowgate-x\' cannot be set'],
    [GRANT.replace('https:', 'http:'), 'secrets are sent there, and must not be read on the way'],
    [GRANT.replace('https:', 'ftp:'), 'expected an https URL without credentials and fragment'],
    [GRANT.replace('/token"', '/token#x"'), 'expected an https URL without credentials and fragment'],
    [`${GRANT}, revoke: { url: "http://as/revoke" }`, 'secrets are sent there, and must not be read on the way'],
    ['exchange: { url: "https://as/token", clientId: gate }', '`clientId` and `clientSecretFile` go together'],
    ['exchange: { url: "https://as/token" }, revoke: { url: "https://as/revoke" }', 'what revoking takes is sealed with the secret of the client, and there is none'],
    [`${LEASE}, revoke: { url: "https://as/revoke" }`, 'a lease is given back by `lease.revoke`'],
    [`lease: { tokenFile: t, ${OBTAIN}, revoke: { url: "https://v/revoke", body: { id: x } } }`, 'the body does not say which lease'],
    [`lease: { tokenFile: t, ${OBTAIN.replace('token: ', 'method: GET, body: {}, token: ')} }`, 'GET sends no body'],
    [`lease: { tokenFile: t, ${OBTAIN.replace('/lease_id', 'lease_id')} }`, 'expected a JSON pointer such as `/auth/client_token`'],
    [`${GRANT.replace(CLIENT, `${CLIENT}, scope: "a  b"`)}`, 'expected scopes with one space between them'],
  ])('[CRD1] { %s } is refused', (keys, message) => {
    expect(problems(written(keys))).toEqual([message])
  })

  it('[CRD1] a file that is not there is named', () => {
    expect(problems(written(GRANT), { ...WORLD, exists: path => path !== '/work-dir/s' })).toEqual(['the file s does not exist or cannot be read'])
  })

  it.each<readonly [string, readonly string[]]>([
    [GRANT, ['what is obtained is not revoked when its elevation ends: it lives to its own end']],
    [`${GRANT}, revoke: { url: "https://as/revoke" }`, []],
    [LEASE, ['what is obtained is not revoked when its elevation ends: it lives to its own end']],
  ])('[CRD1, CFG9] { %s } is warned of where it is never taken back', (keys, expected) => {
    expect(warnings(inRoute('', keys))).toEqual(expected)
  })
})

describe('what it means for a route', () => {
  const REVOKED = `${GRANT}, revoke: { url: "https://as/revoke" }`

  it('[CRD1] nobody’s request has nothing to obtain it for, and what only observes gets none', () => {
    expect(problems(inRoute('', REVOKED).replace('{ methods: [GET] }', '{}\n        anonymous: true'))).toEqual(['what its upstream is shown is obtained for a session, and an anonymous request has none'])
    expect(problems(inRoute('mode: observe', REVOKED))).toEqual(['`observe` cannot be used with an upstream that is given a credential'])
    expect(loaded(inRoute('', REVOKED)).policy.routes[0]).toMatchObject({ brokered: true, passthrough: false })
  })

  it('[CRD1, CFG9] callers that show no token have none that could be exchanged', () => {
    const text = inRoute('', `exchange: { url: "https://as/token", ${CLIENT} }, revoke: { url: "https://as/revoke" }`).replace('authn:\n', 'authn:\n  keys: { apiKey: { header: X-Key, keysFile: keys.yaml } }\n')
    expect(warnings(text)).toContain('callers of \'keys\' show no token that could be exchanged, and are refused here')
    expect(warnings(text.replace('exchange: {', 'exchange: { subject: context,')).filter(message => message.includes('exchanged'))).toEqual([])
  })

  it('[CRD11] a caller’s own credential goes on where it is said, which is warned of, and never beside another one in its place', () => {
    expect(loaded(inRoute('passthrough: true', '')).policy.routes[0]).toMatchObject({ passthrough: true })
    expect(warnings(inRoute('passthrough: true', ''))).toEqual(['the caller’s own credential goes to the upstream, which can use it wherever it counts'])
    expect(problems(inRoute('passthrough: true', REVOKED))).toEqual(['the upstream is shown a credential of its own in `Authorization`'])
    expect(problems(inRoute('passthrough: true', 'header: Authorization, valueFile: f'))).toEqual(['the upstream is shown a credential of its own in `Authorization`'])
    expect(problems(inRoute('passthrough: true', 'header: x-key, valueFile: f'))).toEqual([])
  })
})
