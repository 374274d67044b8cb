// What a caller of tools reads when it is refused, in each form that a route can choose, and what is on record and counted behind it. SPEC: MCP7, WIRE9, STU
import { afterEach, describe, expect, test } from 'vitest'
import { headerOf } from '../support/raw-client.ts'
import { LaxStage, LEGACY, MODERN, type Told } from './mcp-stage.ts'

const stages: LaxStage[] = []
const RULES = ['{ deny: { tools: [forbidden] } }', '{ allow: { tools: [open] } }', '{ allow: { tools: [write], resources: ["file:///w/*"] }, scope: tools:write }', '{ allow: { tools: [slow] }, rates: [{ requests: 1, per: 1h }] }', `{ allow: { tools: [put] }, if: 'mcp.args.id == "a"' }`]
const ELEVATIONS = 'writer: { adds: [tools:write], for: 10m, purpose: [ticket], approval: { by: approver, count: 1, within: 15m } }\nroot: { adds: [tools:write, tools:root], for: 5m }'

const PURPOSES = 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }'

async function started(mcp: string, more: Partial<Parameters<typeof LaxStage.start>[0]> = {}): Promise<LaxStage> {
  const stage = await LaxStage.start({ mcp, rules: RULES, elevations: ELEVATIONS, ...more, more: `${PURPOSES}\n${more.more ?? ''}` })
  stages.push(stage)
  return stage
}
afterEach(async () => { for (const stage of stages.splice(0)) await stage.stop() })

const resultOf = ({ json }: Told) => json['result'] as { readonly isError: boolean; readonly resultType?: string; readonly content: readonly [{ readonly type: string; readonly text: string }]; readonly structuredContent?: unknown; readonly _meta: { readonly [name: string]: { readonly [member: string]: unknown } } } // the form under test
const call = (stage: LaxStage, name: string, args: object = {}) => stage.modern('tools/call', { name, arguments: args })

