// What a gateway owes by the standards, at its sockets: Via and loops, last forwards, early data, interim answers, trailers, preflights, HEAD,
// methods and their overrides, whom it says a request came from, and for whom an answer is.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { headerOf, RawClient, type RawResponse } from '../support/raw-client.ts'
import { RecordingUpstream, type RecordedRequest } from '../support/recording-upstream.ts'

const PAGE = 'https://app.test'
let upstream: RecordingUpstream
let gate: TestGateway
let token: string
let elevated: string

beforeAll(async () => {
  upstream = await RecordingUpstream.start()
  gate = await TestGateway.start({
    upstream,
    server: 'trustedProxies: [127.0.0.2/32, 10.0.0.0/8]',
    elevations: 'admin: { adds: [admin:use], for: 10m }',
    routes: `
- name: pages
  match: { host: pages.test }
  upstream: { url: "${upstream.origin}" }
  cors: { origins: ["${PAGE}"], headers: [authorization], maxAge: 10m }
  rules:
    - { deny: { methods: [DELETE] } }
    - { allow: { methods: [GET, PUT], paths: ["/status/*", "/headers", "/open/**"] }, scope: base:read }
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { methods: [QUERY], paths: ["/echo/query"] }, scope: base:read }
    - { allow: { methods: [GET], paths: ["/readonly/**"] }, scope: base:read }
    - { allow: { paths: ["/anonymous/**"] }, anonymous: true }
    - { allow: { paths: ["/admin/**"] }, scope: admin:use }
    - { deny: { paths: ["/readonly/**"] } }
    - { allow: {}, scope: base:read }`,
  })
  token = await gate.token()
  elevated = await gate.token()
  await gate.elevate(elevated, 'admin')
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})
afterEach(() => upstream.forget())

type Asked = { readonly host?: string; readonly lines?: readonly string[]; readonly body?: string; readonly by?: string | null; readonly from?: string }

