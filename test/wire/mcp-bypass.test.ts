// What was tried to get past rules of tools, through a real gateway in front of a server that takes anything: nothing of it arrives there. The cases of
// test/cases/bypasses.json of class mcp, and the ways of reading a message twice. SPEC: MCP1, MCP2, MCP5
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { LaxStage, LEGACY, MODERN, type Told } from './mcp-stage.ts'

let stage: LaxStage

beforeAll(async () => {
  stage = await LaxStage.start({
    mcp: '{ tools: [{ match: put, args: { id: string } }], versions: ["2026-07-28", "2025-11-25"], messageBytes: 64KiB, messageTimeout: 1s }',
    rules: ['{ deny: { tools: ["*delete*"] } }', '{ allow: { tools: [get_weather, put], resources: ["file:///runbooks/*"], mcp: ["custom/*"] } }', '{ allow: { tools: [root] }, scope: tools:root }'],
  })
})
afterAll(() => stage.stop())

const rpc = (method: string, params: object = {}, id: unknown = 1): string => JSON.stringify({ jsonrpc: '2.0', id, method, params })
const FORBIDDEN = rpc('tools/call', { name: 'delete_user' })
const OLD = ['MCP-Protocol-Version', LEGACY]

/** Refused, and nothing has arrived. */
async function refused(asked: Promise<Told>, status: number, code?: number): Promise<Told> {
  const before = stage.seen.length
  const told = await asked
  expect({ status: told.status, text: told.body.toString() }).toMatchObject({ status })
  if (code !== undefined) expect(told.error.code, told.body.toString()).toBe(code)
  expect(stage.seen).toHaveLength(before)
  return told
}

async function taken(asked: Promise<Told>): Promise<void> {
  const before = stage.seen.length
  const told = await asked
  expect({ status: told.status, text: told.body.toString() }).toMatchObject({ status: 200 })
  expect(stage.seen).toHaveLength(before + 1)
}

describe('the cases', () => {
  test('[MCP-001] member names in another case are refused, and never forwarded', async () => {
    await refused(stage.raw('{"jsonrpc":"2.0","id":1,"Method":"tools/call","PARAMS":{"name":"delete_user"}}', OLD), 400, -32_600)
    await refused(stage.raw('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather"},"PARAMS":{"name":"delete_user"}}', OLD), 400)
    await refused(stage.raw('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","NAME":"delete_user"}}', OLD), 400)
    await refused(stage.raw('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"delete_user"}}', OLD), 400)
  })

  test('[MCP-003] a batch is refused whole, whatever is in it', async () => {
    const told = await refused(stage.raw(`[${rpc('tools/list')},${FORBIDDEN}]`, OLD), 400, -32_600)
    expect(told.json['id']).toBeNull()
    await refused(stage.raw(`[${rpc('tools/call', { name: 'get_weather' })}]`, OLD), 400, -32_600)
    await refused(stage.raw('[]', OLD), 400, -32_600)
  })

  test('[MCP-006] pages of other origins and other hosts are refused', async () => {
    await refused(stage.legacy('tools/call', { name: 'get_weather' }, ['Origin', 'https://evil.test']), 403)
    await refused(stage.legacy('tools/call', { name: 'get_weather' }, ['Origin', 'null']), 403)
    await refused(stage.legacy('tools/call', { name: 'get_weather' }, ['Host', 'evil.test', 'Origin', 'https://evil.test']), 421)
    await taken(stage.legacy('tools/call', { name: 'get_weather' }, ['Origin', 'http://api.test']))
  })

  test('[MCP-006] where a route takes any host, no page is of it unless it is named', async () => {
    const open = await LaxStage.start({ match: '{ path: /mcp }', mcp: '{ origins: ["https://studio.test"] }', rules: ['{ allow: { tools: [get_weather] } }'] })
    try {
      const call = (...headers: string[]) => open.legacy('tools/call', { name: 'get_weather' }, headers)
      expect((await call('Host', 'evil.test', 'Origin', 'http://evil.test')).status).toBe(403)
      expect(open.seen).toHaveLength(0)
      expect((await call('Host', 'evil.test', 'Origin', 'https://studio.test')).status).toBe(200)
      expect((await call('Host', 'tools.test')).status).toBe(200)
    } finally {
      await open.stop()
    }
  })

  test.each(['delete_user\u200b', 'delete_user ', ' delete_user', 'delete_user\t', 'dеlete_user', 'ｄelete_user', 'delete_user\u0000', 'delete\u00aduser'])('[MCP-008] a name that looks like another is no name: %j', async name => { await refused(stage.raw(rpc('tools/call', { name }), OLD), 400, -32_602) })

  test.each(['inv__delete', 'server/delete_user', 'server.delete_user', 'Delete_User', 'GET_WEATHER', 'get_weather2', 'get-weather', 'get_weather;delete', 'get_weather/../root', '*'])('[MCP-008] names are compared octet by octet: %j', async name => {
    await refused(stage.modern('tools/call', { name }), 403, 40_300)
    await refused(stage.legacy('tools/call', { name }), 403, 40_300)
  })

  test('[MCP-011] a token for another server is refused, and none of the caller goes upstream', async () => {
    const call = (token: string) => stage.raw(rpc('tools/call', { name: 'get_weather' }), OLD, { token })
    const told = await refused(call(await stage.gate.token({ aud: 'https://other.test/mcp' })), 401)
    expect(told.headers.filter(([name]) => name.toLowerCase() === 'www-authenticate').map(([, value]) => value)).toEqual([expect.stringMatching(/^Bearer .*error="invalid_token".*resource_metadata="http:\/\/api.test\/\.well-known\/oauth-protected-resource\/mcp"/)])
    const stranger = await TokenIssuer.create()
    await refused(call(await stranger.sign({ jti: 'x' })), 401)
    await taken(call(stage.token))
    expect(JSON.stringify(stage.seen.at(-1))).not.toContain(stage.token)
    expect(stage.seen.at(-1)?.headers).not.toHaveProperty('authorization')
  })
})

