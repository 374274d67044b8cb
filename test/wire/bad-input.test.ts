// What is wrong with a request, its body, its caller's patience or the upstream's answer: a clear refusal or a visible end, nothing told of
// the inside, nothing left open, a metric and a record. Through real sockets and a whole gateway.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HttpRelay } from '../../src/proxy/http/relay.ts'
import type { Upstream } from '../../src/upstream/upstream.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { headerOf, RawClient, type RawResponse, request, requestOnce } from '../support/raw-client.ts'
import { answers, BROKEN, BROKEN_BODY, neverAnswers, RawUpstream, surplus } from '../support/raw-upstream.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { freePort } from '../support/free-port.ts'

/** Longest silence of an upstream before its response head, in milliseconds. */
const UPSTREAM_TIMEOUT = 700
const BODY_BYTES = 65_536
const HEAD_BYTES = 8_192

let gate: TestGateway
let raw: RawUpstream
let closedPort: number
let token: string
let upstreams: readonly Upstream[]

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

async function eventually(holds: () => boolean | Promise<boolean>, what: string, ms = 8_000): Promise<void> {
  const until = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > until) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** The upstream objects of the gateway, found under exchanges that are open. */
async function upstreamsOf(paths: readonly string[]): Promise<readonly Upstream[]> {
  const clients = await Promise.all(paths.map(async path => {
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', path, bearer(token)))
    return client
  }))
  await eventually(() => gate.parts.inflight.size === paths.length, 'exchanges to be open')
  const found = [...gate.parts.inflight.all()].map(({ channel }) => (channel as HttpRelay).upstream) // every channel of this version is one
  for (const client of clients) client.close()
  return found
}

beforeAll(async () => {
  raw = await RawUpstream.start(neverAnswers)
  closedPort = await freePort()
  const route = (name: string, path: string, upstream: string): string =>
    `- name: ${name}\n  match: { host: api.test, path: ${path} }\n  upstream: ${upstream}\n  rules: [{ allow: {} }]`
  gate = await TestGateway.start({
    server: `limits: { headerBytes: ${HEAD_BYTES}, bodyBytes: ${BODY_BYTES}, headersTimeout: 500ms, idleTimeout: 1s }`,
    routes: [
      route('api', '/**', 'api'), route('raw', '/raw/**', `{ url: "${raw.origin}", timeout: ${UPSTREAM_TIMEOUT}ms }`), route('gone', '/gone/**', `"http://127.0.0.1:${closedPort}"`),
    ].join('\n'),
  })
  token = await gate.token()
  expect((await gate.ask('GET', '/first', bearer(token))).status).toBe(200)
  upstreams = await upstreamsOf(['/never', '/raw/never'])
})
afterAll(async () => {
  await gate.stop()
  await raw.close()
})

// ---- what every refusal keeps

/** No credential, address, file, stack or library name of the inside. */
function leaksNothing(text: string): void {
  for (const inside of [token, `:${gate.upstream.port}`, raw.origin, String(closedPort), '127.0.0.1', '/src/', 'node:', 'undici', 'ECONN', 'HPE_', 'UND_ERR', gate.directory]) expect(text).not.toContain(inside)
  expect(text).not.toMatch(/\n\s+at /)
}

function isProblem({ status, headers, body }: { readonly status: number; readonly headers: RawResponse['headers']; readonly body: Buffer }, wanted: number, reason: string): void {
  const text = body.toString('utf8')
  expect(status, text).toBe(wanted)
  expect(headerOf({ headers }, 'content-type')).toBe('application/problem+json')
  expect(headerOf({ headers }, 'cache-control')).toBe('no-store')
  expect(JSON.parse(text)).toMatchObject({ type: `urn:narrowgate:reason:${reason}`, status: wanted, reason })
  leaksNothing(JSON.stringify(headers) + text)
}

const asRaw = ({ status, headers, text }: Answer) => ({ status, headers: Object.entries(headers).map(([name, value]) => [name, String(value)] as const), body: Buffer.from(text) })

