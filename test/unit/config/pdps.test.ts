// What is said of policy decision points and of rules that ask them.
import { describe, expect, test } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import { loaded, problems, WORLD } from './fixture.ts'

type Parts = { readonly pdps?: string; readonly route?: string; readonly rule?: string; readonly allow?: string; readonly more?: string }
const text = ({ pdps = 'main: { url: "https://pdp.example" }', route = '', rule = ', decision: { pdp: main }', allow = 'allow: { paths: ["/things/{thing}"] }', more = '' }: Parts): string => `
version: 1
authn: { login: { jwt: { issuer: "https://login.example", audience: narrowgate } } }
pdps: { ${pdps} }
${more}
routes:
  - name: api
    match: { host: api.test, path: "/things/**" }
    upstream: "http://api:8080"
    ${route}
    rules:
      - { ${allow}${rule} }
      - { allow: { paths: ["/things/*/plain"] } }
      - { deny: {} }
`
const decisions = (parts: Parts) => loaded(text(parts)).policy.routes[0]?.rules.map(({ decision }) => decision)

describe('a policy decision point', () => {
  test('[PEP1] is taken with what is not written', () => {
    expect([...loaded(text({})).pdps.values()]).toEqual([{ name: 'main', url: 'https://pdp.example', discover: true, tokenFile: null, caFile: null, timeout: duration(100) }])
  })

  test.each([
    ['an address in clear text', 'main: { url: "http://pdp.example" }', /must not be read or changed on the way/],
    ['no address', 'main: { url: "pdp.example" }', /expected an https URL/],
    ['credentials in it', 'main: { url: "https://a:b@pdp.example" }', /expected an https URL/],
    ['a fragment', 'main: { url: "https://pdp.example/#a" }', /expected an https URL/],
    ['an identifier with a query', 'main: { url: "https://pdp.example/?tenant=a" }', /an identifier has no query/],
  ])('[CFG3, PEP1] %s is refused', (_, pdps, says) => {
    expect(problems(text({ pdps }))).toEqual([expect.stringMatching(says)])
  })

  test('[CFG3, PEP1] a file that is not there is told', () => {
    expect(problems(text({ pdps: 'main: { url: "https://pdp.example", tokenFile: /run/token }' }), { ...WORLD, exists: () => false })).toEqual([expect.stringMatching(/\/run\/token does not exist/)])
  })

  test('[PEP1] without metadata its address may have a query, and on this machine be in clear text', () => {
    expect(problems(text({ pdps: 'main: { url: "https://pdp.example/x?y", discover: false }' }))).toEqual([])
    expect(problems(text({ pdps: 'main: { url: "http://127.0.0.1:8181" }' }))).toEqual([])
  })
})

describe('a rule that asks it', () => {
  test('[PEP1] asks what is written, and otherwise what is asked of everybody', () => {
    const [own] = decisions({ rule: ', decision: { pdp: main, subject: { id: subject.claims.email, properties: { team: subject.claims.team } }, context: { thing: path.thing } }' }) ?? []
    expect(own).toMatchObject({ pdp: 'main', for: duration(10_000), notify: [], subject: { type: null, id: { source: 'subject.claims.email' } }, resource: { type: null, id: null } })
    expect([...(own?.subject.properties.keys() ?? []), ...(own?.context.keys() ?? [])]).toEqual(['team', 'thing'])
  })

  test('[PEP2] is another one for every change of what it asks, and of whom', () => {
    const digests = ['', ', for: 9s', ', context: { a: path.thing }', ', obligations: {}'].map(more => decisions({ rule: `, decision: { pdp: main${more} }` })?.[0]?.digest)
    const elsewhere = decisions({ pdps: 'main: { url: "https://other.example" }' })?.[0]?.digest
    expect(new Set([...digests, elsewhere]).size).toBe(4)
    expect([digests[0], decisions({ more: 'telemetry: { logs: { level: debug } }' })?.[0]?.digest]).toEqual([digests[3], digests[0]])
  })

  test('[PEP1] the route’s counts for its rules, but for those with their own, denials and anonymous ones', () => {
    const made = decisions({ pdps: 'main: { url: "https://a.example" }, other: { url: "https://b.example" }', route: 'decision: { pdp: other }' })
    expect(made?.map(decision => decision?.pdp)).toEqual(['main', 'other', undefined])
    expect(decisions({ route: 'decision: { pdp: main }', rule: '', allow: 'allow: {}, anonymous: true' })?.[0]).toBeNull()
  })

  test.each<readonly [string, Parts, RegExp]>([
    ['one that is not there', { rule: ', decision: { pdp: mian }' }, /no policy decision point 'mian'/],
    ['without a session', { rule: ', anonymous: true, decision: { pdp: main }' }, /anonymous rule has no session/],
    ['with a denial', { allow: 'deny: {}' }, /has no meaning with `deny`/],
    ['with an expression that is none', { rule: ', decision: { pdp: main, subject: { id: "subject." } }' }, /condition, column/],
    ['with a parameter that its paths have not', { rule: ', decision: { pdp: main, resource: { id: path.other } }' }, /no path pattern here has a parameter 'other'/],
    ['by the elevation, which is told as a whole', { rule: ', decision: { pdp: main, context: { e: elevation.id } }' }, /`elevation` cannot be read here/],
    ['with a body that nobody reads', { rule: ', decision: { pdp: main, context: { e: body.id } }' }, /nobody reads the `body`/],
    ['with a channel that is not there', { rule: ', decision: { pdp: main, obligations: { notify: [desk] } }' }, /no channel 'desk'/],
    ['with a header in another case', { rule: ', decision: { pdp: main, context: { e: "request.headerValues[\'X-Tier\']" } }' }, /header names are lower case/],
    ['for longer than an answer may count', { rule: ', decision: { pdp: main, for: 11m }' }, /at most 10m/],
  ])('[CFG3, PEP1] %s is refused', (_, parts, says) => {
    expect(problems(text(parts))).toEqual([expect.stringMatching(says)])
  })

  test('[CFG3, PEP1] what is wrong with the route’s is told once', () => {
    expect(problems(text({ rule: '', route: 'decision: { pdp: main, context: { e: "subject." } }' }))).toHaveLength(1)
  })
})