describe('one reading', () => {
  test.each<[string, string | Buffer, readonly string[], number, number?]>([
    ['a member twice', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","name":"delete_user"}}', [], 400, -32_700],
    ['a member twice, within arguments', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","arguments":{"a":[{"b":1,"b":2}]}}}', [], 400, -32_700],
    ['a member twice, once escaped', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","\\u006eame":"delete_user"}}', [], 400, -32_700],
    ['deep JSON', `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","arguments":{"a":${'['.repeat(2_000)}${']'.repeat(2_000)}}}}`, [], 400, -32_700],
    ['a mark of byte order', `\ufeff${rpc('tools/call', { name: 'get_weather' })}`, [], 400, -32_700],
    ['UTF-16', Buffer.from(rpc('tools/call', { name: 'get_weather' }), 'utf16le'), [], 400, -32_700],
    ['what is not UTF-8', Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","arguments":{"a":"'), Buffer.from([0xff]), Buffer.from('"}}}')]), [], 400, -32_700],
    ['a body that is half there', rpc('tools/call', { name: 'get_weather' }).slice(0, -2), [], 400, -32_700],
    ['two bodies in one', `${rpc('tools/list')}${FORBIDDEN}`, [], 400, -32_700],
    ['no body', '', [], 400, -32_700],
    ['a body that is too large', rpc('tools/call', { name: 'get_weather', arguments: { a: 'a'.repeat(70_000) } }), [], 413],
    ['another content type', rpc('tools/call', { name: 'get_weather' }), ['Content-Type', 'text/plain'], 400, -32_700],
    ['another kind of JSON', rpc('tools/call', { name: 'get_weather' }), ['Content-Type', 'application/json-rpc'], 400, -32_700],
    ['JSON of a vendor', rpc('tools/call', { name: 'get_weather' }), ['Content-Type', 'application/x+json'], 400, -32_700],
    ['no content type', rpc('tools/call', { name: 'get_weather' }), ['Content-Type', ''], 400, -32_700],
    ['another charset', rpc('tools/call', { name: 'get_weather' }), ['Content-Type', 'application/json; charset=utf-16'], 400, -32_700],
    ['an encoding', gzipSync(FORBIDDEN), ['Content-Encoding', 'gzip'], 400, -32_700],
    ['an id that is null', rpc('tools/call', { name: 'get_weather' }, null), [], 400, -32_600],
    ['a request without an id', JSON.stringify({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'get_weather' } }), [], 400, -32_600],
    ['a notification with an id', rpc('notifications/cancelled', { requestId: 1 }), [], 400, -32_600],
    ['a method in another case', rpc('Tools/Call', { name: 'delete_user' }), [], 400, -32_600],
    ['a resource that is walked out of', rpc('resources/read', { uri: 'file:///runbooks/../etc/passwd' }), [], 400, -32_602],
    ['a resource with escaped dots', rpc('resources/read', { uri: 'file:///runbooks/%2e%2e/etc/passwd' }), [], 400, -32_602],
    ['a resource with an escaped slash', rpc('resources/read', { uri: 'file:///runbooks/..%2Fetc' }), [], 400, -32_602],
    ['arguments of another type', rpc('tools/call', { name: 'put', arguments: { id: 1 } }), [], 400, -32_602],
    ['arguments that are not there', rpc('tools/call', { name: 'put', arguments: {} }), [], 400, -32_602],
    ['arguments that nobody declared', rpc('tools/call', { name: 'put', arguments: { id: 'a', Id: 'b' } }), [], 400],
    ['arguments beside the declared ones', rpc('tools/call', { name: 'put', arguments: { id: 'a', force: true } }), [], 400, -32_602],
    ['a tool that is denied', FORBIDDEN, [], 403, 40_300],
    ['a tool that no rule knows', rpc('tools/call', { name: 'unheard_of' }), [], 403, 40_300],
    ['a resource that no rule knows', rpc('resources/read', { uri: 'file:///etc/passwd' }), [], 403, 40_300],
    ['a method that nobody knows', rpc('secrets/dump'), [], 404, -32_601],
  ])('[MCP1] %s', async (_, body, headers, status, code) => { await refused(stage.raw(body, [...OLD, ...headers]), status, code) })

  test('[MCP1] what passes is what was read, written anew', async () => {
    await taken(stage.raw(' {"jsonrpc" : "2.0", "id":\t"a\\u0062", "method":"tools\\/call", "params":{"arguments":{"b":[1e0, "\\u00e9"]},"name":"get_weather"} } ', OLD))
    expect(stage.seen.at(-1)).toMatchObject({ method: 'POST', path: '/mcp', body: { jsonrpc: '2.0', id: 'ab', method: 'tools/call', params: { name: 'get_weather', arguments: { b: [1, 'é'] } } } })
    await taken(stage.raw(rpc('custom/thing'), OLD))
    await taken(stage.raw(rpc('resources/read', { uri: 'file:///runbooks/a.md' }), OLD))
    await taken(stage.raw(rpc('tools/call', { name: 'put', arguments: { id: 'a' } }), OLD))
  })

  test('[MCP1] a body that stays away is not waited for, and one shorter than it says is no message', async () => {
    const { status } = await refused(stage.raw('', [...OLD, 'Content-Length', '100']), 408)
    expect(status).toBe(408)
    await refused(stage.raw('5\r\nhello\r\n0\r\n\r\n', [...OLD, 'Content-Length', '', 'Transfer-Encoding', 'chunked']), 400, -32_700)
    await refused(stage.raw(FORBIDDEN, [...OLD, 'Transfer-Encoding', 'chunked']), 400)
    const large = rpc('tools/call', { name: 'get_weather', arguments: { a: 'a'.repeat(70_000) } })
    await refused(stage.raw(`${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`, [...OLD, 'Content-Length', '', 'Transfer-Encoding', 'chunked']), 413)
  })

  test('[MCP1, WIRE3] behind a message that was refused the next one is read from its own first octet', async () => {
    const before = stage.seen.length
    const client = await RawClient.connect(stage.gate.target)
    const of = (body: string, ...headers: readonly string[]): string => [`POST /mcp HTTP/1.1`, 'Host: api.test', `Authorization: Bearer ${stage.token}`, 'Content-Type: application/json', `MCP-Protocol-Version: ${LEGACY}`, `Content-Length: ${body.length}`, ...headers, '', body].join('\r\n')
    try {
      const good = rpc('tools/call', { name: 'get_weather' })
      for (const [bytes, status] of [[of('{'), 400], [of(good, 'Mcp-Name: other'), 400], [of(`[${good}]`), 400], [of(FORBIDDEN), 403], [of(good), 200]] as const) {
        await client.send(bytes)
        expect((await client.response()).status, bytes).toBe(status)
      }
      expect(stage.seen).toHaveLength(before + 1)
    } finally {
      client.close()
    }
  })

  test('[MCP1] an endpoint has no query, which no rule would read', async () => {
    await refused(stage.raw(rpc('tools/call', { name: 'get_weather' }), OLD, { path: '/mcp?tool=delete_user' }), 400, -32_600)
    await taken(stage.raw(rpc('tools/call', { name: 'get_weather' }), OLD, { path: '/mcp' }))
  })

  test('[MCP1] what comes without a message, and methods that MCP does not know', async () => {
    for (const method of ['PUT', 'PATCH', 'HEAD', 'OPTIONS']) {
      const told = await refused(stage.raw('', OLD, { method }), 405)
      expect(told.headers, method).toContainEqual(['allow', 'POST, GET, DELETE'])
    }
    for (const method of ['GET', 'DELETE']) {
      await refused(stage.raw('', ['MCP-Protocol-Version', MODERN], { method }), 405)
      await refused(stage.raw(FORBIDDEN, OLD, { method }), 400)
      await refused(stage.raw('', [...OLD, 'Mcp-Method', 'tools/call'], { method }), 400, -32_020)
    }
    await refused(stage.raw('', [...OLD, 'Connection', 'Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='], { method: 'GET' }), 400)
  })
})

describe('headers and body', () => {
  test.each<[string, readonly string[], number]>([
    ['another tool', ['Mcp-Name', 'get_weather'], -32_020],
    ['another method', ['Mcp-Method', 'tools/list'], -32_020],
    ['the name twice', ['Mcp-Name', 'root', 'mcp-name', 'get_weather'], -32_020],
    ['another name in base64', ['Mcp-Name', '=?base64?Z2V0X3dlYXRoZXI=?='], -32_020],
    ['a name with a line below', ['Mcp_Name', 'get_weather'], -32_020],
  ])('[MCP5] what says something else than the body is refused before anybody asks for a scope: %s', async (_, headers, code) => { await refused(stage.raw(rpc('tools/call', { name: 'root' }), [...OLD, ...headers]), 400, code) })

  test('[MCP5] since 2026-07-28 the headers have to be there, and the message says what it is', async () => {
    const modern = ['MCP-Protocol-Version', MODERN]
    const meta = { 'io.modelcontextprotocol/protocolVersion': MODERN, 'io.modelcontextprotocol/clientCapabilities': {} }
    const call = rpc('tools/call', { name: 'get_weather', _meta: meta })
    await taken(stage.modern('tools/call', { name: 'get_weather' }))
    await refused(stage.raw(call, modern), 400, -32_020)
    await refused(stage.raw(call, [...modern, 'Mcp-Method', 'tools/call']), 400, -32_020)
    await refused(stage.raw(call, ['Mcp-Method', 'tools/call', 'Mcp-Name', 'get_weather']), 400)
    await refused(stage.raw(call, [...OLD, 'Mcp-Method', 'tools/call', 'Mcp-Name', 'get_weather']), 400, -32_020)
    await refused(stage.raw(rpc('tools/call', { name: 'get_weather' }), [...modern, 'Mcp-Method', 'tools/call', 'Mcp-Name', 'get_weather']), 400, -32_602)
    await refused(stage.raw(JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} }), modern), 400, -32_600)
    await refused(stage.raw(rpc('initialize', { protocolVersion: LEGACY }), [...modern, 'Mcp-Method', 'initialize']), 400, -32_020)
  })

  test('[MCP1] what a version has no more is unknown in it', async () => {
    for (const method of ['ping', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe']) {
      const told = await refused(stage.modern(method, { uri: 'file:///runbooks/a' }), 404, -32_601)
      expect([told.json['id'], told.error.data['reason']]).toEqual([1, 'method_unknown'])
    }
    await taken(stage.legacy('resources/subscribe', { uri: 'file:///runbooks/a' }))
  })

  test('[MCP5] versions that the route does not take are refused, with those it does', async () => {
    const told = await refused(stage.raw(rpc('tools/list'), ['MCP-Protocol-Version', '2025-06-18']), 400, -32_022)
    expect(told.json['id']).toBe(1)
    expect(told.error.data).toMatchObject({ supported: [MODERN, LEGACY], requested: '2025-06-18', reason: 'version_unsupported' })
    expect((await refused(stage.raw(rpc('tools/list')), 400, -32_022)).error.data).toMatchObject({ requested: '2025-03-26' })
    await refused(stage.raw(rpc('tools/list'), ['MCP-Protocol-Version', '2026-07-28 ; 2025-11-25']), 400, -32_022)
    await refused(stage.raw(rpc('tools/list'), ['MCP-Protocol-Version', MODERN, 'MCP-Protocol-Version', LEGACY]), 400, -32_020)
  })
})
