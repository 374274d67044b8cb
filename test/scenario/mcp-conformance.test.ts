// The conformance suite of MCP: every check that a server passes, it passes behind a gateway. What also passes where nobody serves anything does not count as proof.
// SPEC: MCP1, MCP6
import { beforeAll, describe, expect, it } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { startLegacySuiteServer } from '../support/mcp/conformance/legacy.ts'
import { startModernSuiteServer } from '../support/mcp/conformance/modern.ts'
import { scenariosOf, startCredentialHop, startDeadServer, type Verdicts, verdictsOf } from '../support/mcp/conformance/suite.ts'
import { startEverything } from '../support/mcp/everything.ts'

type Peer = { readonly origin: string; readonly close: () => Promise<void> }

/** The suite names old ones where a server need not look, and a server of the newest takes no other. */
const VERSIONS: { readonly [version: string]: string } = { '2025-11-25': '["2025-11-25", "2025-06-18", "2025-03-26"]', '2026-07-28': '["2026-07-28"]' }

const planFor = ({ origin }: Peer, version: string) => ({
  routes: `
- name: suite
  match: { host: localhost, path: /mcp }
  upstream: { url: "${origin}/mcp", protocol: mcp }
  mcp: { versions: ${VERSIONS[version] ?? '[]'} }
  rules:
    - { allow: { tools: ["*"], prompts: ["*"], resources: ["*"] } }`,
})

/** The same server directly, and behind a gateway to which every request shows a credential. */
async function bothWays(peer: Peer, version: string): Promise<readonly [direct: Verdicts, through: Verdicts]> {
  const gate = await TestGateway.start(planFor(peer, version))
  const hop = await startCredentialHop(gate.target.port, `Bearer ${await gate.token()}`)
  try {
    return [await verdictsOf(`${peer.origin.replace('127.0.0.1', 'localhost')}/mcp`, version), await verdictsOf(hop.url, version)]
  } finally {
    await hop.close()
    await gate.stop()
    await peer.close()
  }
}

const passed = (verdicts: Verdicts): readonly string[] => [...verdicts].flatMap(([check, status]) => (status === 'SUCCESS' ? [check] : []))

const MODERN = '2026-07-28'
const LEGACY = '2025-11-25'
const scenariosIn = (verdicts: Verdicts): readonly string[] => [...new Set([...verdicts.keys()].map(check => check.slice(0, check.indexOf(' '))))].sort()

describe.each([
  { version: LEGACY, name: 'a server of the SDK', start: startLegacySuiteServer, least: 50 },
  { version: LEGACY, name: 'server-everything', start: startEverything, least: 15 },
  { version: MODERN, name: 'a server of the SDK', start: startModernSuiteServer, least: 105 },
])('$version, $name', ({ version, start, least }) => {
  let dead: ReadonlySet<string>

  beforeAll(async () => {
    const nobody = await startDeadServer()
    dead = new Set(passed(await verdictsOf(nobody.url, version)))
    await nobody.close()
  }, 90_000)

  it('[MCP6] every check that passes directly passes through the gateway', async () => {
    const [direct, through] = await bothWays(await start(), version)
    expect(scenariosIn(direct)).toEqual([...(await scenariosOf(version))].sort())
    expect(passed(direct).filter(check => !dead.has(check)).length).toBeGreaterThanOrEqual(least)
    expect(passed(direct).filter(check => through.get(check) !== 'SUCCESS')).toEqual([])
  })
})
