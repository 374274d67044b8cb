// An agent asks for more in its own language: the gateway's own tools over real sockets, and what of them is on record. SPEC: MCP15, MCP18
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { endOf, ERAS } from '../support/mcp/clients.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { AskingStage } from './mcp-asking-stage.ts'
import { until } from './support.ts'

type Line = Record<string, unknown>

let stage: AskingStage
beforeAll(async () => { stage = await AskingStage.start() })
afterAll(() => stage.stop())

const idOf = ({ told }: { readonly told: { readonly [member: string]: unknown } }): string => String(told['id'])
const trailOf = async (kind: string, name: string): Promise<readonly Line[]> => (await stage.gate.trail()).filter(line => line['kind'] === kind && (line['mcp'] as Line | undefined)?.['name'] === name)

describe('the gateway’s own tools', () => {
  test('[MCP15] a session asks, is given, and gives back; nothing of that goes upstream', async () => {
    const token = await stage.gate.token()
    const given = await stage.call(token, 'request_elevation', { profile: 'freely', for: '5m', reason: 'to try' })
    expect([given.answer.status, given.failed, given.told]).toMatchObject([200, false, { profile: 'freely', state: 'active', for: 300, next: expect.stringContaining('release_elevation') }])
    expect(given.answer.json).toMatchObject({ jsonrpc: '2.0', result: { resultType: 'complete', content: [{ type: 'text', text: JSON.stringify(given.told) }] } })
    expect(await stage.elevations(token)).toMatchObject([{ id: idOf(given), state: 'active' }])
    expect((await stage.call(token, 'elevation_status')).told).toMatchObject({ elevations: [{ id: idOf(given), state: 'active' }] })
    expect((await stage.call(token, 'release_elevation', { id: idOf(given) })).told).toMatchObject({ state: 'ended', reason: 'released' })
    for (const tool of ['request_elevation', 'elevation_status', 'release_elevation']) expect(stage.reached(tool)).toEqual([])
  })

  test('[MCP15] one that needs a word waits for it: the status answers when it is given, and says so to nobody else', async () => {
    const token = await stage.gate.token()
    const ticket = await stage.ticket('INC-1')
    const asked = await stage.call(token, 'request_elevation', { profile: 'writing', purpose: { ticket } })
    expect(asked.told).toMatchObject({ state: 'requested', next: expect.stringContaining('elevation_status') })
    const waiting = stage.call(token, 'elevation_status', { id: idOf(asked), wait: 20 })
    await until(() => stage.gate.parts.inflight.size > 0, 'the call is open')
    expect((await stage.call(await stage.gate.token(), 'elevation_status', { id: idOf(asked) })).told).toMatchObject({ reason: 'bad_request' })
    expect(await stage.approve(idOf(asked))).toBe(200)
    expect((await waiting).told).toMatchObject({ id: idOf(asked), state: 'active', purpose: { ticket } })
  })

  test('[MCP15] a request that nobody decided yet is taken back by the same tool', async () => {
    const token = await stage.gate.token()
    const asked = await stage.call(token, 'request_elevation', { profile: 'writing', purpose: { ticket: await stage.ticket('INC-2') } })
    expect((await stage.call(token, 'release_elevation', { id: idOf(asked), reason: 'not needed' })).told).toMatchObject({ id: idOf(asked), state: 'withdrawn' })
  })

  test.each([
    ['a profile that is not offered', 'request_elevation', { profile: 'nothing' }, 'not_eligible'],
    ['no purpose', 'request_elevation', { profile: 'writing' }, 'purpose_missing'],
    ['a ticket nobody knows', 'request_elevation', { profile: 'writing', purpose: { ticket: 'INC-404' } }, 'ticket_unknown'],
    ['a parameter that is missing', 'request_elevation', { profile: 'quickly' }, 'bad_request'],
    ['no profile', 'request_elevation', {}, 'bad_request'],
    ['what only the other side takes', 'request_elevation', { profile: 'freely', hold: true }, 'bad_request'],
    ['no time', 'request_elevation', { profile: 'freely', for: 'long' }, 'bad_request'],
    ['a wait for nothing', 'elevation_status', { wait: 3 }, 'bad_request'],
    ['too long a wait', 'elevation_status', { id: `elv_${'a'.repeat(26)}`, wait: 31 }, 'bad_request'],
    ['an elevation of nobody', 'elevation_status', { id: `elv_${'a'.repeat(26)}` }, 'bad_request'],
    ['an elevation of nobody', 'release_elevation', { id: `elv_${'a'.repeat(26)}` }, 'bad_request'],
    ['no id', 'release_elevation', { id: '../elevations' }, 'bad_request'],
  ])('[MCP15] %s is refused as the result of %s %j', async (_, tool, args, reason) => {
    const token = await stage.gate.token()
    const { answer, told, failed } = await stage.call(token, tool, args)
    expect([answer.status, failed, told]).toMatchObject([200, true, { reason, detail: expect.any(String), evaluation_id: expect.stringMatching(/^eval_/) }])
    const refused = (await trailOf('request.refused', tool)).filter(line => line['evaluation'] === told['evaluation_id'])
    expect(refused).toMatchObject([{ reason, route: 'runbooks', session: expect.stringMatching(/^ses_/), mcp: { method: 'tools/call', name: tool, arguments: expect.stringMatching(/^[\w-]{43}$/) } }])
  })

  test('[MCP15, ELV17] the same ask again is the elevation it was; by its own key it is another, and a key says what it was for', async () => {
    const token = await stage.gate.token()
    const ask = async (args: object, key?: string): Promise<string> => {
      const { told } = await stage.call(token, 'request_elevation', { profile: 'freely', ...args }, key === undefined ? {} : { meta: { 'narrowgate/idempotencyKey': key } })
      return String(told['id'] ?? told['reason'])
    }
    const [first, same] = await Promise.all([ask({}), ask({})])
    expect(same).toBe(first)
    expect(await ask({ for: '2m' })).not.toBe(first)
    const keyed = await ask({}, 'k-1')
    expect(keyed).not.toBe(first)
    expect(await ask({}, 'k-1')).toBe(keyed)
    expect(await ask({ for: '3m' }, 'k-1')).toBe('repeat_differs')
    expect(await ask({}, 'two words')).toBe('bad_request')
    await stage.call(token, 'release_elevation', { id: first })
    expect(await ask({})).not.toBe(first)
  })

  test('[MCP15, SES9] a session that is frozen asks for nothing, and what waits is answered when it goes on', async () => {
    const token = await stage.gate.token()
    const asked = await stage.call(token, 'request_elevation', { profile: 'writing', purpose: { ticket: await stage.ticket('INC-3') } })
    const waiting = stage.call(token, 'elevation_status', { id: idOf(asked), wait: 30 })
    await until(() => stage.gate.parts.inflight.size > 0, 'the call is open')
    let isAnswered = false
    void waiting.then(() => { isAnswered = true })
    expect(await stage.verb(token, 'freeze')).toBe(200)
    const { answer } = await stage.call(token, 'request_elevation', { profile: 'freely' })
    expect([answer.status, (answer.json['error'] as Line)['data']]).toMatchObject([403, { reason: 'frozen' }])
    expect(await stage.approve(idOf(asked))).toBe(200)
    expect(await stage.elevations(token)).toMatchObject([{ state: 'active' }]) // what it waits for has happened, and it is asked behind that
    expect(isAnswered).toBe(false)
    expect(await stage.verb(token, 'resume')).toBe(200)
    expect((await waiting).told).toMatchObject({ id: idOf(asked), state: 'active' })
  })

  test('[MCP15, ENF3] a call that waits is refused at once when its session ends', async () => {
    const token = await stage.gate.token()
    const asked = await stage.call(token, 'request_elevation', { profile: 'writing', purpose: { ticket: await stage.ticket('INC-4') } })
    const waiting = stage.call(token, 'elevation_status', { id: idOf(asked), wait: 30 })
    await until(() => stage.gate.parts.inflight.size > 0, 'the call is open')
    const began = performance.now()
    await stage.verb(token, 'terminate')
    const { answer } = await waiting
    expect([answer.status, performance.now() - began < 2_000]).toEqual([403, true])
    expect((answer.json['error'] as Line)['data']).toMatchObject({ reason: 'revoked' })
  })

  test('[MCP15] one whose caller goes away is over, and its place is free', async () => {
    const token = await stage.gate.token()
    const asked = await stage.call(token, 'request_elevation', { profile: 'writing', purpose: { ticket: await stage.ticket('INC-5') } })
    const client = await RawClient.connect(stage.gate.target)
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'elevation_status', arguments: { id: idOf(asked), wait: 30 }, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} } } })
    client.push(request('POST', '/mcp', { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'elevation_status', 'content-length': String(body.length) }))
    client.push(body)
    await until(() => stage.gate.parts.inflight.size > 0, 'the call is open')
    client.close()
    await until(() => stage.gate.parts.inflight.size === 0, 'it is over')
  })

  test('[MCP15] nobody is told of a notification: it asks for nothing', async () => {
    const token = await stage.gate.token()
    const answer = await stage.send({ token, params: { name: 'request_elevation', arguments: { profile: 'freely' } }, id: null })
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(await stage.elevations(token)).toEqual([])
  })
})

