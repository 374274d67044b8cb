import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { formatProblem } from '../../../src/config/problem.ts'
import { WORLD } from './fixture.ts'

const GOLDEN = new URL('../../golden/config/', import.meta.url)
const files = [
  ...readdirSync(GOLDEN).filter(file => file.endsWith('.yaml')).map(file => new URL(file, GOLDEN)),
  ...['gateway.yaml', 'gateway.min.yaml', 'redis.yaml', 'protocols.yaml', 'identity.yaml'].map(name => new URL(`../../../config/${name}`, import.meta.url)),
].map(url => readFileSync(url, 'utf8'))

/** Loading gives Settings or at least one problem that can be shown. */
function holds(text: string): void {
  const loaded = load(text, 'f.yaml', WORLD)
  if (loaded.ok) expect(loaded.settings.policy.routes.length).toBeGreaterThan(0)
  else expect(loaded.problems.map(formatProblem).join('\n')).toMatch(/^f\.yaml/)
}

const SNIPPETS = ['\n', ' ', '  ', ':', ': ', '- ', '{', '}', '[', ']', '"', "'", '|', '>', '&a ', '*a', '!', '!!map ', '#', '? ', '\t', '---\n', '...\n', '%YAML 1.1\n', '<<: ', '__proto__: ', 'constructor: ', 'null', '~', '-1', '1e999', '.nan', '${env:X}', '${', '\u0000', '\uFEFF', '\u{1F600}', '\uD800', '2026-01-01', 'x'.repeat(300)]

const mutation = fc.record({ at: fc.nat(), cut: fc.nat({ max: 30 }), put: fc.oneof(fc.constantFrom(...SNIPPETS), fc.string({ maxLength: 8 })) })

describe('whatever the file holds', () => {
  it('[CFG2] mutations of real files never throw', () => {
    fc.assert(fc.property(fc.constantFrom(...files), fc.array(mutation, { minLength: 1, maxLength: 5 }), (text, mutations) => {
      holds(mutations.reduce((mutated, { at, cut, put }) => {
        const place = at % (mutated.length + 1)
        return mutated.slice(0, place) + put + mutated.slice(place + cut)
      }, text))
    }), { numRuns: 300 })
  })

  it('[CFG2] arbitrary text never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), holds))
  })

  it('[CFG2] arbitrary data in place of any value never throws', () => {
    fc.assert(fc.property(fc.constantFrom('server', 'authn', 'sessions', 'purposes', 'upstreams', 'routes', 'elevations', 'audit', 'identities', 'version', 'store', 'admin'), fc.jsonValue({ maxDepth: 4 }), (key, value) => {
      holds(`version: 1\nroutes: [{ name: a, upstream: "http://a:1", rules: [{ allow: {}, anonymous: true }] }]\n`.replace(new RegExp(`^${key}:.*\n`, 'm'), '') + `${key}: ${JSON.stringify(value)}\n`)
    }))
  })

  it.each([['brackets', '['.repeat(200_000)], ['maps', '{a: '.repeat(20_000)], ['indentation', Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i % 1500)}a:`).join('\n')], ['dashes', '- '.repeat(5000)], ['too large', 'a'.repeat(1024 * 1024 + 1)], ['nothing', '']])(
    '[CFG2] %s', (_, text) => {
      holds(text)
      expect(load(text, 'f.yaml', WORLD).ok).toBe(false)
    })
})
