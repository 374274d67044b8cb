// A stream that a gateway manages and that is pushed, from its making on: what an SSF receiver is held to, and what stands on hearing of it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'
import { SsfTransmitter, VERIFICATION } from '../support/ssf-transmitter.ts'

let transmitter: SsfTransmitter
let port: number
let gate: TestGateway
let endpoint: string
let secrets: string
beforeEach(async () => {
  secrets = mkdtempSync(join(tmpdir(), 'ng-ssf-'))
  writeFileSync(join(secrets, 'secret'), 'the secret of the client')
  transmitter = await SsfTransmitter.start({ path: '/tenant', alg: 'RS256' })
  port = await freePort()
  endpoint = `http://127.0.0.1:${port}/ssf/events/idp`
})
async function raise(): Promise<void> {
  gate = await TestGateway.start({ routes: '', config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: signals, address: "127.0.0.1:${port}", serves: [signals] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: [{ scopes: [base:use] }]
telemetry: { logs: { level: silent } }
signals:
  ssf:
    - name: idp
      transmitter: ${transmitter.issuer}
      delivery: push
      endpoint: ${endpoint}
      oauth: { tokenUrl: "${transmitter.origin}/token", clientId: narrowgate, clientSecretFile: ${secrets}/secret }
      issuers: ["${issuer.issuer}"]
      freshness: 5s
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    rules:
      - { allow: { paths: ["/base"] }, scope: base:use }
      - { allow: { paths: ["/extra", "/gate/*"] }, scope: extra:use }
elevations:
  long: { adds: [extra:use], for: 10m, max: 1h }
` })
}
afterEach(async () => {
  await gate.stop()
  await transmitter.close()
  rmSync(secrets, { recursive: true })
})

const SUBJECT = () => ({ format: 'iss_sub', iss: gate.issuer.issuer, sub: 'agent-1' })
const NOBODY = () => ({ format: 'iss_sub', iss: gate.issuer.issuer, sub: 'somebody-removed' })
const stream = () => ({ format: 'opaque', id: transmitter.stream.stream_id })
async function outcome(path: string, token: string): Promise<string> {
  const { status, json } = await gate.ask('GET', path, { authorization: `Bearer ${token}` })
  return status === 200 ? '200' : String(json['reason'])
}
const becomes = (path: string, token: string, wanted: string, ms = 10_000): Promise<string> => eventually(`${path} is ${wanted}`, ms, async () => ((await outcome(path, token)) === wanted ? wanted : null))
const shows = (status: string, ms = 10_000): Promise<string> => eventually(`it is ${status}`, ms, async () => ((await gate.ops('/metrics')).text.includes(`ssf_streams{source="idp",status="${status}"} 1`) ? status : null))
const heard = (): Promise<string> => shows('enabled')
const taken = (jti: string): Promise<string> => eventually('it is taken', 10_000, async () => (transmitter.acknowledged.includes(jti) ? jti : null))
const refused = (jti: string): Promise<unknown> => eventually('it is refused', 10_000, async () => transmitter.refused.get(jti)?.['err'] ?? null)
/** A caller who holds an elevation. */
async function elevated(): Promise<string> {
  await raise()
  await heard()
  const token = await gate.token()
  expect(await outcome('/base', token)).toBe('200')
  await gate.elevate(token, 'long')
  expect(await outcome('/extra', token)).toBe('200')
  return token
}

test('[SSF4, SSF5, SSF6, SSF8, OUT7] it is made with a token of ours, told what to send along, verified, and then carries elevations', async () => {
  await elevated()
  const [made] = transmitter.askedFor('/streams', 'POST')
  const [verification] = transmitter.askedFor('/verify', 'POST')
  expect([made?.authorization, transmitter.stream.delivery.endpoint_url, transmitter.stream.delivery.authorization_header]).toEqual(['Bearer token-1', endpoint, expect.stringMatching(/^Bearer .{44}$/)])
  expect(verification?.body).toEqual({ stream_id: transmitter.stream.stream_id, state: expect.stringMatching(/^[0-9a-f]{24}$/) })
  expect((await transmitter.push(endpoint, 'x', { authorization: 'Bearer another' })).status).toBe(401)
})

test('[SSF6, SSF9, OUT7] a wrong state of verification is refused and proves nothing: elevations are held when the last proof is too old, and go on with the next', async () => {
  const token = await elevated()
  transmitter.conduct.wrongState = true
  const before = transmitter.refused.size
  await shows('silent')
  expect([await outcome('/extra', token), await outcome('/base', token)]).toEqual(['signals_silent', '200'])
  expect([...transmitter.refused.values()].slice(before).map(({ err }) => err)).toContain('invalid_state')
  transmitter.conduct.wrongState = false
  await becomes('/extra', token, '200')
})

test('[SSF6, OUT7] a transmitter that pauses or disables it blinds it at once, what is open waits, and it sees again when it is told so', async () => {
  const token = await elevated()
  for (const status of ['paused', 'disabled'] as const) {
    let answered = false
    const open = outcome(`/gate/${status}`, token).finally(() => { answered = true })
    await gate.upstream.request(`/gate/${status}`)
    await transmitter.turn(status)
    await shows(status, 1_000)
    gate.upstream.release(status)
    expect([await outcome('/extra', token), answered]).toEqual(['signals_silent', false])
    await transmitter.turn('enabled')
    expect(await open).toBe('200')
    await becomes('/extra', token, '200')
  }
  await transmitter.turn('paused', { silently: true }) // found by looking
  await shows('paused')
  expect(await outcome('/extra', token)).toBe('signals_silent')
  await transmitter.turn('enabled')
  await becomes('/extra', token, '200')
})

test('[SSF6, OUT1] a verification behind queued events, and one that nobody asked for, are taken; events of a subject that was removed are as well', async () => {
  const token = await elevated()
  const queued = await Promise.all(Array.from({ length: 30 }, () => transmitter.emit('session-revoked', NOBODY())))
  const unsolicited = await transmitter.emit(VERIFICATION, stream())
  const asked = transmitter.askedFor('/verify').length
  for (const jti of [...queued, unsolicited]) await taken(jti)
  await eventually('it is verified again', 10_000, async () => (transmitter.askedFor('/verify').length > asked ? 'asked' : null))
  expect([await outcome('/extra', token), transmitter.refused.size]).toEqual(['200', 0])
})

test('[SSF2, SSF5] what is of another issuer, or for another audience, is refused with its fault, and what is right still counts', async () => {
  const token = await elevated()
  const foreign = await transmitter.emit('session-revoked', SUBJECT(), {}, { iss: 'https://other.example' })
  const astray = await transmitter.emit('session-revoked', SUBJECT(), {}, { aud: 'https://other.example' })
  expect([await refused(foreign), await refused(astray), await outcome('/base', token)]).toEqual(['invalid_issuer', 'invalid_audience', '200'])
  await taken(await transmitter.emit('session-revoked', SUBJECT()))
  await becomes('/base', token, 'revoked_outside', 1_000)
})

test('[SSF8] a token that the transmitter calls over is replaced, and the stream stays heard of', async () => {
  const token = await elevated()
  transmitter.conduct.unauthorized = 1
  const from = transmitter.tokens.length
  await eventually('another token is asked for', 10_000, async () => (transmitter.tokens.length > from ? 'asked' : null))
  const asked = transmitter.askedFor('/verify').length
  await eventually('it is asked to verify with it', 10_000, async () => (transmitter.askedFor('/verify').slice(asked).some(({ authorization, status }) => authorization === 'Bearer token-2' && status === 204) ? 'asked' : null))
  expect([await outcome('/extra', token), transmitter.streams.size]).toEqual(['200', 1])
})

test('[SSF9] a transmitter that is gone at the start keeps nobody from starting: baselines pass, elevations wait until it is heard of', async () => {
  transmitter.conduct.down = 503
  await raise()
  const token = await gate.token()
  expect(await outcome('/base', token)).toBe('200')
  expect((await gate.ops('/metrics')).text).toMatch(/ssf_streams\{source="idp",status="silent"\} 1/)
  await gate.elevate(token, 'long')
  expect(await outcome('/extra', token)).toBe('signals_silent')
  transmitter.conduct.down = 0
  await becomes('/extra', token, '200', 15_000)
})
