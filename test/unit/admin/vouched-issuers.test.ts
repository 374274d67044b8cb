// Which issuers no broker may give to the principals it makes: those of every kind of provider, of operators, and the gateway's own forms.
import { expect, test } from 'vitest'
import { isVouchedIssuer } from '../../../src/admin/vouched-issuers.ts'
import { loaded, SMALL } from '../config/fixture.ts'

const { providers, admin } = loaded(`
version: 1
server:
  listeners:
    - { name: main, address: ":8443", serves: [proxy], tls: { certFile: /c, keyFile: /k, clients: { caFile: /ca } } }
    - { name: admin, address: ":9443", serves: [admin], tls: { certFile: /c, keyFile: /k, clients: { caFile: /ca } } }
admin:
  auth:
    oidc: { issuer: "https://operators.example", audience: narrowgate-admin, jwksFile: /j, roles: { viewer: "true" } }
    mtls: { spiffe: ["spiffe://ops.example.org/ns/*/sa/console"], roles: { viewer: "true" } }
authn:
  people: { jwt: { issuer: "https://login.example", audience: narrowgate, jwksFile: /j } }
  opaque: { introspection: { url: "https://opaque.example/ask", clientId: gate, clientSecretFile: /s, audience: narrowgate, issuer: "https://opaque.example" } }
  unnamed: { introspection: { url: "https://unnamed.example/ask", clientId: gate, clientSecretFile: /s, audience: narrowgate } }
  mesh: { jwtSvid: { trustDomain: mesh.example.org, issuer: "https://spire.example", audience: narrowgate, jwksFile: /j } }
  cluster: { kubernetes: { issuer: "https://cluster.example", audience: narrowgate, jwksFile: /j } }
  workloads: { mtls: { spiffe: ["spiffe://prod.example.org/ns/*/sa/deploy"] } }
  robots: { apiKey: { header: x-key, keysFile: /keys } }
  tasks: { sessionToken: {} }
routes: [{ name: api, match: { host: api.test }, upstream: "http://127.0.0.1:9", rules: [{ allow: {} }] }]
`)
const VOUCHED = [
  'https://login.example', 'https://opaque.example', 'https://cluster.example', 'https://spire.example', 'https://operators.example', 'spiffe://mesh.example.org', 'spiffe://prod.example.org', 'spiffe://ops.example.org',
  'introspection:unnamed', 'api-key:robots', 'api-key:later', 'x509:CN=Any', 'introspection:later', 'API-KEY:keys', 'X509:CN=Any',
]

test.each(VOUCHED)('[ADM23, SES20] %s is the issuer of somebody else’s principals', issuer => {
  expect(isVouchedIssuer({ providers, admin }, issuer)).toBe(true)
})

test.each(['https://robots.example', 'spiffe://other.example.org', 'api', 'https://login.example/', 'tasks'])('[ADM23] %s is nobody’s', issuer => {
  expect(isVouchedIssuer({ providers, admin }, issuer)).toBe(false)
})

test('[ADM23] a configuration without other operators vouches for its providers alone', () => {
  const small = loaded(SMALL)
  expect(isVouchedIssuer(small, 'https://operators.example')).toBe(false)
})
