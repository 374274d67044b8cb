// What is said of risk, conduct and step-ups that contradict themselves, or name what is not there.
import { describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { WORLD } from './fixture.ts'

type Parts = { readonly risk?: string; readonly rule?: string; readonly deny?: string; readonly route?: string; readonly profile?: string }

const result = ({ risk, rule = '', deny = '', route = '', profile = '' }: Parts) => load(`
version: 1
authn: { login: { jwt: { issuer: "https://login.example", audience: narrowgate }, kind: agent } }
sessions: { baseline: [{ scopes: [tickets:read] }] }
windows: { night: { timeZone: UTC, open: [{ days: [mon], from: "01:00", to: "02:00" }] } }
notify: { oncall: { webhook: { url: "https://hooks.example/x", secretFile: /run/secret } } }
elevations: { secrets: { adds: [secrets:read], for: 1m${profile} } }
${risk === undefined ? '' : `risk: ${risk}`}
routes:
  - name: api
    match: { host: api.test }
    upstream: "http://api:8080"
${route === '' ? '' : `    ${route}\n`}    rules:
      - { allow: { methods: [GET] }, scope: secrets:read, label: vault${rule} }
      - { deny: { methods: [DELETE] }${deny} }
`, 'gateway.yaml', WORLD)

function told(parts: Parts): readonly string[] {
  const loaded = result(parts)
  return loaded.ok ? [] : loaded.problems.map(({ message }) => message)
}
function policyOf(parts: Parts): Policy {
  const loaded = result(parts)
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('; '))
  return loaded.settings.policy
}
const ruleOf = (parts: Parts) => policyOf(parts).routes[0]?.rules[0]

