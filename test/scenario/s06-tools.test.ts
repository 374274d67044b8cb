// S6 over MCP: the token of one task reads and comments by tools, and by no others; when its workflow is done it is worth nothing, and what it has running is cut.
// Real clients of both SDKs at two gateways.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Caller, ERAS } from '../support/mcp/clients.ts'
import type { McpPeer } from '../support/mcp/modern-server.ts'
import { agentAt, begin, DIGEST, shownTo, startServer, told, toolsOf, toldOf, useTools, within } from './agents.ts'
import { asBroker, BROKERED_SETTINGS, opened, type Opened } from './brokers.ts'
import type { Setting } from './callers.ts'
import { BOUND } from './duties.ts'
import type { Line } from './stage.ts'

const TICKET = { incident: 'inc-1' }
const WORKFLOW = {
  subject: { kind: 'agent', subject: 'triage-bot', tenant: 'acme', owner: 'https://login.example|tess', claims: { queue: 'Q' } }, bind: { source: '127.0.0.1' },
  scopes: ['tickets:read', 'tickets:comment'], purpose: { task: 'W' }, profiles: [{ profile: 'comment' }], for: '1h',
}

describe.each(BROKERED_SETTINGS)('S6 %s', (_, raise) => {
  describe.each(ERAS)('MCP, %s', era => {
    let setting: Setting
    let server: McpPeer
    let callers: readonly Caller[] = []
    let triage: Opened
    const seen = { lists: [] as string[][], reads: [] as string[], comments: [] as string[], deletes: [] as string[], unknown: [] as string[], running: '', stepsBehind: -1, completed: {} as Line, after: [] as string[], reconnect: [] as string[], reached: [] as readonly string[], cancelled: false, lines: [] as readonly Line[], secrets: [] as readonly string[], leaked: [] as readonly string[] }

    beforeAll(async () => {
      server = await startServer(era)
      setting = await raise('s06.yaml', { adapt: useTools(server) })
      triage = await opened(setting.a, WORKFLOW)
      callers = [await agentAt(setting.a, era, { token: triage.token }), await agentAt(setting.b, era, { token: triage.token })]
      for (const caller of callers) {
        seen.lists.push([...await caller.tools()].toSorted())
        seen.reads.push(await told(caller.call('runbook_read', TICKET)))
        seen.comments.push(await told(caller.call('runbook_write', { ...TICKET, text: 'on it' })))
        seen.deletes.push(await told(caller.call('runbook_delete', TICKET)))
        seen.unknown.push(await told(caller.call('big', { length: 1 })))
      }
      const [, atB] = callers
      const running = atB === undefined ? null : await begin(atB, server, 'triage')
      const { json } = await asBroker(setting.a, `/v1/sessions/${triage.session}/complete`, { reason: 'W is done' })
      const counted = running?.steps() ?? 0
      Object.assign(seen, { completed: json, running: await running?.told, stepsBehind: (running?.steps() ?? -1) - counted, cancelled: await within(BOUND, () => running?.cancelled() === true) })
      for (const caller of callers) seen.after.push(await told(caller.call('runbook_read', TICKET)))
      for (const gate of [setting.a, setting.b]) seen.reconnect.push(await agentAt(gate, era, { token: triage.token }).then(() => 'connected', () => 'refused'))
      seen.reached = server.runbooks.calls
      seen.lines = await setting.trail()
      seen.secrets = [triage.token, ...shownTo(server)]
      seen.leaked = await toldOf(setting, callers, seen.secrets)
    }, 60_000)
    afterAll(async () => {
      await Promise.all(callers.map(caller => caller.close().catch(() => undefined)))
      await setting?.stop()
      await server?.close()
    })

    test('[S6.f] tools on the list pass, others are refused and never reach their server, with the token still good; behind the end of the workflow all are', () => {
      const twice = <T>(one: T): readonly T[] => [one, one]
      expect(seen.lists).toEqual(twice(['runbook_read', 'runbook_write', 'work']))
      expect([seen.comments, seen.deletes, seen.unknown]).toEqual([twice('written'), twice('elevation_required'), twice('no_rule')])
      expect(seen.reads).toEqual(['restart the ledger', 'on it'])
      expect(seen.reached.filter(call => /^(runbook_delete|big)/.test(call))).toEqual([])
      expect(seen.completed).toMatchObject({ enforced: true, exchanges: { cut: era === 'modern' ? 1 : 3 } }) // of old each client has a stream open beside it
      expect([seen.stepsBehind, seen.cancelled]).toEqual([0, true])
      for (const after of [...seen.after, seen.running]) expect(after).not.toMatch(/restart|on it|done/)
      expect(seen.reconnect).toEqual(twice('refused'))
    })

    test('[S6.k] each record of a tool names it and the digest of its arguments', () => {
      for (const [kind, name, least] of [['exchange.opened', 'runbook_write', 2], ['request.refused', 'runbook_delete', 2], ['exchange.opened', 'runbook_read', 2]] as const) {
        const records = toolsOf(seen.lines, kind, name)
        expect(records.length, name).toBeGreaterThanOrEqual(least)
        for (const { mcp } of records) expect(mcp).toMatchObject({ method: 'tools/call', arguments: expect.stringMatching(DIGEST) })
      }
    })

    test('[S6.k, AUD3] no token, and no word to a server, stands in what was answered, in the trail or in the metrics', () => {
      expect(seen.secrets.length).toBeGreaterThan(1)
      expect(seen.leaked).toEqual([])
    })
  })
})
