import { describe, expect, it } from 'vitest'
import { reloadRefusal } from '../../../src/config/reload.ts'
import { loaded, SMALL } from './fixture.ts'

const listeners = (address: string, more = '') => `${SMALL}server: { listeners: [{ name: main, address: "${address}", serves: [proxy${more}] }] }\n`
const behind = (text: string): string => text.replace('server: {', 'server: { trustedProxies: [10.0.0.0/8],')
const encrypted = (more: string): string => listeners(':1', `], tls: { certFile: /present/cert, keyFile: /present/key${more === '' ? '' : `, ${more}`} }, protocols: [http1`)
const redis = (keys: string): string => `${SMALL}store: { redis: { ${keys} } }\n`

describe('reloads', () => {
  it('[CFG10] what a running gateway can change is taken', () => {
    expect(reloadRefusal(loaded(SMALL), loaded(SMALL))).toBeNull()
    expect(reloadRefusal(loaded(SMALL), loaded(`${SMALL}telemetry: { logs: { level: warn } }\nelevations: { a: { adds: [x], for: 5m } }\n`))).toBeNull()
    expect(reloadRefusal(loaded(SMALL), loaded(`${SMALL}store: { hold: { requests: 1s, streams: 5s } }\nserver: { limits: { bodyBytes: 1MiB, exchangesPerSession: 5, exchanges: 10 }, drain: { timeout: 1s }, trustedProxies: [10.0.0.0/8] }\n`))).toBeNull()
  })

  it('[CFG10] what an upstream is, and how a route faces both sides, may change', () => {
    const facing = SMALL.replace('    upstream: http://deploy:8080', '    upstream: { addresses: [{ url: http://a }, { url: http://b }], protocol: http2, ejection: false, health: { path: /healthz } }\n    cors: { origins: [https://app.example] }\n    rewrite: { host: upstream }')
    expect(reloadRefusal(loaded(SMALL), loaded(facing))).toBeNull()
  })

  it('[CFG10] a reload that says the same in other words is taken', () => {
    const [url, nodes] = [redis('url: "redis://r:6379/0"'), redis('nodes: [R]')]
    expect(reloadRefusal(loaded(`${url}server: { workers: auto }\n`), loaded(`${nodes}server: { workers: 4 }\n`))).toBeNull()
  })

  it.each<readonly [what: string, before: string, after: string]>([
    ['store', SMALL, `${SMALL}store: { embedded: { file: other.db } }\n`],
    ['store', SMALL, `${SMALL}ephemeral: true\n`],
    ['store', SMALL, `${SMALL}store: { lease: 2s }\n`],
    ['store', SMALL, redis('url: "redis://r"')],
    ['store', redis('url: "redis://r"'), redis('url: "redis://r:6380"')],
    ['store', redis('url: "redis://r"'), redis('url: "redis://:secret@r"')],
    ['store', redis('url: "redis://r"'), redis('url: "redis://r", prefix: other')],
    ['store', redis('url: "redis://r"'), redis('url: "redis://r" }, macKeyFile: /run/mac, hold: {')],
    ['server.workers', `${redis('url: "redis://r"')}server: { workers: 2 }\n`, `${redis('url: "redis://r"')}server: { workers: 3 }\n`],
    ['server.workers', `${redis('url: "redis://r"')}server: { workers: auto }\n`, `${redis('url: "redis://r"')}server: { workers: 3 }\n`],
    ['stateDir', `${SMALL}store: { embedded: { file: /var/a.db } }\n`, `${SMALL}store: { embedded: { file: /var/a.db } }\nstateDir: /elsewhere\n`],
    ['address', listeners(':1'), listeners(':2')],
    ['address', listeners('127.0.0.1:1'), listeners(':1')],
    ['serves', listeners(':1'), listeners(':1', ', keys')],
    ['address', SMALL, listeners(':8080')],
    ['speaks', listeners(':1'), listeners(':1', '], protocols: [http1, http2')],
    ['speaks', behind(listeners(':1')), behind(listeners(':1', '], proxyProtocol: true, protocols: [http1'))],
    ['certificates', behind(listeners(':1')), behind(listeners(':1', '], forwardedCertificates: xfcc, protocols: [http1'))],
    ['certificates', encrypted('clients: { caFile: /present/ca }'), encrypted('')],
    ['name', listeners(':1'), listeners(':1').replace('main', 'other')],
    ...['headerBytes: 1KiB', 'headers: 20', 'headersTimeout: 1s', 'idleTimeout: 1s', 'connections: 5', 'streamsPerConnection: 5', 'mirroredSessions: 5'].map(limit => [`server.limits.${limit.split(':', 1)[0] ?? ''}`, SMALL, `${SMALL}server: { limits: { ${limit} } }\n`] as const),
    ['context', SMALL, `${SMALL}context: { issuer: other }\n`],
    ['audit', SMALL, `${SMALL}audit: { trail: { fsync: true } }\n`],
    ['audit', SMALL, `${SMALL}audit: { noise: { maxBytes: 1MiB } }\n`],
  ])('[CFG10] a change of %s is refused whole', (what, before, after) => {
    expect(reloadRefusal(loaded(before), loaded(after))).toContain(what)
  })
})