/** Sum of the samples of a metric whose labels include these. */
async function metric(name: string, labels: { readonly [label: string]: string }, of = gate): Promise<number> {
  const { text } = await of.ops('/metrics')
  const lines = text.split('\n').filter(line => line.startsWith(`narrowgate_${name}{`) && Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** Refusals of no session, as the noise lane has them. */
async function noise(of = gate): Promise<readonly Record<string, unknown>[]> {
  await of.parts.noise.flush()
  const file = join(of.directory, 'state', 'noise.jsonl')
  return (existsSync(file) ? readFileSync(file, 'utf8') : '').trim().split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Record<string, unknown>)
}

/** The record of a refusal for this reason, in either lane. */
async function recorded(reason: string, of = gate): Promise<void> {
  const lines = [...(await of.trail()), ...(await noise(of))].filter(line => line['kind'] === 'request.refused' && line['reason'] === reason)
  expect(lines, `a record of ${reason}`).not.toEqual([])
  expect(JSON.stringify(lines)).not.toContain(token)
}

async function nothingLeftOpen(): Promise<void> {
  await eventually(() => gate.parts.inflight.size === 0, 'no exchange to be open')
  expect(upstreams.map(({ busy }) => busy)).toEqual([0, 0])
}

/** Does this, and sees that it was counted, put on record and cleaned up. */
async function refusedFor(reason: string, act: () => Promise<void>): Promise<void> {
  const before = await metric('requests_total', { reason })
  await act()
  await nothingLeftOpen()
  await eventually(async () => (await metric('requests_total', { reason })) > before, `requests_total of ${reason}`)
  await recorded(reason)
}

// ---- credentials

describe('credentials', () => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const times = () => ({ iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 600 })
  const claims = () => ({ iss: gate.issuer.issuer, aud: 'narrowgate', sub: 'agent-1', client_id: 'client-1', ...times() })
  const tampered = (text: string): string => {
    const [header = '', , signature = ''] = text.split('.')
    return `${header}.${part({ ...claims(), sub: 'root' })}.${signature}`
  }

  const TOKENS: readonly (readonly [what: string, reason: string, make: () => Promise<string> | string])[] = [
    ['no token at all', 'no_credential', () => ''],
    ['text that is no token', 'credential_invalid', () => 'Bearer hello'],
    ['three parts that are no JSON', 'credential_invalid', () => 'Bearer YQ.YQ.YQ'],
    ['a token with a part missing', 'credential_invalid', async () => `Bearer ${(await gate.token()).split('.').slice(0, 2).join('.')}`],
    ['a token with two parts more', 'credential_invalid', async () => `Bearer ${await gate.token()}.a.b`],
    ['two tokens in one header', 'credential_invalid', async () => `Bearer ${await gate.token()}, Bearer ${await gate.token()}`],
    ['another scheme', 'no_credential', () => `Basic ${Buffer.from('a:b').toString('base64')}`],
    ['an expired token', 'credential_expired', async () => `Bearer ${await gate.issuer.sign({}, { now: Date.now() - 3_600_000 })}`],
    ['a token of the future', 'credential_invalid', async () => `Bearer ${await gate.issuer.sign({ nbf: Math.floor(Date.now() / 1000) + 600 })}`],
    ['another audience', 'credential_invalid', async () => `Bearer ${await gate.token({ aud: 'elsewhere' })}`],
    ['another issuer', 'credential_invalid', async () => `Bearer ${await gate.token({ iss: 'https://elsewhere.example' })}`],
    ['no end', 'credential_invalid', async () => `Bearer ${await gate.token({ exp: undefined })}`],
    ['no subject', 'credential_invalid', async () => `Bearer ${await gate.token({ sub: undefined })}`],
    ['another kind of token', 'credential_invalid', async () => `Bearer ${await gate.issuer.sign({}, { header: { typ: 'JWT' } })}`],
    ['alg none', 'credential_invalid', () => `Bearer ${part({ alg: 'none', typ: 'at+jwt' })}.${part(claims())}.`],
    ['alg none with a signature', 'credential_invalid', () => `Bearer ${part({ alg: 'none', typ: 'at+jwt' })}.${part(claims())}.YWJj`],
    ['alg HS256', 'credential_invalid', () => `Bearer ${part({ alg: 'HS256', typ: 'at+jwt', kid: 'key-1' })}.${part(claims())}.${'a'.repeat(43)}`],
    ['a changed payload', 'credential_invalid', async () => `Bearer ${tampered(await gate.token())}`],
    ['a key nobody published', 'credential_invalid', async () => `Bearer ${await (await TokenIssuer.create()).sign({}, { header: { kid: 'key-9' } })}`],
    ['the same key id, another key', 'credential_invalid', async () => `Bearer ${await (await TokenIssuer.create()).sign()}`],
    ['an unknown critical extension', 'credential_invalid', async () => `Bearer ${await gate.issuer.sign().then(text => `${part({ alg: 'EdDSA', typ: 'at+jwt', kid: 'key-1', crit: ['b64'], b64: false })}.${text.split('.').slice(1).join('.')}`)}`],
  ]

  for (const [what, reason, make] of TOKENS) {
    test(`[SES10, WIRE9] ${what}: 401, told how to ask, nothing upstream`, async () => {
      gate.upstream.forget()
      const authorization = await make()
      await refusedFor(reason, async () => {
        const answer = await gate.ask('GET', '/first', authorization === '' ? {} : { authorization })
        isProblem(asRaw(answer), 401, reason)
        expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="narrowgate"/)
        if (authorization.length > 20) expect(answer.text + JSON.stringify(answer.headers)).not.toContain(authorization.slice(7))
      })
      expect(gate.upstream.requests).toEqual([])
    })
  }

  test('[SES10, WIRE9] a token longer than any: 401 before anything is decoded', async () => {
    const roomy = await TestGateway.start({ routes: '- name: api\n  match: { host: api.test }\n  upstream: api\n  rules: [{ allow: {} }]' })
    try {
      const answer = await roomy.ask('GET', '/first', bearer(`${part({ alg: 'EdDSA', typ: 'at+jwt', kid: 'key-1' })}.${'a'.repeat(20_000)}.YWJj`))
      expect(answer.json).toMatchObject({ status: 401, reason: 'credential_invalid' })
      expect(answer.text.length).toBeLessThan(1_000)
      expect(roomy.upstream.requests).toEqual([])
      await recorded('credential_invalid', roomy)
      expect(readFileSync(join(roomy.directory, 'state', 'noise.jsonl'), 'utf8').length).toBeLessThan(4_000)
    } finally {
      await roomy.stop()
    }
  })

  test('[WIRE4] two Authorization headers: 400, whichever of them is good', async () => {
    gate.upstream.forget()
    for (const pair of [[token, 'x'], ['x', token]]) {
      await refusedFor('bad_request', async () => {
        const answer = await requestOnce(gate.target, `GET /first HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${pair[0]}\r\nAuthorization: Bearer ${pair[1]}\r\n\r\n`)
        isProblem(answer, 400, 'bad_request')
      })
    }
    expect(gate.upstream.requests).toEqual([])
  })

  test('[AUD9] what nobody sent is told in the noise lane, a few times whole and then by number, and never in the trail', async () => {
    for (let i = 0; i < 15; i++) await gate.ask('GET', '/first', bearer(`x${i}`))
    const lines = (await noise()).filter(line => line['reason'] === 'credential_invalid' && line['kind'] === 'request.refused')
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.length).toBeLessThanOrEqual(20) // ten of each minute the test touched
    expect(lines[0]).toMatchObject({ session: null, subject: null, source: '127.0.0.1', path: '/first' })
    expect((await gate.trail()).filter(line => line['reason'] === 'credential_invalid')).toEqual([])
  })
})

