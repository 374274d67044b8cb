// `admin.auth` as the file writes it: what loads, and what is said of what does not.
import { expect, test } from 'vitest'
import { loaded, problems, SMALL } from '../config/fixture.ts'

const OIDC = 'issuer: https://login.example, audience: narrowgate-admin'
const ASKING = 'server: { listeners: [{ name: main, address: ":8080", serves: [proxy] }, { name: admin, address: ":9443", serves: [admin], tls: { certFile: /c, keyFile: /k, clients: { caFile: /ca } } }] }'
const auth = (text: string, more = ''): string => `${SMALL}\n${more}\nadmin: { auth: { ${text} } }\n`
const roles = (when: string): string => `roles: { viewer: ${JSON.stringify(when)} }`

test('[ADM22] both ways load beside a token file; nobody is known by them where they are not written', () => {
  const { admin } = loaded(auth(`tokenFile: /t, oidc: { ${OIDC}, ${roles('identity.level >= 3')} }, mtls: { subjects: ["CN=ann,O=Example"], ${roles('true')} }`, ASKING))
  expect(admin).toMatchObject({ tokenFile: '/t', oidc: { provider: { is: 'jwt', kind: 'operator', types: ['at+jwt'], keys: { is: 'discovery' }, possession: { dpop: 'off', mtls: 'off' } } }, mtls: { provider: { is: 'mtls', by: 'subjects' } } })
  const principal = { kind: 'operator', issuer: 'i', tenant: '', subject: 's', client: '', owner: null, actor: null } as const
  const when = admin.oidc?.roles.get('viewer')
  expect([{ level: 3 }, { level: 2 }, {}, { level: 'x' }].map(claims => when?.test(principal, claims))).toEqual(['true', 'false', 'error', 'error'])
  expect(loaded(SMALL).admin).toEqual({ tokenFile: null, breakGlassTokenFile: null, oidc: null, mtls: null })
})

test.each([
  ['a condition that reads the subject', `oidc: { ${OIDC}, ${roles('subject.kind == "person"')} }`, /condition, column/],
  ['a condition of another type', `oidc: { ${OIDC}, ${roles('"yes"')} }`, /not bool/],
  ['an empty condition', `oidc: { ${OIDC}, ${roles('')} }`, /empty/],
  ['a pattern that could take long', `oidc: { ${OIDC}, ${roles('identity.sub.matches("(a+)+b")')} }`, /pattern/],
  ['no roles', `oidc: { ${OIDC} }`, /roles|required/],
  ['no role among them', `oidc: { ${OIDC}, roles: {} }`, /at least one role/],
  ['an unknown role', `oidc: { ${OIDC}, roles: { root: "true" } }`, /root/],
  ['keys from two places', `oidc: { ${OIDC}, jwksFile: /j, jwksUri: "https://login.example/keys", ${roles('true')} }`, /only one of/],
  ['a key that is asked for', `oidc: { ${OIDC}, dpop: required, ${roles('true')} }`, /dpop/],
  ['the audience of callers', `oidc: { issuer: https://ci.example, audience: [narrowgate-admin, narrowgate], ${roles('true')} }`, /'ci' would count here too/],
  ['certificates nobody is asked for', `mtls: { subjects: ["CN=ann"], ${roles('true')} }`, /no listener that serves `admin` asks/],
])('[ADM22, CFG4] %s is refused at load', (_, text, says) => {
  expect(problems(auth(text)).join('\n')).toMatch(says)
})

test('[ADM22] certificates are named in exactly one way, and only listeners for callers or operators ask for them', () => {
  expect(problems(auth(`mtls: { ${roles('true')} }`, ASKING)).join('\n')).toMatch(/exactly one of/)
  expect(problems(auth(`mtls: { subjects: ["CN=a"], spiffe: ["spiffe://e.org/a"], ${roles('true')} }`, ASKING)).join('\n')).toMatch(/exactly one of/)
  expect(problems(`${SMALL}\n${ASKING.replace('serves: [admin]', 'serves: [health]')}`).join('\n')).toMatch(/only listeners that serve `proxy`, `admin` or `decisions`/)
})
