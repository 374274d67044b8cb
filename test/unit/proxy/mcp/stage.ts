// A session with an open exchange on a route of MCP, over a real ledger, mirror and store in memory: what sieves ask about. For tests only.
import { load } from '../../../../src/config/load.ts'
import { processEnvironment } from '../../../../src/config/source.ts'
import type { Selector } from '../../../../src/core/anchor.ts'
import type { McpRoute } from '../../../../src/core/call.ts'
import { evaluate } from '../../../../src/core/evaluate.ts'
import type { Policy } from '../../../../src/core/policy.ts'
import { NOT_RISKED } from '../../../../src/core/risk.ts'
import { placeOf, type Route } from '../../../../src/core/route.ts'
import { FOREVER, type Instant, instant } from '../../../../src/core/time.ts'
import { type Channel, caseOf, Exchange, type GateKeeper } from '../../../../src/enforcement/exchange.ts'
import type { Message } from '../../../../src/proxy/mcp/message.ts'
import { NO_ARGUMENTS, plainCall } from '../../../../src/proxy/mcp/message.ts'
import type { JsonObject, ServerMessage } from '../../../../src/proxy/mcp/sieve.ts'
import { Supposing } from '../../../../src/proxy/mcp/lists/supposing.ts'
import { newLockId, newSignalId } from '../../../../src/runtime/id.ts'
import { PLAIN_CONTEXT } from '../../../support/plain.ts'
import { elevation, SESSION } from '../../core/world.ts'
import { evidence, World } from '../../sessions/world.ts'

const RULES = `
      - deny: { tools: [forbidden] }
      - allow: { tools: ["read_*", search], prompts: [greet], resources: ["file:///runbooks/*"] }
      - allow: { tools: [write], resources: ["file:///secrets/*"] }
        scope: db:write
      - allow: { tools: [args_only] }
        if: mcp.args.incident == "INC-42"
      - allow: { tools: [page_b, page_c] }
        if: mcp.tool == "page_b"
      - allow: { mcp: ["notifications/custom"] }`

/** @param mcp of the route, in YAML */
export function policyOf(mcp = '{}', rules = RULES): Policy {
  const loaded = load(`
version: 1
stateDir: /nowhere
authn: { login: { jwt: { issuer: https://idp.test, audience: narrowgate }, kind: agent } }
sessions: { baseline: [{ scopes: [base:read] }] }
elevations: { fix: { adds: [db:write], for: 10m, max: 10m } }
routes:
  - name: runbooks
    match: { host: mcp.test }
    upstream: http://runbooks:8080
    mcp: ${mcp}
    rules:${rules}
`, 'test.yaml', processEnvironment('/'))
  if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
  return loaded.settings.policy
}

const nothing = (): void => {}
const channel: Channel = { status: 200, freeze: nothing, resume: nothing, cut: nothing, tick: nothing }
const RESOURCE = { host: 'mcp.test', path: '/', segments: [''], query: '' }

export class Stage {
  readonly world: World
  readonly keeper: GateKeeper
  readonly route: Route
  readonly mcp: McpRoute
  readonly exchange: Exchange
  readonly supposing: Supposing

  static async open(policy = policyOf()): Promise<Stage> {
    const world = await World.start(policy)
    const live = await world.opened()
    world.mirror.learn(live, {}, evidence('cred_1', SESSION.credential.issuedAt, null))
    return new Stage(world, policy, live)
  }

  private constructor(world: World, policy: Policy, live: Awaited<ReturnType<World['opened']>>) {
    const [route] = policy.routes
    if (route?.mcp == null) throw new Error('no route of MCP')
    this.world = world
    this.route = route
    this.mcp = route.mcp
    this.keeper = { clock: world.clock, mirror: world.mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
    const evaluation = { evidence: evidence('cred_1', SESSION.credential.issuedAt, null), action: { method: 'POST', upgrade: null, call: plainCall('protocol', 'tools/list') }, resource: RESOURCE, context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const
    const inquiry = { id: 'exc_1', policy, place: placeOf(route, evaluation.action, RESOURCE), evaluation, live, claims: {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
    const decision = evaluate(caseOf(inquiry, this.keeper, world.clock.now(), null))
    if (decision.effect !== 'permit') throw new Error(decision.reason)
    this.exchange = new Exchange(inquiry, decision, channel, this.keeper, world.clock.now())
    this.supposing = new Supposing(this.keeper, () => this.exchange)
  }

  close(): Promise<void> { return this.world.close() }

  async lock(selector: Selector, effect: 'deny' | 'freeze' = 'deny', until: Instant | null = null): Promise<void> {
    await this.world.ledger.applyToLock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect, reason: 'locked', until, id: newSignalId(), by: 'operator', note: '' })
  }

  async lift(selector: Selector): Promise<void> { await this.world.ledger.applyToLock(selector, { kind: 'lock.lifted', id: newSignalId(), by: 'operator', note: '' }) }

  /** Ends in ten minutes. */
  async elevate(): Promise<void> {
    await this.world.tell('a', { kind: 'elevation.requested', startsAt: null, elevation: elevation('elv_1', { requestedAt: instant(this.world.clock.now()), ties: [], state: { is: 'requested', expiresAt: null } }) })
  }
}

/** As a caller sent it. */
export const asked = (method: string, params: JsonObject = {}, changes: Partial<Message> = {}): Message => ({
  era: 'modern', version: '2026-07-28', is: 'request', id: 7, method, params: new Map(Object.entries(params).map(([name, value]) => [name, mapped(value)])), value: null, call: { ...plainCall('protocol', method), args: NO_ARGUMENTS }, own: null, ...changes,
})

const mapped = (value: unknown): unknown => (typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value).map(([name, each]) => [name, mapped(each)])) : value)

export const answer = (result: JsonObject): ServerMessage => ({ is: 'answer', id: 7, method: '', value: { jsonrpc: '2.0', id: 7, result }, bytes: Buffer.from('x') })
export const tells = (method: string, params: JsonObject = {}): ServerMessage => ({ is: 'notification', id: null, method, value: { jsonrpc: '2.0', method, params }, bytes: Buffer.from('x') })
export const resultOf = (message: ServerMessage | null): JsonObject => (message?.value['result'] ?? {}) as JsonObject // what a test wrote
