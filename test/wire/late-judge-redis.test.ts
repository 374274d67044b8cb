// A change that is committed through one gateway while a request waits for anything on another one is seen by that judge's last look: nothing of the request
// reaches the upstream. The changes are real words of an operator, acknowledged by both gateways. SPEC: ENF2, STO16, RULES 1
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Answer, type GatewayPair, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'

const PLAN = {
  routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - allow: { methods: [GET], paths: [/public/**] }
    - allow: { methods: [GET], paths: [/write/**] }
      scope: api:write`,
  elevations: 'writer: { adds: [api:write], for: 10m, purpose: [ticket], endWhen: [ticket.closed] }',
  more: `
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
audit: { trail: { fsync: true } }`,
} as const

let server: RedisServer
let pair: GatewayPair
beforeAll(async () => {
  server = await RedisServer.start()
  pair = await TestGateway.pair(server, PLAN)
})
afterAll(async () => {
  await pair.stop()
  await server.dispose()
})

type Caller = { readonly name: string; readonly ticket: string; readonly token: string; readonly session: string; readonly elevation: string }

let made = 0
/** Elevated through the other gateway. */
async function elevated({ a, b }: GatewayPair): Promise<Caller> {
  const [name, ticket] = [`caller-${++made}`, `T-${made}`]
  const token = await a.issuer.sign({ sub: name, sid: name, jti: name })
  const elevation = await a.elevate(token, 'writer', ticket)
  const { id } = await b.session(token)
  return { name, ticket, token, session: id, elevation }
}

type Change = { readonly what: string; readonly reasons: readonly string[]; readonly say: (gate: TestGateway, caller: Caller) => Promise<Answer> }
const CHANGES: readonly Change[] = [
  { what: 'terminate', reasons: ['revoked', 'credential_revoked'], say: (gate, { session }) => gate.admin('POST', `/v1/sessions/${session}/terminate`) },
  { what: 'lock', reasons: ['locked'], say: (gate, { name }) => gate.admin('POST', '/v1/locks', { selector: { subject: name } }) },
  { what: 'ticket end', reasons: ['ticket_closed'], say: (gate, { ticket }) => gate.admin('POST', `/v1/anchors/ticket/${ticket}`, { state: 'ended' }) },
  { what: 'elevation revoked', reasons: ['elevation_required'], say: (gate, { elevation }) => gate.admin('POST', `/v1/elevations/${elevation}/revoke`) },
  { what: 'narrow', reasons: ['narrowed'], say: (gate, { session }) => gate.admin('POST', `/v1/sessions/${session}/narrow`) },
  { what: 'freeze', reasons: ['frozen'], say: (gate, { session }) => gate.admin('POST', `/v1/sessions/${session}/freeze`) },
]

const write = (gate: TestGateway, { name, token, ticket }: Caller): Promise<Answer> => gate.ask('GET', `/write/${name}`, { authorization: `Bearer ${token}`, 'narrowgate-ticket': ticket })

async function isSaid(change: Change, caller: Caller): Promise<void> {
  const { status, json, text } = await change.say(pair.a, caller)
  expect([status, json['enforced'], json['gateways']], text).toEqual([200, true, { total: 2, acknowledged: 2, expired: 0 }])
}

/** Refused, and what was to come upstream before the next request has not come. */
async function isRefused(caller: Caller, answer: Answer, { reasons }: Change): Promise<void> {
  expect(reasons, answer.text).toContain(answer.json['reason'])
  const path = `/public/after-${++made}`
  expect((await pair.b.ask('GET', path, { authorization: `Bearer ${await pair.b.token({ sub: 'somebody-else' })}` })).status).toBe(200)
  expect(pair.b.upstream.bytes()).toContain(path)
  expect(pair.b.upstream.bytes()).not.toContain(`/write/${caller.name} `)
  expect(pair.b.parts.inflight.size).toBe(0)
}

test.each(CHANGES)('[STORE-37R, ENF2, STO16] $what through the other gateway during each step of gather: nothing goes upstream', async change => {
  const { steps } = pair.b.parts
  expect(steps.length).toBeGreaterThan(0)
  for (const step of steps) {
    for (const side of ['before', 'after'] as const) {
      const caller = await elevated(pair)
      const own = { needed: step.needed, run: step.run }
      const needed = vi.spyOn(step, 'needed').mockImplementation(({ done }) => !done.has(step.name))
      const run = vi.spyOn(step, 'run').mockImplementation(async gathering => {
        if (side === 'before') await isSaid(change, caller)
        const reason = own.needed(gathering) ? await own.run(gathering) : null
        if (side === 'after') await isSaid(change, caller)
        return reason
      })
      const answer = await write(pair.b, caller)
      expect(run, step.name).toHaveBeenCalledOnce()
      needed.mockRestore()
      run.mockRestore()
      await isRefused(caller, answer, change)
    }
  }
})

test.each(CHANGES)('[STORE-37R, ENF2, STO16] $what through the other gateway while a credential is verified: nothing goes upstream', async change => {
  const { identifier } = pair.b.parts
  for (const side of ['before', 'after'] as const) {
    const caller = await elevated(pair)
    const renewed = { ...caller, token: await pair.a.issuer.sign({ sub: caller.name, sid: caller.name, jti: `${caller.name}-again` }) }
    const own = identifier.identify.bind(identifier)
    const identify = vi.spyOn(identifier, 'identify').mockImplementationOnce(async (names, presented) => {
      if (side === 'before') await isSaid(change, caller)
      const identified = await own(names, presented)
      if (side === 'after') await isSaid(change, caller)
      return identified
    })
    const answer = await write(pair.b, renewed)
    expect(identify).toHaveBeenCalled()
    identify.mockRestore()
    await isRefused(caller, answer, change)
  }
})
