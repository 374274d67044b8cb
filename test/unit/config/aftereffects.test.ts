// Rules that would refuse themselves by what they leave behind, and what is written of rates.
import { describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { WORLD } from './fixture.ts'

const result = (rule: string, route = '') => load(`
version: 1
authn: { login: { jwt: { issuer: "https://login.example", audience: narrowgate }, kind: agent } }
sessions: { baseline: [{ scopes: [tickets:read] }] }
elevations: { vault: { adds: [vault:read], for: 1m } }
routes:
  - name: api
    match: { host: api.test }
    upstream: "http://api:8080"
${route === '' ? '' : `    ${route}\n`}    rules:
      - { allow: { methods: [GET] }, ${rule} }
`, 'gateway.yaml', WORLD)

const told = (rule: string, route = ''): readonly string[] => {
  const loaded = result(rule, route)
  return loaded.ok ? [] : loaded.problems.map(({ message }) => message)
}

describe('a rule', () => {
  test.each([
    ['its own taint, which it excludes', 'scope: vault:read, after: { taint: secrets }, notAfter: [secrets]', '', /refuses itself: with the taint 'secrets' nobody gets here/],
    ['its own taint, which its route excludes', 'scope: vault:read, after: { taint: secrets, of: principal }', 'notAfter: [secrets]', /refuses itself: with the taint 'secrets'/],
    ['scopes without its own', 'scope: vault:read, after: { narrow: [tickets:read] }', '', /refuses itself: nothing of its scope 'vault:read' is left/],
    ['a baseline that does not hold its scope', 'scope: vault:read, after: { narrow: baseline }', '', /refuses itself: nothing of its scope 'vault:read' is left/],
  ])('[CND4, CFG3] that leaves behind %s is no rule', (_, rule, route, says) => {
    expect(told(rule, route)).toEqual([expect.stringMatching(says)])
  })

  test.each([
    ['a taint that others exclude', 'scope: vault:read, after: { taint: secrets, for: 1h }'],
    ['its own scope', 'scope: vault:read, after: { narrow: [vault:read] }'],
    ['a baseline that holds its scope', 'scope: tickets:read, after: { narrow: baseline }'],
    ['scopes, where it asks for none itself', 'after: { narrow: [tickets:read] }'],
  ])('[CND4] may leave behind %s', (_, rule) => {
    expect(told(rule)).toEqual([])
  })
})

describe('a rate', () => {
  test('[RAT1] is what is written, of requests or of bytes', () => {
    const loaded = result('scope: tickets:read, rates: [{ requests: 100, burst: 2, by: tenant }, { bytes: 1MiB, per: 1h, by: everyone }]', 'rates: [{ requests: 5, per: 1s }]')
    expect(loaded.ok && loaded.settings.policy.routes[0]).toMatchObject({
      rates: [{ requests: 5, bytes: null, per: 1_000, burst: 1, by: 'principal' }],
      rules: [{ rates: [{ requests: 100, bytes: null, per: 60_000, burst: 2, by: 'tenant' }, { requests: null, bytes: 1_048_576, per: 3_600_000, burst: 1, by: 'everyone' }] }],
    })
  })

  test.each([['both', '{ requests: 1, bytes: 1KiB }'], ['neither', '{ per: 1m }']])('[RAT1, CFG3] of %s is none', (_, rate) => {
    expect(told(`scope: tickets:read, rates: [${rate}]`)).toEqual([expect.stringMatching(/exactly one of `requests` and `bytes`/)])
  })
})
