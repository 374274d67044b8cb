// A whole gateway with operators from a token file and from an OpenID provider, profiles that need their word, and what each of them asks. For tests only.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { entryFor } from '../../src/admin/first-token.ts'
import type { Role } from '../../src/admin/roles.ts'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { TokenIssuer } from '../support/token-issuer.ts'

const PEOPLE = {
  operator: { roles: ['operator'], identity: 'ops|operator' }, admin: { roles: ['admin'], identity: 'ops|admin' },
  ann: { roles: ['approver'], identity: 'ops|ann' }, bob: { roles: ['approver'], identity: 'ops|bob' }, annToo: { roles: ['approver'], identity: 'other|ann' },
  dana: { roles: ['approver'], identity: 'ops|dana' }, olga: { roles: ['operator'], identity: 'ops|olga' },
} as const satisfies { readonly [name: string]: { readonly roles: readonly Role[]; readonly identity: string } }
export type Person = keyof typeof PEOPLE

const tokenOf = (person: Person): string => `nga_${person.padEnd(43, '0')}`

export const ELEVATIONS = `
elevations:
  one: { adds: [base:write, base:admin], for: 10m, params: { rows: { type: number }, names: { type: list } }, limits: { uses: 5 }, approval: { within: 10m } }
  two: { adds: [base:admin], for: 10m, approval: { count: 2 } }
  staged: { adds: [base:admin], for: 10m, approval: { stages: [{ by: operator }, { by: approver, who: 'identity.team == "oncall"' }] } }
  vouched: { adds: [base:admin], for: 10m, approval: { who: 'identity.team == "oncall"' } }
  emergency: { adds: [base:admin], for: 10m, approval: { mode: breakGlass, reviewWithin: 1m, notify: [hook] } }
  lastly: { adds: [base:admin], for: 10m, approval: { mode: breakGlass, reviewWithin: 1m, onMissed: lock, notify: [hook] } }
  rests: { adds: [base:admin], for: 10m, cooldown: 1h }
  alone: { adds: [base:admin], for: 10m, params: { host: { type: string, required: true } }, holds: params.host }
  windowed: { adds: [base:admin], for: 10m, within: [nights] }
  told: { adds: [base:admin], for: 10m, approval: { notify: [hook] } }
`

type More = { readonly elevations?: string; readonly team?: string; readonly hook?: string; readonly at?: string; readonly store?: string; /** The other gateway of the same installation. */ readonly beside?: ApprovalsGate }
type Written = { readonly directory: string; readonly upstream: { readonly origin: string }; readonly issuer: TokenIssuer }

function configOf({ elevations = ELEVATIONS, team = 'oncall', hook = 'http://127.0.0.1:9/' }: More, { directory, upstream, issuer }: Written): string {
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
admin:
  publicUrl: https://gate.example
  auth:
    tokenFile: ${directory}/operators.json
    oidc: { issuer: "https://staff.example", audience: staff, jwksFile: ${directory}/staff.json, roles: { viewer: 'true', approver: 'identity.team == "${team}"' } }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
identities: [["ops|ann", "other|ann"], ["ops|dana", "${issuer.issuer}|dana"]]
windows: { nights: { timeZone: UTC, open: [{ days: [mon, tue, wed, thu, fri, sat, sun], from: "22:00", to: "04:00" }] } }
notify: { hook: { webhook: { url: "${hook}", secretFile: ${directory}/hook.secret } } }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { methods: [GET] }, scope: base:read }
      - { allow: { methods: [POST] }, scope: base:write }
      - { allow: { methods: [DELETE] }, scope: base:admin }
