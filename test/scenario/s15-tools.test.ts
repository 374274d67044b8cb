// S15 over MCP: an agent that works on tickets calls the tool that reads the vault. Somebody says yes to one call, and it passes once; somebody says no to another
// agent's, and its session ends with the call it has running. Real clients of both SDKs at two gateways.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Caller, ERAS } from '../support/mcp/clients.ts'
import type { McpPeer } from '../support/mcp/modern-server.ts'
import { Runbooks, said, type ToolDefinition, TOOLS } from '../support/mcp/runbooks.ts'
import { WEBHOOK_SECRET } from '../support/ticket-source.ts'
import { agentAt, begin, DIGEST, shownTo, startServer, told, toolsOf, toldOf, useTools, within } from './agents.ts'
import { SETTINGS, type Setting } from './callers.ts'
import { BOUND } from './duties.ts'
import { asHolder } from './operators.ts'
import { type Adapted, APPROVER, factsIn, type Line, tokenFor } from './stage.ts'

const VAULT: ToolDefinition = { name: 'vault_read', description: 'Reads a secret', input: z.object({ name: z.string() }), annotations: { readOnlyHint: true }, run: async () => said('s3cret') }
const DB = { name: 'db' }

const reach = (example: Adapted, directory: string): void => {
  const { webhook } = example['notify'].oncall
  Object.assign(webhook, { url: 'https://127.0.0.1:9/', secretFile: join(directory, 'hook') }) // nobody listens there
  writeFileSync(webhook.secretFile, WEBHOOK_SECRET, { mode: 0o600 })
}

describe.each(SETTINGS)('S15 %s', (_, raise) => {
  describe.each(ERAS)('MCP, %s', era => {
    let setting: Setting
    let server: McpPeer
    const callers: Caller[] = []
    const tokens: string[] = []
    const seen = { tickets: '', challenged: [] as number[], approved: 0, once: [] as string[], otherSecret: '', reached: 0, running: '', stepsBehind: -1, cutMs: 0, cancelled: false, denied: {} as Line, after: [] as string[], lines: [] as readonly Line[], secrets: [] as readonly string[], leaked: [] as readonly string[] }

    async function agent(sid: string): Promise<readonly [Caller, Caller]> {
      const token = await tokenFor(setting.a.issuer, 'triage-bot', { sid, owner: 'omar' })
      tokens.push(token)
      const pair = [await agentAt(setting.a, era, { token }), await agentAt(setting.b, era, { token })] as const
      callers.push(...pair)
      return pair
    }

    const vaultReads = (): number => server.runbooks.calls.filter(call => call.startsWith('vault_read')).length
    /** The status of the answer to a call that is not let. */
    async function statusOf(caller: Caller, args: { readonly name: string }): Promise<number> {
      await told(caller.call('vault_read', args))
      return caller.answers.at(-1)?.status ?? 0
    }
    /** The one step-up that waits for somebody's word. */
    async function waiting(): Promise<string> {
      const { json } = await setting.a.admin('GET', '/v1/step-ups?state=pending')
      const [stepUp] = json['stepUps'] as readonly Line[] // the contract's shape
      return String(stepUp?.['id'])
    }

    beforeAll(async () => {
      server = await startServer(era, new Runbooks([...TOOLS, VAULT]))
      setting = await raise('s15.yaml', { adapt: (example, directory) => { reach(example, directory); useTools(server)(example) } })
      const [a, b] = await agent('answered')
      seen.tickets = await told(a.call('runbook_read', { incident: 'inc-1' }))
      seen.challenged = [await statusOf(a, DB), await statusOf(b, DB)]
      seen.approved = (await asHolder(setting.b, APPROVER, `/v1/step-ups/${await waiting()}/approve`)).status
      seen.otherSecret = await told(b.call('vault_read', { name: 'other' }))
      seen.once = [await told(b.call('vault_read', DB)), await told(a.call('vault_read', DB))]
      seen.reached = vaultReads()
      const [first, second] = await agent('denied')
      const running = await begin(second, server, 'tickets')
      await statusOf(first, DB)
      const id = (await setting.a.admin('GET', '/v1/step-ups?state=pending')).json['stepUps'] as readonly Line[] // likewise
      const own = id.at(-1)?.['id']
      const started = performance.now()
      seen.denied = (await asHolder(setting.a, APPROVER, `/v1/step-ups/${String(own)}/deny`)).json
      const counted = running.steps()
      seen.running = await running.told
      Object.assign(seen, { cutMs: performance.now() - started, stepsBehind: running.steps() - counted, cancelled: await within(BOUND, running.cancelled) })
      for (const caller of [first, second]) seen.after.push(await told(caller.call('runbook_read', { incident: 'inc-1' })))
      seen.lines = await setting.trail()
      seen.secrets = [...tokens, ...shownTo(server)]
      seen.leaked = await toldOf(setting, callers, seen.secrets)
    }, 60_000)
    afterAll(async () => {
      await Promise.all(callers.map(caller => caller.close().catch(() => undefined)))
      await setting?.stop()
      await server?.close()
    })

    test('[S15.g] the tool that reads the vault is challenged through both; one yes lets that call pass once; a no ends the session, and the call it has running is cut', () => {
      expect(seen.tickets).toBe('restart the ledger')
      expect([seen.challenged, seen.approved, seen.reached]).toEqual([[401, 401], 200, 1])
      expect(seen.once[0]).toBe('s3cret')
      expect([seen.once[1], seen.otherSecret]).not.toContain('s3cret')
      expect(seen.denied).toMatchObject({ enforced: true })
      expect(seen.running).toBe('step_up_denied')
      expect([seen.stepsBehind, seen.cancelled]).toEqual([0, true])
      expect(seen.cutMs).toBeLessThan(BOUND)
      for (const after of seen.after) expect(after).not.toBe('restart the ledger')
      expect(factsIn(seen.lines, 'session.revoked')).toMatchObject([{ reason: 'step_up_denied' }])
    })

    test('[S15.m] each record of a tool names it and the digest of its arguments', () => {
      const [refused, passed] = [toolsOf(seen.lines, 'request.refused', 'vault_read'), toolsOf(seen.lines, 'exchange.opened', 'vault_read')]
      expect([refused.length >= 4, passed.length]).toEqual([true, 1])
      for (const { mcp } of [...refused, ...passed]) expect(mcp).toMatchObject({ method: 'tools/call', arguments: expect.stringMatching(DIGEST) })
      const digests = new Set(refused.map(({ mcp }) => (mcp as Line)['arguments']))
      expect(digests.size).toBe(2)
      expect([...digests]).toEqual(expect.arrayContaining(passed.map(({ mcp }) => (mcp as Line)['arguments'])))
    })

    test('[S15.m, AUD3] no token, and no word to a server, stands in what was answered, in the trail or in the metrics', () => {
      expect(seen.secrets.length).toBeGreaterThan(1)
      expect(seen.leaked).toEqual([])
    })
  })
})
