// What lists say of the gateway's own tools: what this session may ask for, in bounded text, with schemas that are JSON Schema.
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/client/validators/ajv'
import { describe, expect, test } from 'vitest'
import type { ApprovalRules, Policy, Profile } from '../../../../../src/core/policy.ts'
import { duration } from '../../../../../src/core/time.ts'
import { ownToolDefinitions } from '../../../../../src/proxy/mcp/asking/own-tools.ts'
import { policyOf, profile, SESSION } from '../../../core/world.ts'

type Tool = { readonly name: string; readonly description: string; readonly inputSchema: Record<string, unknown> }

const toolsOf = (policy: Policy, prefix = ''): readonly Tool[] => ownToolDefinitions(policy, { record: SESSION }, {}, prefix) as unknown as readonly Tool[] // as they are written
const asking = (...profiles: readonly Profile[]): Tool => toolsOf(policyOf(...profiles))[0] as Tool // the first of three
const APPROVAL: ApprovalRules = { stages: [{ role: 'approver', count: 1, who: null }], within: duration(600_000), extend: 'free', autoWhen: null, notify: [], breakGlass: null }

const FIX: Profile = { ...profile('fix', ['db:write']), title: 'Fix it', for: duration(900_000), max: duration(7_200_000), purposes: ['ticket'], params: new Map([['rows', { type: 'number', required: true, max: 5 }], ['note', { type: 'string', required: false, max: null }]]), approval: APPROVAL }

describe('the tools', () => {
  test('[MCP15] are three, with their prefix, and their schemas take what the tools take', () => {
    expect(toolsOf(policyOf(FIX), 'gate_').map(({ name }) => name)).toEqual(['gate_request_elevation', 'gate_elevation_status', 'gate_release_elevation'])
    const [ask, status, release] = toolsOf(policyOf(FIX)).map(({ inputSchema }) => {
      const check = new AjvJsonSchemaValidator().getValidator(inputSchema) // as real clients do
      return (value: unknown): boolean => check(value).valid
    })
    expect([{ profile: 'fix' }, { profile: 'fix', for: '15m', purpose: { ticket: 'T' }, params: { rows: 1 }, reason: 'x' }].map(each => ask?.(each))).toEqual([true, true])
    expect([{}, { profile: 'other' }, { profile: 'fix', for: 'long' }, { profile: 'fix', purpose: { turn: '1' } }, { profile: 'fix', hold: true }].map(each => ask?.(each))).toEqual([false, false, false, false, false])
    expect([{}, { id: `elv_${'a'.repeat(26)}`, wait: 30 }, { wait: 31 }, { id: 'x' }].map(each => status?.(each))).toEqual([true, true, false, false])
    expect([{ id: `elv_${'a'.repeat(26)}` }, {}].map(each => release?.(each))).toEqual([true, false])
  })

  test('[MCP15] tell what a profile adds, for how long, for what, and whose word it needs', () => {
    const { description } = asking(FIX, profile('plain', ['db:read']), { ...profile('now', ['db:all']), approval: { ...APPROVAL, stages: [], breakGlass: { reviewWithin: duration(60_000), onMissed: 'alarm' } as NonNullable<ApprovalRules['breakGlass']> } })
    expect(description).toContain('- fix (Fix it): adds db:write; for 15m, at most 2h; needs the purpose ticket; params: rows (number), note (string, may be left out); approved by approver, usually a person within 10m.')
    expect(description).toContain('- plain: adds db:read; for 10m, at most 10m; needs no purpose; given at once.')
    expect(description).toContain('- now: adds db:all; for 10m, at most 10m; needs no purpose; given at once, for emergencies only')
  })

  test('[MCP15] tell nothing of what this session may not ask for', () => {
    const never = { ...profile('root', ['all']), eligible: { source: 'false', test: () => 'false' } } as unknown as Profile // a condition that is false
    const { description, inputSchema } = asking(never, profile('plain', ['db:read']))
    expect(JSON.stringify([description, inputSchema])).not.toContain('root')
    expect(asking(never).description).toContain('There is nothing that this session may ask for now.')
    expect(JSON.stringify(asking(never).inputSchema)).not.toContain('enum')
  })

  test('[MCP15] stay short however much there is', () => {
    const many = Array.from({ length: 2_000 }, (_, i) => ({ ...profile(`profile-${i}`, [`scope:${'x'.repeat(i % 200)}`]), title: 't'.repeat(5_000) }))
    const { description, inputSchema } = asking(...many)
    expect(description.length).toBeLessThanOrEqual(8_192)
    expect(description).toMatch(/and \d+ more\.$/)
    expect(JSON.stringify(inputSchema).length).toBeLessThan(2_000)
  })
})
