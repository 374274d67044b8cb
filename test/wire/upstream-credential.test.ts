// What upstreams are shown for one elevation, or one session on its baseline: obtained from a real authorization server or a giver of leases, shown to nobody
// else, taken back when that is over. SPEC: CRD3, CRD6-CRD8, CRD10, CRD12
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually } from '../support/redis-server.ts'
import { type Behaviour, CLIENT_SECRET, LEASE_SECRET, TokenService } from '../support/token-service.ts'
import { until } from './support.ts'

let service: TokenService
let upstream: RecordingUpstream
let gate: TestGateway

const KINDS = ['own', 'swap', 'lease'] as const
type Kind = (typeof KINDS)[number]

beforeAll(async () => {
  ;[service, upstream] = await Promise.all([TokenService.start(), RecordingUpstream.start()])
  gate = await TestGateway.start({
    routes: '', upstream,
    config: ({ directory, issuer }) => {
      writeFileSync(`${directory}/client-secret`, `${CLIENT_SECRET}\n`, { mode: 0o600 })
      writeFileSync(`${directory}/lease-secret`, `${LEASE_SECRET}\n`, { mode: 0o600 })
      const client = `clientId: gateway, clientSecretFile: ${directory}/client-secret`
      const revoke = `revoke: { url: "${service.origin}/token/revocation", alarmAfter: 1s }`
      const at = `url: "${upstream.origin}", timeout: 5s`
      const route = (name: string): string => `  - { name: ${name}, match: { path: /${name}/** }, upstream: ${name}, rules: [{ allow: { paths: [/${name}/base/**] }, scope: base:read }, { allow: { paths: [/${name}/**] }, scope: extra:use }] }`
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent } }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams:
  own: { ${at}, credential: { clientCredentials: { tokenUrl: "${service.origin}/token", ${client}, scope: crm:read }, ${revoke}, timeout: 500ms } }
  swap: { ${at}, credential: { exchange: { url: "${service.origin}/token", ${client}, auth: post, audience: crm }, ${revoke} } }
  lease:
    ${at.replace(', timeout', '\n    timeout')}
    credential:
      header: x-crm-key
      prefix: ""
      lease:
        tokenFile: ${directory}/lease-secret
        obtain: { url: "${service.origin}/v1/creds/crm", method: GET, token: /data/token, lease: /lease_id, ttl: /lease_duration }
        revoke: { url: "${service.origin}/v1/sys/leases/revoke", body: { lease_id: "{lease}" }, alarmAfter: 1s }
telemetry: { logs: { level: silent } }
routes:
${KINDS.map(route).join('\n')}
elevations:
  long: { adds: [extra:use], for: 10m }
`
    },
  })
})
afterEach(() => {
  service.behaviours.clear()
  service.asked.length = 0
})
afterAll(async () => {
  await gate.stop()
  await Promise.all([service.close(), upstream.close()])
})

const PLACES: { readonly [kind in Kind]: { readonly header: string; readonly obtain: string; readonly revoke: string } } = {
  own: { header: 'authorization', obtain: '/token', revoke: '/token/revocation' },
  swap: { header: 'authorization', obtain: '/token', revoke: '/token/revocation' },
  lease: { header: 'x-crm-key', obtain: '/v1/creds/crm', revoke: '/v1/sys/leases/revoke' },
}

let turn = 0
type Held = { readonly token: string; readonly elevation: string }
async function elevated(): Promise<Held> {
  const token = await gate.token({ sub: `user-${++turn}`, sid: `s-${turn}` })
  return { token, elevation: await gate.elevate(token, 'long') }
}

const asks = (token: string, path: string): Promise<Answer> => gate.ask('GET', path, { authorization: `Bearer ${token}` })
const shownAt = (path: string, header: string): readonly string[] => upstream.requests.filter(({ path: of }) => of === path).flatMap(request => [...request.header(header)])
const ends = ({ elevation }: Held): Promise<Answer> => gate.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'done' })
const linesOf = async (kind: string, elevation: string): Promise<readonly Record<string, unknown>[]> => (await gate.trail()).filter(line => line['kind'] === kind && line['elevation'] === elevation)

const onRecord = (kind: string, elevation: string): Promise<readonly Record<string, unknown>[]> =>
  eventually(`${kind} of ${elevation}`, 10_000, () => linesOf(kind, elevation).then(lines => (lines.length > 0 ? lines : null)))

describe.each(KINDS)('obtained by %s', kind => {
  const { header, obtain, revoke } = PLACES[kind]

  test('[CRD3, CRD6] one is obtained for all requests of an elevation, and another for the session on its baseline; each goes with its own', async () => {
    const held = await elevated()
    const path = `/${kind}/${turn}`
    const answers = await Promise.all(Array.from({ length: 8 }, () => asks(held.token, path)))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    const own = new Set(shownAt(path, header))
    expect(own.size).toBe(1)
    await asks(held.token, `/${kind}/base/${turn}`)
    const [base = ''] = shownAt(`/${kind}/base/${turn}`, header)
    expect(own).not.toContain(base)
    expect(service.at(obtain)).toHaveLength(2)
    expect(await Promise.all([...own, base].map(shown => service.direct(shown)))).toEqual([200, 200])
    await ends(held)
  })

  test('[CRD7, CRD8] its end has it taken back, and that confirmed on record; what was captured counts nowhere any more, and what is at rest goes on', async () => {
    const held = await elevated()
    const path = `/${kind}/${turn}`
    await asks(held.token, path)
    await asks(held.token, `/${kind}/base/${turn}`)
    const [captured = '', resting = ''] = [...shownAt(path, header), ...shownAt(`/${kind}/base/${turn}`, header)]
    expect(await service.direct(captured)).toBe(200)
    expect((await ends(held)).status).toBe(200)
    await until(() => service.at(revoke).length > 0, 'the revocation')
    await onRecord('credential.revoked', held.elevation)
    expect([await service.direct(captured), await service.direct(resting)]).toEqual([401, 200])
    expect((await asks(held.token, path)).json['reason']).toBe('elevation_required')
    const [obtained] = await linesOf('credential.obtained', held.elevation)
    const [revoked] = await onRecord('credential.revoked', held.elevation)
    expect(obtained).toMatchObject({ credential: expect.stringMatching(/^cred_[a-z2-7]{26}$/), upstream: kind, lease: kind === 'lease' ? expect.stringMatching(/^creds\/crm\//) : null, until: expect.any(Number) })
    expect(revoked).toMatchObject({ credential: obtained?.['credential'], attempts: 1, ms: expect.any(Number), confirmedAt: expect.any(Number) })
    const [opened] = (await gate.trail()).filter(line => line['kind'] === 'exchange.opened' && line['path'] === path)
    expect(opened).toMatchObject({ upstreamCredential: obtained?.['credential'] })
  })
})

test('[CRD3] what a caller sends in its place stays here, under every spelling', async () => {
  const held = await elevated()
  const path = `/lease/${turn}`
  expect((await gate.ask('GET', path, { authorization: `Bearer ${held.token}`, 'X-CRM-Key': 'forged', x_crm_key: 'forged' })).status).toBe(200)
  const head = upstream.requests.find(({ path: of }) => of === path)?.rawHead ?? ''
  expect(head).not.toContain('forged')
  expect(head).not.toContain(held.token)
  expect(head).toContain(`x-crm-key: ${service.leases.at(-1)?.token ?? ''}\r\n`)
  await ends(held)
})

describe('a token exchange', () => {
  test('[CRD3] is of what the caller showed, and names who acts by the gateway’s own word; that is signed for nobody else', async () => {
    const held = await elevated()
    expect((await asks(held.token, `/swap/${turn}`)).status).toBe(200)
    const params = new URLSearchParams(service.at('/token')[0]?.body)
    const { sub, exp = 0, ...shown } = Object.fromEntries(params) as { readonly [name: string]: string | number } // a form
    expect([sub, exp]).toEqual([undefined, 0])
    const type = 'urn:ietf:params:oauth:token-type:'
    expect(shown).toMatchObject({ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: held.token, subject_token_type: `${type}access_token`, actor_token_type: `${type}jwt`, audience: 'crm', client_id: 'gateway' })
    const { payload } = await jwtVerify(String(shown['actor_token']), createLocalJWKSet(gate.parts.minter.jwks as Parameters<typeof createLocalJWKSet>[0]), { audience: 'swap' }) // public keys
    expect(payload).toMatchObject({ elevation: held.elevation, sub: `${gate.issuer.issuer}|user-${turn}` })
    expect(await service.introspect((shownAt(`/swap/${turn}`, 'authorization')[0] ?? '').slice('Bearer '.length))).toMatchObject({ active: true, sub: `user-${turn}`, act: { sub: payload.sub } })
    await ends(held)
  })
})

describe('where it cannot be had', () => {
  const faults: readonly (readonly [what: string, behaviour: Behaviour])[] = [
    ['the endpoint says nothing', 'hang'], ['fails', 500], ['refuses', 400], ['sends elsewhere', 302], ['answers with no JSON', { body: 'access_token=x' }], ['answers with an array', { body: '[]' }],
    ['answers with a member twice', { body: '{"access_token":"a","access_token":"b"}' }], ['gives no token', { body: '{"token_type":"Bearer"}' }], ['gives a token of two lines', { body: '{"access_token":"a\\r\\nx: y"}' }],
    ['gives one that is too long', { body: JSON.stringify({ access_token: 'x'.repeat(8_193) }) }], ['gives one that asks for a proof', { body: '{"access_token":"a","token_type":"DPoP"}' }],
    ['gives one that lives no more', { body: '{"access_token":"a","expires_in":0}' }], ['says more than anybody reads', { body: `{"access_token":"a","more":"${'x'.repeat(70_000)}"}` }],
  ]

  test.each(faults)('[CRD3, CRD4] %s: 503 in time, no byte goes upstream, and the next one may pass', async (_, behaviour) => {
    const held = await elevated()
    const path = `/own/${turn}`
    service.behaviours.set('/token', behaviour)
    const [before, began] = [upstream.receivedBytes, performance.now()]
    const { status, json, headers, text } = await asks(held.token, path)
    expect([status, json['reason'], headers['retry-after']]).toEqual([503, 'credential_unavailable', '1'])
    expect(performance.now() - began).toBeLessThan(2_500)
    expect(upstream.receivedBytes).toBe(before)
    expect(text).not.toContain('127.0.0.1')
    expect((await gate.trail()).filter(line => line['kind'] === 'request.refused' && line['path'] === path)).toMatchObject([{ reason: 'credential_unavailable' }])
    service.behaviours.clear()
    await eventually('it is had', 10_000, async () => ((await asks(held.token, path)).status === 200 ? true : null))
    await ends(held)
  })
})

describe('taking back', () => {
  test('[CRD8] is tried until it is confirmed; nobody confirms it in time, and that is an alarm', async () => {
    const held = await elevated()
    await asks(held.token, `/own/${turn}`)
    const [captured = ''] = shownAt(`/own/${turn}`, 'authorization')
    service.behaviours.set('/token/revocation', 503)
    await ends(held)
    const [alarm] = await onRecord('credential.not_revoked', held.elevation)
    expect(alarm).toMatchObject({ upstream: 'own', because: expect.stringContaining('answered 503') })
    expect(alarm?.['ms']).toBeGreaterThanOrEqual(900)
    expect(await linesOf('credential.revoked', held.elevation)).toEqual([])
    expect((await gate.ops('/metrics')).text).toMatch(/narrowgate_credential_revocations_total\{upstream="own",outcome="alarm"\} [1-9]/)
    expect(await service.direct(captured)).toBe(200)
    service.behaviours.clear()
    const [revoked] = await onRecord('credential.revoked', held.elevation)
    expect(Number(revoked?.['attempts'])).toBeGreaterThan(2)
    expect(await service.direct(captured)).toBe(401)
    expect(await linesOf('credential.not_revoked', held.elevation)).toHaveLength(1)
  })

  test('[CRD8] that is refused is an alarm at once', async () => {
    const held = await elevated()
    await asks(held.token, `/own/${turn}`)
    service.behaviours.set('/token/revocation', 400)
    await ends(held)
    const [alarm] = await onRecord('credential.not_revoked', held.elevation)
    expect(alarm?.['ms']).toBeLessThan(900)
  })

  const session = async ({ token }: Held): Promise<string> => (await gate.session(token)).id
  const overs: readonly (readonly [what: string, act: (held: Held) => Promise<unknown>])[] = [
    ['its caller gives it back', held => gate.ask('POST', `/.narrowgate/elevations/${held.elevation}/release`, { authorization: `Bearer ${held.token}`, 'content-type': 'application/json' }, '{}')],
    ['its session is terminated', async held => gate.admin('POST', `/v1/sessions/${await session(held)}/terminate`, { reason: 'x' })],
    ['a lock denies its session', async held => gate.admin('POST', '/v1/locks', { selector: { session: await session(held) }, reason: 'x' })],
  ]
  test.each(overs)('[CRD7] follows when %s', async (_, act) => {
    const held = await elevated()
    await asks(held.token, `/swap/${turn}`)
    const [captured = ''] = shownAt(`/swap/${turn}`, 'authorization')
    await act(held)
    await onRecord('credential.revoked', held.elevation)
    expect(await service.direct(captured)).toBe(401)
  })

  test('[CRD7] of a session on its baseline follows when the session is over', async () => {
    const held = await elevated()
    await asks(held.token, `/swap/base/${turn}`)
    const [captured = ''] = shownAt(`/swap/base/${turn}`, 'authorization')
    await ends(held)
    expect(await service.direct(captured)).toBe(200)
    await gate.admin('POST', `/v1/sessions/${await session(held)}/terminate`, { reason: 'x' })
    await eventually('it is taken back', 10_000, async () => ((await service.direct(captured)) === 401 ? true : null))
  })

  test('[CRD7] follows when a reload has it come from elsewhere: what came from the other place goes with no request any more', async () => {
    const held = await elevated()
    await asks(held.token, `/own/${turn}`)
    const [captured = ''] = shownAt(`/own/${turn}`, 'authorization')
    const text = readFileSync(gate.configFile, 'utf8')
    writeFileSync(gate.configFile, text.replace(', scope: crm:read }', ' }'))
    await eventually('the reload', 10_000, async () => ((await gate.admin('POST', '/v1/config/reload', { reason: 'x' })).status === 200 ? true : null))
    await eventually('it is taken back', 10_000, async () => ((await service.direct(captured)) === 401 ? true : null))
    expect((await asks(held.token, `/own/${turn}`)).status).toBe(200)
    expect(new Set(shownAt(`/own/${turn}`, 'authorization')).size).toBe(2)
    writeFileSync(gate.configFile, text)
    await gate.admin('POST', '/v1/config/reload', { reason: 'x' })
    await ends(held)
  })

  test('[CRD7] follows when its time is up', async () => {
    const token = await gate.token({ sub: `user-${++turn}`, sid: `s-${turn}` })
    const elevation = await gate.elevate(token, 'long', null, { for: '1s' })
    await asks(token, `/lease/${turn}`)
    await onRecord('credential.revoked', elevation)
    expect(service.leases.at(-1)?.over).toBe(true)
  })

  test('[CRD7] does not follow what is only held: what is frozen or narrowed may come back, and has it still', async () => {
    const held = await elevated()
    const path = `/lease/${turn}`
    const id = await session(held)
    await asks(held.token, path)
    for (const [down, up] of [['freeze', 'resume'], ['narrow', 'widen']] as const) {
      await gate.admin('POST', `/v1/sessions/${id}/${down}`, { reason: 'x' })
      expect((await asks(held.token, path)).status).toBe(403)
      await gate.admin('POST', `/v1/sessions/${id}/${up}`, { reason: 'x' })
      expect((await asks(held.token, path)).status).toBe(200)
    }
    expect(new Set(shownAt(path, 'x-crm-key')).size).toBe(1)
    expect(service.at('/v1/sys/leases/revoke')).toEqual([])
    await ends(held)
  })
})

describe('its life', () => {
  test('[CRD6] one that is to be renewed goes on to its end where nobody gives another', async () => {
    service.leaseLife = 2
    const held = await elevated()
    const path = `/lease/${turn}`
    expect((await asks(held.token, path)).status).toBe(200)
    service.behaviours.set('/v1/creds/crm', 500)
    await eventually('its last quarter', 5_000, async () => {
      expect((await asks(held.token, path)).status).toBe(200)
      return service.at('/v1/creds/crm').some(({ status }) => status === 500) ? true : null
    })
    expect((await asks(held.token, path)).status).toBe(200)
    await eventually('its end', 5_000, async () => ((await asks(held.token, path)).status === 503 ? true : null))
    expect(new Set(shownAt(path, 'x-crm-key')).size).toBe(1)
    service.leaseLife = 600
    await ends(held)
  })

  test('[CRD6] no request goes with one whose own end has come: another is obtained', async () => {
    service.leaseLife = 1
    const held = await elevated()
    const path = `/lease/${turn}`
    await eventually('three of them', 10_000, async () => {
      expect((await asks(held.token, path)).status).toBe(200)
      return new Set(shownAt(path, 'x-crm-key')).size >= 3 ? true : null
    })
    service.leaseLife = 600
    await ends(held)
  })

  test('[CRD2] no reload is taken while the file of a secret is empty, though nothing else changed', async () => {
    const file = `${gate.directory}/lease-secret`
    writeFileSync(file, '')
    const refused = await gate.admin('POST', '/v1/config/reload', { reason: 'x' })
    expect(refused.status).not.toBe(200)
    expect(refused.text).toContain(`${file}: is empty`)
    writeFileSync(file, `${LEASE_SECRET}\n`)
    expect((await gate.admin('POST', '/v1/config/reload', { reason: 'x' })).status).toBe(200)
  })

  test('[CRD2] a secret that is changed is shown from then on; a file that is gone leaves what was read, which is counted', async () => {
    const file = `${gate.directory}/lease-secret`
    rmSync(file)
    await eventually('that it is gone', 5_000, async () => (/narrowgate_secret_file_errors_total\{upstream="lease"\} [1-9]/.test((await gate.ops('/metrics')).text) ? true : null))
    const first = await elevated()
    expect((await asks(first.token, `/lease/${turn}`)).status).toBe(200)
    writeFileSync(file, 'another')
    const rest: Held[] = []
    await eventually('the other secret', 5_000, async () => {
      const held = await elevated()
      rest.push(held)
      return (await asks(held.token, `/lease/${turn}`)).status === 503 && service.at('/v1/creds/crm').at(-1)?.headers['x-vault-token'] === 'another' ? true : null
    })
    const last = rest.at(-1) ?? first
    writeFileSync(file, `${LEASE_SECRET}\n`)
    await eventually('the first one again', 10_000, async () => ((await asks(last.token, `/lease/${turn}`)).status === 200 ? true : null))
    await Promise.all([first, ...rest].map(ends))
  })
})