// ---- heads and bodies

describe('heads', () => {
  const HEADS: readonly (readonly [what: string, status: number, reason: string, bytes: () => string])[] = [
    ['one header larger than the limit', 431, 'headers_too_large', () => request('GET', '/first', { ...bearer(token), 'x-long': 'a'.repeat(HEAD_BYTES) })],
    ['many small headers', 431, 'headers_too_large', () => request('GET', '/first', { ...bearer(token), ...Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`x-h${i}`, 'a'.repeat(20)])) })],
    ['a target larger than the limit', 431, 'headers_too_large', () => request('GET', `/${'a'.repeat(HEAD_BYTES + 1)}`, bearer(token))],
    ['no Host', 400, 'bad_request', () => `GET /first HTTP/1.1\r\nAuthorization: Bearer ${token}\r\n\r\n`],
    ['an empty Host', 400, 'bad_request', () => `GET /first HTTP/1.1\r\nHost:\r\nAuthorization: Bearer ${token}\r\n\r\n`],
    ['two Hosts', 400, 'bad_request', () => `GET /first HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\n\r\n`],
    ['a header name with a space', 400, 'bad_request', () => `GET /first HTTP/1.1\r\nHost: api.test\r\nX Y: 1\r\n\r\n`],
    ['no request line', 400, 'bad_request', () => 'hello\r\n\r\n'],
    ['another protocol', 400, 'bad_request', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a TLS hello', 400, 'bad_request', () => '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03'],
    ['TRACE', 405, 'method_refused', () => request('TRACE', '/first', bearer(token))],
    ['CONNECT', 405, 'method_refused', () => `CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\n\r\n`],
    ['an unknown expectation', 417, 'expectation_failed', () => request('POST', '/upload/x', { ...bearer(token), expect: '200-ok' }, 'hello')],
    ['a Content-Length that is no number', 400, 'bad_request', () => request('POST', '/upload/x', { ...bearer(token), 'content-length': '1e3' }, 'hello')],
    ['Content-Length beyond all numbers', 400, 'bad_request', () => request('POST', '/upload/x', { ...bearer(token), 'content-length': '99999999999999999999' }, 'hello')],
  ]
  for (const [what, status, reason, bytes] of HEADS) {
    test(`[WIRE3, WIRE8] ${what}: ${status}, the connection closed, nothing upstream`, async () => {
      gate.upstream.forget()
      await refusedFor(reason, async () => {
        const client = await RawClient.connect(gate.target)
        await client.send(bytes())
        isProblem(await client.response(), status, reason)
        await client.until(() => false, 3_000).catch(() => undefined)
        expect(await Promise.race([client.ended, Promise.resolve('still open')])).not.toBe('still open')
        client.close()
      })
      expect(gate.upstream.requests).toEqual([])
    })
  }

  for (const [what, sent] of [['a head that stops half way', 'GET /first HTTP/1.1\r\nHost: api.te'], ['nothing at all', '']] as const) {
    test(`[WIRE14] ${what}: 408 and the end, soon after headersTimeout`, async () => {
      await refusedFor('request_timeout', async () => {
        const client = await RawClient.connect(gate.target)
        const started = performance.now()
        await client.send(sent)
        isProblem(await client.response('GET', 6_000), 408, 'request_timeout')
        await client.ended
        expect(performance.now() - started).toBeGreaterThan(400)
      })
    })
  }

  test('[WIRE14] a head that comes octet by octet is not waited for any longer', async () => {
    await refusedFor('request_timeout', async () => {
      const client = await RawClient.connect(gate.target)
      const head = request('GET', '/first', bearer(token))
      let at = 0
      const drip = setInterval(() => void client.push(head.charAt(at++)), 40)
      const answer = await client.response('GET', 6_000).finally(() => clearInterval(drip))
      isProblem(answer, 408, 'request_timeout')
      await client.ended
    })
  })
})

