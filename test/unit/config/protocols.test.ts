// What the file says about protocols, as the rest of the gateway reads it: listeners, gRPC and WebSocket rules, rewriting, CORS, addresses.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { firstRule, type Route } from '../../../src/core/route.ts'
import type { ListenerSettings, UpstreamSettings } from '../../../src/config/settings.ts'
import { describeTarget } from '../../../src/proxy/describe/target.ts'
import { loaded, problems, SMALL } from './fixture.ts'

const TLS = 'tls: { certFile: /crt, keyFile: /key }'
const listener = (keys: string): ListenerSettings | undefined => loaded(`${SMALL}server: { trustedProxies: [10.0.0.0/8], listeners: [{ name: a, address: ":1", ${keys} }, { name: b, address: ":2", serves: [proxy] }] }\n`).listeners[0]
const upstream = (keys: string): UpstreamSettings | undefined => loaded(`${SMALL}upstreams: { api: { ${keys} } }\n`).upstreams.get('api')

function routeWith(match: string, keys: string, rules: string): Route {
  const [route] = loaded(`
version: 1
authn: { ci: { jwt: { issuer: https://ci.example, audience: narrowgate } } }
routes:
  - name: a
    match: ${match}
    upstream: { url: http://a:1, protocol: grpc }
    ${keys}
    rules: [${rules}]
`).policy.routes
  if (route === undefined) throw new Error('no route')
  return route
}

describe('listeners', () => {
  it.each<readonly [keys: string, protocols: readonly string[]]>([
    ['serves: [proxy]', ['http1']],
    [`serves: [proxy], ${TLS}`, ['http1', 'http2']],
    [`serves: [keys], ${TLS}`, ['http1', 'http2']],
    [`serves: [admin], ${TLS}`, ['http1']],
    ['serves: [health]', ['http1']],
    ['serves: [proxy], protocols: [http2]', ['http2']],
    ['serves: [proxy], protocols: [http2, http1]', ['http1', 'http2']],
    [`serves: [proxy], ${TLS}, protocols: [http1]`, ['http1']],
  ])('[CFG3, WIRE16] { %s } speaks %j', (keys, protocols) => {
    expect(listener(keys)?.protocols).toEqual(protocols)
  })

  it('[CFG3, WIRE23] PROXY headers are read only where they are asked for, and only from somebody', () => {
    expect(listener('serves: [proxy]')?.proxyProtocol).toBe(false)
    expect(listener('serves: [proxy], proxyProtocol: true')?.proxyProtocol).toBe(true)
    expect(problems(`${SMALL}server: { listeners: [{ name: a, address: ":1", serves: [proxy], proxyProtocol: true }] }\n`)).toEqual(['`proxyProtocol` believes no peer, because `server.trustedProxies` is empty'])
  })

  it('[CFG3] the default listeners speak HTTP/1.1 and read no PROXY header', () => {
    expect(loaded(SMALL).listeners.map(({ protocols, proxyProtocol }) => [...protocols, proxyProtocol])).toEqual([['http1', false], ['http1', false], ['http1', false]])
  })
})

describe('gRPC rules', () => {
  const route = routeWith('{ host: a }', '', '{ deny: { grpc: [vault.v1.KV/Write] } }, { allow: { grpc: ["vault.v1.KV/*", grpc.health.v1.Health/Check] } }')
  const met = (method: string, path: string, upgrade: string | null = null): string => firstRule(route, { method, upgrade, call: null }, path.slice(1).split('/'))?.effect ?? 'none'

  it.each<readonly [string, string]>([
    ['/vault.v1.KV/Read', 'allow'], ['/vault.v1.KV/Write', 'deny'], ['/grpc.health.v1.Health/Check', 'allow'],
    ['/grpc.health.v1.Health/Watch', 'none'], ['/vault.v1.kv/Read', 'none'], ['/VAULT.v1.KV/Read', 'none'], ['/vault.v1.KV', 'none'], ['/vault.v1.KV/', 'none'],
    ['/vault.v1.KV/Read/x', 'none'], ['/vaultxv1.KV/Read', 'none'], ['/x/vault.v1.KV/Read', 'none'],
  ])('[CFG3, WIRE17] a POST to %s meets: %s', (path, effect) => {
    expect(met('POST', path)).toBe(effect)
  })

  it('[CFG3, WIRE17] nothing but a POST is a call: no other method and no upgrade', () => {
    expect(['GET', 'PUT', 'post', 'QUERY'].map(method => met(method, '/vault.v1.KV/Read'))).toEqual(['none', 'none', 'none', 'none'])
    expect(met('POST', '/vault.v1.KV/Read', 'websocket')).toBe('none')
    expect(route.rules.map(({ methods }) => [...(methods ?? [])])).toEqual([['POST'], ['POST']])
  })
})

