// What was tried against routes of MCP beside their messages: before one is read, while one is read and the configuration changes under it, by pages, and by
// other names for a tool that is locked. SPEC: MCP1, MCP2, MCP14, RAT1, WIRE19, PEP1, PDP3
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { AuthzenPdp, permits, denies } from '../support/authzen-pdp.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient } from '../support/raw-client.ts'
import { decisionsPlan, evaluate, ofSession } from './decisions-stage.ts'
import { LaxStage, LEGACY } from './mcp-stage.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => { for (const stop of stops.splice(0).toReversed()) await stop() })

async function staged(plan: Parameters<typeof LaxStage.start>[0]): Promise<LaxStage> {
  const stage = await LaxStage.start(plan)
  stops.push(() => stage.stop())
  return stage
}

const OLD = ['MCP-Protocol-Version', LEGACY]
const call = (name: string): string => JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } })

test('[RAT1, RAT3] what a route lets through in a time counts before a message is read, also what is none', async () => {
  const stage = await staged({ route: 'rates: [{ requests: 3, per: 1m, burst: 60 }]', rules: ['{ allow: { tools: ["*"] } }'] })
  const asked = [await stage.raw('{', OLD), await stage.raw('[]', OLD), await stage.legacy('tools/call', { name: 'a' }), await stage.raw('{', OLD), await stage.legacy('tools/call', { name: 'a' })]
  expect(asked.map(({ status }) => status)).toEqual([400, 400, 200, 429, 429])
  expect(asked[4]?.error).toMatchObject({ code: 42_900, data: { reason: 'rate_limited' } })
  expect(stage.seen).toHaveLength(1)
})

test('[RAT1] a rate of a rule is taken once for a message, beside that of its route', async () => {
  const stage = await staged({ route: 'rates: [{ requests: 4, per: 1m, burst: 60 }]', rules: ['{ allow: { tools: [few] }, rates: [{ requests: 2, per: 1m, burst: 60 }] }', '{ allow: { tools: ["*"] } }'] })
  const statuses: number[] = []
  for (const name of ['few', 'few', 'few', 'many', 'many']) statuses.push((await stage.legacy('tools/call', { name })).status)
  expect(statuses).toEqual([200, 200, 429, 200, 429])
})

