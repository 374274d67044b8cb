// Messages of MCP through the gateway, on real sockets: whole answers and streams arrive as they were sent, and what is no answer to the request goes nowhere. SPEC: MCP6
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Era, type Json, RelayStage, type McpTap, type Protocol, requestOf } from './mcp-relay-stage.ts'
import { until } from './support.ts'

const WAYS: readonly (readonly [Protocol, Era])[] = [['http1', 'modern'], ['http1', 'legacy'], ['http2', 'modern'], ['http2', 'legacy']]
const result = (id: unknown, text = 'done'): Json => ({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } })
const progress = (step: number): Json => ({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: step } })

let stage: RelayStage
let count = 0
beforeAll(async () => { stage = await RelayStage.start('{ messageBytes: 256KiB }') })
afterAll(() => stage.stop())

const look = (protocol: Protocol, era: Era, id: string | number = `look-${++count}`): { readonly id: string | number; readonly called: ReturnType<RelayStage['call']> } => ({ id, called: stage.call(protocol, era, id, 'tools/call', { name: 'look', arguments: { at: 'ü' } }) })

describe.each(WAYS)('over %s, %s', (protocol, era) => {
  it('[MCP6] a whole answer arrives byte by byte as it was sent, in the length it has', async () => {
    const { id, called } = look(protocol, era)
    const tap = await stage.upstream.tap(id)
    expect(tap.headers).toMatchObject({ 'accept-encoding': 'identity', 'content-type': 'application/json' })
    expect(tap.body).toMatchObject({ id, method: 'tools/call', params: { name: 'look', arguments: { at: 'ü' } } })
    const text = ` {"jsonrpc":"2.0", "id":"${id}",\n"result":{"content":[],"big":12345678901234567890}}`
    tap.answer.writeHead(200, { 'content-type': 'application/json' })
    tap.answer.write(text.slice(0, 20))
    tap.answer.end(text.slice(20))
    const { status, headers, text: got } = await (await called).whole()
    expect([status, got, headers['content-length']]).toEqual([200, text, String(Buffer.byteLength(text))])
  })

  it('[MCP1] goes up without digests of the bytes that came: they are written anew', async () => {
    const id = `digest-${++count}`
    const { headers, body } = requestOf(era, id, 'tools/call', { name: 'look' })
    const called = stage.send(protocol, { headers: { ...headers, 'content-digest': 'sha-256=:AAAA:', 'repr-digest': 'sha-256=:AAAA:', digest: 'x' }, body: JSON.stringify(body, null, 1) })
    const tap = await stage.upstream.tap(id)
    expect(tap.text).not.toContain('\n')
    expect(Object.keys(tap.headers).filter(name => name.includes('digest'))).toEqual([])
    tap.json(result(id))
    expect((await (await called).whole()).status).toBe(200)
  })

  it('[MCP6] a large whole answer arrives whole', async () => {
    const { id, called } = look(protocol, era)
    const answer = result(id, 'x'.repeat(200_000))
    ;(await stage.upstream.tap(id)).json(answer)
    expect((await (await called).whole()).messages).toEqual([answer])
  })

  it('[MCP6] a stream arrives event by event, comments and ids with it', async () => {
    const { id, called } = look(protocol, era)
    const tap = (await stage.upstream.tap(id)).streams()
    const reading = await called
    tap.answer.write(':hello\n\nid: 1\nretry: 10\ndata: \n\n')
    tap.event(progress(1))
    await until(() => reading.text.includes('notifications/progress'), 'the first message, before the stream ends')
    tap.answer.write(`id: 2\r\nevent: message\r\ndata: ${JSON.stringify(result(id))}\r\n`)
    tap.answer.end('\r\n')
    await reading.whole()
    const plain = reading.text.replaceAll(/^id: (\w+)\.[\w-]{43}$/gm, (_, id: string) => `id: ${Buffer.from(id, 'base64url').toString()}`)
    expect(plain === reading.text).toBe(era === 'modern') // of old one may go on behind an event: what it is called is the caller's own
    expect(plain).toBe(`:hello\n\nid: 1\nretry: 10\ndata: \n\nevent: message\ndata: ${JSON.stringify(progress(1))}\n\nid: 2\nevent: message\ndata: ${JSON.stringify(result(id))}\n\n`)
    expect([reading.status, reading.end]).toEqual([200, 'whole'])
  })
})

