// A route of MCP as the configuration makes it, for tests of what reads messages.
import type { McpRoute } from '../../../../src/core/call.ts'
import type { Route } from '../../../../src/core/route.ts'
import { loaded } from '../../config/fixture.ts'

/** @param mcp YAML of the route's `mcp`; @param rules YAML of each */
export function mcpRouteOf(mcp = '{}', rules: readonly string[] = ['{ allow: { tools: ["*"] } }']): Route & { readonly mcp: McpRoute } {
  const { policy: { routes: [route] } } = loaded(`
version: 1
authn: { ci: { jwt: { issuer: https://ci.example, audience: narrowgate } } }
routes:
  - name: tools
    match: { host: tools.test, path: /mcp }
    upstream: { url: "http://tools:8080/mcp", protocol: mcp }
    mcp: ${mcp}
    rules: [${rules.join(', ')}]
`)
  if (route === undefined || route.mcp === null) throw new Error('no route of MCP')
  return { ...route, mcp: route.mcp }
}