${elevations}`
}

export class ApprovalsGate {
  readonly gate: TestGateway
  readonly clock: ShiftedClock
  readonly #staff: TokenIssuer
  readonly #more: More

  static async open(more: More = {}): Promise<ApprovalsGate> {
    const staff = more.beside === undefined ? await TokenIssuer.create({ issuer: 'https://staff.example', audience: 'staff' }) : more.beside.#staff
    const clock = new ShiftedClock(more.at ?? new Date().toISOString())
    const keys = more.beside?.gate.issuer ?? (await TokenIssuer.create())
    let directory = ''
    const plan: GatewayPlan = {
      routes: '', clock, issuer: keys, ...(more.beside === undefined ? {} : { upstream: more.beside.gate.upstream }), ...(more.store === undefined ? {} : { store: more.store }),
      config: made => {
        directory = made.directory
        mkdirSync(join(directory, 'state'), { recursive: true, mode: 0o700 })
        writeFileSync(join(directory, 'state', 'admin.token'), `${tokenOf('operator')}\n`, { mode: 0o600 })
        writeFileSync(join(directory, 'hook.secret'), 'a secret of the test, long enough\n', { mode: 0o600 })
        writeFileSync(join(directory, 'staff.json'), JSON.stringify(staff.jwks()), { mode: 0o600 })
        writePeople(directory, [])
        return configOf(more, made)
      },
    }
    return new ApprovalsGate(await TestGateway.start(plan), clock, staff, more)
  }

  private constructor(gate: TestGateway, clock: ShiftedClock, staff: TokenIssuer, more: More) {
    this.gate = gate
    this.clock = clock
    this.#staff = staff
    this.#more = more
  }

  close(): Promise<void> { return this.gate.stop() }

  /** The same gateway again, so many milliseconds later by its clock. */
  async restarted(later: number): Promise<ApprovalsGate> {
    await this.gate.gateway.close('test')
    this.clock.shift += later
    const { directory, upstream, issuer, configFile } = this.gate
    const gate = await TestGateway.start({ routes: '', clock: this.clock, directory, upstream, issuer, config: () => textOf(configFile) })
    return new ApprovalsGate(gate, this.clock, this.#staff, this.#more)
  }

  /** A new caller, by its subject. */
  async caller(sub: string): Promise<string> { return this.gate.issuer.sign({ sub, sid: Math.random().toString(36).slice(2), jti: Math.random().toString(36).slice(2) }, { now: this.clock.now(), lifetime: 86_400 }) }

  /** A token of somebody the OpenID provider knows. */
  staff(sub: string, claims: Readonly<Record<string, unknown>> = {}): Promise<string> { return this.#staff.sign({ sub, ...claims }, { now: this.clock.now(), lifetime: 86_400 }) }

  async operate(person: Person | { readonly token: string }, method: string, path: string, body: object | null = null): Promise<Answer> {
    const port = this.gate.gateway.front.bound.get('admin')?.address.port
    const token = typeof person === 'string' ? tokenOf(person) : person.token
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { authorization: `Bearer ${token}`, ...(body === null ? {} : { 'content-type': 'application/json' }) }, body: body === null ? null : JSON.stringify(body) })
    const text = await response.text()
    return { status: response.status, headers: {}, text, json: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {} } // an object by its first letter
  }

  async view(id: string): Promise<Record<string, unknown>> { return (await this.operate('operator', 'GET', `/v1/elevations/${id}`)).json }
  async state(id: string): Promise<string> {
    const { state, reason } = await this.view(id)
    return state === 'ended' ? `ended ${String(reason)}` : String(state)
  }

  /** Asks and expects it to be taken. */
  async asked(token: string, profile: string, more: object = {}): Promise<string> {
    const answer = await this.ask(token, profile, more)
    if (answer.status !== 201 && answer.status !== 202) throw new Error(`not taken: ${answer.status} ${answer.text}`)
    return String(answer.json['id'])
  }

  ask(token: string, profile: string, more: object = {}): Promise<Answer> {
    return this.gate.ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, JSON.stringify({ profile, reason: 'INC-1', ...more }))
  }

  release(token: string, id: string): Promise<Answer> {
    return this.gate.ask('POST', `/.narrowgate/elevations/${id}/release`, { authorization: `Bearer ${token}` })
  }

  /** Reads the request as an approver would, and approves exactly that. */
  async approve(person: Person | { readonly token: string }, id: string, less: object = {}): Promise<Answer> {
    const { shown } = await this.view(id)
    return this.operate(person, 'POST', `/v1/elevations/${id}/approve`, { shown, reason: 'looked at it', ...less })
  }

  /** These people are in the token file no more; settles when the gateway knows. */
  async dismiss(...gone: readonly Person[]): Promise<void> {
    writePeople(this.gate.directory, gone)
    await eventually('the token file was read', 5_000, async () => {
      const answers = await Promise.all(gone.map(person => this.operate(person, 'GET', '/v1/windows')))
      return answers.every(({ status }) => status === 401) ? true : null
    })
  }

  /** Other teams approve from now on. */
  async reload(more: More): Promise<void> {
    const { gate } = this
    writeFileSync(gate.configFile, `${configOf({ ...this.#more, ...more }, gate)}${this.#more.store === undefined ? '' : `\nstore: ${this.#more.store}\n`}`)
    await eventually('the configuration runs', 5_000, async () => (await this.operate('operator', 'POST', '/v1/config/reload', { reason: 'test' })).status === 200 ? true : null)
  }

  /** Settles when it is so. */
  settles(id: string, state: string): Promise<unknown> {
    let last = ''
    return eventually(`${id} to be ${state}`, 8_000, async () => {
      last = await this.state(id)
      return last === state ? true : null
    }).catch((error: unknown) => { throw new Error(`${String(error)}, but it is ${last}`) })
  }

  async metric(name: string): Promise<string> { return (await this.gate.ops('/metrics')).text.split('\n').filter(line => line.startsWith(`narrowgate_${name}`)).join('\n') }
}

function writePeople(directory: string, gone: readonly Person[]): void {
  const people = Object.entries(PEOPLE).filter(([person]) => !gone.some(each => each === person))
  const tokens = people.map(([person, { roles, identity }]) => ({ ...entryFor(tokenOf(person as Person), person, roles, identity), expires: undefined })) // keys of the table
  writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens }), { mode: 0o600 })
}

const textOf = (file: string): string => readFileSync(file, 'utf8')