describe('as errors', () => {
  test('[MCP7] what an elevation lifts is 403 with a challenge, the code of the route, and what can be asked for and how', async () => {
    const stage = await started('{ offerElevation: { prefix: gw_ } }')
    const told = await call(stage, 'write')
    expect([told.status, headerOf(told, 'content-type'), headerOf(told, 'cache-control')]).toEqual([403, 'application/json', 'no-store'])
    expect(headerOf(told, 'www-authenticate')).toBe('Bearer realm="narrowgate", error="insufficient_scope", scope="tools:write", resource_metadata="http://api.test/.well-known/oauth-protected-resource/mcp"')
    expect(told.json).toMatchObject({ jsonrpc: '2.0', id: 1, error: { code: 40_300, message: expect.stringMatching(/elevation/), data: { reason: 'elevation_required', type: 'urn:narrowgate:reason:elevation_required', session: expect.stringMatching(/^ses_/), evaluation_id: expect.stringMatching(/^eval_/) } } })
    expect(told.error.data['access_request']).toMatchObject({ endpoint: '/.narrowgate/elevations', tool: 'gw_request_elevation', offers: [{ profile: 'writer', purpose: ['ticket'], approval: 'required' }, { profile: 'root', purpose: [], approval: 'none' }] })
    expect((await stage.modern('resources/read', { uri: 'file:///w/a' })).error).toMatchObject({ code: 40_300, data: { reason: 'elevation_required' } })
    expect(stage.seen).toHaveLength(0)
  })

  test('[MCP7] without tools of its own the endpoint alone is named, and the code is the one of the route', async () => {
    const stage = await started('{ denialCode: coaz }')
    const { error } = await call(stage, 'write')
    expect(error.code).toBe(-32_001)
    expect(error.data['access_request']).not.toHaveProperty('tool')
  })

  test('[MCP7] the id is the one that was sent, of its own type', async () => {
    const stage = await started('{}')
    for (const id of ['1', 1, 'a', 0, -5]) expect((await stage.raw(JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'forbidden' } }), ['MCP-Protocol-Version', LEGACY])).json['id']).toBe(id)
    expect((await stage.raw('{', ['MCP-Protocol-Version', LEGACY])).json['id']).toBeNull()
  })

  test('[MCP7] what no rule knows is told alike, whether the server has it or not; a method that nobody knows is 404', async () => {
    const stage = await started('{}')
    const [unheard, prompt] = [await call(stage, 'unheard'), await stage.modern('prompts/get', { name: 'unheard' })]
    for (const told of [unheard, prompt]) expect([told.status, told.error.code, told.error.data['reason'], headerOf(told, 'www-authenticate')]).toEqual([403, 40_300, 'no_rule', null])
    expect(JSON.stringify(unheard.json)).not.toContain('unheard')
    const unknown = await stage.modern('secrets/dump')
    expect([unknown.status, unknown.error.code, unknown.error.data['reason']]).toEqual([404, -32_601, 'method_unknown'])
    expect((await call(stage, 'forbidden')).error).toMatchObject({ code: 40_300, data: { reason: 'denied' } })
    expect(stage.seen).toHaveLength(0)
  })

  test('[MCP7] who shows no credential, or a wrong one, is told where to read what is asked', async () => {
    const stage = await started('{}')
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'write' } })
    const none = await stage.raw(body, [], { token: '' })
    expect([none.status, headerOf(none, 'content-type'), none.json['id'], none.error.data['reason']]).toEqual([401, 'application/json', null, 'no_credential'])
    expect(headerOf(none, 'www-authenticate')).toBe('Bearer realm="narrowgate", resource_metadata="http://api.test/.well-known/oauth-protected-resource/mcp"')
    const wrong = await stage.raw(body, [], { token: 'a.b.c' })
    expect([wrong.status, wrong.error.data['reason']]).toEqual([401, 'credential_invalid'])
    expect(headerOf(wrong, 'www-authenticate')).toMatch(/error="invalid_token".*resource_metadata=/)
    const far = await stage.raw(body, [], { path: '/elsewhere' })
    expect([far.status, headerOf(far, 'content-type')]).toEqual([404, 'application/problem+json'])
  })

  test('[MCP7] too many for now is 429 with when to come again, and a method of HTTP that is not taken is 405 with those that are', async () => {
    const stage = await started('{ versions: ["2026-07-28"] }')
    expect((await call(stage, 'slow')).status).toBe(200)
    const limited = await call(stage, 'slow')
    expect([limited.status, limited.error.code, limited.error.data['reason']]).toEqual([429, 42_900, 'rate_limited'])
    expect(Number(headerOf(limited, 'retry-after'))).toBeGreaterThan(0)
    for (const method of ['GET', 'DELETE', 'PUT']) {
      const told = await stage.raw('', ['MCP-Protocol-Version', MODERN], { method })
      expect([told.status, headerOf(told, 'allow'), told.error.data['reason']]).toEqual([405, 'POST', 'method_refused'])
    }
  })

  test('[MCP7] while the gateway goes down it is 503 with when to come again', async () => {
    const stage = await started('{}')
    const token = stage.token
    expect((await call(stage, 'open')).status).toBe(200)
    await stage.gate.session(token)
    stage.gate.parts.pipeline.drain()
    const told = await call(stage, 'open')
    expect([told.status, told.error.code, told.error.data['reason'], headerOf(told, 'retry-after')]).toEqual([503, 50_300, 'draining', '1'])
  })
})

