// S2 over MCP: the agent's tools are those of its baseline until somebody on call approves; it writes another incident's runbook, the incident is resolved, the
// approver withdraws. Real clients of both SDKs; the change is made on A and looked at on B too.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Caller, ERAS } from '../support/mcp/clients.ts'
import type { McpPeer } from '../support/mcp/modern-server.ts'
import { agentAt, begin, shownTo, startServer, told, toldOf, useTools, within } from './agents.ts'
import { asked, SETTINGS, type Setting } from './callers.ts'
import { BOUND } from './duties.ts'
import { told as news, useSecrets } from './news.ts'
import { approve, asHolder } from './operators.ts'
import { APPROVER, bearer, type Line, tokenFor } from './stage.ts'

const INC = { company: 'acme', type: 'incident' }
const BASELINE = 'runbook://INC-1'
const ELEVATED = 'runbook://INC-2'
const UPDATED = 'notifications/resources/updated'
const CHANGED = 'notifications/tools/list_changed'

type Seen = { readonly list: readonly (readonly string[])[]; readonly writes: readonly string[]; readonly reads: readonly string[] }

describe.each(SETTINGS)('S2 %s', (_, raise) => {
  describe.each(ERAS)('MCP, %s', era => {
    let setting: Setting
    let server: McpPeer
    let [a, b]: [Caller, Caller] = [null as never, null as never] // made before the first test
    let last = { session: '', running: '', cutMs: 0, stepsBehind: 0, acknowledged: {} as Line }
    const seen = { before: {} as Seen, given: {} as Seen, other: [] as readonly string[], resolved: {} as Seen, again: {} as Seen, withdrawn: {} as Seen, heard: [] as readonly string[], behind: [] as readonly string[], cancelled: false, lines: [] as readonly Line[], secrets: [] as readonly string[], leaked: [] as readonly string[], found: [] as readonly string[] }
    let incidents = 42
    const tokens: string[] = []

    const incident = (): string => `INC-${incidents}`
    const texts = (): number => server.runbooks.calls.filter(call => call.startsWith('runbook_write')).length

    /** The list, a write for the incident and a read, at both gateways. */
    async function looks(name = incident()): Promise<Seen> {
      const each = async <T>(act: (caller: Caller) => Promise<T>): Promise<readonly T[]> => [await act(a), await act(b)]
      return {
        list: await each(async caller => (await caller.tools()).toSorted()),
        writes: await each(caller => told(caller.call('runbook_write', { incident: name, text: 'drain' }))),
        reads: await each(caller => told(caller.call('runbook_read', { incident: 'inc-1' }))),
      }
    }

    async function connects(): Promise<void> {
      const token = await tokenFor(setting.a.issuer, 'sre-bot', { sid: `mcp-${incidents}`, owner: 'https://login.example|omar' })
      tokens.push(token)
      const headers = { 'narrowgate-ticket': incident() }
      ;[a, b] = [await agentAt(setting.a, era, { token, headers }), await agentAt(setting.b, era, { token, headers })]
      last = { ...last, session: String((await asked(setting.a, { leaf: null, headers: bearer(token) }, 'GET', '/.narrowgate/session')).json['id']) }
    }

    /** An incident, and an elevation for it that somebody on call approved. */
    async function given(): Promise<string> {
      await news(setting.a, 'itsm', { ...INC, number: incident(), state: 'open' })
      const { status, json } = await setting.a.admin('POST', '/v1/elevations', { session: last.session, profile: 'incident-runbook', purpose: { ticket: incident() }, reason: 'the queue is stuck' })
      if (status !== 202) throw new Error(`not taken: ${status} ${JSON.stringify(json)}`)
      await approve(setting.a, String(json['id']))
      return String(json['id'])
    }

    /** A call that goes on and tells how far it is, at B; until what ends it. */
    async function runs(end: () => Promise<Line>): Promise<void> {
      const running = await begin(b, server, incident())
      const started = performance.now()
      last.acknowledged = await end()
      const counted = running.steps()
      last.running = await running.told
      last.cutMs = performance.now() - started
      last.stepsBehind = running.steps() - counted
      seen.cancelled = await within(BOUND, running.cancelled)
    }

    /** What the open stream at B tells of two resources, of which one is the baseline's. */
    async function updates(): Promise<readonly string[]> {
      const count = (): readonly string[] => b.heard.filter(({ method }) => method === UPDATED).map(({ params }) => String(params['uri']))
      const before = count().length
      server.tellUpdated('INC-2')
      server.tellUpdated('INC-1')
      await within(BOUND, () => count().slice(before).includes(BASELINE)) // the later of the two
      return count().slice(before)
    }

    beforeAll(async () => {
      server = await startServer(era)
      setting = await raise('s02.yaml', { adapt: (example, directory) => { useSecrets(example, directory); useTools(server)(example) } })
      await connects()
      await b.listen(era === 'modern' ? [BASELINE, ELEVATED] : [BASELINE])
      const written = texts()
      seen.before = await looks()
      if (texts() !== written) throw new Error('a refused write came to the server')
      await given()
      await b.hear(CHANGED)
      if (era === 'legacy') await b.listen([ELEVATED]) // of old each is asked for by itself, and judged then
      seen.given = await looks()
      seen.other = (await looks('INC-43')).writes
      seen.heard = await updates()
      await runs(async () => { await news(setting.a, 'itsm', { ...INC, number: incident(), state: 'resolved' }); return {} })
      seen.resolved = await looks()
      await b.hear(CHANGED, 2)
      seen.behind = await updates()
      await b.close().catch(() => undefined)
      await a.close().catch(() => undefined)
      incidents++
      await connects()
      await b.listen([BASELINE])
      const elevation = await given()
      seen.again = await looks()
      await runs(async () => (await asHolder(setting.a, APPROVER, `/v1/elevations/${elevation}/revoke`)).json)
      seen.withdrawn = await looks()
      seen.lines = await setting.trail()
      seen.secrets = [...tokens, ...shownTo(server)]
      seen.leaked = await toldOf(setting, [a, b], seen.secrets)
      seen.found = await toldOf(setting, [a, b], ['restart the ledger', 'sre-bot'])
    }, 60_000)
    afterAll(async () => {
      await Promise.all([a, b].map(caller => caller?.close().catch(() => undefined)))
      await setting?.stop()
      await server?.close()
    })

    const twice = <T>(one: T): readonly T[] => [one, one]

    test('[S2.g] another incident\'s runbook is refused at once; behind the end of the incident, or the approval, every write is; reading goes on throughout', () => {
      expect(seen.before.writes).toEqual(twice('elevation_required'))
      expect(seen.given.writes).toEqual(twice('written'))
      expect(seen.other).toEqual(twice('condition_false'))
      expect(seen.resolved.writes).toEqual(twice('ticket_closed'))
      expect(seen.again.writes).toEqual(twice('written'))
      expect(seen.withdrawn.writes).toEqual(twice('elevation_required'))
      for (const { reads } of [seen.before, seen.given, seen.resolved, seen.again, seen.withdrawn]) expect(reads).toEqual(twice('restart the ledger'))
    })

    test('[S2.g, MCP8] the call that ran on it gets an error of its own in time, no step behind the acknowledgement, and its server is told', () => {
      expect(last).toMatchObject({ running: 'approval_withdrawn', stepsBehind: 0, acknowledged: { enforced: true, exchanges: { cut: 1, narrowed: era === 'modern' ? 1 : 2 } } }) // what carries many messages lives on for less: of old each client has a stream
      expect(last.cutMs).toBeLessThan(BOUND)
      expect(seen.cancelled).toBe(true)
    })

    test('[S2.h] the open stream keeps what the baseline may read, and nothing else', () => {
      expect(seen.heard.toSorted()).toEqual([BASELINE, ELEVATED])
      expect(seen.behind).toEqual([BASELINE])
    })

    test('[S2.i] the list shows writing only while it is given', () => {
      expect(seen.before.list).toEqual(twice(['runbook_read']))
      expect(seen.given.list).toEqual(twice(['runbook_read', 'runbook_write', 'work']))
      expect(seen.resolved.list).toEqual(twice(['runbook_read']))
      expect(seen.withdrawn.list).toEqual(twice(['runbook_read']))
    })

    test('[S2.r] each record of a tool names it and the digest of its arguments', () => {
      const calls = seen.lines.filter(({ kind, route, method }) => (kind === 'exchange.opened' || kind === 'request.refused') && route === 'runbook-tools' && method === 'POST')
      const tools = calls.filter(({ mcp }) => (mcp as Line | undefined)?.['method'] === 'tools/call')
      expect(tools.length).toBeGreaterThan(20)
      for (const { mcp } of tools) expect(mcp).toMatchObject({ name: expect.stringMatching(/^(runbook_read|runbook_write|work)$/), arguments: expect.stringMatching(/^[\w-]{43}$/) })
    })

    test('[S2.r, AUD3] no token, and no word to a server, stands in what was answered, in the trail or in the metrics', () => {
      expect(seen.secrets.length).toBeGreaterThan(1)
      expect(seen.leaked).toEqual([])
      expect(seen.found).toEqual(['restart the ledger', 'sre-bot']) // it looks where things are said
    })
  })
})
