// The tests' own client and upstreams do what the other tests believe of them: byte-exact, and honest about FIN, RST and pauses.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { headerOf, RawClient, request, requestOnce } from '../support/raw-client.ts'
import { answers, answersAndEnds, answersAndResets, BROKEN, RawUpstream } from '../support/raw-upstream.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { testAuthority } from '../support/tls.ts'

test('the pattern shows a byte that is lost, doubled or changed', () => {
  const whole = patternAt(0, 100_000)
  expect(firstMismatch(whole)).toBeNull()
  expect(firstMismatch(whole.subarray(12_345, 67_890), 12_345)).toBeNull()
  expect(whole.subarray(64, 73).toString()).toBe('00000001:')
  for (const at of [5000, 5056, 5061]) expect(firstMismatch(Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1)]))).toBeLessThanOrEqual(at + 7)
  expect(firstMismatch(Buffer.concat([whole.subarray(0, 5000), whole.subarray(4999)]))).toBe(5000)
  expect(firstMismatch(whole.subarray(64))).toBe(7)
})

describe.each(['plain', 'TLS'] as const)('over %s', kind => {
  let upstream: RecordingUpstream
  let target: Parameters<typeof RawClient.connect>[0]
  beforeAll(async () => {
    const authority = kind === 'TLS' ? await testAuthority() : null
    upstream = await RecordingUpstream.start(authority?.server ?? null)
    target = { port: upstream.port, ...(authority ? { tls: { ca: authority.ca } } : {}) }
  })
  afterAll(() => upstream.close())

  test('a keep-alive connection carries several requests, recorded with order, case and duplicates', async () => {
    const client = await RawClient.connect(target)
    await client.send('GET /a HTTP/1.1\r\nHost: api.test\r\nX-One: 1\r\nx-one: 2\r\n\r\n')
    expect(JSON.parse((await client.response()).body.toString())).toEqual({ ok: true, path: '/a' })
    await client.send(request('POST', '/echo', {}, 'hé'))
    expect((await client.response()).body.toString()).toContain('"body":"hé"')
    client.close()
    expect((await upstream.request('/a')).rawHead).toBe('GET /a HTTP/1.1\r\nHost: api.test\r\nX-One: 1\r\nx-one: 2\r\n\r\n')
    expect(upstream.bytes()).toContain('X-One: 1\r\nx-one: 2\r\n\r\n')
  })

  test.each(['', '?chunked'])('a download%s arrives byte-exact, waits for a paused reader, and goes on', async query => {
    const client = await RawClient.connect(target)
    const total = 24 * 1024 * 1024
    await client.send(request('GET', `/download/${total}${query}`))
    await client.head()
    client.pause()
    const asked = upstream.requests.findLast(({ url }) => url === `/download/${total}${query}`)
    await client.send('') // one turn for what is on its way
    expect(asked?.sentBytes).toBeLessThan(total)
    client.resume()
    const { body, complete, framing } = await client.response()
    expect({ complete, framing, length: body.length, mismatch: firstMismatch(body) }).toEqual({ complete: true, framing: query === '' ? 'sized' : 'chunked', length: total, mismatch: null })
    client.close()
  })

  test('an abort in the middle of an upload is recorded with the bytes that came', async () => {
    const client = await RawClient.connect(target)
    await client.send('POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000\r\n\r\n' + 'x'.repeat(100_000))
    const recorded = await upstream.request('/upload')
    await expect.poll(() => recorded.bodyBytes).toBe(100_000)
    client.close(kind === 'plain' ? 'reset' : 'close')
    await expect.poll(() => recorded.abortedAt).toBeGreaterThan(0)
    expect(recorded.bodyEndedAt).toBe(0)
  })

  test('feeds carry what the test emits, trailers and informational answers are seen', async () => {
    const client = await RawClient.connect(target)
    await client.send(request('GET', '/sse/news'))
    expect(headerOf(await client.head(), 'content-type')).toBe('text/event-stream')
    upstream.feed('news').emit('one\ntwo', { id: '7', event: 'note' })
    await client.until(() => client.bytes().includes('id: 7\nevent: note\ndata: one\ndata: two\n\n'))
    expect(upstream.feed('news').listeners).toBe(1)
    client.close()
    await expect.poll(() => upstream.feed('news').listeners).toBe(0)
    expect((await requestOnce(target, request('GET', '/trailers'))).trailers).toEqual([['X-Checksum', 'abc']])
    expect((await requestOnce(target, request('GET', '/hints'))).informational.map(({ status }) => status)).toEqual([103])
    expect((await requestOnce(target, request('HEAD', '/a'))).body.length).toBe(0)
    expect((await requestOnce(target, request('GET', '/status/304'))).status).toBe(304)
  })

  test('a reset in the middle of an answer is told from an end', async () => {
    const answer = await requestOnce(target, request('GET', '/reset/100000?after=5000'))
    expect({ ending: answer.ending, complete: answer.complete }).toEqual({ ending: 'reset', complete: false })
  })

  test('gated answers wait for the test', async () => {
    const client = await RawClient.connect(target)
    await client.send(request('GET', '/gate/g1'))
    await upstream.request('/gate/g1')
    expect(client.received).toBe(0)
    upstream.release('g1')
    expect((await client.response()).status).toBe(200)
    client.close()
  })
})

describe('on bare sockets', () => {
  const ask = async (script: Parameters<typeof RawUpstream.start>[0]) => {
    const upstream = await RawUpstream.start(script)
    try {
      return await requestOnce({ port: Number(new URL(upstream.origin).port) }, 'GET /x HTTP/1.1\r\nhOST:  api.test\r\n\r\n', 2000)
    } finally {
      expect(upstream.exchanges.map(({ head }) => head)).toEqual(['GET /x HTTP/1.1\r\nhOST:  api.test\r\n\r\n'])
      await upstream.close()
    }
  }

  test('FIN, RST and a connection that stays are three things', async () => {
    expect(await ask(answersAndEnds('HTTP/1.1 200 OK\r\n\r\nuntil close'))).toMatchObject({ ending: 'fin', complete: true, framing: 'until close' })
    expect(await ask(answersAndEnds('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort'))).toMatchObject({ ending: 'fin', complete: false })
    expect(await ask(answersAndResets('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort'))).toMatchObject({ ending: 'reset', complete: false })
    expect(await ask(answers('HTTP/1.1 204 No Content\r\n\r\n'))).toMatchObject({ ending: 'still open', complete: true, framing: 'none' })
  })

  test('the client does not read what is not HTTP', async () => {
    await expect(ask(BROKEN.get('header line without colon') ?? answers(''))).rejects.toThrow('not a header line')
    await expect(ask(BROKEN.get('another protocol') ?? answers(''))).rejects.toThrow('not within 2000 ms')
    await expect(ask(answers('HTTP/1.1 200 OK\nA: b\n\n'))).rejects.toThrow('without CR')
  })
})