/** One request of these bytes; what was answered, and the request as it arrived upstream, if it did. */
async function ask(method: string, path: string, { host = 'api.test', lines = [], body = '', by = token, from }: Asked = {}): Promise<{ readonly answer: RawResponse; readonly seen: RecordedRequest | null }> {
  const client = await RawClient.connect({ ...gate.target, ...(from === undefined ? {} : { from }) })
  const before = upstream.requests.length
  client.push(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${by === null ? '' : `Authorization: Bearer ${by}\r\n`}${lines.map(line => `${line}\r\n`).join('')}\r\n${body}`)
  try {
    return { answer: await client.response(method), seen: upstream.requests[before] ?? null }
  } finally {
    client.close()
  }
}
const reasonOf = ({ status, body }: RawResponse): readonly [number, unknown] => [status, (JSON.parse(body.toString()) as Record<string, unknown>)['reason']]
const valuesOf = ({ headers }: RawResponse, name: string): readonly string[] => headers.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value)

describe('Via', () => {
  test('[WIRE22] is added both ways, behind what is there', async () => {
    const { answer, seen } = await ask('GET', '/status/200', { lines: ['Via: 1.0 fred'] })
    const [theirs, ours] = seen?.header('via') ?? []
    expect([theirs, ours]).toEqual(['1.0 fred', expect.stringMatching(/^1\.1 narrowgate-[a-z2-7]{6}$/)])
    expect(valuesOf(answer, 'via')).toEqual([ours])
  })

  test('[WIRE22] a request that came through here too often is in a loop; two gateways in a row, or one met twice, are none', async () => {
    const own = (await ask('GET', '/status/200')).seen?.header('via')[0] ?? ''
    for (const lines of [[`Via: ${own}, ${own}`, 'Via: 1.1 narrowgate-aaaaaa'], [`Via: ${Array.from({ length: 9 }, () => '1.1 narrowgate-aaaaaa').join(', ')}`]]) expect((await ask('GET', '/status/200', { lines })).answer.status).toBe(200)
    const { answer, seen } = await ask('GET', '/status/200', { lines: [`Via: ${own}, ${own}`, `Via: ${own.toUpperCase()}, 1.1 x, ${own}`] })
    expect([reasonOf(answer), seen]).toEqual([[508, 'loop_detected'], null])
  })
})

describe('Max-Forwards', () => {
  test('[WIRE22] with none left OPTIONS is answered here, and needs no right to say so', async () => {
    const { answer, seen } = await ask('OPTIONS', '/admin/x', { lines: ['Max-Forwards: 0'], by: null })
    expect([answer.status, answer.body.length, headerOf(answer, 'allow'), seen]).toEqual([204, 0, 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY', null])
  })

  test('[WIRE22] else there is one less; on other methods it stays here; what is no number is malformed', async () => {
    expect((await ask('OPTIONS', '/status/200', { lines: ['Max-Forwards: 3'] })).seen?.header('max-forwards')).toEqual(['2'])
    expect((await ask('GET', '/status/200', { lines: ['Max-Forwards: 0'] })).seen?.header('max-forwards')).toEqual([])
    for (const value of ['x', '-1', '']) expect((await ask('OPTIONS', '/status/200', { lines: [`Max-Forwards: ${value}`] })).answer.status, value).toBe(400)
  })
})

describe('early data', () => {
  test('[AZ-018, WIRE22] is refused where a replay would do something or stands on an elevation, and told upstream elsewhere', async () => {
    const lines = ['Early-Data: 1']
    for (const method of ['POST', 'DELETE']) {
      const { answer, seen } = await ask(method, '/echo', { lines: [...lines, 'Content-Length: 0'] })
      expect([reasonOf(answer), seen]).toEqual([[425, 'too_early'], null])
    }
    const { answer, seen } = await ask('GET', '/admin/x', { lines, by: elevated })
    expect([reasonOf(answer), seen]).toEqual([[425, 'too_early'], null])
    expect((await ask('GET', '/admin/x', { by: elevated })).answer.status).toBe(200)
    expect((await ask('GET', '/echo', { lines })).seen?.header('early-data')).toEqual(['1'])
  })
})

describe('pages of other origins', () => {
  const preflight = (path: string, method: string, origin = PAGE) => ask('OPTIONS', path, { host: 'pages.test', by: null, lines: [`Origin: ${origin}`, `Access-Control-Request-Method: ${method}`, 'Access-Control-Request-Headers: authorization'] })

  test('[WIRE19] a preflight is answered here, without a credential, where a rule lets the method in', async () => {
    const { answer, seen } = await preflight('/status/200', 'PUT')
    expect([answer.status, answer.body.length, seen]).toEqual([204, 0, null])
    expect(['access-control-allow-origin', 'access-control-allow-methods', 'access-control-allow-headers', 'access-control-max-age', 'vary'].map(name => headerOf(answer, name))).toEqual([PAGE, 'PUT', 'authorization', '600', 'origin'])
  })

  test('[WIRE19] one for a method or path that no rule lets in, or from another page, is refused', async () => {
    for (const [path, method, origin, reason] of [['/status/200', 'DELETE', PAGE, 'denied'], ['/status/200', 'POST', PAGE, 'no_rule'], ['/other', 'PUT', PAGE, 'no_rule'], ['/status/200', 'PUT', 'https://evil.test', 'origin_refused']] as const) {
      const { answer, seen } = await preflight(path, method, origin)
      expect([reasonOf(answer), seen], `${method} ${path}`).toEqual([[403, reason], null])
      expect(headerOf(answer, 'access-control-allow-methods')).toBeNull()
    }
  })

  test('[WIRE19] answers and refusals can be read by the named page alone', async () => {
    for (const [origin, wanted] of [[PAGE, PAGE], ['https://evil.test', null]] as const) {
      for (const [by, status] of [[token, 200], [null, 401]] as const) {
        const { answer } = await ask('GET', '/status/200', { host: 'pages.test', by, lines: [`Origin: ${origin}`] })
        expect([answer.status, headerOf(answer, 'access-control-allow-origin'), valuesOf(answer, 'vary')]).toEqual([status, wanted, ['origin']])
      }
    }
  })

  test('[WIRE19] elsewhere OPTIONS is a method like any other and needs its rule', async () => {
    const lines = [`Origin: ${PAGE}`, 'Access-Control-Request-Method: GET']
    expect((await ask('OPTIONS', '/readonly/a', { lines })).answer.status).toBe(403)
    expect((await ask('OPTIONS', '/status/200', { lines, by: null })).answer.status).toBe(401)
    const { answer, seen } = await ask('OPTIONS', '/status/200', { lines })
    expect([answer.status, seen?.method, headerOf(answer, 'access-control-allow-origin')]).toEqual([200, 'OPTIONS', null])
  })
})

describe('methods', () => {
  test('[WIRE19] HEAD goes where GET goes and never has a body', async () => {
    const { answer, seen } = await ask('HEAD', '/status/200')
    expect([answer.status, answer.body.length, seen?.method]).toEqual([200, 0, 'HEAD'])
    expect(Number(headerOf(answer, 'content-length'))).toBeGreaterThan(0)
    expect((await ask('HEAD', '/admin/x')).answer.status).toBe(403)
  })

  test('[HDR-031, WIRE19] an override neither changes the method nor goes upstream', async () => {
    const lines = ['X-HTTP-Method-Override: DELETE', 'X-Method-Override: DELETE', 'x-http-method: DELETE', 'Content-Length: 0']
    expect(reasonOf((await ask('POST', '/readonly/a', { lines: ['X-HTTP-Method-Override: GET', 'Content-Length: 0'] })).answer)).toEqual([403, 'denied'])
    const { seen } = await ask('POST', '/echo', { lines })
    expect([seen?.method, seen?.rawHead.includes('DELETE')]).toEqual(['POST', false])
  })

  test('[WIRE19] QUERY is a read with a body, where a rule names it', async () => {
    const { answer, seen } = await ask('QUERY', '/echo/query', { lines: ['Content-Length: 5'], body: 'where' })
    expect([answer.status, seen?.method, seen?.body().toString()]).toEqual([200, 'QUERY', 'where'])
    expect(reasonOf((await ask('QUERY', '/echo', { lines: ['Content-Length: 0'] })).answer)).toEqual([403, 'no_rule'])
    expect(reasonOf((await ask('PROPFIND', '/echo', { lines: ['Content-Length: 0'] })).answer)).toEqual([403, 'no_rule'])
  })

  test('[WIRE19] one that is in no registry is unknown, TRACE is never forwarded', async () => {
    expect(reasonOf((await ask('PURGE', '/echo')).answer)).toEqual([501, 'unsupported_method'])
    expect(reasonOf((await ask('TRACE', '/echo')).answer)).toEqual([405, 'method_refused'])
    expect(upstream.requests).toEqual([])
  })
})

describe('answers', () => {
  test('[WIRE22] one given for who the caller is, and silent on caches, is private', async () => {
    const caches = async (path: string, by: string | null) => valuesOf((await ask('GET', path, { by })).answer, 'cache-control')
    expect([await caches('/status/200', token), await caches('/anonymous/x', null)]).toEqual([['private'], []])
  })

  test('[WIRE22] an interim one is relayed, an upstream’s own way around never', async () => {
    const { answer } = await ask('GET', '/hints')
    expect(answer.informational.map(({ status, headers }) => [status, headers.map(([name, value]) => [name.toLowerCase(), value])])).toEqual([[103, [['link', '</a.css>; rel=preload']]]])
    expect(answer.status).toBe(200)
  })

  test('[WIRE11] hop-by-hop fields, what Connection names and our own names stay here', async () => {
    const { answer } = await ask('GET', '/headers')
    expect(answer.headers.map(([name]) => name.toLowerCase()).filter(name => ['x-hop', 'narrowgate-reason'].includes(name))).toEqual([])
    expect(valuesOf(answer, 'set-cookie')).toEqual(['a=1', 'b=2'])
  })
})

describe('trailers', () => {
  test('[SMG-023, WIRE22] of a request go upstream behind the body, but for what belongs in a head', async () => {
    const { seen } = await ask('POST', '/echo/trailers', { lines: ['Transfer-Encoding: chunked'], body: '3\r\nabc\r\n0\r\nX-Checksum: 1\r\nNarrowgate-Subject: root\r\nX_Forwarded_For: 1.2.3.4\r\nAuthorization: Bearer x\r\n\r\n' })
    expect([seen?.body().toString(), seen?.trailers]).toEqual(['abc', ['X-Checksum', '1']])
    expect(seen?.rawHead).not.toMatch(/checksum|subject/i)
  })

  test('[WIRE22] TE is made anew for a caller who takes them', async () => {
    expect((await ask('GET', '/echo', { lines: ['TE: trailers, deflate', 'Connection: TE'] })).seen?.header('te')).toEqual(['trailers'])
    expect((await ask('GET', '/echo', { lines: ['TE: trailers'] })).seen?.header('te')).toEqual([])
  })
})

describe('whom it came from', () => {
  const told = async (lines: readonly string[], from: string) => {
    const { seen } = await ask('GET', '/echo', { lines, from })
    return [seen?.header('x-forwarded-for'), seen?.header('forwarded').map(value => value.split(';')[0])]
  }

  test('[WIRE5] of a caller nothing is believed; of a trusted proxy the hops it names, from the first that is not trusted', async () => {
    expect(await told(['X-Forwarded-For: 198.51.100.1', 'Forwarded: for=198.51.100.1'], '127.0.0.1')).toEqual([['127.0.0.1'], ['for=127.0.0.1']])
    expect(await told(['X-Forwarded-For: 127.0.0.1, 198.51.100.1, 10.2.2.2'], '127.0.0.2')).toEqual([['198.51.100.1, 10.2.2.2, 127.0.0.2'], ['for=198.51.100.1, for=10.2.2.2, for=127.0.0.2']])
    expect(await told(['Forwarded: for="[2001:db8::1]:4711";proto=https'], '127.0.0.2')).toEqual([['2001:db8::1, 127.0.0.2'], ['for="[2001:db8::1]", for=127.0.0.2']])
  })

  test('[WIRE5] two of its headers that disagree, or one that hides, leave the proxy itself', async () => {
    expect(await told(['X-Forwarded-For: 198.51.100.1', 'Forwarded: for=198.51.100.2'], '127.0.0.2')).toEqual([['127.0.0.2'], ['for=127.0.0.2']])
    expect(await told(['Forwarded: for=198.51.100.1, for=_hidden'], '127.0.0.2')).toEqual([['127.0.0.2'], ['for=127.0.0.2']])
  })
})