describe('WebSocket rules', () => {
  it('[CFG3, WIRE18] messages are looked at only where a rule asks, with a bound wherever fields are read', () => {
    const { rules } = routeWith('{ host: a }', '', '{ allow: { upgrade: websocket, paths: [/a] }, messages: { fields: { kind.of: [x, y] } } }, { allow: { upgrade: websocket, paths: [/b] }, messages: { perSecond: 5 } }, { allow: { upgrade: websocket } }')
    expect(rules.map(({ messages }) => messages)).toEqual([
      { maxBytes: 65_536, perSecond: null, fields: new Map([['/kind/of', new Set(['x', 'y'])]]) },
      { maxBytes: null, perSecond: 5, fields: new Map() },
      null,
    ])
  })

  it('[CFG3, WIRE18] a rule for a WebSocket covers no request, and a rule for GET no WebSocket', () => {
    const route = routeWith('{ host: a }', '', '{ allow: { upgrade: websocket, paths: [/ws] } }, { allow: { methods: [GET], paths: [/get] } }')
    const met = (path: string, upgrade: string | null): string | undefined => firstRule(route, { method: 'GET', upgrade, call: null }, [path])?.name
    expect([met('ws', 'websocket'), met('ws', null), met('get', 'websocket'), met('get', null)]).toEqual(['a#1', undefined, undefined, 'a#2'])
  })
})

