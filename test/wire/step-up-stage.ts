// Gateways on which callers have to step up: people and agents of one issuer, operators of every kind from a token file, rules that ask always and a level
// that asks. For tests only.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Role } from '../../src/admin/roles.ts'
import type { LevelMark } from '../../src/core/risk.ts'
import type { SessionKey } from '../../src/core/session.ts'
import { instant } from '../../src/core/time.ts'
import { sha256 } from '../../src/runtime/id.ts'
import type { Answer, GatewayPlan, TestGateway } from '../support/gateway.ts'
import { DpopKey, seconds } from '../support/possession.ts'
import type { TapUpstream } from './support.ts'

export const PEOPLE_ISSUER = 'https://people.example'

type Role3 = Extract<Role, 'approver' | 'operator' | 'viewer'>
/** Whom the token file knows; `agents` is the issuer of agents. */
const OPERATORS = {
  ann: ['approver', 'ops|ann'], olga: ['operator', 'ops|olga'], self: ['approver', 'agents|selfish'], owner: ['approver', 'agents|boss'], actor: ['approver', 'agents|orchestrator'], alias: ['approver', 'ops|alias'],
} as const satisfies { readonly [name: string]: readonly [Role3, string] }
export type Operator = keyof typeof OPERATORS

const tokenOf = (who: Operator): string => `nga_${who.padEnd(43, '0')}`

export function stepUpPlan(upstream: TapUpstream, { limits = '' }: { /** Of `server.limits`. */ readonly limits?: string } = {}): GatewayPlan {
  return {
    routes: '',
    config: ({ directory, issuer }) => {
      mkdirSync(join(directory, 'state'), { recursive: true, mode: 0o700 })
      writeFileSync(join(directory, 'state', 'admin.token'), `${tokenOf('olga')}\n`, { mode: 0o600 })
      const entries = Object.entries(OPERATORS).map(([name, [role, identity]]) => ({ name, sha256: sha256(tokenOf(name as Operator)), roles: [role], identity: identity.replace('agents|', `${issuer.issuer}|`) })) // names of the list above
      writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: entries }), { mode: 0o600 })
      const jwt = (named: string, and: string): string => `{ jwt: { issuer: "${named}", audience: narrowgate, jwksFile: ${directory}/jwks.json${and} }, claims: { owner: owner }`
      return `
version: 1
stateDir: ${directory}/state
server:
  limits: { ${limits} }
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
admin: { auth: { tokenFile: ${directory}/operators.json } }
authn:
  agents: ${jwt(issuer.issuer, ', dpop: optional')}, kind: agent }
  people: ${jwt(PEOPLE_ISSUER, '')}, kind: person }
identities: [["ops|alias", "${issuer.issuer}|selfish"]]
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
risk:
  levels: [{ name: elevated, at: 20, do: [stepUp] }]
  stepUp: { covers: rule, uses: 1, within: 5m }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { paths: ["/once/**"] }, stepUp: { covers: request, uses: 1, acr: [gold] } }
      - { allow: { paths: ["/mild/**"] }, stepUp: { covers: rule, uses: 0, for: 2s, onDeny: refuse } }
      - { allow: { paths: ["/brief/**"] }, stepUp: { covers: request, within: 1s } }
      - { allow: { paths: ["/harsh/**"] }, stepUp: { covers: request, within: 1s, onTimeout: terminate } }
      - { allow: { paths: ["/*/also"] }, scope: base:use, stepUp: { at: elevated, covers: request } }
      - { allow: { paths: ["/*/extra"] }, scope: base:use, stepUp: { at: elevated } }
      - { allow: {}, scope: base:use }
`
    },
  }
}

let turn = 0
/** Tokens of one session, each newer than the one before unless told otherwise. */
export function caller(gate: TestGateway, claims: object = {}): (more?: object) => Promise<string> {
  const sid = `caller-${++turn}`
  let issued = seconds(-100)
  return more => gate.token({ sid, iat: issued++, exp: seconds(600), ...claims, ...more })
}

export const person = (gate: TestGateway): ReturnType<typeof caller> => caller(gate, { iss: PEOPLE_ISSUER, sub: 'pat' })
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
export const freshPath = (rule: string): string => `/${rule}/${++turn}`

/** Asks, and the upstream answers whatever reaches it. */
export async function asks(gate: TestGateway, upstream: TapUpstream, path: string, headers: { readonly [name: string]: string }, method = 'GET'): Promise<Answer> {
  const answer = gate.ask(method, path, headers)
  let over = false
  const serving = setInterval(() => {
    if (over) return
    upstream.taps.get(path)?.answer.end('ok')
  }, 2)
  try {
    return await answer
  } finally {
    over = true
    clearInterval(serving)
  }
}

export async function operate(gate: TestGateway, who: Operator, method: string, path: string, body: object | null = null): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const port = gate.gateway.front.bound.get('admin')?.address.port
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { authorization: `Bearer ${tokenOf(who)}`, ...(body === null ? {} : { 'content-type': 'application/json' }) }, body: body === null ? null : JSON.stringify(body) })
  return { status: response.status, json: (await response.json()) as Record<string, unknown> } // the API answers objects
}

export const approve = (gate: TestGateway, id: string, who: Operator = 'ann') => operate(gate, who, 'POST', `/v1/step-ups/${id}/approve`, { reason: 'looked at it' })

/** What a refusal says has to be shown. */
export type Told = { readonly id: string; readonly by: readonly string[]; readonly endpoint: string; readonly attest?: { readonly endpoint: string } }
export const toldIn = ({ json }: { readonly json: Record<string, unknown> }): Told => json['step_up'] as Told // as the refusal has it

/** Its principal stands at the level from now on, for everybody. */
export async function riseTo(gate: TestGateway, key: SessionKey, at: number): Promise<void> {
  const live = gate.parts.mirror.known(key)
  if (live === null) throw new Error('no such session')
  const { principal } = live.record
  const level: LevelMark = { name: 'elevated', at, score: at, since: instant(Date.now()), who: `${principal.issuer}|${principal.subject}`, why: { contributions: [], tenants: [], request: null } }
  await gate.parts.intake.anchor(live.principal, { kind: 'risk.rose', level }, { by: 'test', note: '', id: null })
}

/** A caller with a key, and what it shows: a token bound to it, and a proof with that nonce. */
export class BoundCaller {
  readonly #gate: TestGateway
  readonly #key: DpopKey
  readonly #sid = `bound-${++turn}`

  private constructor(gate: TestGateway, key: DpopKey) {
    this.#gate = gate
    this.#key = key
  }

  static async make(gate: TestGateway): Promise<BoundCaller> { return new BoundCaller(gate, await DpopKey.make()) }

  token(iat: number): Promise<string> { return this.#gate.token({ sid: this.#sid, iat, exp: seconds(600), cnf: { jkt: this.#key.thumbprint } }) }

  async headers(method: string, path: string, token: string, nonce: string | null): Promise<{ readonly [name: string]: string }> {
    return { authorization: `DPoP ${token}`, dpop: await this.#key.proof(method, `http://api.test${path}`, token, { claims: { nonce: nonce ?? undefined } }) }
  }
}
