// What is said of routes of MCP that cannot be meant so, or rarely are.
import { describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { WORLD } from './fixture.ts'

type Parts = { readonly rules?: readonly string[]; readonly mcp?: string; readonly more?: string; readonly upstream?: string; readonly elevations?: string }

const READING = '{ allow: { tools: [get_a] } }'

function told({ rules = [READING], mcp = '{}', more = '', upstream = '{ url: "http://tools:8080/mcp", protocol: mcp }', elevations = '' }: Parts): { readonly errors: readonly string[]; readonly warnings: readonly string[] } {
  const result = load(`
version: 1
authn: { ci: { jwt: { issuer: https://ci.example, audience: narrowgate } } }
routes:
  - name: tools
    match: { host: tools.test, path: /mcp }
    upstream: ${upstream}
    ${mcp === '' ? '' : `mcp: ${mcp}`}
    ${more}
    rules: [${rules.join(', ')}]
${elevations}
`, 'test.yaml', WORLD)
  const said = (list: readonly { readonly message: string; readonly hint?: string | null }[]) => list.map(({ message }) => message)
  return result.ok ? { errors: [], warnings: said(result.warnings) } : { errors: said(result.problems), warnings: [] }
}

const WRITER = 'elevations: { writer: { adds: [a:write], for: 10m } }'
const restart = (args: string, condition: string, tools = '[restart]'): Parts => ({ mcp: `{ tools: [{ match: restart, args: ${args} }, { match: rollback, args: { version: string } }] }`, rules: [`{ allow: { tools: ${tools} }, if: '${condition}' }`, '{ allow: { tools: [restart, rollback] } }'] })

describe('routes of MCP', () => {
  test('[CFG3] one that can work is taken without a word', () => {
    expect(told({})).toEqual({ errors: [], warnings: [] })
    expect(told({
      mcp: '{ denyAs: result, offerElevation: { prefix: gw_ }, approvalPage: "https://approve.example/{elevation}", origins: ["https://app.example"], versions: ["2026-07-28"], tools: [{ match: "get_*", class: read }, { match: write_a, class: write, labels: [db], args: { id: string, count: { type: int, required: false, header: Count } } }] }',
      rules: ['{ allow: { tools: ["*"], classes: [read] } }', '{ deny: { tools: ["*"], labels: [db], mcp: ["logging/*"] }, onHit: { addRisk: 1 } }', '{ allow: { tools: [write_a], resources: ["file:///a/*"], prompts: ["*"] }, scope: a:write }'], elevations: WRITER,
    })).toEqual({ errors: [], warnings: [] })
  })

  test('[CFG3] the route of the design loads as it is written', () => {
    const parts = { mcp: '{ offerElevation: true, denyAs: error }', rules: ['{ allow: { tools: ["search_*", "get_*"] } }', '{ allow: { tools: [restart_service, rollback] }, scope: runbook:execute, if: mcp.args.incident == elevation.purpose.ticket }'] }
    expect(told({ ...parts, elevations: 'purposes: { ticket: { claim: ticket, source: manual } }\nelevations: { incident-runbook: { adds: [runbook:execute], for: 30m, purpose: [ticket] } }' })).toEqual({ errors: [], warnings: [] })
  })

  test.each<[string, Parts, RegExp]>([
    ['a path in a rule', { rules: ['{ allow: { paths: [/a], tools: [x] } }'] }, /`paths` has no meaning on a route of MCP/],
    ['a method in a rule', { rules: ['{ allow: { methods: [POST], tools: [x] } }'] }, /`methods` has no meaning/],
    ['an upgrade in a rule', { rules: ['{ allow: { upgrade: websocket, tools: [x] } }'] }, /`upgrade` has no meaning/],
    ['gRPC in a rule', { rules: ['{ allow: { grpc: [a.B/C], tools: [x] } }'] }, /`grpc` has no meaning/],
    ['a rule that chooses nothing', { rules: ['{ allow: {} }'] }, /the selector chooses no message/],
    ['classes without tools', { rules: ['{ allow: { classes: [read], prompts: ["*"] } }'] }, /`classes` says which of the `tools` are meant/],
    ['labels without tools', { rules: ['{ allow: { labels: [a], prompts: ["*"] } }'] }, /`labels` says which of the `tools` are meant/],
    ['a class that nobody knows', { rules: ['{ allow: { tools: ["*"], classes: [harmless] } }'] }, /expected one of .*read/],
    ['a key that nobody knows', { mcp: '{ denyWith: error }' }, /denyWith/],
    ['a key of a tool that nobody knows', { mcp: '{ tools: [{ match: a, kind: read }] }' }, /kind/],
    ['a name with a blank', { rules: ['{ allow: { tools: ["get a"] } }'] }, /visible ASCII/],
    ['a type that nobody knows', { mcp: '{ tools: [{ match: get_a, args: { a: number } }] }' }, /args|expected|invalid/i],
    ['an anonymous rule', { rules: ['{ allow: { tools: [x] }, anonymous: true }'] }, /messages of MCP belong to a session/],
    ['observing', { more: 'mode: observe' }, /`observe` cannot be used on a route of MCP/],
    ['inspection', { rules: ['{ allow: { tools: [x] }, inspect: json }'] }, /messages of MCP are always read/],
    ['a body in a condition', { rules: ['{ allow: { tools: [x] }, if: "body.a == 1.0" }'] }, /nobody reads the `body`/],
    ['a reserved code', { mcp: '{ denialCode: -32005 }' }, /codes from -32768 to -32000 are reserved/],
    ['a page that names no elevation', { mcp: '{ approvalPage: "https://approve.example/" }' }, /the page must name the elevation/],
    ['a page in clear text', { mcp: '{ approvalPage: "http://approve.example/{elevation}" }' }, /expected an https URL/],
    ['an origin with a path', { mcp: '{ origins: ["https://app.example/"] }' }, /expected an origin/],
    ['any origin', { mcp: '{ origins: ["*"] }' }, /expected an origin/],
    ['a message without a limit', { mcp: '{ messageBytes: 65MiB }' }, /at most 64MiB/],
    ['a definition of several tools', { mcp: `{ tools: [{ match: "get_*", digest: "sha256:${'a'.repeat(43)}" }] }` }, /a definition is of one tool/],
    ['a header that repeats a list', { mcp: '{ tools: [{ match: get_a, args: { a: { type: list, header: A } } }] }' }, /a header repeats no list/],
    ['a header that repeats two', { mcp: '{ tools: [{ match: get_a, args: { a: { type: string, header: X }, b: { type: string, header: x } } }] }' }, /there is 'Mcp-Param-x' already/],
    ['a version that nobody knows', { mcp: '{ versions: ["2024-11-05"] }' }, /expected one of|2026-07-28/],
  ])('[CFG3, MCP3] what cannot work is refused: %s', (_, parts, says) => { expect(told(parts).errors).toContainEqual(expect.stringMatching(says)) })

  test.each<[string, Parts, RegExp]>([
    ['tools', { mcp: '', upstream: 'http://tools:8080', rules: ['{ allow: { tools: [x] } }'] }, /`tools` has a meaning only on a route of MCP/],
    ['prompts', { mcp: '', upstream: 'http://tools:8080', rules: ['{ allow: { prompts: [x] } }'] }, /`prompts` has a meaning only/],
    ['a condition', { mcp: '', upstream: 'http://tools:8080', rules: [`{ allow: {}, if: 'mcp.tool == "x"' }`] }, /there is no `mcp` on a route that does not serve it/],
  ])('[CFG3, MCP2] elsewhere there are no messages: %s', (_, parts, says) => {
    expect(told(parts).errors).toContainEqual(expect.stringMatching(says))
  })

  test('[CFG4, MCP4] a condition reads only what the tools of its rule take, where that is known', () => {
    expect(told(restart('{ region: string }', 'mcp.args.regoin == "eu"')).errors).toEqual([expect.stringMatching(/no tool of the rule takes an argument 'regoin'/)])
    for (const condition of ['mcp.args["regoin"] == "eu"', 'has(mcp.args.regoin)', '"regoin" in mcp.args', 'mcp.args.region == "eu" && mcp.args.other == 1.0']) expect(told(restart('{ region: string }', condition)).errors, condition).toHaveLength(1)
    for (const condition of ['mcp.args.region == "eu"', 'mcp.tool == "restart"', '"region" in mcp.args']) expect(told(restart('{ region: string }', condition)).errors, condition).toEqual([])
    expect(told(restart('{ region: string }', 'mcp.args.version == "1"', '[restart, rollback]')).errors).toEqual([])
    expect(told(restart('{ region: string }', 'mcp.args.other == "1"', '["re*"]')).errors).toEqual([])
    expect(told(restart('{ region: string }', 'mcp.args.other == "1"', '[restart, unknown]')).errors).toEqual([])
  })

  test.each<[string, Parts, RegExp]>([
    ['every tool, open to all', { rules: ['{ allow: { tools: ["*"] } }'] }, /any session may call every tool/],
    ['every call, open to all', { rules: ['{ allow: { mcp: ["tools/*"] } }'] }, /any session may call every tool/],
    ['a rule behind one that means the same', { rules: ['{ allow: { tools: ["get_*"] } }', '{ allow: { tools: [get_a] }, if: \'mcp.args.a == "x"\' }'] }, /tools#2 is never reached: rule tools#1/],
    ['an entry behind one that covers it', { mcp: '{ tools: [{ match: "get_*", class: read }, { match: get_a, class: write }] }' }, /this entry never counts: entry 1/],
    ['a tool that no rule means', { mcp: '{ tools: [{ match: drop_b, class: admin }] }' }, /no rule means the tool 'drop_b'/],
    ['a class that no tool has', { rules: ['{ allow: { tools: ["*"], classes: [read] } }'] }, /no entry of `mcp.tools` has the class 'read'/],
    ['a label that no tool has', { rules: ['{ allow: { tools: ["*"], labels: [db] } }'] }, /no entry of `mcp.tools` has the label 'db'/],
    ['nothing to ask for', { mcp: '{ offerElevation: true }' }, /there is nothing to ask for/],
    ['nothing to approve', { mcp: '{ approvalPage: "https://approve.example/{elevation}" }' }, /there is nothing to approve/],
    ['pages that may ask and not call', { more: 'cors: { origins: ["https://app.example"] }' }, /pages of https:\/\/app.example may ask/],
  ])('[CFG9] what is rarely meant is said: %s', (_, parts, says) => {
    const { errors, warnings } = told(parts)
    expect(errors).toEqual([])
    expect(warnings).toContainEqual(expect.stringMatching(says))
  })

  test('[CFG9] rules that mean different messages hide nothing', () => {
    const rules = ['{ allow: { tools: [a], classes: [read] } }', '{ allow: { tools: [a] } }', '{ allow: { prompts: [a] } }', '{ allow: { resources: ["x://a/*"] } }', '{ allow: { resources: ["x://*"], prompts: [b] } }']
    expect(told({ rules, mcp: '{ tools: [{ match: a, class: read }] }' }).warnings).toEqual([])
  })
})
