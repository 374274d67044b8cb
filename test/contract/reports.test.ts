// The two reports over a real gateway's own trail: what stands open without an elevation, what profiles give beyond their use, what enforcing would refuse.
import { statSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readRecent } from '../../src/audit/recent.ts'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { instant } from '../../src/core/time.ts'
import { TestGateway } from '../support/gateway.ts'

type Json = Record<string, unknown>

let gate: TestGateway

beforeAll(async () => {
  gate = await TestGateway.start({
    baseline: '[{ scopes: [base:read] }, { when: \'subject.claims.role == "lead"\', scopes: [api:lead] }]',
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: [/read/**] }, scope: base:read }
    - { allow: { paths: [/lead/**] }, scope: api:lead }
    - { allow: { paths: [/write/**] }, scope: api:write }
    - { allow: {} }
- name: tried
  match: { host: tried.test }
  upstream: api
  mode: observe
  rules:
    - { allow: { paths: [/write/**] }, scope: api:write }
    - { allow: { paths: [/read/**] }, scope: base:read }
- name: quiet
  match: { host: quiet.test }
  upstream: api
  mode: observe
  rules: [{ allow: {}, scope: base:read }]`,
    elevations: `
wide: { adds: [api:write, api:lead, api:never], for: 10m }
idle: { adds: [api:write], for: 10m }
never: { adds: [api:write], for: 10m }
counted: { adds: [api:write], for: 1s, limits: { uses: 9 } }`,
  })
})
afterAll(() => gate.stop())

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const visit = async (token: string, path: string, host = 'api.test'): Promise<number> => (await gate.ask('GET', path, { host, ...bearer(token) })).status
const report = async (name: string): Promise<Json> => {
  const { status, json, text } = await gate.admin('GET', `/v1/reports/${name}`)
  expect(status, text).toBe(200)
  return json
}
const rows = (value: Json, list: string): readonly Json[] => value[list] as readonly Json[]
const named = (list: readonly Json[], name: string): Json | undefined => list.find(row => row['name'] === name || row['scope'] === name)

async function cli(...words: readonly string[]): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
  const said = { out: '', err: '' }
  const exit = await runCommandLine(words, {
    out: text => { said.out += text }, err: text => { said.err += text },
    env: { NARROWGATE_SERVER: `http://${gate.gateway.front.address('admin')}`, NARROWGATE_TOKEN_FILE: `${gate.directory}/state/admin.token` },
    onSignal: () => () => {}, quit: () => {}, demo: async () => true,
  })
  return { exit, ...said }
}

test('[RPT1] says who reaches what without an elevation, what needs no scope, and what profiles give beyond their use', async () => {
  const [one, two, lead] = [await gate.token(), await gate.token({ sub: 'two' }), await gate.token({ sub: 'lead', role: 'lead' })]
  for (const token of [one, two, lead]) expect(await visit(token, '/read/1')).toBe(200)
  await gate.elevate(one, 'wide')
  expect([await visit(one, '/write/1'), await visit(one, '/write/2')]).toEqual([200, 200])
  await gate.elevate(two, 'idle')
  const told = await report('privilege')
  expect(told['whole']).toBe(true)
  expect(named(rows(told, 'baseline'), 'base:read')).toMatchObject({ when: ['everybody'], principals: 3, rules: ['api#1', 'tried#2', 'quiet#1'], addedBy: [] })
  expect(named(rows(told, 'baseline'), 'api:lead')).toMatchObject({ when: ['subject.claims.role == "lead"'], principals: 1, examples: [`${gate.issuer.issuer}|lead`], addedBy: ['wide'] })
  expect(rows(told, 'withoutScope')).toEqual([{ route: 'api', rule: 'api#4', anonymous: false, mode: 'enforce', if: null }])
  const profiles = rows(told, 'profiles')
  expect(named(profiles, 'wide')).toMatchObject({ granted: 1, neverUsed: 0, uses: 2, mostUses: 2, unusedScopes: ['api:lead', 'api:never'], findings: ['longer_than_its_use', 'wider_than_its_use'] })
  expect(named(profiles, 'idle')).toMatchObject({ granted: 1, neverUsed: 1, uses: 0, findings: ['never_used'] })
  expect(named(profiles, 'never')).toMatchObject({ granted: 0, findings: ['never_granted'] })
}, 20_000)

test('[RPT1] a use is counted from first to last, against the limit that was given', async () => {
  const token = await gate.token()
  await gate.elevate(token, 'counted')
  expect(await visit(token, '/write/1')).toBe(200)
  await new Promise(resolve => setTimeout(resolve, 700))
  expect(await visit(token, '/write/2')).toBe(200)
  const counted = named(rows(await report('privilege'), 'profiles'), 'counted')
  expect(counted).toMatchObject({ uses: 2, limitUses: 9, longestUsedSeconds: 1, findings: ['more_uses_than_used'] })
}, 20_000)

test('[RPT2] lists what enforcing would have refused, by route, rule, reason and subject, and routes where that is nothing', async () => {
  const [one, two] = [await gate.token({ sub: 'one' }), await gate.token({ sub: 'two' })]
  for (const token of [one, one, two]) expect(await visit(token, '/write/1', 'tried.test')).toBe(200)
  expect([await visit(one, '/read/1', 'tried.test'), await visit(one, '/x', 'quiet.test')]).toEqual([200, 200])
  const told = await report('observed')
  expect(rows(told, 'routes')).toEqual([{ route: 'tried', requests: 4, wouldRefuse: 3 }, { route: 'quiet', requests: 1, wouldRefuse: 0 }])
  const of = (subject: string, requests: number) => expect.objectContaining({ route: 'tried', rule: 'tried#1', reason: 'elevation_required', subject: `${gate.issuer.issuer}|${subject}`, requests, methods: ['GET'] })
  expect(rows(told, 'refusals')).toEqual([of('one', 2), of('two', 1)])
}, 20_000)

test('[RPT1, RPT2, ADM10] the command line tells both, and says where a part is all there is', async () => {
  const [privilege, observed] = [await cli('report', 'privilege', '--since', '1d'), await cli('report', 'observed', '-o', 'json')]
  expect([privilege.exit, observed.exit, privilege.err, observed.err]).toEqual([0, 0, '', ''])
  expect(privilege.out).toMatch(/^wide +1 +0 +10m/m)
  expect(Object.keys(JSON.parse(observed.out) as Json)).toEqual(['since', 'until', 'whole', 'routes', 'refusals'])
  expect((await cli('report', 'observed', '--since', 'long')).exit).toBe(2)
  const { status } = await gate.admin('GET', '/v1/reports/observed?since=1x')
  expect(status).toBe(400)
}, 20_000)

test('[RPT1] reads the newest end of a long trail, and tells that there was more', async () => {
  await gate.trail()
  const { size } = statSync(gate.trailFile)
  const read = async (most: number) => {
    let lines = 0
    const { isAll } = await readRecent([gate.trailFile], ['fact', 'exchange.opened'], instant(0), () => { lines++ }, most)
    return { isAll, lines }
  }
  const [all, half] = [await read(size + 1), await read(Math.floor(size / 2))]
  expect([all.isAll, half.isAll]).toEqual([true, false])
  expect(half.lines).toBeGreaterThan(0)
  expect(half.lines).toBeLessThan(all.lines)
})
