// A gateway that asks a service about opaque tokens, for one API without elevations. For tests only.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { GatewayPlan } from '../support/gateway.ts'

/** @param freshness milliseconds; sessions stay bound to the `device_id` that the service names */
export const opaquePlan = (freshness: number, service: { readonly url: string }, { origin }: { readonly origin: string }): GatewayPlan => ({
  routes: '',
  config: ({ directory, issuer }) => {
    writeFileSync(join(directory, 'secret'), 'a secret', { mode: 0o600 })
    return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json } }
  opaque: { introspection: { url: "${service.url}", clientId: gate, clientSecretFile: ${directory}/secret, audience: narrowgate, freshness: ${freshness}ms }, claims: { device: device_id } }
sessions: { baseline: [{ scopes: [base:use] }], bind: { device: required } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${origin}", connections: 800 }
    rules: [{ allow: { paths: [/**] }, scope: base:use }]
`
  },
})
