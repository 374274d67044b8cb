// Bypasses by how the gateway is set up and driven: patterns that take for ever, two owners of one path, and the operators' door behind the callers'.
// Cases AZ-008, AZ-011 and AZ-013 of test/cases/bypasses.json.
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load } from '../../src/config/load.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { WORLD } from '../golden/fixture.ts'

const problemsOf = (text: string): readonly string[] => {
  const loaded = load(text, 'gateway.yaml', WORLD)
  return loaded.ok ? [] : loaded.problems.map(({ message }) => message)
}
const configOf = ({ routes = '', upstream = 'http://protected:8080', listeners = '[{ name: main, address: ":8080", serves: [proxy] }, { name: admin, address: "127.0.0.1:9443", serves: [admin] }]' }): string => `
version: 1
server: { listeners: ${listeners} }
authn:
  ci: { jwt: { issuer: https://ci.example, audience: narrowgate } }
upstreams: { api: { url: "${upstream}" } }
routes:
${routes === '' ? '  - { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {} }] }' : routes}
`
const ruled = (condition: string): string => configOf({ routes: `  - { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {}, if: '${condition}' }] }` })

describe('a pattern', () => {
  test.each(['(a+)+$', '(a*)*b', '^(a|a)*$', '^([a-zA-Z]+)*$', '^(a?){30}a{30}$', '.*foo.*bar.*', '(x+x+)+y', '\\\\w+\\\\d+x'])('[AZ-008, CFG5] %s, which could take long on a text that a caller writes, is no configuration', pattern => {
    expect(problemsOf(ruled(`request.path.matches("${pattern}")`))).toHaveLength(1)
    expect(problemsOf(ruled(`request.headers["x-a"].matches("${pattern}")`))).toHaveLength(1)
  })

  test('[AZ-008, CFG5] that a caller writes itself is none either', () => {
    expect(problemsOf(ruled('request.path.matches(request.headers["x-a"])'))).toEqual([expect.stringMatching(/must be a literal/)])
    expect(problemsOf(ruled('request.path.matches("^/v1/[a-z]+/[0-9]+$")'))).toEqual([])
  })

  test('[AZ-008, CFG5] that was taken meets long texts in no time, and one that is longer still is refused', async () => {
    const gate = await TestGateway.start({ routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: { paths: ["/**"] }, scope: base:read, if: 'request.headers["x-a"].matches("^[a-z]*[a-f]*[0-9]$")' }]` })
    try {
      const authorization = `Bearer ${await gate.token()}`
      const began = performance.now()
      const answers: number[] = []
      for (const text of [`${'a'.repeat(500)}1`, 'a'.repeat(1_024), `${'a'.repeat(512)}${'1'.repeat(511)}!`, `${'a'.repeat(4_000)}1`]) answers.push((await gate.ask('GET', '/x', { authorization, 'x-a': text })).status)
      answers.push((await gate.ask('GET', `/${'a/'.repeat(2_000)}x`, { authorization, 'x-a': 'a1' })).status)
      expect(answers.slice(0, 4)).toEqual([200, 403, 403, 403])
      expect(answers[4]).toBeLessThan(500)
      expect(performance.now() - began).toBeLessThan(2_000)
    } finally {
      await gate.stop()
    }
  })
})

describe('two owners of one path', () => {
  const route = (name: string, match: string): string => `  - { name: ${name}, match: ${match}, upstream: api, rules: [{ allow: {} }] }`
  const both = (one: string, other: string): string => configOf({ routes: [route('theirs', one), route('ours', other)].join('\n') })

  test.each([
    ['{ host: api.test }', '{ host: api.test }'], ['{ host: api.test, path: /v1/** }', '{ host: API.test, path: /v1/** }'], ['{ host: api.test, path: "/{tenant}/x" }', '{ host: api.test, path: "/{id}/x" }'], ['{ host: "*.test" }', '{ host: "*.test" }'],
  ])('[AZ-011, CFG2] %s and %s are an error, in either order: no route is put over another’s', (one, other) => {
    expect([problemsOf(both(one, other)), problemsOf(both(other, one))]).toEqual([[expect.stringMatching(/meets the same paths as route 'theirs'/)], [expect.stringMatching(/meets the same paths as route 'theirs'/)]])
  })

  test('[AZ-011, CFG2] a configuration is one text: nothing is included, merged or said twice', () => {
    expect(problemsOf(`${configOf({})}include: [other.yaml]\n`)).not.toEqual([])
    expect(problemsOf(`${configOf({})}routes: []\n`)).not.toEqual([])
    expect(problemsOf(configOf({ routes: `${route('api', '{ host: api.test }')}\n${route('api', '{ host: other.test }')}` }))).toEqual([expect.stringMatching(/there is a route 'api' already/)])
    expect(problemsOf(`${configOf({})}---\nversion: 1\n`)).not.toEqual([])
  })
})

describe('the operators’ door', () => {
  let gate: TestGateway
  let original: string
  beforeAll(async () => {
    gate = await TestGateway.start({ routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: {}, scope: base:read }]` })
    original = readFileSync(gate.configFile, 'utf8')
  })
  afterAll(() => gate.stop())

  const portOf = (name: string): number => gate.gateway.front.bound.get(name)?.address.port ?? 0
  const dialled = async (): Promise<Answer> => gate.ask('GET', '/v1/sessions', { authorization: `Bearer ${await gate.token()}` })

  test.each([
    'http://127.0.0.1:9443', 'http://localhost:9443', 'http://127.1:9443', 'http://2130706433:9443', 'http://0x7f000001:9443', 'http://127.0.0.1:8080', 'http://[::1]:8080', 'http://127.0.0.9:8080', 'http://localhost:8080',
  ])('[AZ-013, ADM15] %s is no upstream: the gateway itself listens there', upstream => {
    expect(problemsOf(configOf({ upstream }))).toEqual([expect.stringMatching(/own listener '(?:main|admin)'/)])
  })

  test('[AZ-013, ADM15] another port or another machine is one', () => {
    for (const upstream of ['http://127.0.0.1:9444', 'http://10.0.0.1:9443', 'http://admin.internal:9443']) expect(problemsOf(configOf({ upstream }))).toEqual([])
  })

  test.each(['admin', 'ops', 'main'])('[AZ-013, WIRE12, ADM15] a route that leads to the listener `%s` all the same reaches nothing: not a byte is sent there', async name => {
    writeFileSync(gate.configFile, original.replace(gate.upstream.origin, `http://localhost:${portOf(name)}`))
    expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200)
    const refused = async (): Promise<unknown> => (await gate.parts.metrics.operatorsRefused.get()).values
    const before = await refused()
    const answer = await dialled()
    expect([answer.status, answer.json['reason']]).toEqual([502, 'upstream_unavailable'])
    expect(await refused(), 'nobody knocked').toEqual(before)
    writeFileSync(gate.configFile, original)
    expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200)
    expect((await dialled()).status).toBe(200)
  })

  async function knock(headers: { readonly [name: string]: string }): Promise<number> {
    const sent = httpRequest({ host: '127.0.0.1', port: portOf('admin'), method: 'POST', path: '/v1/locks', agent: false, headers: { authorization: `Bearer ${gate.adminToken}`, ...headers } })
    sent.end(JSON.stringify({ selector: { all: true }, reason: 'test' }))
    const [{ statusCode = 0 }] = (await once(sent, 'response')) as [IncomingMessage] // what this event carries
    return statusCode
  }

  test('[AZ-013, ADM15] is driven by no page of elsewhere, by no name that somebody else’s DNS points at it, and by nobody without a credential of its own', async () => {
    const port = portOf('admin')
    const json = { 'content-type': 'application/json' }
    expect(await knock({ 'content-type': 'text/plain', origin: 'https://evil.example' })).toBe(403)
    expect(await knock({ ...json, origin: 'https://evil.example' })).toBe(403)
    expect(await knock({ ...json, origin: 'null' })).toBe(403)
    expect(await knock({ ...json, host: `rebound.example:${port}` })).toBeGreaterThanOrEqual(400)
    expect(await knock({ ...json, 'sec-fetch-site': 'cross-site' })).toBe(403)
    expect(await knock({ 'content-type': 'text/plain' })).toBe(415)
    expect(await knock({ ...json, authorization: `Bearer ${await gate.token()}` })).toBe(401)
    expect(gate.parts.mirror.standingLocks()).toEqual([])
    expect((await dialled()).status).toBe(200)
  })
})
