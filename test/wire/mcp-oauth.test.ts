// An agent that knows nothing but an address and its own secret: refused, it finds the resource, its authorization server and the token endpoint by itself
// (RFC 9728, RFC 8414, RFC 8707), and calls. The token service is oidc-provider, the clients are the SDKs'. SPEC: SES10, SES13, MCP7
import { ClientCredentialsProvider as ModernCredentials } from '@modelcontextprotocol/client'
import { ClientCredentialsProvider as LegacyCredentials } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { TestGateway } from '../support/gateway.ts'
import { IdentityProvider, SECRET } from '../support/identity-provider.ts'
import { type Caller, connect, endOf, ERAS, type Era } from '../support/mcp/clients.ts'
import { startServer, urlOf } from '../support/mcp/gateway.ts'
import { ENDPOINT, type McpPeer } from '../support/mcp/modern-server.ts'
import { ClientAuthority, testAuthority } from '../support/tls.ts'

let idp: IdentityProvider
beforeAll(async () => {
  idp = await IdentityProvider.start(await testAuthority(), await ClientAuthority.create('Nobody'))
})
afterAll(() => idp.close())

/** A gateway whose one audience is its own address. */
async function startGate(peer: McpPeer): Promise<TestGateway> {
  const port = await freePort()
  return TestGateway.start({
    routes: '',
    config: ({ directory }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:${port}", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
  idp: { jwt: { issuer: "${idp.issuer}", audience: "http://127.0.0.1:${port}${ENDPOINT}" }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
telemetry: { logs: { level: silent } }
routes:
  - name: runbooks
    match: { path: ${ENDPOINT} }
    upstream: { url: "${peer.url}", protocol: mcp }
    rules:
      - { allow: { tools: [runbook_write] }, scope: runbooks:write }
      - { allow: { tools: ["*"] }, scope: base:read }
elevations:
  writing: { adds: [runbooks:write], for: 10m }
`,
  })
}

describe.each(ERAS)('%s', era => {
  let peer: McpPeer
  let gate: TestGateway
  const callers: Caller[] = []
  beforeAll(async () => {
    peer = await startServer[era]()
    gate = await startGate(peer)
  })
  afterAll(async () => {
    await Promise.allSettled(callers.map(caller => caller.close()))
    await gate.stop()
    await peer.close()
  })

  async function connected(of: Era, clientSecret: string): Promise<Caller> {
    const words = { clientId: 'batch', clientSecret, expectedIssuer: idp.issuer }
    const authProvider = of === 'modern' ? new ModernCredentials(words) : new LegacyCredentials(words)
    const caller = await connect[of](urlOf(gate), { token: '', authProvider })
    callers.push(caller)
    return caller
  }

  it('[SES10, MCP7] from a 401 to a call of a tool by discovery alone', async () => {
    const agent = await connected(era, SECRET)
    expect(await agent.call('runbook_read', { incident: 'inc-1' })).toMatchObject({ content: [{ text: 'restart the ledger' }] })
    const { status, headers } = agent.answers[0] ?? {}
    expect([status, headers?.get('www-authenticate')]).toEqual([401, expect.stringContaining(`resource_metadata="${new URL(`/.well-known/oauth-protected-resource${ENDPOINT}`, urlOf(gate)).href}"`)])
    expect(peer.received.every(({ headers: got }) => got.authorization === undefined)).toBe(true)
  })

  it('[MCP7] what its token is not enough for is told with the scope that is missing', async () => {
    const agent = await connected(era, SECRET)
    const before = peer.runbooks.calls.length
    expect(await endOf(agent.call('runbook_write', { incident: 'inc-1', text: 'mine' }))).toHaveProperty('message')
    const refused = agent.answers.find(({ status }) => status === 403)
    expect(refused?.headers.get('www-authenticate')).toMatch(/error="insufficient_scope".*scope="[^"]*runbooks:write/)
    expect(peer.runbooks.calls).toHaveLength(before)
  })

  it('[SES13] without its secret nobody gets so far', async () => {
    const before = peer.received.length
    await expect(connected(era, 'guessed')).rejects.toThrow()
    expect(peer.received).toHaveLength(before)
  })
})