describe('bodies', () => {
  test('[WIRE7] a body that says it is too large is refused before the upstream hears of it', async () => {
    gate.upstream.forget()
    await refusedFor('body_too_large', async () => {
      const client = await RawClient.connect(gate.target)
      await client.send(request('POST', '/upload/x', { ...bearer(token), 'content-length': String(BODY_BYTES + 1) }))
      await client.send('a'.repeat(4_096))
      isProblem(await client.response(), 413, 'body_too_large')
      client.close()
    })
    expect(gate.upstream.requests).toEqual([])
  })

  test('[WIRE7] with Expect: 100-continue it is told so without a 100', async () => {
    await refusedFor('body_too_large', async () => {
      const client = await RawClient.connect(gate.target)
      await client.send(request('POST', '/upload/x', { ...bearer(token), expect: '100-continue', 'content-length': String(BODY_BYTES + 1) }))
      const answer = await client.response()
      isProblem(answer, 413, 'body_too_large')
      expect(answer.informational).toEqual([])
      client.close()
    })
  })

  test('[WIRE7] a body of exactly the limit passes, sized and chunked', async () => {
    const body = 'a'.repeat(BODY_BYTES)
    const sized = await gate.ask('POST', '/upload/x', bearer(token), body)
    expect(sized.json).toEqual({ received: BODY_BYTES })
    const chunked = await requestOnce(gate.target, request('POST', '/upload/x', { ...bearer(token), 'transfer-encoding': 'chunked' }, `${BODY_BYTES.toString(16)}\r\n${body}\r\n0\r\n\r\n`))
    expect(JSON.parse(chunked.body.toString())).toEqual({ received: BODY_BYTES })
    await nothingLeftOpen()
  })

  test('[WIRE7] a chunked body that grows too large is cut while it streams: 413, the upstream never sees its end', async () => {
    gate.upstream.forget()
    await refusedFor('body_too_large', async () => {
      const client = await RawClient.connect(gate.target)
      await client.send(request('POST', '/upload/x', { ...bearer(token), 'transfer-encoding': 'chunked' }))
      const chunk = `4000\r\n${'a'.repeat(0x4000)}\r\n`
      for (let i = 0; i < 5; i++) await client.send(chunk)
      isProblem(await client.response(), 413, 'body_too_large')
      client.close()
    })
    await eventually(() => gate.upstream.requests.every(({ abortedAt }) => abortedAt > 0), 'the upstream to be aborted')
    expect(gate.upstream.requests.map(({ bodyEndedAt, bodyBytes }) => ({ bodyEndedAt, within: bodyBytes <= BODY_BYTES }))).toEqual([{ bodyEndedAt: 0, within: true }])
  })

  test('[WIRE8] whoever goes on sending reads the refusal, and is not heard for ever', async () => {
    await refusedFor('body_too_large', async () => {
      const client = await RawClient.connect(gate.target)
      await client.send(request('POST', '/upload/x', { ...bearer(token), 'content-length': '100000000' }))
      let gone = false
      void client.ended.then(() => (gone = true))
      for (let sent = 0; sent < 4_000_000 && !gone; sent += 65_536) await client.send('a'.repeat(65_536))
      isProblem(await client.response(), 413, 'body_too_large')
      await client.ended
    })
  })

  test('[WIRE14] an upload that falls silent: 408, the upstream aborted', async () => {
    gate.upstream.forget()
    await refusedFor('request_timeout', async () => {
      const client = await RawClient.connect(gate.target)
      const started = performance.now()
      await client.send(request('POST', '/upload/x', { ...bearer(token), 'content-length': '1000' }))
      await client.send('half')
      isProblem(await client.response(), 408, 'request_timeout')
      expect(performance.now() - started).toBeGreaterThan(900)
      await client.ended
    })
    await eventually(() => gate.upstream.requests[0] !== undefined && gate.upstream.requests[0].abortedAt > 0, 'the upstream to be aborted')
    expect(gate.upstream.requests.map(({ bodyBytes, bodyEndedAt }) => ({ bodyBytes, bodyEndedAt }))).toEqual([{ bodyBytes: 4, bodyEndedAt: 0 }])
  })

  test('[WIRE8, WIRE14] a refused small body is drained and the connection kept, but one that never comes is not waited for', async () => {
    const polite = await RawClient.connect(gate.target)
    const silent = await RawClient.connect(gate.target)
    const dripping = await RawClient.connect(gate.target)
    const head = request('POST', '/upload/x', { 'content-length': '1000' })
    for (const client of [polite, silent, dripping]) {
      await client.send(head)
      isProblem(await client.response(), 401, 'no_credential')
    }
    await polite.send('a'.repeat(1_000) + request('GET', '/first', bearer(token)))
    expect((await polite.response()).status).toBe(200)
    polite.close()
    const drip = setInterval(() => void dripping.push('a'), 300)
    await dripping.until(() => false, 20_000).catch(() => undefined)
    clearInterval(drip)
    expect(await Promise.race([dripping.ended, Promise.resolve('still open')])).not.toBe('still open')
    await silent.ended
  })

  for (const [what, sent, bodyBytes] of [['in the middle of its body', request('POST', '/upload/x', { 'content-length': '1000' }), 4], ['while it waits', request('GET', '/never'), 0]] as const) {
    test(`[WIRE14] a caller that goes away ${what} leaves nothing behind`, async () => {
      gate.upstream.forget()
      const client = await RawClient.connect(gate.target)
      await client.send(sent.replace('\r\n', `\r\nAuthorization: Bearer ${token}\r\n`))
      if (bodyBytes > 0) await client.send('half')
      await eventually(() => gate.upstream.requests.length === 1 && gate.upstream.requests[0]?.bodyBytes === bodyBytes, 'the upstream to have it')
      client.close('reset')
      await nothingLeftOpen()
      await eventually(() => (gate.upstream.requests[0]?.abortedAt ?? 0) > 0, 'the upstream to be aborted')
      const closed = (await gate.trail()).findLast(line => line['kind'] === 'exchange.closed')
      expect(closed).toMatchObject({ reason: 'caller_closed', complete: false })
    })
  }
})

