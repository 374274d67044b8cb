import { describe, expect, it } from 'vitest'
import { reloadRefusal } from '../../../src/config/reload.ts'
import { loaded, SMALL } from './fixture.ts'

const listeners = (address: string, more = '') => `${SMALL}server: { listeners: [{ name: main, address: "${address}", serves: [proxy${more}] }] }\n`

describe('reloads', () => {
  it('[CFG10] what a running gateway can change is taken', () => {
    expect(reloadRefusal(loaded(SMALL), loaded(SMALL))).toBeNull()
    expect(reloadRefusal(loaded(SMALL), loaded(`${SMALL}telemetry: { logs: { level: warn } }\nelevations: { a: { adds: [x], for: 5m } }\n`))).toBeNull()
    expect(reloadRefusal(loaded(SMALL), loaded(`${SMALL}store: { hold: { streams: 5s } }\nserver: { limits: { bodyBytes: 1MiB, exchangesPerSession: 5 }, drain: { timeout: 1s }, trustedProxies: [10.0.0.0/8] }\n`))).toBeNull()
  })

  it.each<readonly [what: string, before: string, after: string]>([
    ['store', SMALL, `${SMALL}store: { embedded: { file: other.db } }\n`],
    ['store', SMALL, `${SMALL}ephemeral: true\n`],
    ['stateDir', `${SMALL}store: { embedded: { file: /var/a.db } }\n`, `${SMALL}store: { embedded: { file: /var/a.db } }\nstateDir: /elsewhere\n`],
    ['address', listeners(':1'), listeners(':2')],
    ['address', listeners('127.0.0.1:1'), listeners(':1')],
    ['serves', listeners(':1'), listeners(':1', ', keys')],
    ['address', SMALL, listeners(':8080')],
    ['name', listeners(':1'), listeners(':1').replace('main', 'other')],
    ...['headerBytes: 1KiB', 'headersTimeout: 1s', 'idleTimeout: 1s', 'connections: 5', 'mirroredSessions: 5'].map(limit => [`server.limits.${limit.split(':', 1)[0] ?? ''}`, SMALL, `${SMALL}server: { limits: { ${limit} } }\n`] as const),
    ['context', SMALL, `${SMALL}context: { issuer: other }\n`],
    ['audit', SMALL, `${SMALL}audit: { trail: { fsync: true } }\n`],
    ['audit', SMALL, `${SMALL}audit: { noise: { maxBytes: 1MiB } }\n`],
  ])('[CFG10] a change of %s is refused whole', (what, before, after) => {
    expect(reloadRefusal(loaded(before), loaded(after))).toContain(what)
  })
})