describe('what is no answer to the request', () => {
  const ask = async (): Promise<{ readonly tap: McpTap; readonly id: string | number; readonly called: ReturnType<RelayStage['call']> }> => {
    const { id, called } = look('http1', 'modern')
    return { tap: await stage.upstream.tap(id), id, called }
  }
  const raw = ({ answer }: McpTap, type: string | null, text: string, status = 200): void => void answer.writeHead(status, { ...(type === null ? {} : { 'content-type': type }), 'content-length': Buffer.byteLength(text) }).end(text)

  const BROKEN: readonly (readonly [what: string, type: string | null, text: (id: unknown) => string])[] = [
    ['the answer to another request', 'application/json', () => JSON.stringify(result('other'))],
    ['an answer whose id is of another type', 'application/json', () => JSON.stringify(result(7))],
    ['a message that is no answer', 'application/json', () => JSON.stringify(progress(1))],
    ['messages in an array', 'application/json', id => JSON.stringify([result(id)])],
    ['JSON that is no message', 'application/json', () => '{"ok":true}'],
    ['no JSON', 'application/json', () => '{"jsonrpc":'],
    ['no UTF-8', 'application/json', id => `{"jsonrpc":"2.0","id":"${String(id)}","result":{"a":"ÿ"}}`],
    ['JSON in another encoding', 'application/json; charset=utf-16', id => JSON.stringify(result(id))],
    ['a page', 'text/html', () => '<p>hello</p>'],
    ['nothing that says what it is', null, () => 'hello'],
    ['an answer that says both', 'application/json', id => JSON.stringify({ ...result(id), error: { code: 1, message: '' } })],
    ['more than the limit', 'application/json', id => JSON.stringify(result(id, 'x'.repeat(300_000)))],
  ]
  it.each(BROKEN)('[MCP6] %s is not passed, and told as the server’s fault', async (_, type, text) => {
    const { tap, id, called } = await ask()
    tap.answer.on('error', () => undefined)
    const bytes = Buffer.from(text(id), 'latin1')
    tap.answer.writeHead(200, { ...(type === null ? {} : { 'content-type': type }), 'content-length': bytes.length }).end(bytes)
    const { status, messages } = await (await called).whole()
    expect(status).toBe(502)
    expect(messages).toMatchObject([{ jsonrpc: '2.0', id, error: { data: { reason: 'upstream_malformed' } } }])
  })

  it('[MCP6] an error without an id is one of the only request there is', async () => {
    const { tap, called } = await ask()
    const error = { jsonrpc: '2.0', id: null, error: { code: -32_600, message: 'no' } }
    tap.json(error, 400)
    const { status, messages } = await (await called).whole()
    expect([status, messages]).toEqual([400, [error]])
  })

  it.each([['text/plain', 'no such thing'], ['application/json', '{"error":"invalid_token"}'], ['application/problem+json', '{"status":404}']])('[MCP6] a fault of HTTP passes as it is: %s', async (type, text) => {
    const { tap, called } = await ask()
    raw(tap, type, text, 404)
    const reading = await (await called).whole()
    expect([reading.status, reading.text]).toEqual([404, text])
  })

  it('[MCP6] of a stream only the answer to the request passes, once; other answers and events that nobody reads go nowhere', async () => {
    const { tap, id, called } = await ask()
    tap.streams().event(result('other')).event(result(1)).event({ jsonrpc: '2.0', id: null, error: { code: 1, message: '' } })
    tap.event({ any: 'thing' }, 'event: ping\n').event(progress(2)).event(result(id, 'first')).event(result(id, 'second')).answer.end()
    expect((await (await called).whole()).messages).toEqual([progress(2), result(id, 'first')])
    expect((await stage.gate.ops('/metrics')).text).toMatch(/narrowgate_mcp_dropped_total\{route="tools",what="second_answer"\} 1\n/)
  })

  it.each<readonly [string, (tap: McpTap, id: unknown) => void]>([
    ['an event that is no message', tap => tap.event({ any: 'thing' })],
    ['an event that is no JSON', tap => tap.answer.write('data: {"jsonrpc"\n\n')],
    ['an event larger than the limit', (tap, id) => tap.event(result(id, 'x'.repeat(300_000)))],
    ['messages in an array', (tap, id) => tap.event([result(id)])],
  ])('[MCP6] %s breaks the stream, and nothing behind it passes', async (_, writes) => {
    const { tap, id, called } = await ask()
    tap.streams().event(progress(1))
    const reading = await called
    await reading.message(1)
    writes(tap, id)
    tap.event(result(id))
    await reading.whole()
    expect([reading.end, reading.messages]).toEqual(['broken', [progress(1)]])
    await until(() => tap.abortedAt > 0, 'the end at the server')
  })

  it('[MCP6] what a stream did not bring to its end is not passed', async () => {
    const { tap, id, called } = await ask()
    tap.streams().event(progress(1)).answer.end(`data: ${JSON.stringify(result(id))}\n`)
    const reading = await (await called).whole()
    expect([reading.end, reading.messages]).toEqual(['whole', [progress(1)]])
  })

  it('[MCP6] an answer in a content coding cannot be read', async () => {
    const { tap, called, id } = await ask()
    tap.answer.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(JSON.stringify(result(id)))
    expect((await (await called).whole()).status).toBe(502)
  })
})

it('[MCP6] a notification that is accepted has an answer without a body', async () => {
  const { headers } = requestOf('legacy', 0, 'notifications/initialized')
  const sent = stage.send('http1', { headers, body: { jsonrpc: '2.0', method: 'notifications/initialized' } })
  ;(await stage.upstream.tap('notifications/initialized')).answer.writeHead(202).end()
  const { status, text, headers: got } = await (await sent).whole()
  expect([status, text, got['content-length']]).toEqual([202, '', '0'])
})

it('[MCP6] nothing of the older protocol goes up with a request of the newer one', async () => {
  const id = `look-${++count}`
  const { headers, body } = requestOf('modern', id, 'tools/call', { name: 'look' })
  const called = stage.send('http1', { headers: { ...headers, 'last-event-id': '7', 'accept-encoding': 'gzip, br' }, body })
  const tap = await stage.upstream.tap(id)
  tap.json(result(id))
  await (await called).whole()
  expect([tap.headers['last-event-id'], tap.headers['accept-encoding'], tap.headers['mcp-name']]).toEqual([undefined, 'identity', 'look'])
})

it('[MCP6] an answer that does not come in time is 504', async () => {
  const { id, called } = look('http1', 'modern')
  const tap = await stage.upstream.tap(id)
  const { status, messages } = await (await called).whole()
  expect([status, messages[0]?.['id']]).toEqual([504, id])
  await until(() => tap.abortedAt > 0, 'the end at the server')
})
