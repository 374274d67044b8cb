// What every admission's record is put together from.
import { describe, expect, test } from 'vitest'
import { AdmissionTexts } from '../../../src/enforcement/admission-text.ts'
import type { Exchange } from '../../../src/enforcement/exchange.ts'
import { mcpRouteOf } from '../proxy/mcp/routes.ts'

const ROUTE = { name: 'files', upstream: 'api' }
const by = (rule: string, more: object = {}): Exchange => ({
  live: null, external: null, ...more,
  id: 'e1', permit: { until: 1, would: null, grant: { is: 'baseline' } }, place: { route: ROUTE, rule: { name: rule } },
  evaluation: { evidence: null, resource: { host: 'api.test', path: '/"\n\u2028\ud800', query: '' }, action: { method: 'GET"' }, context: { source: '192.0.2.1', purposes: { ticket: '"}' } } },
}) as unknown as Exchange // as much of one as a record is made of

describe('the text of an admission', () => {
  test.each(['first', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'])('[AUD2] is JSON for a rule called %s, behind one of another name', name => {
    const texts = new AdmissionTexts()
    texts.of(by('list'))
    const [once, again] = [texts.of(by(name)), texts.of(by(name))]
    expect(JSON.parse(once)).toMatchObject({ exchange: 'e1', route: 'files', rule: name, method: 'GET"', path: '/"\n\u2028\ud800', purposes: { ticket: '"}' } })
    expect(again).toBe(once)
  })

  test('[PEP7] tells what somebody outside said of it, and nothing of that where nobody was asked', () => {
    const noted = { pdp: 'main', evaluation: 'eval_1', outcome: 'permit' }
    expect(JSON.parse(new AdmissionTexts().of(by('list', { external: { last: { noted } } })))).toMatchObject({ external: noted })
    expect(new AdmissionTexts().of(by('list'))).not.toContain('external')
  })

  test('[MCP18] names what a message calls, on routes of MCP alone', () => {
    const { mcp } = mcpRouteOf('{ record: { arguments: values } }')
    const action = { method: 'POST', upgrade: null, call: { kind: 'tool', method: 'tools/call', name: 'write', args: new Map([['text', '"}'], ['token', 'hidden']]), digest: 'd' } }
    const called = (route: object): Exchange => Object.assign(by('list'), { place: { route: { ...ROUTE, ...route }, rule: { name: 'list' } }, evaluation: { ...by('list').evaluation, action } }) as unknown as Exchange // as above
    expect(JSON.parse(new AdmissionTexts(() => null).of(called({ mcp })))).toMatchObject({ mcp: { method: 'tools/call', name: 'write', arguments: 'd', values: { text: '"}', token: '[redacted]' } } })
    expect(new AdmissionTexts(() => null).of(called({ mcp: null }))).not.toContain('"mcp"')
  })

  test.each([
    [{ before: 0, after: 0, level: null }, { before: 0, after: 0 }],
    [{ before: 0, after: 12.34, level: null }, { before: 0, after: 12.3 }],
    [{ before: 61.25, after: 81.29, level: 'a"level' }, { before: 61.3, after: 81.3, level: 'a"level' }],
  ])('[EXP4] holds what its principal scored before and after it: %j', (risk, expected) => {
    const principal = { issuer: 'i', subject: 's', tenant: 't', actor: null }
    const exchange = by('list', { risk, live: { record: { id: 'ses_1', principal } } })
    expect(JSON.parse(new AdmissionTexts().of(exchange))).toMatchObject({ session: 'ses_1', risk: expected })
    expect(JSON.parse(new AdmissionTexts().of(by('list')))).toMatchObject({ session: null, risk: null })
  })
})
