// The stage of decisions for others: a gateway with somebody who may ask about everything, somebody who may ask about one route, and questions that name
// requests by their path. For tests only.
import type { GatewayPlan, TestGateway } from '../support/gateway.ts'
import { type Answered, asker, tokenFile } from '../support/decisions.ts'

type Stage = { readonly decisions?: string; readonly elevations?: string; readonly more?: string; readonly routes?: string; readonly authn?: string; readonly principals?: string; /** Of `sessions`. */ readonly names?: string }

export const IDENTIFIER = 'https://pdp.example'

export const decisionsPlan = ({ decisions = '', elevations = '', more = '', routes = '', authn = '', principals = '', names = '' }: Stage = {}): GatewayPlan => ({
  routes: '',
  config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: decisions, address: "127.0.0.1:0", serves: [decisions] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
${authn}
sessions:
  baseline: [{ scopes: [base:read] }, { when: 'subject.claims.role == "lead"', scopes: [lead:do] }]${names === '' ? '' : `\n  names: ${names}`}
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
telemetry: { logs: { level: silent } }
${more}
routes:
  - name: api
    match: { host: api.test }
    upstream: "${upstream.origin}"
    authn: [login]
    rules:
      - { allow: { methods: [GET], paths: [/read, "/read/{id}", /list] }, scope: base:read }
      - { allow: { methods: [POST], paths: [/lead] }, scope: lead:do }
      - { allow: { paths: [/write] }, scope: extra:write }
      - { allow: { paths: [/once] }, scope: once:use }
      - { allow: { paths: [/gold] }, scope: base:read, stepUp: { covers: request, acr: [gold] } }
      - { allow: { paths: [/shown] }, scope: base:read, stepUp: { covers: request, by: [approval] } }
      - { allow: { methods: [PUT], paths: ["/docs/{id}"] }, scope: base:read, inspect: json, if: body.owner == subject.subject }
      - { allow: { methods: [GET], paths: [/from] }, scope: base:read, if: 'source.inCidr("10.0.0.0/8") && request.headers["x-kind"] == "robot"' }
      - { allow: { paths: [/tainting] }, scope: base:read, after: { taint: pii, of: session, for: 30m } }
      - { allow: { paths: [/digested] }, scope: base:read, record: digests }
      - { allow: { paths: [/filmed] }, scope: filmed:use }
      - { allow: { paths: [/public] }, anonymous: true }
      - { deny: { paths: [/never] } }
  - name: other
    match: { host: other.test }
    upstream: "${upstream.origin}"
    authn: [login]
    rules: [{ allow: {}, scope: base:read }]
${routes}
elevations:
  writer: { adds: [extra:write], for: 10m, purpose: [ticket] }
  filmed: { adds: [filmed:use], for: 10m, recording: required }
  once: { adds: [once:use], for: 10m, limits: { uses: 1 } }
${elevations}
decisions:
  identifier: ${IDENTIFIER}
  peps:
    - { name: app, tokenFile: ${tokenFile(directory, 'app')}, may: [evaluate, search] }
    - { name: edge, tokenFile: ${tokenFile(directory, 'edge')}, routes: [other] }
  principals:
    - { type: user, issuer: "${issuer.issuer}", kind: person, tenant: '"acme"', claims: { role: body.subject.properties.role } }
    - { type: plain, issuer: "${issuer.issuer}", client: body.subject.properties.client }
    - { type: tenanted, issuer: "${issuer.issuer}", tenant: body.subject.properties.tenant }
    - { type: stranger, issuer: https://elsewhere.example }
${principals}
  questions:
    - name: broken
      when: body.resource.type == "thing" && body.resource.properties.broken == true
      method: '"GET"'
      url: '"https://api.test/read"'
    - name: route
      when: body.resource.type == "route"
      method: body.action.name
      url: '"https://" + (has(body.resource.properties) && has(body.resource.properties.host) ? body.resource.properties.host : "api.test") + body.resource.id'
      source: 'has(body.context) && has(body.context.ip) ? body.context.ip : ""'
      headers:
        narrowgate-ticket: 'has(body.context) && has(body.context.ticket) ? body.context.ticket : ""'
        x-kind: 'has(body.context) && has(body.context.kind) ? body.context.kind : ""'
      body: 'has(body.context) && has(body.context.body) ? body.context.body : {}'
${decisions}
`,
})

export const EVALUATION = '/access/v1/evaluation'
export const EVALUATIONS = '/access/v1/evaluations'

type Members = { readonly [member: string]: unknown }
export type Told = { readonly decision: boolean; readonly context: Members }

export const question = (subject: Members, method: string, path: string, context: Members | null = null): Members =>
  ({ subject, action: { name: method }, resource: { type: 'route', id: path }, ...(context === null ? {} : { context }) })

export const ofSession = (id: string): Members => ({ type: 'session', id })

export const evaluate = (gate: TestGateway, body: unknown, pep = 'app'): Promise<Answered> => asker(gate, pep).post(EVALUATION, body)

/** The answer to one that there is a decision on. */
export async function told(gate: TestGateway, subject: Members, method: string, path: string, context: Members | null = null): Promise<Told> {
  const { status, json, text } = await evaluate(gate, question(subject, method, path, context))
  if (status !== 200) throw new Error(`no decision: ${status} ${text}`)
  return json as Told // as every decision is
}
