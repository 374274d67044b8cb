// Two gateways that news from outside is brought to, over Redis; or one with the embedded store, which then is both. For tests only.
import type { OutsideEvent, Subject } from '../../src/core/outside.ts'
import { after, duration, type Instant } from '../../src/core/time.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'

type Made = Parameters<NonNullable<GatewayPlan['config']>>[0]

/** @param more further top-level YAML */
const configOf = (more: string) => ({ directory, upstream, issuer }: Made): string => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: news, address: "127.0.0.1:0", serves: [signals] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person, claims: { tenant: org, device: device } }
sessions:
  key: [claims.sid]
  baseline: [{ scopes: [base:read] }]
  names: { sid: sid, email: email }
upstreams:
  api: { url: "${upstream.origin}", timeout: 5s }
telemetry: { logs: { level: silent } }
routes:
  - name: things
    match: { host: api.test }
    upstream: api
    authn: [login]
    rules:
      - { allow: { methods: [GET], paths: [/secrets/**] }, scope: secrets:read }
      - { allow: { methods: [GET], paths: [/notes/**] }, scope: notes:read }
      - { allow: { methods: [GET], paths: [/led/**] }, scope: led:read }
      - { allow: { methods: [GET] }, scope: base:read }
elevations:
  secrets: { adds: [secrets:read], for: 30m, eligible: 'true', approval: none }
  notes: { adds: [notes:read], for: 30m, eligible: 'true', approval: none }
  led: { adds: [led:read], for: 30m, eligible: 'subject.claims.role == "admin"', approval: none }
${more}
`

export type Stage = {
  readonly a: TestGateway
  readonly b: TestGateway
  readonly facts: () => Promise<readonly Record<string, unknown>[]>
  readonly stop: () => Promise<void>
}

export type Setting = { readonly is: 'embedded' | 'redis'; readonly raise: (more?: string, wrapA?: (store: SessionStore) => SessionStore) => Promise<Stage>; readonly close: () => Promise<void> }

const factsIn = (lines: readonly Record<string, unknown>[]): readonly Record<string, unknown>[] => lines.flatMap(({ fact }) => (fact === undefined ? [] : [fact as Record<string, unknown>])) // lines of kind `fact` have one

const planOf = (more: string): GatewayPlan => ({ routes: '', config: configOf(more) })

export const EMBEDDED: Setting = {
  is: 'embedded',
  async raise(more = '', wrapA) {
    const one = await TestGateway.start({ ...planOf(more), ...(wrapA === undefined ? {} : { wrapStore: wrapA }) })
    return { a: one, b: one, facts: async () => factsIn(await one.trail()), stop: () => one.stop() }
  },
  close: async () => {},
}

function overRedis(): Setting {
  let server: RedisServer | null = null
  return {
    is: 'redis',
    async raise(more = '', wrapA) {
      server ??= await RedisServer.start()
      const own = server
      await own.command('FLUSHALL')
      const a = await TestGateway.start({ ...planOf(more), store: storeAt(own), ...(wrapA === undefined ? {} : { wrapStore: wrapA }) })
      const b = await TestGateway.start({ ...planOf(more), upstream: a.upstream, issuer: a.issuer, store: storeAt(own) })
      const facts = async () => {
        await eventually('every fact is in a trail', 10_000, async () => {
          await Promise.all([a, b].map(({ parts }) => parts.drainer.drainNow()))
          return Number(await own.command('XLEN', 'ng:{0}:O')) === 0 ? 'empty' : null
        })
        return factsIn([...(await a.trail()), ...(await b.trail())])
      }
      return { a, b, facts, stop: () => b.stop().then(() => a.stop()) }
    },
    async close() {
      await server?.dispose()
      server = null
    },
  }
}

export const SETTINGS: readonly (readonly [string, Setting])[] = [['embedded', EMBEDDED], ['redis', overRedis()]]

let told = 0
/** As a source brings it; of now where nothing else is said. */
export function newsOf(gate: TestGateway, subject: Subject, more: Partial<OutsideEvent> = {}): OutsideEvent {
  const now = gate.parts.clock.now()
  return { source: 'idp', issuer: 'https://transmitter.test', jti: `jti-${++told}`, type: 'session-revoked', at: now, takenAt: now, subject, effects: [{ do: 'terminate' }], order: null, most: 500, notify: [], note: '', ...more }
}

export const ofUser = ({ issuer }: TestGateway, subject: string): Subject => [{ of: 'user', any: [{ kind: 'subject', value: `${issuer.issuer}|${subject}` }] }]
export const ofTenant = (tenant: string): Subject => [{ of: 'tenant', any: [{ kind: 'tenant', value: tenant }] }]
export const ago = (gate: TestGateway, ms: number): Instant => after(gate.parts.clock.now(), duration(-ms))

export const bearer = async (gate: TestGateway, claims: { readonly [name: string]: unknown } = {}) => ({ authorization: `Bearer ${await gate.token({ org: 't1', ...claims })}` })

export const outcomeAt = async (gate: TestGateway, headers: { readonly [name: string]: string }, path = '/x'): Promise<string> => {
  const { status, json } = await gate.ask('GET', path, headers)
  return typeof json['reason'] === 'string' ? `${status} ${json['reason']}` : String(status)
}

/** One gateway with the embedded store, on the data of an earlier run. */
export const restarted = (directory: string, own: Pick<Made, 'upstream' | 'issuer'>, wrapStore: (store: SessionStore) => SessionStore = store => store): Promise<TestGateway> =>
  TestGateway.start({ ...planOf(''), ...own, directory, wrapStore })
