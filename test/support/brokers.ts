// Gateways with brokers, their operators, and what each of them asks at the admin listener: real files, real sockets. For tests only.
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { entryFor } from '../../src/admin/first-token.ts'
import type { Role } from '../../src/admin/roles.ts'
import type { GatewayPlan, TestGateway } from './gateway.ts'
import { testAuthority } from './tls.ts'

const PEOPLE = {
  operator: ['operator'], viewer: ['viewer'], admin: ['admin'], approver: ['approver'], other: ['approver'],
  flows: ['broker', 'approver'], second: ['broker'], loose: ['broker'], tasks: ['broker'], both: ['broker'], nobody: ['broker'],
} as const satisfies { readonly [name: string]: readonly Role[] }
export type Person = keyof typeof PEOPLE
export const PERSONS = Object.keys(PEOPLE) as readonly Person[] // keys of the table above

const tokenOf = (person: Person): string => `nga_${person.padEnd(43, '0')}`
/** How the trail and approvals name them. */
export const identityOf = (person: Person): string => `ops|${person}`

export const BROKERS = `
brokers:
  flows: { who: [flows, "ops|second", both], may: 'subject.tenant == "acme" && subject.kind == "agent"', profiles: [fix, approved, picked], max: 1h }
  loose: { who: [loose, both], may: 'true', profiles: [fix], max: 2h, bind: optional }
  tasks: { who: [tasks], may: 'true', max: 1h, bind: optional, once: task }
  core: { who: [nobody], may: subject.claims.team == "core", max: 1h, bind: optional }
`

const ELEVATIONS = `
elevations:
  fix: { adds: [base:write, base:admin], for: 15m, max: 1h }
  approved: { adds: [base:admin], for: 15m, max: 1h, approval: { by: approver, within: 10m } }
  picked: { adds: [base:admin], for: 5m, max: 5m, eligible: subject.claims.team == "core" }
  other: { adds: [base:admin], for: 15m, max: 1h }
  ticketed: { adds: [base:admin], for: 15m, max: 1h, purpose: [task] }
`

type Made = (directory: string) => string
const nothing: Made = () => ''
type More = { readonly brokers?: string; /** More of `admin.auth`. */ readonly admin?: Made; readonly authn?: Made; readonly routes?: string; /** Whose certificates callers may show, over TLS. */ readonly clients?: { readonly caFile: string } | null }

export async function brokerPlan({ brokers = BROKERS, admin = nothing, authn = nothing, routes = '', clients = null }: More = {}): Promise<GatewayPlan> {
  const { server: { certFile, keyFile } } = await testAuthority()
  const tls = clients === null ? '' : `, tls: { certFile: ${certFile}, keyFile: ${keyFile}, clients: { caFile: ${clients.caFile} } }`
  return {
    routes: '', tls: clients !== null,
    config: ({ directory, upstream, issuer }) => {
      mkdirSync(join(directory, 'state'), { recursive: true, mode: 0o700 })
      writeFileSync(join(directory, 'state', 'admin.token'), `${tokenOf('operator')}\n`, { mode: 0o600 })
      writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: PERSONS.map(person => ({ ...entryFor(tokenOf(person), person, PEOPLE[person], identityOf(person)), expires: undefined })) }), { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys]${tls} }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
admin: { auth: { tokenFile: ${directory}/operators.json${admin(directory)} } }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
  brokered: { sessionToken: {} }
${authn(directory)}
sessions: { baseline: [{ scopes: [base:read] }, { when: 'subject.claims.team == "core"', scopes: [base:core] }] }
purposes: { task: { header: x-task, source: manual } }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    authn: [login, brokered]
    rules:
      - { allow: { methods: [GET], paths: [/core/**] }, scope: base:core }
      - { allow: { methods: [GET] }, scope: base:read }
      - { allow: { methods: [POST] }, scope: base:write }
      - { allow: { methods: [DELETE] }, scope: base:admin }
  - { name: logins, match: { host: logins.test }, upstream: api, rules: [{ allow: {}, scope: base:read }] }
${routes}
${brokers}${ELEVATIONS}`
    },
  }
}

export type Json = { readonly [member: string]: unknown }
export type Told = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly text: string; readonly json: Json }

/** One request to the admin listener by this person, or with this token. */
export async function asks(gate: TestGateway, person: Person | { readonly token: string }, method: string, path: string, body: unknown = null, headers: { readonly [name: string]: string | string[] } = {}): Promise<Told> {
  const text = body === null ? '' : JSON.stringify(body)
  const authorization = `Bearer ${typeof person === 'string' ? tokenOf(person) : person.token}`
  const sent = request({ host: '127.0.0.1', port: gate.gateway.front.bound.get('admin')?.address.port, method, path, agent: false, headers: { authorization, ...(text === '' ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }), ...headers } })
  sent.end(text)
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer) // no encoding is set
  const answered = Buffer.concat(chunks).toString('utf8')
  return { status: response.statusCode ?? 0, headers: response.headers, text: answered, json: answered.startsWith('{') ? (JSON.parse(answered) as Json) : {} } // an object by its first letter
}

/** What anybody may ask for; members given take the place of these. */
export const wanted = (more: Json = {}): Json => ({ subject: { kind: 'agent', subject: 'triage', tenant: 'acme' }, bind: { source: '127.0.0.1' }, reason: 'task T-1', ...more })
/** A person's word on a request as it is now. */
export async function approves(gate: TestGateway, person: Person, elevation: unknown): Promise<Told> {
  const { shown } = (await asks(gate, 'operator', 'GET', `/v1/elevations/${String(elevation)}`)).json
  return asks(gate, person, 'POST', `/v1/elevations/${String(elevation)}/approve`, { shown, reason: 'ok' })
}

export const opens = (gate: TestGateway, person: Person, more: Json = {}, headers: { readonly [name: string]: string | string[] } = {}): Promise<Told> => asks(gate, person, 'POST', '/v1/sessions', wanted(more), headers)

export type Opened = { readonly token: string; readonly session: string; readonly json: Json }

/** Opens one, and expects it. */
export async function opened(gate: TestGateway, person: Person, more: Json = {}): Promise<Opened> {
  const { status, json, text } = await opens(gate, person, more)
  if (status !== 201 && status !== 202) throw new Error(`not opened: ${status} ${text}`)
  return { token: String(json['token']), session: String(json['session']), json }
}