describe('as results', () => {
  test('[MCP7] a refused call is a result that says what was refused and how to ask, and nothing of the policy', async () => {
    const stage = await started('{ denyAs: result, offerElevation: true }')
    const told = await call(stage, 'write')
    expect([told.status, headerOf(told, 'www-authenticate'), told.json['id'], told.json['error']]).toEqual([200, null, 1, undefined])
    const { isError, resultType, content: [{ text }], structuredContent, _meta } = resultOf(told)
    expect({ isError, resultType, structuredContent }).toEqual({ isError: true, resultType: 'complete', structuredContent: undefined })
    expect(text).toMatch(/^Refused by the gateway: .+ It can be asked for with the tool request_elevation: profile writer for a ticket \(somebody has to approve it\), or profile root \(it is given at once\)\. Then call the tool again\. \(elevation_required, eval_\w+\)$/)
    expect(_meta['narrowgate/refusal']).toMatchObject({ reason: 'elevation_required', access_request: { tool: 'request_elevation' } })
    for (const secret of ['tools:write', 'tools:root', 'mcp.args', 'tools#']) expect(told.body.toString()).not.toContain(secret)
    expect(resultOf(await stage.legacy('tools/call', { name: 'write' }))).not.toHaveProperty('resultType')
  })

  test('[MCP7] the endpoint is named where the tools are not offered; conditions and denials say no more than that', async () => {
    const stage = await started('{ denyAs: result, tools: [{ match: put, args: { id: string } }] }')
    expect(resultOf(await call(stage, 'write')).content[0].text).toContain('It can be asked for by POST to /.narrowgate/elevations: profile writer')
    expect(resultOf(await call(stage, 'forbidden')).content[0].text).toMatch(/^Refused by the gateway: A rule of the route denies this request\. \(denied, eval_\w+\)$/)
    expect(resultOf(await call(stage, 'put', { id: 'b' })).content[0].text).toMatch(/condition_false/)
    expect(resultOf(await call(stage, 'put', { id: 1 })).content[0].text).toMatch(/arguments_refused/)
  })

  test('[MCP7] whatever is no call of a tool, or no refusal of the policy, stays an error', async () => {
    const stage = await started('{ denyAs: result }')
    expect([(await stage.modern('resources/read', { uri: 'file:///w/a' })).status, (await stage.modern('prompts/get', { name: 'x' })).status, (await stage.modern('secrets/dump')).status]).toEqual([403, 403, 404])
    expect((await stage.raw(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'write' } }), ['MCP-Protocol-Version', LEGACY, 'Mcp-Name', 'open'])).status).toBe(400)
    expect((await stage.raw(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'write' } }), [], { token: '' })).status).toBe(401)
    await call(stage, 'slow')
    expect((await call(stage, 'slow')).status).toBe(429)
  })
})

describe('behind a refusal', () => {
  test('[MCP7, AUD2] each is on record with its session, route, rule and reason, and counted', async () => {
    const stage = await started('{}')
    await call(stage, 'forbidden')
    await call(stage, 'unheard')
    await stage.modern('secrets/dump')
    await stage.raw('{', ['MCP-Protocol-Version', LEGACY])
    await stage.legacy('tools/call', { name: 'open' }, ['Mcp-Name', 'other'])
    const { id } = await stage.gate.session(stage.token)
    const lines = (await stage.gate.trail()).filter(({ reason, session }) => session === id && ['denied', 'no_rule', 'method_unknown', 'message_malformed', 'header_mismatch'].includes(String(reason)))
    expect(lines.map(({ reason, rule, route }) => [reason, rule, route])).toEqual([['denied', 'tools#1', 'tools'], ['no_rule', null, 'tools'], ['method_unknown', null, 'tools'], ['message_malformed', null, 'tools'], ['header_mismatch', null, 'tools']])
    const { text } = await stage.gate.ops('/metrics')
    for (const reason of ['denied', 'no_rule', 'method_unknown', 'message_malformed', 'header_mismatch']) expect(text).toMatch(new RegExp(`narrowgate_requests_total\\{[^}]*reason="${reason}"[^}]*\\} 1`))
  })

  const RISK = 'risk: { rules: [{ name: probing, when: "stats.refusals5m >= 3.0", add: 50 }, { name: new-tool, when: "stats.firstTool", add: 1 }], levels: [{ name: high, at: 50, do: [freeze] }] }'

  test('[MCP7, CND1] messages that nobody can read, and tools that nobody approved, raise the risk of who sends them', async () => {
    const stage = await started('{}', { more: RISK })
    const probes = [() => stage.raw('{', ['MCP-Protocol-Version', LEGACY]), () => stage.legacy('tools/call', { name: 'open' }, ['Mcp-Name', 'other']), () => stage.legacy('tools/call', { name: 'unheard' })]
    for (const probe of probes) expect((await probe()).status).toBeGreaterThanOrEqual(400)
    expect((await call(stage, 'open')).error).toMatchObject({ code: 40_300, data: { reason: 'frozen' } })
  })

  test('[MCP7, CND1] versions and methods of HTTP that are tried when a client begins do not', async () => {
    const stage = await started('{ versions: ["2025-11-25"] }', { more: RISK })
    for (let i = 0; i < 5; i++) await stage.modern('server/discover')
    for (let i = 0; i < 5; i++) expect((await stage.raw('', [], { method: 'PUT' })).status).toBe(405)
    expect((await stage.legacy('tools/call', { name: 'open' })).status).toBe(200)
  })

  test('[MCP7, STU1] strikes are counted for tools that a rule denies and for what no rule knows', async () => {
    const stage = await started('{}', { rules: ['{ deny: { tools: [forbidden] }, onHit: { strikes: 2, within: 10m, do: freeze } }', '{ allow: { tools: [open] } }'], route: 'onMiss: { strikes: 3, within: 10m, do: terminate }' })
    await call(stage, 'forbidden')
    expect((await call(stage, 'open')).status).toBe(200)
    await call(stage, 'forbidden')
    expect((await call(stage, 'open')).error.data['reason']).toBe('frozen')
    const other = await stage.gate.token({ sub: 'other' })
    const miss = (method: string, params: object) => stage.raw(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }), ['MCP-Protocol-Version', LEGACY], { token: other })
    for (const [method, params] of [['tools/call', { name: 'unheard' }], ['secrets/dump', {}], ['resources/read', { uri: 'x://y' }]] as const) expect((await miss(method, params)).status).toBeGreaterThanOrEqual(403)
    expect((await miss('tools/call', { name: 'open' })).status).toBe(401)
  })

  test('[MCP7, CND2] a tool is told from others by its name, and what keeps the protocol going is none', async () => {
    const stage = await started('{}', { more: 'risk: { rules: [{ name: many-tools, when: "stats.toolsSeen >= 3.0", add: 50 }], levels: [{ name: high, at: 50, do: [freeze] }] }', rules: ['{ allow: { tools: ["*"] } }'] })
    for (const name of ['a', 'b', 'a', 'b']) expect((await call(stage, name)).status).toBe(200)
    for (const method of ['ping', 'logging/setLevel']) expect((await stage.legacy(method)).status).toBe(200)
    expect((await call(stage, 'c')).error.data['reason']).toBe('frozen')
  })
})

