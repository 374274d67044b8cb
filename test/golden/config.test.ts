// Every file of config/ and what loading it says: the errors, or the warnings and the Settings. UPDATE_GOLDEN=1 writes the texts anew; read the diff.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Loaded, load } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problem.ts'
import { WORLD } from './fixture.ts'

const DIRECTORY = new URL('config/', import.meta.url)

const plain = (_: string, value: unknown): unknown => {
  if (value instanceof Map) return Object.fromEntries(value)
  if (value instanceof Set) return [...value]
  return value
}

function told(loaded: Loaded): string {
  if (!loaded.ok) return `${loaded.problems.map(formatProblem).join('\n')}\n`
  const { table: _, ...policy } = loaded.settings.policy
  return ['ok', ...loaded.warnings.map(formatProblem), JSON.stringify({ ...loaded.settings, policy }, plain, 2), ''].join('\n')
}

const names = readdirSync(DIRECTORY).filter(file => file.endsWith('.yaml')).map(file => file.slice(0, -'.yaml'.length))

describe('configuration files', () => {
  it.each(names)('[CFG2] %s', name => {
    const expected = new URL(`${name}.txt`, DIRECTORY)
    const text = told(load(readFileSync(new URL(`${name}.yaml`, DIRECTORY), 'utf8'), `${name}.yaml`, WORLD))
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(expected, text)
    expect(existsSync(expected)).toBe(true)
    expect(text).toBe(readFileSync(expected, 'utf8'))
  })

  it('[CFG2] there are at least 25 broken ones', () => {
    expect(names.filter(name => !readFileSync(new URL(`${name}.txt`, DIRECTORY), 'utf8').startsWith('ok\n')).length).toBeGreaterThanOrEqual(25)
  })
})