describe('risk', () => {
  test('[RSK5] without a word nobody is ever less trusted', () => {
    expect(policyOf({}).risk).toMatchObject({ rules: [], levels: [], halfLife: 900_000, hysteresis: 5 })
  })

  test('[RSK1, RSK5, RSK3] what is written is what runs', () => {
    const { risk } = policyOf({ risk: `{
      rules: [{ name: burst, when: 'stats.requestsPerMinute > 120.0 && !window.open("night")', add: 15 }, { name: pivot, sequence: [tickets:read, "label:vault", "route:api"], within: 5m, add: 35 }],
      levels: [{ name: medium, at: 40, do: [notify, stepUp], notify: [oncall] }, { name: high, at: 60, do: [narrow, shorten], narrowTo: [tickets:read], keepTenant: true, shortenTo: 2m }, { name: worst, at: 90, do: [terminate, lock], lockFor: 1h }] }` })
    expect(risk.rules).toMatchObject([{ is: 'when', name: 'burst', every: 60_000 }, { is: 'sequence', steps: ['tickets:read', 'label:vault', 'route:api'], within: 300_000 }])
    expect(risk.levels).toMatchObject([
      { at: 40, acts: { notify: ['oncall'], stepUp: true, freeze: false } }, { at: 60, acts: { narrow: { to: ['tickets:read'], ownTenant: true }, shorten: 120_000 } }, { at: 90, acts: { terminate: true, lock: 3_600_000 } },
    ])
  })

  test('[RSK10] what stands at a level stands above it too: nobody gains by being trusted less', () => {
    const { levels } = policyOf({ risk: '{ levels: [{ name: a, at: 20, do: [stepUp] }, { name: b, at: 40, do: [narrow], narrowTo: [tickets:read], keepTenant: true }, { name: c, at: 60, do: [notify, narrow], notify: [oncall] }, { name: d, at: 80, do: [freeze] }, { name: e, at: 90, do: [terminate] }, { name: f, at: 99, do: [shorten] }] }' }).risk
    expect(levels.map(({ acts: { notify, stepUp, narrow, freeze, terminate } }) => [notify !== null, stepUp, narrow, freeze, terminate])).toEqual([
      [false, true, null, false, false], [false, true, { to: ['tickets:read'], ownTenant: true }, false, false], [true, true, { to: null, ownTenant: true }, false, false],
      [false, true, { to: null, ownTenant: true }, true, false], [false, true, { to: null, ownTenant: true }, true, true], [false, true, { to: null, ownTenant: true }, true, true],
    ])
  })

  test.each([
    ['a level below another', '{ levels: [{ name: a, at: 60, do: [freeze] }, { name: b, at: 40, do: [narrow] }] }', /must be above level 'a'/],
    ['two levels of a name', '{ levels: [{ name: a, at: 40, do: [freeze] }, { name: a, at: 60, do: [narrow] }] }', /there is a level 'a' already/],
    ['a level that is never left', '{ levels: [{ name: a, at: 5, do: [freeze] }] }', /must be above `hysteresis`/],
    ['an act without its word', '{ levels: [{ name: a, at: 40, do: [freeze], lockFor: 1h }] }', /no meaning without `lock`/],
    ['a tenant that nothing narrows', '{ levels: [{ name: a, at: 40, do: [freeze], keepTenant: true }] }', /no meaning without `narrow`/],
    ['a notice to nobody', '{ levels: [{ name: a, at: 40, do: [notify] }] }', /tells nobody/],
    ['a channel that is not there', '{ levels: [{ name: a, at: 40, do: [notify], notify: [chat] }] }', /there is no channel 'chat'/],
    ['two rules of a name', '{ rules: [{ name: a, when: "stats.sessions > 1.0", add: 1 }, { name: a, when: "stats.sessions > 2.0", add: 1 }] }', /there is a rule 'a' already/],
    ['a rule that says nothing', '{ rules: [{ name: a, add: 1 }] }', /exactly one of `when` and `sequence`/],
    ['a rule that says both', '{ rules: [{ name: a, when: "stats.sessions > 1.0", sequence: [tickets:read], add: 1 }] }', /exactly one of `when` and `sequence`/],
    ['a scope nobody asks for', '{ rules: [{ name: a, sequence: [tickets:raed, secrets:read], add: 1 }] }', /no rule asks for the scope/],
    ['a label no rule has', '{ rules: [{ name: a, sequence: ["label:valut"], add: 1 }] }', /no rule has the label/],
    ['a route that is not there', '{ rules: [{ name: a, sequence: ["route:apis"], add: 1 }] }', /there is no route/],
    ['a window that is not there', `{ rules: [{ name: a, when: '!window.open("nigth")', add: 1 }] }`, /there is no window 'nigth'/],
    ['a window without a literal', `{ rules: [{ name: a, when: 'window.open(subject.kind)', add: 1 }] }`, /must be a literal/],
    ['what only other conditions read', '{ rules: [{ name: a, when: "elevation.profile == \'x\'", add: 1 }] }', /condition, column/],
    ['points below zero', '{ rules: [{ name: a, when: "stats.sessions > 1.0", add: -1 }] }', /expected a number of points/],
    ['an answer that covers for ever', '{ stepUp: { covers: session } }', /cover it for ever/],
    ['a sign-in nobody takes', '{ stepUp: { by: [approval], acr: [gold] } }', /not among `by`/],
  ])('[CFG3, RSK1, RSK5] %s is refused', (_, risk, says) => {
    expect(told({ risk })).toEqual([expect.stringMatching(says)])
  })

  test('[CFG3, RSK3] sequences of more steps than are remembered of a caller are refused', () => {
    const sequences = (count: number): string => Array.from({ length: count }, (_, i) => `{ name: r${i}, sequence: [${Array.from({ length: 8 }, (__, j) => `s:${i}${j}`).join(', ')}], add: 1 }`).join(', ')
    expect(told({ risk: `{ rules: [${sequences(9)}] }` })).toContainEqual(expect.stringMatching(/sequences name 72 steps, and 64/))
    expect(told({ risk: `{ rules: [${sequences(8)}] }` })).not.toContainEqual(expect.stringMatching(/sequences name/))
  })
})

