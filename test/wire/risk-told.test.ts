// Scores from outside as callers feel them: a signed message, and what it does to who is open; over real sockets. And what a score leaves on record.
import { createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { deliver, WEBHOOK_SECRET } from '../support/ticket-source.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

const SUBJECT = 'subject: body.user, score: body.score'
const BOUNDED = ', tenant: body.org'

function planOf(map = SUBJECT + BOUNDED, signature = '', provider = ''): GatewayPlan {
  return {
    routes: '',
    config: ({ directory, issuer, upstream }) => {
      writeFileSync(join(directory, 'secret'), WEBHOOK_SECRET, { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: hooks, address: "127.0.0.1:0", serves: [signals] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person, claims: { tenant: org }${provider} }
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
signals: { webhooks: [{ name: siem, kind: risk, secretFile: ${directory}/secret, map: { ${map} }${signature} }] }
risk:
  levels:
    - { name: watched, at: 20, do: [shorten], shortenTo: 1h }
    - { name: hot, at: 60, do: [freeze] }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    rules:
      - { allow: { methods: [GET] }, scope: base:use }
      - { deny: {} }
`
    },
  }
}

async function started(plan = planOf()): Promise<TestGateway> {
  const gate = await TestGateway.start(plan)
  closing.push(() => gate.stop())
  return gate
}

const hooksOf = ({ gateway }: TestGateway): number => gateway.front.bound.get('hooks')?.address.port ?? 0
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const idOf = async (gate: TestGateway, token: string): Promise<string> => gate.parts.mirror.byId((await gate.session(token)).id)?.principal.name ?? ''
const principalOf = async (gate: TestGateway, token: string): Promise<Answer> => gate.admin('GET', `/v1/principals/${await idOf(gate, token)}`)
/** Nothing is asked before: what is let through just ahead of a freeze is held by it. */
const stands = (gate: TestGateway): Promise<unknown> => eventually('somebody stands at the level', 5_000, async () => ((await gate.admin('GET', '/v1/principals?level=hot')).text.includes('"level":"hot"') ? 'stands' : null))
const counted = async (gate: TestGateway, outcome: string): Promise<number> => Number(new RegExp(`narrowgate_hooks_received_total\\{source="siem",outcome="${outcome}"\\} (\\d+)`).exec((await gate.ops('/metrics')).text)?.[1] ?? 0)

describe('a signed score', () => {
  test('[RSK9] is in force when it is answered, for the caller it names and for nobody else', async () => {
    const gate = await started()
    const [ann, bob, other] = [await gate.token({ sub: 'ann', org: 'acme' }), await gate.token({ sub: 'bob', org: 'acme' }), await gate.token({ sub: 'ann', org: 'other' })]
    for (const token of [ann, bob, other]) expect((await gate.ask('GET', '/x', bearer(token))).status).toBe(200)
    expect(await deliver(hooksOf(gate), 'siem', { user: 'ann', org: 'acme', score: 75 })).toBe(202)
    expect((await gate.ask('GET', '/x', bearer(ann))).json).toMatchObject({ reason: 'frozen' })
    for (const token of [bob, other]) expect((await gate.ask('GET', '/x', bearer(token))).status).toBe(200)
    expect((await principalOf(gate, ann)).json).toMatchObject({ risk: { level: 'hot', contributions: [{ rule: 'siem' }] }, level: { name: 'hot', at: 60 } })
  })

  test('[RSK9] takes the place of the earlier one of its name, and counts once', async () => {
    const gate = await started()
    const ann = await gate.token({ sub: 'ann', org: 'acme' })
    await gate.ask('GET', '/x', bearer(ann))
    const at = Date.now()
    expect(await deliver(hooksOf(gate), 'siem', { user: 'ann', org: 'acme', score: 30 }, { id: 'msg_1', at })).toBe(202)
    expect(await deliver(hooksOf(gate), 'siem', { user: 'ann', org: 'acme', score: 10 })).toBe(202)
    expect(await deliver(hooksOf(gate), 'siem', { user: 'ann', org: 'acme', score: 30 }, { id: 'msg_1', at })).toBe(200)
    const { risk } = (await principalOf(gate, ann)).json as { readonly risk: { readonly score: number } } // the contract's answer
    expect(risk.score).toBeGreaterThan(9)
    expect(risk.score).toBeLessThanOrEqual(10)
  })

  test('[RSK9] that is forged, old, of no number or with nobody behind it changes nothing, and is counted', async () => {
    const gate = await started()
    const ann = await gate.token({ sub: 'ann', org: 'acme' })
    await gate.ask('GET', '/x', bearer(ann))
    const hooks = hooksOf(gate)
    const message = { user: 'ann', org: 'acme', score: 75 }
    expect(await deliver(hooks, 'siem', message, { secret: 'another secret of the same length' })).toBe(401)
    expect(await deliver(hooks, 'siem', message, { at: Date.now() - 301_000 })).toBe(401)
    for (const score of [-1, 1_001, '75', null]) expect([score, await deliver(hooks, 'siem', { ...message, score })]).toEqual([score, 400])
    expect(await deliver(hooks, 'siem', null, { body: '{"user":"ann","org":"acme","score":1e999}' })).toBe(400)
    expect(await deliver(hooks, 'siem', { ...message, user: 'nobody' })).toBe(204)
    expect(await deliver(hooks, 'other', message)).toBe(404)
    expect((await gate.ask('GET', '/x', bearer(ann))).status).toBe(200)
    expect([await counted(gate, 'unsigned'), await counted(gate, 'malformed'), await counted(gate, 'unchanged'), await counted(gate, 'taken')]).toEqual([2, 5, 1, 0])
  })

  test('[RSK9] of a signature that tells no time is refused where the message is not of now', async () => {
    const gate = await started(planOf(`${SUBJECT}${BOUNDED}, at: body.at`, ', signature: { header: x-signature }'))
    const ann = await gate.token({ sub: 'ann', org: 'acme' })
    await gate.ask('GET', '/x', bearer(ann))
    const send = (at: string) => {
      const body = JSON.stringify({ user: 'ann', org: 'acme', score: 30, at })
      return deliver(hooksOf(gate), 'siem', null, { body, headers: { 'x-signature': createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex') } })
    }
    expect(await send(new Date(Date.now() - 600_000).toISOString())).toBe(401)
    const now = new Date().toISOString()
    expect([await send(now), await send(now)]).toEqual([202, 200])
  })

  test('[RSK9] of who is named whole is kept for the session that comes', async () => {
    const gate = await started(planOf(`${SUBJECT}${BOUNDED}, issuer: body.iss, client: body.app`))
    expect(await deliver(hooksOf(gate), 'siem', { user: 'ann', org: 'acme', iss: gate.issuer.issuer, app: 'client-1', score: 75 })).toBe(202)
    await stands(gate)
    expect((await gate.ask('GET', '/x', bearer(await gate.token({ sub: 'ann', org: 'acme' })))).json).toMatchObject({ reason: 'frozen' })
  })

  test('[RSK9, HDR-041] in other letters is of the same caller where its issuer does not tell them apart, named in part or whole, and of nobody else where it does', async () => {
    const folding = await started(planOf(SUBJECT + BOUNDED, '', ', subjectCase: fold'))
    const exact = await started()
    for (const [gate, status, reason] of [[folding, 202, 'frozen'], [exact, 204, undefined]] as const) {
      const ann = await gate.token({ sub: 'ann', org: 'acme' })
      expect((await gate.ask('GET', '/x', bearer(ann))).status).toBe(200)
      expect(await deliver(hooksOf(gate), 'siem', { user: 'ANN', org: 'acme', score: 75 })).toBe(status)
      expect((await gate.ask('GET', '/x', bearer(ann))).json['reason']).toBe(reason)
    }
    const whole = await started(planOf(`${SUBJECT}${BOUNDED}, issuer: body.iss, client: body.app`, '', ', subjectCase: fold'))
    expect(await deliver(hooksOf(whole), 'siem', { user: 'Ann', org: 'acme', iss: whole.issuer.issuer, app: 'client-1', score: 75 })).toBe(202)
    await stands(whole)
    expect((await whole.ask('GET', '/x', bearer(await whole.token({ sub: 'ann', org: 'acme' })))).json).toMatchObject({ reason: 'frozen' })
  })

  test('[RSK9] told on one gateway holds on the other', async () => {
    const server = await RedisServer.start()
    closing.push(() => server.stop())
    const { a, b, stop } = await TestGateway.pair(server, planOf())
    closing.push(stop)
    const ann = await a.token({ sub: 'ann', org: 'acme' })
    for (const gate of [a, b]) expect((await gate.ask('GET', '/x', bearer(ann))).status).toBe(200)
    expect(await deliver(hooksOf(b), 'siem', { user: 'ann', org: 'acme', score: 75 })).toBe(202)
    await stands(a)
    expect((await a.ask('GET', '/x', bearer(ann))).json).toMatchObject({ reason: 'frozen' })
  })
})

describe('an operator', () => {
  test('[EXP3, RSK9] gives points, sees when they fall and to what, is told why a request is refused, and takes them away', async () => {
    const gate = await started()
    const ann = await gate.token({ sub: 'ann', org: 'acme' })
    await gate.ask('GET', '/x', bearer(ann))
    const [id, session] = [await idOf(gate, ann), (await gate.session(ann)).id]
    expect((await gate.admin('POST', `/v1/principals/${id}/risk`, { name: 'siem', points: 75, reason: 'alert 7' })).json).toMatchObject({ risk: { level: 'hot', contributions: [{ rule: 'siem' }], fallsTo: 'watched' } })
    expect((await gate.ask('GET', '/x', bearer(ann))).json).toMatchObject({ reason: 'frozen' })
    const { risk: { fallsAt } } = (await principalOf(gate, ann)).json as { readonly risk: { readonly fallsAt: string } } // the contract's answer
    expect(Date.parse(fallsAt)).toBeGreaterThan(Date.now() + 60_000 - 5_000) // stands for `holdFor` at least
    const why = await gate.admin('POST', '/v1/explain', { session, method: 'GET', url: 'https://api.test/x' })
    expect(why.json).toMatchObject({ decision: 'refuse', reason: 'frozen', level: 'hot', remedies: [{ is: 'level', level: 'hot', at: fallsAt, to: 'watched' }], risk: { contributions: [{ rule: 'siem' }] } })
    expect((await gate.admin('POST', `/v1/principals/${id}/clear`, { risk: true, reason: 'false alarm' })).json).toMatchObject({ enforced: true })
    expect((await gate.ask('GET', '/x', bearer(ann))).status).toBe(200)
    expect((await principalOf(gate, ann)).json).toMatchObject({ risk: { score: 0, level: null }, level: null, reached: [{ at: 60 }] })
  })
})

describe('what is on record', () => {
  test('[EXP4] admissions and refusals tell the score before and after, the timeline the level and what reached it', async () => {
    const gate = await started()
    const ann = await gate.token({ sub: 'ann', org: 'acme' })
    await gate.ask('GET', '/x', bearer(ann))
    await deliver(hooksOf(gate), 'siem', { user: 'ann', org: 'acme', score: 30 })
    await gate.ask('GET', '/x', bearer(ann))
    await gate.ask('POST', '/x', bearer(ann))
    await gate.ask('GET', '/x')
    const { id } = await gate.session(ann)
    const lines = await gate.trail()
    const risks = lines.filter(({ kind, session }) => (kind === 'exchange.opened' || kind === 'request.refused') && session === id).map(({ risk }) => risk as { readonly before: number; readonly level?: string }) // as records have it
    expect(risks).toHaveLength(3)
    expect(risks[0]).toEqual({ before: 0, after: 0 })
    for (const risk of risks.slice(1)) {
      expect(risk.level).toBe('watched')
      expect(risk.before).toBeGreaterThan(29)
    }
    const timeline = await gate.admin('GET', `/v1/sessions/${id}/timeline`)
    const levels = (timeline.json['lines'] as readonly { readonly kind: string; readonly fact?: { readonly what: string; readonly matter?: { readonly level?: { readonly name: string; readonly why: { readonly contributions: readonly { readonly rule: string }[] } } | null } } }[]) // as the trail has it
      .flatMap(({ fact }) => (fact?.what === 'anchor.told' ? [fact.matter?.level] : []))
    expect(levels).toMatchObject([{ name: 'watched', why: { contributions: [{ rule: 'siem' }] } }])
  })

  test('[EXP4, AUD3] a refusal of nobody known says nothing of risk', async () => {
    const gate = await started()
    expect((await gate.ask('GET', '/x')).status).toBe(401)
    const ann = await gate.token({ sub: 'ann', org: 'acme' })
    expect((await gate.ask('POST', '/x', bearer(ann))).status).toBe(403)
    const refusals = (await gate.trail()).filter(({ kind }) => kind === 'request.refused')
    expect(refusals.map(({ risk }) => risk)).toEqual([{ before: 0, after: 0 }])
  })
})
