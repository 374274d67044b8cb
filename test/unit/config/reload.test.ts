import { describe, expect, it } from 'vitest'
import { reloadRefusal } from '../../../src/config/reload.ts'
import { loaded, SMALL } from './fixture.ts'

const listeners = (address: string, more = '') => `${SMALL}server: { listeners: [{ name: main, address: "${address}", serves: [proxy${more}] }] }\n`

describe('reloads', () => {
  it('[CFG10] what a running gateway can change is taken', () => {
    expect(reloadRefusal(loaded(SMALL), loaded(SMALL))).toBeNull()
    expect(reloadRefusal(loaded(SMALL), loaded(`${SMALL}telemetry: { logs: { level: warn } }\nelevations: { a: { adds: [x], for: 5m } }\n`))).toBeNull()
    expect(reloadRefusal(loaded(listeners(':1')), loaded(listeners(':1').replace('main', 'other')))).toBeNull()
  })

  it.each([
    ['store', SMALL, `${SMALL}store: { embedded: { file: other.db } }\n`],
    ['store', SMALL, `${SMALL}store: { hold: { streams: 5s } }\n`],
    ['store', SMALL, `${SMALL}ephemeral: true\n`],
    ['stateDir', `${SMALL}store: { embedded: { file: /var/a.db } }\n`, `${SMALL}store: { embedded: { file: /var/a.db } }\nstateDir: /elsewhere\n`],
    ['address', listeners(':1'), listeners(':2')],
    ['address', listeners('127.0.0.1:1'), listeners(':1')],
    ['serves', listeners(':1'), listeners(':1', ', keys')],
    ['address', SMALL, listeners(':8080')],
  ])('[CFG10] a change of %s is refused whole', (what, before, after) => {
    expect(reloadRefusal(loaded(before), loaded(after))).toContain(what)
  })
})
