// What is read of a ticket: the examples against answers and messages of the shape their systems send, and any JSON whatever.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { load } from '../../../../src/config/load.ts'
import type { ConnectorSettings, MessageMap } from '../../../../src/config/compile/connectors.ts'
import { compileMessageTest, compileMessageText } from '../../../../src/conditions/compile.ts'
import { PURPOSE_VALUE } from '../../../../src/core/purpose.ts'
import { mapped, momentOf } from '../../../../src/signals/tickets/mapping.ts'
import { WORLD } from '../../config/fixture.ts'

function connectorOf(example: string, name: string): ConnectorSettings {
  const result = load(readFileSync(new URL(`../../../../config/examples/${example}`, import.meta.url), 'utf8'), example, WORLD)
  const found = result.ok ? result.settings.connectors.get(name) : undefined
  if (found === undefined) throw new Error(`no connector ${name} in ${example}`)
  return found
}

function compiled<T>(made: { readonly ok: true; readonly condition: T } | { readonly ok: false }): T {
  if (!made.ok) throw new Error('does not compile')
  return made.condition
}
const text = (source: string) => compiled(compileMessageText(source))
const MAP: MessageMap = { id: text('body.key'), tenant: text('body.tenant'), at: text('string(body.at)'), closed: compiled(compileMessageTest('body.closed == true')), facts: new Map([['state', text('body.state')]]) }

const GOOD = { key: 'CHG-5', tenant: 'one', at: 1_800_000_000, closed: false, state: 'open' }

// The shape of GET /rest/api/3/issue/{id} and of its admin webhook.
const FIELDS = {
  status: { self: 'https://acme.atlassian.net/rest/api/3/status/3', name: 'In Progress', id: '3', statusCategory: { id: 4, key: 'indeterminate', colorName: 'yellow', name: 'In Progress' } },
  issuetype: { id: '10004', name: 'Bug', subtask: false }, updated: '2026-11-22T17:30:47.123+0000', labels: [], customfield_10050: { id: '10020', value: 'production' },
}
const JIRA = { expand: 'renderedFields,names', id: '10002', self: 'https://acme.atlassian.net/rest/api/3/issue/10002', key: 'OPS-42', fields: FIELDS }
const JIRA_MESSAGE = { timestamp: 1_795_368_647_123, webhookEvent: 'jira:issue_updated', issue_event_type_name: 'issue_generic', user: { accountId: '5b10' }, issue: JIRA, changelog: { id: '1', items: [] } }
const done = { ...FIELDS, status: { ...FIELDS.status, name: 'Done', statusCategory: { ...FIELDS.status.statusCategory, key: 'done' } } }

// The shape of GET /api/now/table/change_request with display values, and of a business rule's message.
const CHANGE = { number: 'CHG0030001', state: 'Implement', approval: 'Approved', type: 'Normal', u_environment: 'production', company: 'ACME North', sys_mod_count: '7' }