describe('a reload while a message is read', () => {
  /** Half of a request, then a reload, then the rest. */
  async function across(stage: LaxStage, change: (text: string) => string): Promise<{ readonly status: number; readonly text: string }> {
    const client = await RawClient.connect(stage.gate.target)
    const body = call('get')
    try {
      await client.send(`POST /mcp HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${stage.token}\r\nContent-Type: application/json\r\nMCP-Protocol-Version: ${LEGACY}\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`)
      await client.until(() => client.received > 0) // its body is wanted: 100
      await client.send(body.slice(0, 20))
      writeFileSync(stage.gate.configFile, change(readFileSync(stage.gate.configFile, 'utf8')))
      expect(await stage.gate.admin('POST', '/v1/config/reload', { reason: 'test' })).toMatchObject({ status: 200 })
      await client.send(body.slice(20))
      const { status, body: text } = await client.response()
      return { status, text: text.toString() }
    } finally {
      client.close()
    }
  }
  const MCP = /\/mcp", protocol: mcp \}\n\s+mcp: \{\}/
  const RULES = '{ allow: { tools: [get] } }'
  const PLAIN = '{ allow: { methods: [POST] }, inspect: json, if: "!has(body.admin)" }'

  test('[MCP1, CFG10] where its route is none of MCP any more the message goes nowhere', async () => {
    const stage = await staged({ rules: [RULES] })
    expect(await across(stage, text => text.replace(MCP, '" }').replace(RULES, PLAIN))).toMatchObject({ status: 503 })
    expect(stage.seen).toHaveLength(0)
  })

  test.each([[RULES, 200], ['{ deny: { tools: [get] } }', 403]] as const)('[MCP1, CFG10] where its route has become one of MCP the body that was read is its message: %s', async (rule, status) => {
    const stage = await staged({ rules: [RULES] })
    writeFileSync(stage.gate.configFile, readFileSync(stage.gate.configFile, 'utf8').replace(MCP, '" }').replace(RULES, PLAIN))
    expect(await stage.gate.admin('POST', '/v1/config/reload', { reason: 'test' })).toMatchObject({ status: 200 })
    const told = await across(stage, text => text.replace(/(upstream: \{ url: "http[^"]*)" \}/, '$1/mcp", protocol: mcp }').replace(PLAIN, rule))
    expect(told).toMatchObject({ status })
    expect(stage.seen).toHaveLength(status === 200 ? 1 : 0)
  })
})

test('[WIRE19] a page that may call is answered its preflight, for the methods of the protocol, and may read its session', async () => {
  const stage = await staged({ mcp: '{ origins: ["https://studio.test"] }', route: 'cors: { origins: ["https://studio.test"], headers: [authorization, content-type, mcp-protocol-version, mcp-session-id] }', rules: ['{ allow: { tools: [get] } }'] })
  const asked = (method: string, origin = 'https://studio.test') => stage.raw('', ['Origin', origin, 'Access-Control-Request-Method', method, 'Authorization', '', 'Content-Length', '', 'Content-Type', ''], { method: 'OPTIONS' })
  expect([(await asked('POST')).status, (await asked('GET')).status, (await asked('DELETE')).status, (await asked('PUT')).status, (await asked('POST', 'https://evil.test')).status]).toEqual([204, 204, 204, 403, 403])
  const answer = await stage.legacy('tools/call', { name: 'get' }, ['Origin', 'https://studio.test'])
  expect(answer.status).toBe(200)
  expect(answer.headers).toContainEqual(['access-control-expose-headers', 'www-authenticate, dpop-nonce, mcp-session-id'])
})

test('[MCP14, ENF8] a locked tool is not called by another case of its name, which a server may not tell from it', async () => {
  const stage = await staged({ rules: ['{ allow: { tools: ["*"] } }'] })
  expect((await stage.gate.admin('POST', '/v1/locks', { selector: { tool: 'tools/deployProd' }, reason: 'stop' })).status).toBe(200)
  for (const name of ['deployProd', 'deployprod', 'DEPLOYPROD']) expect((await stage.legacy('tools/call', { name })).error.data, name).toMatchObject({ reason: 'locked' })
  expect((await stage.legacy('tools/call', { name: 'deploy-prod' })).status).toBe(200)
  expect(stage.seen).toHaveLength(1)
})

test('[PEP1] a policy decision point is told which tool, prompt or resource a message is about, and says so for no other', async () => {
  const pdp = await AuthzenPdp.start()
  stops.push(() => pdp.close())
  pdp.say = ({ question: { action, resource } }) => (action.name === 'delete_db' || resource.id === 'runbook://secret' ? denies() : permits())
  const stage = await staged({ route: 'decision: { pdp: main, for: 1m }', rules: ['{ allow: { tools: ["*"], resources: ["*"] } }'], more: `pdps:\n  main: { url: "${pdp.url}" }` })
  const asked = async (method: string, params: object) => {
    const { status } = await stage.legacy(method, params as Record<string, unknown>)
    return [status, pdp.asked.length]
  }
  expect(await asked('tools/call', { name: 'read_db', arguments: { id: 1 } })).toEqual([200, 1])
  expect(pdp.last).toMatchObject({ action: { name: 'read_db', properties: { mcp_method: 'tools/call' } }, resource: { type: 'tool', id: 'read_db', properties: { route: 'tools', arguments_digest: expect.stringMatching(/^[\w-]{43}$/) } } })
  expect(pdp.last.resource.properties).not.toHaveProperty('body_digest')
  expect(await asked('tools/call', { name: 'read_db', arguments: { id: 2 } })).toEqual([200, 2])
  expect(await asked('tools/call', { name: 'delete_db', arguments: { id: 1 } })).toEqual([403, 3])
  expect(await asked('resources/read', { uri: 'runbook://open' })).toEqual([200, 4])
  expect(await asked('resources/read', { uri: 'runbook://secret' })).toEqual([403, 5])
  expect(pdp.last).toMatchObject({ action: { name: 'resources/read' }, resource: { type: 'resource', id: 'runbook://secret' } })
  expect(stage.seen).toHaveLength(3)
})

test('[PDP3] whoever asks about a route of MCP is told that a message would have to be shown, not that no rule knows it', async () => {
  const gate = await TestGateway.start(decisionsPlan({ routes: '  - { name: tools, match: { host: tools.test }, upstream: { url: "http://127.0.0.1:9/mcp", protocol: mcp }, authn: [login], rules: [{ allow: { tools: ["*"] } }] }' }))
  stops.push(() => gate.stop())
  const { id } = await gate.session(await gate.token())
  const { json } = await evaluate(gate, { subject: ofSession(id), action: { name: 'POST' }, resource: { type: 'route', id: '/mcp', properties: { host: 'tools.test' } } })
  expect(json).toMatchObject({ decision: false, context: { reason: 'not_shown' } })
})

test('[MCP2] a completion tells of no resource that a rule hides, whatever it is completed with', async () => {
  const stage = await staged({ rules: ['{ deny: { resources: ["repo://secret/*"] } }', '{ allow: { resources: ["repo://*"] } }'] })
  const completed = (uri: string, owner: string) => stage.legacy('completion/complete', { ref: { type: 'ref/resource', uri }, argument: { name: 'path', value: '' }, context: { arguments: { owner } } })
  expect((await completed('repo://{owner}/{path}', 'secret')).error.data).toMatchObject({ reason: 'no_rule' })
  expect((await completed('repo://secret/{path}', 'public')).error.data).toMatchObject({ reason: 'denied' })
  expect((await completed('repo://public/{path}', 'secret')).status).toBe(200)
  expect(stage.seen).toHaveLength(1)
})