// ---- upstreams

describe('upstreams', () => {
  /** The last exchange on record, and the upstream's error counted. */
  async function faultOf(reason: string, upstream: string, act: () => Promise<void>): Promise<void> {
    const before = await metric('upstream_errors_total', { upstream, reason })
    await act()
    await nothingLeftOpen()
    expect(await metric('upstream_errors_total', { upstream, reason })).toBe(before + 1)
    const closed = (await gate.trail()).findLast(line => line['kind'] === 'exchange.closed')
    expect(closed).toMatchObject({ reason, complete: false })
  }

  test('[WIRE12] nobody listens: 502', async () => {
    await faultOf('upstream_unavailable', 'route:gone', () => refusedFor('upstream_unavailable', async () => isProblem(asRaw(await gate.ask('GET', '/gone/x', bearer(token))), 502, 'upstream_unavailable')))
  })

  const reasonOf = (what: string): string => (/FIN|RST/.test(what) ? 'upstream_reset' : 'upstream_malformed')

  for (const [what, script] of BROKEN) {
    test(`[WIRE12] an answer with ${what}: 502, and the connection is never used again`, async () => {
      const reason = reasonOf(what)
      raw.script = script
      raw.exchanges.length = 0
      await faultOf(reason, 'route:raw', () => refusedFor(reason, async () => {
        const answer = await requestOnce(gate.target, request('GET', '/raw/x', bearer(token)))
        isProblem(answer, 502, reason)
      }))
      await eventually(() => raw.connections === 0, 'the broken connection to be closed')
      raw.script = answers('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      const after = await gate.ask('GET', '/raw/y', bearer(token))
      expect([after.status, after.text]).toEqual([200, 'ok'])
      expect(raw.exchanges[1]?.socket).not.toBe(raw.exchanges[0]?.socket)
      expect(raw.exchanges).toHaveLength(2)
    })
  }

  for (const [what, script] of BROKEN_BODY) {
    test(`[WIRE12, WIRE11] a body ${what}: the caller sees that it is not whole`, async () => {
      raw.script = script
      raw.exchanges.length = 0
      const client = await RawClient.connect(gate.target)
      await client.send(request('GET', '/raw/x', bearer(token)))
      const answer = await client.response().catch(() => null)
      if (answer !== null && answer.status !== 200) isProblem(answer, 502, String(JSON.parse(answer.body.toString())['reason']))
      else {
        expect(answer?.complete ?? false).toBe(false)
        await client.ended
        expect(client.bytes().toString('latin1')).not.toMatch(/\r\n0\r\n\r\n$/)
      }
      client.close()
      await nothingLeftOpen()
      await eventually(() => raw.connections === 0, 'the broken connection to be closed')
      const closed = (await gate.trail()).findLast(line => line['kind'] === 'exchange.closed')
      expect(closed?.['complete']).toBe(false)
      expect(['upstream_reset', 'upstream_malformed']).toContain(closed?.['reason'])
    })
  }

  test('[WIRE12] what comes behind a whole answer is nobody’s answer', async () => {
    raw.exchanges.length = 0
    raw.script = surplus('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged')
    const first = await gate.ask('GET', '/raw/x', bearer(token))
    expect([200, 502]).toContain(first.status)
    if (first.status === 200) expect(first.text).toBe('ok')
    raw.script = answers('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine')
    const second = await gate.ask('GET', '/raw/y', bearer(token))
    expect([second.status, second.text]).toEqual([200, 'mine'])
    await nothingLeftOpen()
  })

  test('[WIRE12] a reset in the middle of a download: the caller sees a reset, never a whole answer', async () => {
    gate.upstream.forget()
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/reset/1000000', bearer(token)))
    const answer = await client.response()
    expect([answer.status, answer.complete]).toEqual([200, false])
    expect(answer.body.length).toBeLessThan(1_000_000)
    await client.ended
    await nothingLeftOpen()
    expect((await gate.trail()).findLast(line => line['kind'] === 'exchange.closed')).toMatchObject({ reason: 'upstream_reset', complete: false, status: 200 })
  })

  test.each([['no answer', neverAnswers], ['an answer that stalls in front of a short body', answers('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n')]])('[WIRE12] %s: 504 soon after the upstream’s timeout, its connection closed', async (_, script) => {
    raw.script = script
    await faultOf('upstream_timeout', 'route:raw', () => refusedFor('upstream_timeout', async () => {
      const started = performance.now()
      isProblem(await requestOnce(gate.target, request('GET', '/raw/x', bearer(token))), 504, 'upstream_timeout')
      const took = performance.now() - started
      expect(took).toBeGreaterThan(UPSTREAM_TIMEOUT - 50)
      expect(took).toBeLessThan(UPSTREAM_TIMEOUT + 4_000)
    }))
    await eventually(() => raw.connections === 0, 'the silent connection to be closed')
  })

  test('[WIRE12, ENF6] while the session is frozen the upstream’s time stands still', async () => {
    raw.script = neverAnswers
    raw.exchanges.length = 0
    const own = await gate.token({ sub: 'patient' })
    const { id } = await gate.session(own)
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/raw/x', bearer(own)))
    await eventually(() => raw.exchanges.length === 1, 'the upstream to have it')
    expect((await gate.admin('POST', `/v1/sessions/${id}/freeze`, { reason: 'test' })).status).toBe(200)
    await new Promise(resolve => setTimeout(resolve, 2 * UPSTREAM_TIMEOUT))
    expect(client.received).toBe(0)
    expect(raw.connections).toBe(1)
    const resumed = performance.now()
    expect((await gate.admin('POST', `/v1/sessions/${id}/resume`, { reason: 'test' })).status).toBe(200)
    isProblem(await client.response(), 504, 'upstream_timeout')
    expect(performance.now() - resumed).toBeGreaterThan(UPSTREAM_TIMEOUT / 2)
    client.close()
    await nothingLeftOpen()
  })

  test('[WIRE12] more than the upstream may have at once: 503 and when to come again', async () => {
    const narrow = await TestGateway.start({ upstream: gate.upstream, routes: `- name: api\n  match: { host: api.test }\n  upstream: { url: "${gate.upstream.origin}", connections: 1 }\n  rules: [{ allow: {} }]` })
    try {
      const own = await narrow.token()
      gate.upstream.forget()
      const held = await RawClient.connect(narrow.target)
      await held.send(request('GET', '/gate/narrow', bearer(own)))
      await gate.upstream.request('/gate/narrow')
      const answer = await narrow.ask('GET', '/first', bearer(own))
      expect([answer.status, answer.json['reason'], answer.headers['retry-after']]).toEqual([503, 'upstream_busy', '1'])
      await recorded('upstream_busy', narrow)
      gate.upstream.release('narrow')
      expect((await held.response()).status).toBe(200)
      held.close()
      expect((await narrow.ask('GET', '/first', bearer(own))).status).toBe(200)
      expect(gate.upstream.requests.map(({ path }) => path)).toEqual(['/gate/narrow', '/first'])
    } finally {
      await narrow.stop()
    }
  })
})

// ---- too much at once

describe('too much', () => {
  test('[WIRE14] more pipelined requests than are kept waiting: the connection ends, the upstream saw one', async () => {
    gate.upstream.forget()
    const before = await metric('limit_reached_total', { limit: 'pipelined_requests' })
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/gate/pipeline', bearer(token)))
    await gate.upstream.request('/gate/pipeline')
    await client.send(request('GET', '/second', bearer(token)).repeat(40))
    expect(await client.ended).not.toBe('closed here')
    expect(client.received).toBe(0)
    await nothingLeftOpen()
    gate.upstream.release('pipeline')
    expect(gate.upstream.requests.map(({ path }) => path)).toEqual(['/gate/pipeline'])
    expect(await metric('limit_reached_total', { limit: 'pipelined_requests' })).toBe(before + 1)
    await recorded('limit_reached')
  })

  test('[WIRE14] as many as are kept waiting are answered in their order', async () => {
    gate.upstream.forget()
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/gate/order', bearer(token)) + Array.from({ length: 30 }, (_, i) => request('GET', `/n/${i}`, bearer(token))).join(''))
    await gate.upstream.request('/gate/order')
    expect(gate.upstream.requests).toHaveLength(1)
    gate.upstream.release('order')
    expect((await client.response()).status).toBe(200)
    for (let i = 0; i < 30; i++) expect(JSON.parse((await client.response()).body.toString())).toMatchObject({ path: `/n/${i}` })
    client.close()
    await nothingLeftOpen()
  })

  test('[WIRE14] more connections than allowed: the newcomer is turned away, the others go on', async () => {
    const small = await TestGateway.start({ upstream: gate.upstream, server: 'limits: { connections: 2 }', routes: '- name: api\n  match: { host: api.test }\n  upstream: api\n  rules: [{ allow: {} }]' })
    try {
      const own = await small.token()
      const held = [await RawClient.connect(small.target), await RawClient.connect(small.target)]
      for (const client of held) {
        await client.send(request('GET', '/first', bearer(own)))
        expect((await client.response()).status).toBe(200)
      }
      const third = await RawClient.connect(small.target)
      await third.send(request('GET', '/first', bearer(own)))
      expect(await third.ended).not.toBe('closed here')
      expect(third.received).toBe(0)
      expect(await metric('limit_reached_total', { limit: 'connections' }, small)).toBe(1)
      await recorded('limit_reached', small)
      await held[0]?.send(request('GET', '/first', bearer(own)))
      expect((await held[0]?.response())?.status).toBe(200)
      for (const client of held) client.close()
    } finally {
      await small.stop()
    }
  })
})
