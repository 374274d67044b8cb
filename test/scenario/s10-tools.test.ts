// S10 over MCP: an agent with approved tools calls one that its server has and nobody approved. Real clients of both SDKs, with a call running at A and a stream
// open at B; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Caller, ERAS } from '../support/mcp/clients.ts'
import type { McpPeer } from '../support/mcp/modern-server.ts'
import { agentAt, begin, DIGEST, shownTo, startServer, told, toolsOf, toldOf, useTools, within } from './agents.ts'
import { asked, SETTINGS, type Setting } from './callers.ts'
import { BOUND } from './duties.ts'
import { bearer, factsIn, type Line, tokenFor, word } from './stage.ts'

const UPDATED = 'notifications/resources/updated'

describe.each(SETTINGS)('S10 %s', (_, raise) => {
  describe.each(ERAS)('MCP, %s', era => {
    let setting: Setting
    let server: McpPeer
    const callers: Caller[] = []
    const seen = { lists: [] as readonly string[][], denied: '', afterDenial: '', unknown: '', running: '', cutMs: 0, cancelled: false, streamOver: false, others: false, after: [] as string[], cleared: '', reached: [] as readonly string[], lines: [] as readonly Line[], secrets: [] as readonly string[], leaked: [] as readonly string[], session: '' }

    const connects = async (gate: Setting['a'], token: string): Promise<Caller> => {
      const caller = await agentAt(gate, era, { token })
      callers.push(caller)
      return caller
    }

    beforeAll(async () => {
      server = await startServer(era)
      setting = await raise('s10.yaml', { adapt: useTools(server) })
      const [token, careful] = [await tokenFor(setting.a.issuer, 'curious', { sid: 'c-1' }), await tokenFor(setting.a.issuer, 'careful', { sid: 'd-1' })]
      const tokens = [token, careful]
      const [atA, atB, beside] = [await connects(setting.a, token), await connects(setting.b, token), await connects(setting.b, careful)]
      seen.session = String((await asked(setting.a, { leaf: null, headers: bearer(token) }, 'GET', '/.narrowgate/session')).json['id'])
      seen.lists = [[...await atA.tools()], [...await atB.tools()]]
      seen.denied = await told(atA.call('runbook_delete', { incident: 'inc-1' }))
      seen.afterDenial = await told(atB.call('runbook_read', { incident: 'inc-1' }))
      const [running, neighbour] = [await begin(atA, server, 'own'), await begin(beside, server, 'beside')]
      await atB.listen()
      const started = performance.now()
      seen.unknown = await told(atA.call('fail'))
      seen.running = await running.told
      Object.assign(seen, { cutMs: performance.now() - started, cancelled: await within(BOUND, running.cancelled) })
      const before = neighbour.steps()
      seen.others = await within(BOUND, () => neighbour.steps() > before + 3)
      server.tellUpdated('inc-1')
      server.tellTools()
      seen.streamOver = !(await within(200, () => atB.heard.some(({ method }) => method === UPDATED || method.endsWith('list_changed'))))
      for (const gate of [setting.a, setting.b]) seen.after.push(await agentAt(gate, era, { token }).then(() => 'connected', () => 'refused'), await told(atB.call('runbook_read', { incident: 'inc-1' })))
      await word(setting.a, `/v1/locks/mark_${seen.session}`, {}, 'DELETE')
      seen.cleared = await told((await connects(setting.b, token)).call('runbook_read', { incident: 'inc-1' }))
      seen.reached = server.runbooks.calls
      seen.lines = await setting.trail()
      seen.secrets = [...tokens, ...shownTo(server)]
      seen.leaked = await toldOf(setting, callers, seen.secrets)
    }, 60_000)
    afterAll(async () => {
      await Promise.all(callers.map(caller => caller.close().catch(() => undefined)))
      await setting?.stop()
      await server?.close()
    })

    test('[S10.g] a tool that nobody approved never reaches its server; the session ends on A and B with all that is open, and its credential counts no more until it is cleared', () => {
      expect(seen.lists).toEqual([['runbook_read', 'work'], ['runbook_read', 'work']])
      expect([seen.denied, seen.afterDenial, seen.unknown]).toEqual(['denied', 'restart the ledger', 'no_rule'])
      expect(seen.running).toMatch(/session_ended|revoked|risk/)
      expect([seen.cancelled, seen.streamOver, seen.others]).toEqual([true, true, true]) // the answer to the attempt is no acknowledgement: its session ends behind it, in time
      expect(seen.cutMs).toBeLessThan(BOUND)
      expect(seen.after.filter((_, i) => i % 2 === 0)).toEqual(['refused', 'refused'])
      for (const said of seen.after.filter((_, i) => i % 2 === 1)) expect(said).not.toBe('restart the ledger')
      expect(seen.cleared).toBe('restart the ledger')
      expect(seen.reached.filter(call => /^(fail|runbook_delete)/.test(call))).toEqual([])
      expect(factsIn(seen.lines, 'session.revoked')).toHaveLength(1)
    })

    test('[S10.h] the attempted tool and the hash of its arguments are in the log', () => {
      const [attempt, ...more] = toolsOf(seen.lines, 'request.refused', 'fail')
      expect(more).toEqual([])
      expect(attempt).toMatchObject({ session: seen.session, reason: 'no_rule', mcp: { method: 'tools/call', name: 'fail', arguments: expect.stringMatching(DIGEST) } })
      expect(toolsOf(seen.lines, 'request.refused', 'runbook_delete')).toMatchObject([{ reason: 'denied', mcp: { arguments: expect.stringMatching(DIGEST) } }])
    })

    test('[S10.m] so are those of each call that was let', () => {
      const reads = toolsOf(seen.lines, 'exchange.opened', 'runbook_read')
      expect(reads.length).toBeGreaterThanOrEqual(2)
      for (const { mcp } of reads) expect(mcp).toMatchObject({ method: 'tools/call', arguments: expect.stringMatching(DIGEST) })
    })

    test('[S10.m, AUD3] no token, and no word to a server, stands in what was answered, in the trail or in the metrics', () => {
      expect(seen.secrets.length).toBeGreaterThan(1)
      expect(seen.leaked).toEqual([])
    })
  })
})
