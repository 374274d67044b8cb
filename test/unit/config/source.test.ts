import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Loaded } from '../../../src/config/load.ts'
import { ConfigSource, processEnvironment } from '../../../src/config/source.ts'
import { SMALL } from './fixture.ts'

let directory = ''
let source: ConfigSource
const file = (): string => join(directory, 'gateway.yaml')

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'narrowgate-config-'))
  writeFileSync(file(), SMALL)
  source = new ConfigSource('gateway.yaml', processEnvironment(directory))
})
afterEach(() => {
  source.close()
  rmSync(directory, { recursive: true })
})

/** The next news of a watched file, after doing something to it. */
const after = (change: () => void): Promise<Loaded> => new Promise(resolve => {
  source.watch(() => resolve(source.reload()), () => {})
  change()
})

describe('the file on disk', () => {
  it('[CFG1] is loaded whole', () => {
    expect(source.load().ok).toBe(true)
    expect(source.current?.policy.routes).toHaveLength(1)
    expect(source.file).toBe('gateway.yaml')
  })

  it('[CFG1] a broken one changes nothing', () => {
    source.load()
    const before = source.current
    writeFileSync(file(), 'version: 1\nrutes: []\n')
    expect(source.reload().ok).toBe(false)
    expect(source.current).toBe(before)
  })

  it('[CFG10] one that changes what cannot change is refused whole', () => {
    source.load()
    const before = source.current
    writeFileSync(file(), `${SMALL}ephemeral: true\n`)
    const loaded = source.reload()
    expect(loaded.ok ? [] : loaded.problems.map(({ message }) => message)).toEqual(['a reload cannot change `store`: restart the gateway'])
    expect(source.current).toBe(before)
  })

  it.each([
    ['absent', () => rmSync(file())],
    ['not UTF-8', () => writeFileSync(file(), Buffer.from([0x76, 0xff, 0xfe]))],
    ['too large', () => writeFileSync(file(), `${SMALL}#${'x'.repeat(1024 * 1024)}`)],
    ['a directory', () => { rmSync(file()); source = new ConfigSource('.', processEnvironment(directory)) }],
  ])('[CFG1] %s is a problem, not an exception', (_, change) => {
    change()
    const loaded = source.load()
    expect(loaded.ok ? [] : loaded.problems.map(({ message }) => message)).toEqual(['the file cannot be read'])
  })

  it('[CFG1] a write is seen', async () => {
    source.load()
    const loaded = await after(() => writeFileSync(file(), SMALL.replace('deploy:8080', 'deploy:8081')))
    expect(loaded.ok).toBe(true)
    expect(source.current?.upstreams.get('route:deploy')?.origin).toBe('http://deploy:8081')
  })

  it('[CFG1] a replacement by rename is seen, also a second one', async () => {
    source.load()
    for (const port of ['8082', '8083']) {
      const loaded = await after(() => {
        writeFileSync(join(directory, 'new'), SMALL.replace('8080', port))
        renameSync(join(directory, 'new'), file())
      })
      expect(loaded.ok).toBe(true)
      expect(source.current?.upstreams.get('route:deploy')?.origin).toBe(`http://deploy:${port}`)
    }
  })

  it('[CFG1] a broken write is told and changes nothing', async () => {
    source.load()
    const before = source.current
    const loaded = await after(() => writeFileSync(file(), 'version: 2\n'))
    expect(loaded.ok).toBe(false)
    expect(source.current).toBe(before)
  })
})