describe('rewriting', () => {
  const MATCH = '{ host: a, path: "/caf%c3%a9/v1/**" }'
  const rewritten = (route: Route, path: string): string => {
    const to = route.rewrite?.path
    if (to == null) throw new Error('no rewriting')
    return (to.to + path.slice(to.from.length)) || '/'
  }

  it.each<readonly [keys: string, rewrite: Route['rewrite']]>([
    ['', null],
    ['rewrite: {}', null],
    ['rewrite: { host: preserve }', null],
    ['rewrite: { host: upstream }', { host: { is: 'upstream' }, path: null }],
    ['rewrite: { host: "[::1]:8443" }', { host: { is: 'name', host: '[::1]:8443' }, path: null }],
    ['rewrite: { host: CRM.internal, path: { from: /caf%c3%a9/v1, to: /v2 } }', { host: { is: 'name', host: 'crm.internal' }, path: { from: '/caf%C3%A9/v1', to: '/v2' } }],
    ['rewrite: { path: { from: /, to: /base } }', { host: { is: 'preserve' }, path: { from: '', to: '/base' } }],
    ['rewrite: { path: { from: "/caf%C3%A9", to: / } }', { host: { is: 'preserve' }, path: { from: '/caf%C3%A9', to: '' } }],
  ])('[CFG3, WIRE24] %s', (keys, rewrite) => {
    expect(routeWith(MATCH, keys, '{ allow: {} }').rewrite).toEqual(rewrite)
  })

  const routes = ['{ from: "/caf%c3%a9/v1", to: / }', '{ from: "/caf%c3%a9", to: "/a%c3%bcb" }', '{ from: /, to: /base/x }', '{ from: "/caf%c3%a9/v1", to: "/~x/y" }']
    .map(path => routeWith(MATCH, `rewrite: { path: ${path} }`, '{ allow: {} }'))
  const segment = fc.stringMatching(/^(?:[A-Za-z0-9_~!$&'()*+,;=:@-]|\.|%[0-9A-F]{2}){0,8}$/)

  it('[WIRE24] every canonical path of the route becomes a canonical path, whatever follows the prefix', () => {
    fc.assert(fc.property(fc.constantFrom(...routes), fc.array(segment, { maxLength: 5 }), (route, rest) => {
      const judged = describeTarget(['/caf%C3%A9/v1', ...rest].join('/'), 'a')
      fc.pre(typeof judged !== 'string')
      const path = rewritten(route, judged.target.path)
      const again = describeTarget(path, 'a')
      expect(typeof again === 'string' ? again : again.target.path).toBe(path)
    }))
  })
})

describe('CORS', () => {
  it('[CFG3, WIRE19] origins are brought to the form in which browsers send them', () => {
    expect(routeWith('{ host: a }', 'cors: { origins: ["HTTPS://App.Example:443", "http://[::1]:5173", "https://müller.example"] }', '{ allow: {} }').cors).toEqual({
      origins: ['https://app.example', 'http://[::1]:5173', 'https://xn--mller-kva.example'], headers: ['authorization', 'content-type'], maxAge: 600_000, credentials: false, exposed: ['www-authenticate', 'dpop-nonce'],
    })
  })

  it.each(['"*"', '"null"', 'app.example', '"https://*.example"', 'https://app.example/', 'https://app.example/x', 'ws://app.example', '"https://app.example#"', '"https://a b"', '""'])('[CFG3, WIRE19] %s is no origin', origin => {
    expect(problems(SMALL.replace('    rules:', `    cors: { origins: [${origin}] }\n    rules:`))).toEqual(['expected an origin: scheme, host and port'])
  })
})

describe('upstreams', () => {
  it('[CFG3, WIRE20] a URL alone is one address with every default', () => {
    expect(loaded(SMALL).upstreams.get('route:deploy')).toEqual({
      name: 'route:deploy', origin: 'http://deploy:8080', addresses: [{ host: 'deploy', port: 8080, weight: 1 }], tls: null, protocol: 'http1',
      timeout: 30_000, connections: 10_000, streams: 100, health: null, ejection: { failures: 5, for: 10_000, atMost: 50 }, retries: { attempts: 1, on: ['connect', 'refused'] },
      resolve: 30_000, proxyProtocol: false, inject: null, transaction: null, signature: null, brokered: null, serves: 'http', endpoint: null,
    })
  })

  it.each<readonly [keys: string, expected: Partial<UpstreamSettings>]>([
    ['addresses: [{ url: "https://A" }, { url: "https://[2001:DB8::1]:8443", weight: 9 }]', { origin: 'https://a', addresses: [{ host: 'a', port: 443, weight: 1 }, { host: '2001:db8::1', port: 8443, weight: 9 }] }],
    ['url: https://a', { tls: { caFile: null, certFile: null, keyFile: null, serverName: null } }],
    ['url: https://a, tls: { caFile: ca, certFile: crt, keyFile: /key, serverName: Api.Internal }', { tls: { caFile: '/work-dir/ca', certFile: '/work-dir/crt', keyFile: '/key', serverName: 'api.internal' } }],
    ['url: http://a, protocol: grpc', { protocol: 'http2', tls: null }],
    ['url: http://a, protocol: http2', { protocol: 'http2' }],
    ['url: http://a, health: { path: /healthz }', { health: { path: '/healthz', every: 10_000, timeout: 2000, healthyAfter: 2, unhealthyAfter: 3 } as UpstreamSettings['health'] }], // durations are branded numbers
    ['url: http://a, ejection: false, retries: { attempts: 0 }', { ejection: null, retries: { attempts: 0, on: ['connect', 'refused'] } }],
    ['url: http://a, proxyProtocol: true, retries: { on: [refused] }', { proxyProtocol: true, retries: { attempts: 1, on: ['refused'] } }],
  ])('[CFG3, WIRE20, WIRE21] { %s }', (keys, expected) => {
    expect(upstream(keys)).toMatchObject(expected)
  })

  it.each<readonly [string, string]>([
    ['', 'an upstream is named by exactly one of `url` and `addresses`'],
    ['addresses: [{ url: "https://a" }, { url: "http://b" }]', 'the addresses of an upstream have one scheme, and the first has https://'],
    ['addresses: [{ url: "http://a" }, { url: "http://A:80" }]', 'the address http://a is there already'],
    ['url: "https://a", tls: { keyFile: /key }', '`certFile` and `keyFile` go together'],
    ['url: http://a, tls: {}', '`tls` is for an https upstream'],
    ['url: http://a, protocol: grpc, proxyProtocol: true', 'a PROXY header names one caller, but an HTTP/2 connection serves many'],
  ])('[CFG3, WIRE20] { %s } is refused', (keys, message) => {
    expect(problems(`${SMALL}upstreams: { api: { ${keys} } }\n`)).toEqual([message])
  })
})