describe('the examples', () => {
  test('[TKT1] Jira: an answer of its API and a message of its webhook say the same of an issue', () => {
    const { poll, webhook } = connectorOf('ticket-jira.yaml', 'jira')
    const facts = { state: 'In Progress', type: 'Bug', environment: 'production' }
    const at = Date.UTC(2026, 10, 22, 17, 30, 47, 123)
    expect(poll === null ? null : mapped(poll.map, JIRA)).toEqual({ is: 'ticket', ticket: { id: 'OPS-42', tenant: '', at, closed: false, facts: { ...facts, at } } })
    expect(webhook === null ? null : mapped(webhook.map, JIRA_MESSAGE)).toEqual({ is: 'ticket', ticket: { id: 'OPS-42', tenant: '', at, closed: false, facts: { ...facts, at } } })
  })

  test('[TKT1] Jira: done is closed, and so is deleted', () => {
    const { poll, webhook } = connectorOf('ticket-jira.yaml', 'jira')
    expect(poll === null ? null : mapped(poll.map, { ...JIRA, fields: done })).toMatchObject({ ticket: { closed: true, facts: { state: 'Done' } } })
    expect(webhook === null ? null : mapped(webhook.map, { ...JIRA_MESSAGE, webhookEvent: 'jira:issue_deleted' })).toMatchObject({ ticket: { closed: true } })
    expect(webhook?.signature).toEqual({ header: 'x-hub-signature', prefix: 'sha256=', encoding: 'hex' })
  })

  test('[TKT1] ServiceNow: a change belongs to its company, and is closed when it is canceled or rejected', () => {
    const { poll, webhook, tenanted } = connectorOf('ticket-servicenow.yaml', 'servicenow')
    const ticket = { id: 'CHG0030001', tenant: 'ACME North', at: null, closed: false, facts: { state: 'Implement', type: 'Normal', environment: 'production', approval: 'Approved' } }
    expect(tenanted).toBe(true)
    expect(poll === null ? null : mapped(poll.map, { result: [CHANGE] })).toEqual({ is: 'ticket', ticket })
    expect(webhook === null ? null : mapped(webhook.map, CHANGE)).toEqual({ is: 'ticket', ticket })
    expect(poll === null ? null : mapped(poll.map, { result: [{ ...CHANGE, approval: 'Rejected' }] })).toMatchObject({ ticket: { closed: true } })
    expect(poll === null ? null : mapped(poll.map, { result: [{ ...CHANGE, state: 'Canceled' }] })).toMatchObject({ ticket: { closed: true } })
    expect(poll === null ? null : mapped(poll.map, { result: [] })).toEqual({ is: 'fault', of: 'id' })
  })
})

describe('any message', () => {
  test('[TKT1] no JSON makes it throw, and what is taken has a name of the form requests show', () => {
    const part = { key: fc.oneof(fc.constant('CHG-5'), fc.jsonValue()), tenant: fc.oneof(fc.constant('one'), fc.jsonValue()), at: fc.oneof(fc.constant(1_800_000_000), fc.jsonValue()), closed: fc.oneof(fc.boolean(), fc.jsonValue()), state: fc.jsonValue() }
    fc.assert(fc.property(fc.oneof(fc.jsonValue(), fc.record(part, { requiredKeys: [] })), message => {
      const read = mapped(MAP, message)
      if (read.is === 'fault') return
      expect(read.ticket.id).toMatch(PURPOSE_VALUE)
      expect(Object.values(read.ticket.facts).every(value => typeof value !== 'string' || value.length <= 256)).toBe(true)
    }), { numRuns: 500 })
  })

  test.each([
    ['an id that is no name', { ...GOOD, key: '../etc' }, 'id'], ['an id that is a number', { ...GOOD, key: 5 }, 'id'], ['no id', { ...GOOD, key: undefined }, 'id'],
    ['an empty tenant', { ...GOOD, tenant: '' }, 'tenant'], ['half a character as tenant', { ...GOOD, tenant: '\ud800' }, 'tenant'], ['no word on its end', { ...GOOD, closed: undefined }, 'closed'],
    ['a time without a zone', { ...GOOD, at: '2026-11-22T17:30:47' }, 'at'], ['no time', { ...GOOD, at: undefined }, 'at'],
  ])('[TKT1] %s is a fault of the message', (_, message, of) => {
    expect(mapped(MAP, message)).toEqual({ is: 'fault', of })
  })

  test('[TKT3] a fact that is longer than 256 characters, or no text, is not there', () => {
    expect(mapped(MAP, { ...GOOD, state: 'x'.repeat(257) })).toMatchObject({ is: 'ticket', ticket: { facts: { at: 1_800_000_000_000 } } })
    const read = mapped(MAP, { ...GOOD, state: 7 })
    expect(read.is === 'ticket' && Object.keys(read.ticket.facts)).toEqual(['at'])
  })

  test('[TKT2] instants are read with their zone, as seconds and as milliseconds, and no other way', () => {
    const at = Date.UTC(2026, 10, 22, 17, 30, 47)
    for (const form of ['2026-11-22T17:30:47Z', '2026-11-22 18:30:47+01:00', '2026-11-22T18:30:47+0100', String(at), String(at / 1000)]) expect([form, momentOf(form)]).toEqual([form, at])
    for (const form of ['', 'now', '2026-11-22', '2026-11-22T17:30:47', '2026-13-22T17:30:47Z', '12', '1.8e12']) expect([form, momentOf(form)]).toEqual([form, null])
  })
})