describe('explained', () => {
  test('[EXP1, MCP2] a message is explained as it would be judged', async () => {
    const stage = await started('{ tools: [{ match: put, args: { id: string } }] }')
    await call(stage, 'open')
    const { id: session } = await stage.gate.session(stage.token)
    const explain = async (mcp?: object) => (await stage.gate.admin('POST', '/v1/explain', { session, method: 'POST', url: 'http://api.test/mcp', ...(mcp === undefined ? {} : { mcp }) }))
    expect((await explain({ method: 'tools/call', name: 'open' })).json).toMatchObject({ decision: 'permit', rule: 'tools#2' })
    expect((await explain({ method: 'tools/call', name: 'write' })).json).toMatchObject({ decision: 'refuse', reason: 'elevation_required', scope: 'tools:write', remedies: [{ is: 'elevation', profiles: ['writer', 'root'] }] })
    expect((await explain({ method: 'tools/call', name: 'put', args: { id: 'a' } })).json).toMatchObject({ decision: 'permit' })
    expect((await explain({ method: 'tools/call', name: 'put', args: { id: 'b' } })).json).toMatchObject({ decision: 'refuse', reason: 'condition_false' })
    expect((await explain({ method: 'tools/call', name: 'put', args: { id: 1 } })).json).toMatchObject({ reason: 'arguments_refused' })
    expect((await explain({ method: 'tools/call', name: 'put' })).json).toMatchObject({ decision: 'permit', assumed: expect.arrayContaining([expect.stringContaining('mcp.args')]) })
    expect((await explain({ method: 'resources/read', name: 'file:///w/a' })).json).toMatchObject({ reason: 'elevation_required' })
    expect((await explain({ method: 'tools/list' })).json).toMatchObject({ decision: 'permit', rule: 'tools#protocol' })
    expect((await explain({ method: 'secrets/dump' })).json).toMatchObject({ reason: 'method_unknown' })
    for (const mcp of [undefined, { method: 'tools/call', name: 'a b' }, { method: 'resources/read', name: 'x://a/../b' }, { method: 'Tools/Call', name: 'a' }]) expect((await explain(mcp)).status, JSON.stringify(mcp)).toBe(400)
  })
})