describe.each(ERAS)('real clients, %s', era => {
  test('[MCP15] are listed the tools, ask, wait, are approved, work, and give back', async () => {
    const own = era === 'modern' ? stage : await AskingStage.start(era)
    try {
      const ticket = await own.ticket(`INC-${era}`)
      const caller = await own.mcp.caller({}, { headers: { 'x-ticket': ticket } })
      expect(await caller.tools()).toEqual(expect.arrayContaining(['request_elevation', 'elevation_status', 'release_elevation']))
      expect(JSON.stringify((await caller.describe()).find(({ name }) => name === 'request_elevation'))).toContain('Write runbooks')
      const write = () => endOf(caller.call('runbook_write', { incident: 'inc-1', text: era }))
      expect(JSON.stringify(await write())).toMatch(/elevation_required|Insufficient scope/)
      const { structuredContent: asked } = await caller.call('request_elevation', { profile: 'writing', reason: 'to write it down' })
      const { id } = asked as { readonly id: string } // as the gateway answers
      const waiting = caller.call('elevation_status', { id, wait: 30 })
      expect(await own.approve(id)).toBe(200)
      expect(await waiting).toMatchObject({ structuredContent: { id, state: 'active' } })
      expect(await write()).toMatchObject({ result: { content: [{ text: 'written' }] } })
      expect(await caller.call('release_elevation', { id })).toMatchObject({ structuredContent: { state: 'ended' } })
      expect(JSON.stringify(await write())).toMatch(/elevation_required|Insufficient scope/)
    } finally {
      if (own !== stage) await own.stop()
    }
  })
})

