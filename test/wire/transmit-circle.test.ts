// One gateway that tells another: what the one knows of a caller counts at the other, however it gets there, and both keep to the same standard.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/free-port.ts'
import { eventually } from '../support/redis-server.ts'
import { PUSH_TOKEN, TOKEN, transmitting } from './transmit-stage.ts'

const ends: (() => Promise<unknown> | void)[] = []
afterEach(async () => { for (const end of ends.splice(0).toReversed()) await end() })

const RISK = "risk: { rules: [{ name: streak, when: 'stats.refusals5m >= 2.0', add: 50 }], levels: [{ name: out, at: 40, do: [shorten], shortenTo: 1h }] }"

test.each(['poll', 'push'] as const)('[TRM3, TRM4, TRM5] a caller that is at high risk at one gateway is held at the other, which has it by %s', async delivery => {
  const [port, ears] = [await freePort(), await freePort()]
  const [origin, there] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${ears}`]
  const teller = await TestGateway.start(transmitting({ issuer: origin, port, pushTo: there, more: RISK }))
  ends.push(() => teller.stop())
  const files = mkdtempSync(join(tmpdir(), 'ng-circle-'))
  ends.push(() => rmSync(files, { recursive: true }))
  writeFileSync(join(files, 'token'), delivery === 'push' ? PUSH_TOKEN : TOKEN)
  const hearer = await TestGateway.start({
    routes: '', issuer: teller.issuer,
    config: ({ directory, issuer, upstream }) => {
      copyFileSync(join(files, 'token'), join(directory, 'token'))
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: ears, address: "127.0.0.1:${ears}", serves: [signals] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent, claims: { tenant: org } } }
sessions: { baseline: [{ scopes: [api:base] }] }
telemetry: { logs: { level: silent } }
routes: [{ name: api, match: { host: api.test }, upstream: { url: "${upstream.origin}" }, rules: [{ allow: { paths: [/base/**] }, scope: api:base }] }]
signals:
  ssf: [{ name: gw, transmitter: "${origin}", delivery: ${delivery}, tokenFile: ${directory}/token, issuers: ["${issuer.issuer}"]${delivery === 'push' ? `, endpoint: "${there}/ssf/events/gw"` : ''} }]
`
    },
  })
  ends.push(() => hearer.stop())
  const token = await teller.token({ sub: 'rogue', org: 'acme' })
  const headers = { authorization: `Bearer ${token}` }
  expect((await hearer.ask('GET', '/base/x', headers)).status).toBe(200)
  const { id: session } = await hearer.session(token)
  await eventually('there is a stream', 10_000, async () => (/"ssf.stream|enabled/.test((await teller.parts.store.kept(`ssf.told.${delivery === 'push' ? 'pushed' : 'poller'}`)) ?? '') ? 'there' : null))
  await eventually('its level is high', 10_000, async () => {
    await teller.ask('GET', '/never', headers)
    await teller.trail()
    return /event="risk-level-change",outcome="queued"/.test((await teller.ops('/metrics')).text) ? 'high' : null
  })
  await eventually('it is held', 10_000, async () => (hearer.parts.mirror.byId(session)?.record.frozen == null ? null : 'held'))
  const held = await hearer.ask('GET', '/base/x', headers)
  expect(held.json['reason']).toBe('frozen')
  expect((await teller.ask('GET', '/base/x', headers)).status).toBe(200) // that one only tells
}, 40_000)