describe('conduct and step-ups of rules', () => {
  test('[STU1] a rule takes what it does not say from `risk.stepUp`', () => {
    const risk = '{ levels: [{ name: medium, at: 40, do: [stepUp] }], stepUp: { by: [approval], within: 30s, onTimeout: terminate } }'
    expect(ruleOf({ risk, rule: ', stepUp: always' })?.stepUp).toMatchObject({ at: 0, rules: { by: ['approval'], within: 30_000, onTimeout: 'terminate', covers: 'request', uses: 1 } })
    expect(ruleOf({ risk, rule: ', stepUp: { at: medium, covers: session, for: 10m }' })?.stepUp).toMatchObject({ at: 40, rules: { covers: 'session', uses: null, for: 600_000, within: 30_000 } })
  })

  test('[RSK11] a profile ends at the lowest of the levels it names, beside what else ends it', () => {
    const risk = '{ levels: [{ name: medium, at: 40, do: [stepUp] }, { name: high, at: 60, do: [narrow] }] }'
    expect(policyOf({ risk, profile: ', endWhen: [risk.high, risk.medium]' }).profiles.get('secrets')).toMatchObject({ endsAtRisk: 40, endWhen: [] })
    expect(policyOf({ risk }).profiles.get('secrets')).toMatchObject({ endsAtRisk: null })
  })

  test.each<readonly [string, Parts, RegExp]>([
    ['a level that is not there', { rule: ', stepUp: { at: medium }' }, /there is no level 'medium'/],
    ['an end at a level that is not there', { profile: ', endWhen: [risk.hihg]' }, /there is no level 'hihg'/],
    ['strikes without a denial', { rule: ', onHit: { addRisk: 1 }' }, /only with `deny`/],
    ['strikes that nothing follows from', { deny: ', onHit: { strikes: 3 }' }, /nothing follows from it/],
    ['a time of what has none', { deny: ', onHit: { do: terminate, for: 1h }' }, /only with `do: freeze` and `do: lock`/],
    ['a taint that nothing gives', { rule: ', notAfter: [secrets]' }, /no rule gives the taint 'secrets'/],
    ['nothing left behind', { rule: ', after: { of: principal }' }, /nothing is left behind/],
    ['a time without a taint', { rule: ', after: { shorten: 1m, for: 1h }' }, /only with `taint`/],
    ['a rate of both', { rule: ', rates: [{ requests: 1, bytes: 1 }]' }, /exactly one of `requests` and `bytes`/],
    ['a rate of nothing', { route: 'rates: [{ per: 1m }]' }, /exactly one of `requests` and `bytes`/],
    ['aftereffects of a denial', { deny: ', after: { shorten: 1m }' }, /no meaning with `deny`/],
    ['a step-up of a denial', { deny: ', stepUp: always' }, /no meaning with `deny`/],
  ])('[CFG3, CND1, CND4, RAT1] %s is refused', (_, parts, says) => {
    expect(told(parts)).toEqual([expect.stringMatching(says)])
  })
  test('[CFG3, CND3] whom nobody knows is not kept from anywhere: an anonymous rule has no `notAfter`, and is on no route that has it', () => {
    const anonymous = (more = '') => ` }\n      - { allow: { paths: ["/pub"] }, anonymous: true${more}`
    expect(told({ rule: ', after: { taint: pii }', deny: anonymous(', notAfter: [pii]') })).toEqual([expect.stringMatching(/no session, so `notAfter` would never be asked/)])
    expect(told({ route: 'notAfter: [pii]', deny: anonymous() })).toContainEqual(expect.stringMatching(/gets here all the same, without a credential/))
    expect(told({ rule: ', after: { taint: pii }', deny: anonymous() })).toEqual([])
  })
})