test('[MCP15, CRD6] asking obtains nothing for an upstream that is shown a credential of its own', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ng-secret-'))
  const secret = join(folder, 'secret')
  writeFileSync(secret, 'client-secret-of-a-test\n', { mode: 0o600 })
  const port = await freePort()
  const credential = `{ clientCredentials: { tokenUrl: "http://127.0.0.1:${port}/token", clientId: gateway, clientSecretFile: ${secret} }, timeout: 500ms }`
  const own = await AskingStage.start('modern', {
    routes: `- { name: runbooks, match: { path: /mcp }, upstream: { url: "http://127.0.0.1:${port}/mcp", protocol: mcp, credential: ${credential} }, mcp: { offerElevation: true }, rules: [{ allow: { tools: [work] }, scope: work:use }, { allow: { tools: ["*"] } }] }`,
    elevations: 'freely: { adds: [work:use], for: 10m }',
  })
  try {
    const token = await own.gate.token()
    expect((await own.call(token, 'runbook_read')).answer.status).toBe(503) // nobody gives one
    expect((await own.call(token, 'request_elevation', { profile: 'freely' })).told).toMatchObject({ state: 'active' })
  } finally {
    await own.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})

describe('on record', () => {
  test('[MCP18] what was called, by the digest of its arguments and by their values but for what is hidden', async () => {
    const token = await stage.gate.token()
    const args = { incident: 'inc-1', patient: { number: '0815', name: 'Pat' }, 'Api-Key': 'k-123', deep: [{ accessToken: 't-123', SSN: '12' }], long: 'x'.repeat(5_000) }
    const { answer } = await stage.call(token, 'runbook_read', args)
    expect(answer.status).toBe(200)
    const [opened] = await trailOf('exchange.opened', 'runbook_read')
    const digest = /^[\w-]{43}$/
    expect(opened).toMatchObject({ route: 'runbooks', bodyDigest: expect.stringMatching(digest), mcp: { method: 'tools/call', name: 'runbook_read', arguments: expect.stringMatching(digest) } })
    expect((opened?.['mcp'] as Line | undefined)?.['values']).toEqual({ incident: 'inc-1', patient: { number: '[redacted]', name: 'Pat' }, 'Api-Key': '[redacted]', deep: [{ accessToken: '[redacted]', SSN: '[redacted]' }], long: expect.stringMatching(/^\[sha256:[\w-]{43}\]$/) })
    await stage.call(token, 'runbook_write', { incident: 'inc-1', text: 'x', password: 'p-123' })
    const refused = await trailOf('request.refused', 'runbook_write')
    expect(refused.at(-1)).toMatchObject({ reason: 'elevation_required', mcp: { method: 'tools/call', arguments: expect.stringMatching(digest), values: { incident: 'inc-1', text: 'x', password: '[redacted]' } } })
    expect(JSON.stringify(await stage.gate.trail())).not.toMatch(/k-123|t-123|p-123|0815/)
    expect((await stage.gate.ops('/metrics')).text).not.toContain('Pat')
  })

  test('[MCP18] a URI is on record without its query, and a list by its method alone', async () => {
    const token = await stage.gate.token()
    await stage.send({ token, method: 'resources/read', params: { uri: 'runbook://inc-1?key=hidden' } })
    await stage.send({ token, method: 'tools/list' })
    const lines = (await stage.gate.trail()).map(({ mcp }) => mcp as Line | undefined)
    expect(lines.find(mcp => mcp?.['method'] === 'resources/read')).toEqual({ method: 'resources/read', name: 'runbook://inc-1', arguments: expect.stringMatching(/^[\w-]{43}$/) })
    expect(lines.find(mcp => mcp?.['method'] === 'tools/list')).toEqual({ method: 'tools/list', name: '', arguments: null })
  })
})
