// What an operator's word does to a credential of each kind: ended with its session it stays refused, and locks meet its issuer, its key, its workload, its
// device and its age, open and new alike, on two gateways over one Redis; whoever is not meant goes on. SPEC: ENF8, SES4, SES6, BND5
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { NOT_BOUND } from '../../src/core/binding.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { SessionKey } from '../../src/core/session.ts'
import { sessionCredential } from '../../src/identity/session-token.ts'
import { newLockId, newSessionId, newSignalId, sha256 } from '../../src/runtime/id.ts'
import { claimsOf, IntrospectionServer, ISSUERS, type Members, seconds, Signer } from '../cases/token-cases.ts'
import { type Answer, type GatewayPair, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { sessionsOf } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { ClientAuthority, type Leaf, svidLeaf, testAuthority } from '../support/tls.ts'
import { type Tap, TapUpstream, until } from './support.ts'

const KINDS = ['jwt', 'introspection', 'jwtSvid', 'kubernetes', 'mtls', 'apiKey'] as const
type Kind = (typeof KINDS)[number]
const API_KEYS = 500
const SECOND = 1_000

let server: RedisServer
let upstream: TapUpstream
let introspection: IntrospectionServer
let clients: ClientAuthority
let pair: GatewayPair
/** On the embedded store. */
let alone: TestGateway
/** Two keys of each issuer, with the same two ids. */
const KIDS = ['k1', 'k2'] as const
const signersOf = () => KIDS.map(kid => new Signer(kid))
const SIGNERS = { jwt: signersOf(), jwtSvid: signersOf(), kubernetes: signersOf() } as const
const apiKey = (who: number): string => `an-api-key-of-robot-${who}`

async function planOf(): Promise<GatewayPlan> {
  const { server: { certFile, keyFile } } = await testAuthority()
  return {
    routes: '', tls: true,
    config: ({ directory }) => {
      const put = (name: string, text: string): string => {
        writeFileSync(join(directory, name), text, { mode: 0o600 })
        return join(directory, name)
      }
      const keys = (kind: keyof typeof SIGNERS): string => put(`${kind}.json`, JSON.stringify({ keys: SIGNERS[kind].map(({ jwk }) => jwk) }))
      const robots = Array.from({ length: API_KEYS }, (_, who) => `{ id: robot-${who}, sha256: ${sha256(apiKey(who))}, subject: robot-${who} }`)
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy], tls: { certFile: ${certFile}, keyFile: ${keyFile}, clients: { caFile: ${clients.cert.certFile} } } }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${ISSUERS.jwt}", audience: narrowgate, jwksFile: ${keys('jwt')} }, claims: { device: device_id } }
  opaque: { introspection: { url: "${introspection.service.url}", clientId: gate, clientSecretFile: ${put('secret', 'secret')}, audience: narrowgate } }
  svid: { jwtSvid: { trustDomain: svid.example, audience: narrowgate, jwksFile: ${keys('jwtSvid')} } }
  cluster: { kubernetes: { issuer: "${ISSUERS.kubernetes}", audience: narrowgate, jwksFile: ${keys('kubernetes')} } }
  mesh: { mtls: { spiffe: ["spiffe://mesh.example/w/*"] } }
  robots: { apiKey: { keysFile: ${put('keys.yaml', `keys: [${robots.join(', ')}]`)} } }
  brokered: { sessionToken: {} }
brokers: { flows: { may: 'true', max: 1h, bind: optional } }
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
routes: [{ name: api, match: { host: api.test }, upstream: "${upstream.origin}", authn: [login, opaque, svid, cluster, mesh, robots, brokered], rules: [{ allow: {}, scope: base:use }] }]
`
    },
  }
}

beforeAll(async () => {
  ;[server, upstream, introspection, clients] = await Promise.all([RedisServer.start(), TapUpstream.start(), IntrospectionServer.start(), ClientAuthority.create('Mesh')])
  pair = await TestGateway.pair(server, { ...(await planOf()), store: 'lease: 5s' }) // what is asked is whom a lock meets, on a busy machine too
  alone = await TestGateway.start(await planOf())
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop()])
  await Promise.all([upstream.close(), introspection.service.close(), server.dispose()])
})

// ---- credentials

/** Of whom, since when, signed by which of the two keys; `also` are further claims. */
type Wish = { readonly who: number; readonly iat?: number; readonly key?: 0 | 1; readonly also?: Members }
type Shown = { readonly headers: { readonly [name: string]: string }; readonly leaf: Leaf | null }
const bearer = (text: string): Shown => ({ headers: { authorization: `Bearer ${text}` }, leaf: null })
const podOf = (who: number): string => `pod-${who}`

/** What tells its session from others: with the same `who` it is the same one, but for JWT-SVIDs. */
function aboutOf(kind: Exclude<Kind, 'mtls' | 'apiKey'>, who: number): Members {
  switch (kind) {
    case 'jwt': return { sub: `agent-${who}`, sid: `sid-${who}` }
    case 'introspection': return { sub: `agent-${who}`, sid: `sid-${who}`, iss: undefined }
    case 'jwtSvid': return { sub: `spiffe://svid.example/w/${who}` }
    case 'kubernetes': return { 'kubernetes.io': { namespace: 'prod', serviceaccount: { name: 'deploy', uid: 'u-sa' }, pod: { name: 'deploy-0', uid: podOf(who) } } }
  }
}

async function credential(kind: Kind, { who, iat = seconds(-5), key = 0, also = {} }: Wish): Promise<Shown> {
  if (kind === 'apiKey') return { headers: { 'x-api-key': apiKey(who) }, leaf: null }
  if (kind === 'mtls') return { headers: {}, leaf: await clients.issue({ extensions: svidLeaf(`spiffe://mesh.example/w/${who}`), from: new Date(iat * SECOND) }) }
  const claims = JSON.stringify(claimsOf(kind, { ...aboutOf(kind, who), iat, exp: seconds(3_600), ...also }))
  if (kind === 'introspection') {
    const token = sha256(claims)
    introspection.tokens.set(token, claims)
    return bearer(token)
  }
  const signer = SIGNERS[kind][key]
  return bearer(signer?.compact(JSON.stringify({ alg: 'ES256', typ: kind === 'jwt' ? 'at+jwt' : undefined, kid: signer.kid }), claims) ?? '')
}

let people = 0
/** Nobody was it before. */
const somebody = (): number => ++people

// ---- requests

let turn = 0
const fresh = (): string => `/${++turn}`
const clientsOpen: RawClient[] = []
afterEach(() => {
  for (const client of clientsOpen.splice(0)) client.close()
})

async function sent(gate: TestGateway, { headers, leaf }: Shown, path: string): Promise<RawClient> {
  const inner = { port: gate.gateway.front.bound.get('inner')?.address.port ?? 0 }
  const client = await RawClient.connect(leaf === null ? inner : { ...gate.target, tls: { ca: gate.target.tls?.ca ?? '', leaf } })
  client.push(request('GET', path, { ...headers }))
  return client
}

/** The status, and the reason of a refusal; whatever reaches the upstream is answered with `ok`. */
async function outcome(gate: TestGateway, shown: Shown, path = fresh()): Promise<string> {
  const client = await sent(gate, shown, path)
  const answer = client.response()
  const first = await Promise.race([answer, upstream.tap(path).catch(() => null)])
  if (first !== null && 'answer' in first) first.answer.end('ok')
  const { status, body } = await answer
  client.close()
  return status === 200 ? '200' : `${status} ${String((JSON.parse(body.toString()) as Members)['reason'])}` // a problem is an object
}
const onBoth = (shown: Shown): Promise<readonly string[]> => Promise.all([outcome(pair.a, shown), outcome(pair.b, shown)])
const both = (what: string): readonly string[] => [what, what]

async function sessionOf(gate: TestGateway, shown: Shown): Promise<string> {
  const client = await sent(gate, shown, '/.narrowgate/session')
  const { body } = await client.response()
  client.close()
  return String((JSON.parse(body.toString()) as Members)['id']) // a session's view is an object
}

type Download = { readonly client: RawClient; readonly tap: Tap }
/** A download that has begun. */
async function open(gate: TestGateway, shown: Shown): Promise<Download> {
  const path = fresh()
  const client = await sent(gate, shown, path)
  clientsOpen.push(client)
  const tap = await upstream.tap(path)
  tap.begin(null)
  expect((await client.head()).status).toBe(200)
  return { client, tap }
}
async function goesOn({ client, tap }: Download): Promise<void> {
  const before = client.bodyBytes
  tap.send(100)
  await until(() => client.bodyBytes === before + 100, 'the download goes on')
}
async function isCut({ client, tap }: Download): Promise<void> {
  expect(await client.ended).toBe('reset')
  await until(() => tap.abortedAt !== 0, 'its upstream is let go')
}

const lock = (selector: object, more: object = {}): Promise<Answer> => pair.a.admin('POST', '/v1/locks', { selector, reason: 'test', ...more })
async function lift(set: Answer): Promise<void> {
  const { id } = set.json['lock'] as { readonly id: string } // the answer of a lock that was set
  expect((await pair.b.admin('DELETE', `/v1/locks/${id}?reason=test`)).json).toMatchObject({ enforced: true })
}

/** How many are looked at and go on: of a lock on one subject those of that subject alone. */
const judged = (selector: object, all: number): object => ('subject' in selector ? {} : { continued: all })

/** Under the lock these are cut and refused on both gateways, those untouched; when it is lifted all pass. */
async function meets(selector: object, meant: readonly Shown[], others: readonly Shown[]): Promise<void> {
  for (const shown of [...meant, ...others]) expect(await onBoth(shown)).toEqual(both('200'))
  const [cut, left] = [await Promise.all(meant.flatMap(shown => [open(pair.a, shown), open(pair.b, shown)])), await Promise.all(others.flatMap(shown => [open(pair.a, shown), open(pair.b, shown)]))]
  await until(() => pair.a.parts.inflight.size + pair.b.parts.inflight.size === cut.length + left.length, 'nothing else is open')
  expect((await lock(selector, { dryRun: true })).json, 'as a dry run tells before').toMatchObject({ exchanges: cut.length, gateways: { total: 2, answered: 2 } })
  const set = await lock(selector)
  expect(set.json).toMatchObject({ enforced: true, gateways: { total: 2, acknowledged: 2 }, exchanges: { cut: cut.length, ...judged(selector, left.length) }, lock: { selector } })
  for (const each of cut) await isCut(each)
  for (const shown of meant) expect(await onBoth(shown)).toEqual(both('403 locked'))
  for (const each of left) await goesOn(each)
  for (const shown of others) expect(await onBoth(shown)).toEqual(both('200'))
  await lift(set)
  for (const shown of meant) expect(await onBoth(shown)).toEqual(both('200'))
  for (const { client, tap } of left) {
    tap.answer.end()
    expect((await client.response()).complete).toBe(true)
  }
}

// ---- an end is for the credential

describe.each(KINDS)('%s: when an operator ends its session', kind => {
  test('[SES4, SES6] the very credential is refused on both gateways from the acknowledgement on; before it each request passes whole or is refused', async () => {
    const who = somebody()
    const shown = await credential(kind, { who })
    const bystander = await open(pair.b, await credential(kind, { who: somebody() }))
    expect(await onBoth(shown)).toEqual(both('200'))
    const session = await sessionOf(pair.a, shown)
    const held = await Promise.all([open(pair.a, shown), open(pair.b, shown)])
    let ended = false
    const meanwhile = [pair.a, pair.b].map(async gate => {
      const seen = new Set<string>()
      while (!ended) seen.add(await outcome(gate, shown))
      return seen
    })
    const { json } = await pair.a.admin('POST', `/v1/sessions/${session}/terminate`, { reason: 'test' })
    const after = [await onBoth(shown), await onBoth(shown)]
    ended = true
    expect(json).toMatchObject({ enforced: true, gateways: { acknowledged: 2 } })
    expect(after).toEqual([both('401 credential_revoked'), both('401 credential_revoked')])
    for (const seen of await Promise.all(meanwhile)) expect([...seen].filter(each => !['200', '401 credential_revoked', '403 revoked'].includes(each))).toEqual([]) // the last is told what was on its way
    for (const each of held) await isCut(each)
    for (const gate of [pair.a, pair.b]) expect(await outcome(gate, shown, '/.narrowgate/session')).toBe('401 credential_revoked')
    await goesOn(bystander)
  })

  const newer = kind === 'apiKey' ? 'until the mark is cleared' : 'while a newer one of the same caller passes'
  test(`[SES4, SES6] it stays refused ${newer}`, async () => {
    const who = somebody()
    const shown = await credential(kind, { who })
    const session = await sessionOf(pair.b, shown)
    await pair.b.admin('POST', `/v1/sessions/${session}/terminate`, { reason: 'test' })
    const next = Math.floor(Date.now() / SECOND) + 1
    await until(() => Date.now() >= next * SECOND + 5, 'the next second')
    expect(await onBoth(await credential(kind, { who, iat: next }))).toEqual(both(kind === 'apiKey' ? '401 credential_revoked' : '200'))
    expect(await onBoth(shown)).toEqual(both('401 credential_revoked'))
    expect((await pair.a.admin('DELETE', `/v1/locks/mark_${await markOf(who, kind, session)}?reason=test`)).json).toMatchObject({ enforced: true })
    if (kind === 'apiKey') expect(await onBoth(shown)).toEqual(both('200'))
  })

  /** The record that refuses it now is that of the life that came after, where there is one. */
  async function markOf(who: number, of: Kind, ended: string): Promise<string> {
    return of === 'apiKey' || of === 'jwtSvid' ? ended : sessionOf(pair.a, await credential(of, { who, iat: seconds() }))
  }
})

// ---- locks by what a credential is

describe('a lock on an issuer', () => {
  test.each(KINDS)('[ENF8] meets every caller of a %s, known and new, opens no session for the new, and leaves those of the other issuers', async kind => {
    const shown = await credential(kind, { who: somebody() })
    const issuer = pair.a.parts.mirror.byId(await sessionOf(pair.a, shown))?.record.principal.issuer
    const another = await credential(kind === 'jwt' ? 'kubernetes' : 'jwt', { who: somebody() })
    await meets({ issuer }, [shown, await credential(kind, { who: somebody() })], [another])
    const set = await lock({ issuer })
    const before = await sessionsOf(pair.a)
    expect(await onBoth(await credential(kind, { who: somebody() }))).toEqual(both('403 locked'))
    expect(await sessionsOf(pair.a)).toEqual(before)
    await lift(set)
  })
})

describe('a lock on a key', () => {
  const SIGNED = ['jwt', 'jwtSvid', 'kubernetes'] as const
  test.each(SIGNED.flatMap(kind => (['with its issuer', 'alone'] as const).map(how => ({ kind, how }))))('[ENF8] $kind: named $how, meets what it signed, and leaves the same callers with what another key signed', async ({ kind, how }) => {
    const [one, two] = [somebody(), somebody()]
    const locked = [await credential(kind, { who: one }), await credential(kind, { who: two })]
    const good = [await credential(kind, { who: one, key: 1 }), await credential(kind, { who: two, key: 1 })]
    const elsewhere = await credential(kind === 'jwt' ? 'kubernetes' : 'jwt', { who: somebody(), key: how === 'alone' ? 1 : 0 }) // of the same id, where its issuer tells it apart
    const issuer = pair.a.parts.mirror.byId(await sessionOf(pair.a, locked[0] ?? elsewhere))?.record.principal.issuer
    const keyId = how === 'alone' ? 'k1' : `${issuer}|k1`
    await meets({ keyId }, locked, [...good, elsewhere])
  })

  test('[ENF8] apiKey: is one on the entry of the file, whoever presents it', async () => {
    const [one, other] = [somebody(), somebody()]
    for (const keyId of [`api-key:robots|robot-${one}`, `robot-${one}`]) await meets({ keyId }, [await credential('apiKey', { who: one })], [await credential('apiKey', { who: other })])
  })

  test('[ENF8] opens no session for what it signed, and a dry run tells before whom it would meet', async () => {
    const known = await credential('jwt', { who: somebody(), key: 1 })
    const session = await sessionOf(pair.a, known)
    const { sessions, gateways } = (await lock({ keyId: `${ISSUERS.jwt}|k2` }, { dryRun: true })).json
    expect([Number(sessions) > 0, gateways]).toEqual([true, { total: 2, answered: 2 }])
    expect((await lock({ keyId: `${ISSUERS.jwt}|k3` }, { dryRun: true })).json).toMatchObject({ sessions: 0, exchanges: 0 })
    const set = await lock({ keyId: `${ISSUERS.jwt}|k2` })
    const before = await sessionsOf(pair.a)
    expect(before).toContain(session)
    expect(await onBoth(await credential('jwt', { who: somebody(), key: 1 }))).toEqual(both('403 locked'))
    expect(await sessionsOf(pair.a)).toEqual(before)
    await lift(set)
  })
})

describe('a lock on a workload', () => {
  const NAMED = [['mtls', who => `spiffe://mesh.example/w/${who}`], ['kubernetes', who => `pod/${podOf(who)}`], ['jwtSvid', who => `spiffe://svid.example/w/${who}`]] as const satisfies readonly (readonly [Kind, (who: number) => string])[]
  test.each(NAMED)('[ENF8, BND5] %s: meets it whatever credential it shows, and no other of its issuer', async (kind, named) => {
    const [one, other] = [somebody(), somebody()]
    const workload = named(one)
    await meets({ workload }, [await credential(kind, { who: one }), await credential(kind, { who: one, iat: seconds(-2) })], [await credential(kind, { who: other })])
    expect((await lock({ workload }, { dryRun: true })).json).toMatchObject({ sessions: kind === 'jwtSvid' ? 2 : 1 }) // of JWT-SVIDs each token is a session
  })

  test('[ENF8, BND5] meets a token on the connection of its certificate, and the session that such a connection opened', async () => {
    const [{ leaf }, token] = [await credential('mtls', { who: somebody() }), await credential('jwt', { who: somebody() })]
    const workload = `spiffe://mesh.example/w/${people - 1}`
    await meets({ workload }, [{ ...token, leaf }], [await credential('jwt', { who: somebody() })])
    const set = await lock({ workload })
    expect(await onBoth(token), 'its session is bound to it').toEqual(both('403 locked'))
    await lift(set)
  })

  test('[ENF8, BND5] opens no session for a token on such a connection', async () => {
    const { leaf } = await credential('mtls', { who: somebody() })
    const set = await lock({ workload: `spiffe://mesh.example/w/${people}` })
    const before = await sessionsOf(pair.a)
    expect(await onBoth({ ...(await credential('jwt', { who: somebody() })), leaf })).toEqual(both('403 locked'))
    expect(await sessionsOf(pair.a)).toEqual(before)
    await lift(set)
  })

  test.each(['jwtSvid', 'kubernetes'] as const)('[ENF8, BND5] is not evaded with the %s of another workload on the connection of its certificate, which opens no session either; the other one goes on by itself', async kind => {
    const own = somebody()
    const { leaf } = await credential('mtls', { who: own })
    const token = await credential(kind, { who: somebody() })
    const workload = `spiffe://mesh.example/w/${own}`
    await meets({ workload }, [{ ...token, leaf }], [token])
    const set = await lock({ workload })
    const before = await sessionsOf(pair.a)
    const unknown = await credential(kind, { who: somebody() })
    expect(await onBoth({ ...unknown, leaf })).toEqual(both('403 locked'))
    expect(await sessionsOf(pair.a)).toEqual(before)
    expect(await onBoth(unknown)).toEqual(both('200'))
    await lift(set)
  })

  test('[ENF8, BND5] that freezes holds what is asked of the gateway itself on the connection of its certificate, whatever credential is shown there', async () => {
    const own = somebody()
    const { leaf } = await credential('mtls', { who: own })
    const token = await credential('kubernetes', { who: somebody() })
    expect(await outcome(pair.b, { ...token, leaf }, '/.narrowgate/profiles')).toBe('200')
    const set = await lock({ workload: `spiffe://mesh.example/w/${own}` }, { effect: 'freeze' })
    expect([await outcome(pair.b, { ...token, leaf }, '/.narrowgate/profiles'), await outcome(pair.b, token, '/.narrowgate/profiles')]).toEqual(['403 frozen', '200'])
    await lift(set)
  })

  test('[ENF8] is told in one of the two forms that there are', async () => {
    for (const workload of ['deploy-0', 'pod/', 'POD/1', 'spiffe://', 'spiffe://a b/c']) expect((await lock({ workload })).status, workload).toBe(400)
  })
})

describe('a lock on a device', () => {
  test('[ENF8, BND5] meets every token that was issued to it, whoever has it, and the session it opened', async () => {
    const device = { also: { device_id: 'laptop-7' } }
    const [one, two, three] = [somebody(), somebody(), somebody()]
    const others = [await credential('jwt', { who: three, also: { device_id: 'laptop-77' } }), await credential('jwt', { who: somebody() })]
    await meets({ device: 'laptop-7' }, [await credential('jwt', { who: one, ...device }), await credential('jwt', { who: two, ...device })], others)
    const set = await lock({ device: 'laptop-7' })
    expect(await onBoth(await credential('jwt', { who: one })), 'its session is bound to it').toEqual(both('403 locked'))
    await lift(set)
  })
})

// ---- locks by what a session comes from

/** A session that a broker opened under another. */
async function delegated(gate: TestGateway, parent: Shown): Promise<{ readonly shown: Shown; readonly key: SessionKey; readonly id: string; readonly under: string }> {
  const { mirror, ledger, store, clock, sessionTokens } = gate.parts
  const above = mirror.byId(await sessionOf(gate, parent))
  if (above === null) throw new Error('the parent is not known')
  const { token, key } = sessionTokens.issue()
  const { record: { key: parentKey, id: under, endsAt, principal }, view } = above
  const [id, now] = [newSessionId(), clock.now()]
  await ledger.applyToSession(key, {
    kind: 'session.opened', key, session: id, epoch: store.epochOf(sessionRef(key)), principal: { ...principal, issuer: 'broker:flows', subject: 'a task' }, endsAt, bindings: NOT_BOUND, aliases: [],
    credential: { id: sessionCredential({ key }), keyId: null, issuedAt: now, expiresAt: endsAt }, id: newSignalId(), by: 'test', note: '',
    brokered: { broker: 'flows', by: 'ops|flows', claims: {}, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent: { key: parentKey, id: under, baseline: view?.effective.baseline ?? [], depth: 0 } },
  })
  return { shown: bearer(token), key, id, under }
}

test('[ENF8] a lock on what was delegated from a session meets that on both gateways, and not the session itself nor what comes from another', async () => {
  const [one, other] = [await credential('jwt', { who: somebody() }), await credential('jwt', { who: somebody() })]
  const [child, stranger] = [await delegated(pair.a, one), await delegated(pair.a, other)]
  await meets({ parent: child.under }, [child.shown, (await delegated(pair.a, one)).shown], [one, other, stranger.shown])
})

test('[ENF8, ADM1] a freeze by key or by subject and time holds what its callers ask of the gateway itself, but for how they stand; others ask on', async () => {
  const [one, other] = [somebody(), somebody()]
  const [frozen, free] = [await credential('jwt', { who: one, iat: seconds(-7_200) }), await credential('jwt', { who: other, iat: seconds(-7_200), key: 1 })]
  for (const selector of [{ keyId: `${ISSUERS.jwt}|k1` }, { issuedBefore: new Date(seconds(-3_600) * SECOND).toISOString(), subject: `agent-${one}` }]) {
    expect(await outcome(pair.b, frozen, '/.narrowgate/profiles')).toBe('200')
    const held = await open(pair.a, frozen)
    const set = await lock(selector, { effect: 'freeze' })
    expect(set.json).toMatchObject({ enforced: true, exchanges: { frozen: 1 } })
    expect([await outcome(pair.b, frozen, '/.narrowgate/profiles'), await outcome(pair.b, frozen, '/.narrowgate/session'), await outcome(pair.b, frozen)]).toEqual(['403 frozen', '200', '403 frozen'])
    expect([await outcome(pair.b, free, '/.narrowgate/profiles'), await outcome(pair.b, free)]).toEqual(['200', '200'])
    await lift(set)
    await goesOn(held)
    held.client.close()
    await until(() => held.tap.abortedAt !== 0, 'it is over')
  }
})

test.each(['over Redis', 'on the embedded store'])('[ENF8, STO8] %s the store finds a session by its device, its workload and the life it comes from, and a dry run counts it', async where => {
  const gate = where === 'over Redis' ? pair.b : alone
  const who = somebody()
  const [pod, phone] = [await credential('kubernetes', { who }), await credential('jwt', { who, also: { device_id: `phone-${who}` } })]
  const [{ record: { key: ofPod } = { key: '' } }, { record: { key: ofPhone } = { key: '' } }] = [gate.parts.mirror.byId(await sessionOf(gate, pod)) ?? {}, gate.parts.mirror.byId(await sessionOf(gate, phone)) ?? {}]
  const child = await delegated(gate, phone)
  expect(await outcome(gate, child.shown)).toBe('200')
  for (const [kind, value, key, sessions] of [['workload', `pod/${podOf(who)}`, ofPod, 1], ['device', `phone-${who}`, ofPhone, 2], ['parent', child.under, child.key, 1]] as const) { // of the device: the session, and what comes from it
    expect(await gate.parts.store.find({ kind, value }, 10), kind).toEqual([{ kind: 'session', name: key }])
    expect(await gate.parts.store.find({ kind, value: `${value}0` }, 10), kind).toEqual([])
    expect((await gate.admin('POST', '/v1/locks', { selector: { [kind]: value }, dryRun: true })).json, kind).toMatchObject({ dryRun: true, sessions })
  }
  expect((await gate.admin('POST', '/v1/locks', { selector: { keyId: `${ISSUERS.jwt}|k1` }, dryRun: true })).json['sessions']).toBeGreaterThan(0)
})

test('[ENF8] on the embedded store locks by key, workload, device and issue time end what is open as well', async () => {
  const [who, other] = [somebody(), somebody()]
  const also = { device_id: `tablet-${who}` }
  const set = (selector: object): Promise<Answer> => alone.admin('POST', '/v1/locks', { selector, reason: 'test' })
  const selectors: readonly (readonly [object, Shown])[] = [
    [{ device: `tablet-${who}` }, await credential('jwt', { who, also })], [{ workload: `pod/${podOf(who)}` }, await credential('kubernetes', { who })], [{ keyId: `robot-${who}` }, await credential('apiKey', { who })],
    [{ issuedBefore: new Date().toISOString(), subject: `spiffe://mesh.example/w/${who}` }, await credential('mtls', { who })],
  ]
  const left = await open(alone, await credential('jwt', { who: other }))
  for (const [selector, shown] of selectors) {
    const held = await open(alone, shown)
    expect((await set(selector)).json, JSON.stringify(selector)).toMatchObject({ enforced: true, exchanges: { cut: 1, ...judged(selector, 1) } })
    await isCut(held)
    expect(await outcome(alone, shown)).toBe('403 locked')
  }
  await goesOn(left)
})

describe('a cut-off by the time of issue', () => {
  const HOUR = 3_600
  const subjectOf = async (shown: Shown): Promise<string> => {
    const { issuer, subject } = pair.a.parts.mirror.byId(await sessionOf(pair.a, shown))?.record.principal ?? { issuer: '', subject: '' }
    return `${issuer}|${subject}`
  }

  test.each(KINDS.filter(kind => kind !== 'kubernetes'))('[ENF8] %s: for one subject meets what it had before, and leaves its newer ones and everybody else', async kind => {
    const [one, other] = [somebody(), somebody()]
    const old = await credential(kind, { who: one, iat: seconds(-2 * HOUR) })
    const spared = [await credential(kind, { who: other, iat: seconds(-2 * HOUR) }), ...(kind === 'apiKey' ? [] : [await credential(kind, { who: one, iat: seconds(-HOUR / 2) })])]
    const subject = await subjectOf(old)
    for (const named of [subject, subject.slice(subject.indexOf('|') + 1)]) await meets({ issuedBefore: new Date(seconds(-HOUR) * SECOND).toISOString(), subject: named }, [old], kind === 'introspection' && named !== subject ? spared.slice(1) : spared)
  })

  test('[ENF8] for one subject opens no session for what it had before, and one for everybody else', async () => {
    const [one, other] = [somebody(), somebody()]
    const set = await lock({ issuedBefore: new Date(seconds(-HOUR) * SECOND).toISOString(), subject: `${ISSUERS.jwt}|agent-${one}` })
    const before = await sessionsOf(pair.a)
    expect(await onBoth(await credential('jwt', { who: one, iat: seconds(-2 * HOUR) }))).toEqual(both('403 locked'))
    expect(await sessionsOf(pair.a)).toEqual(before)
    for (const who of [one, other]) expect(await onBoth(await credential('jwt', { who, iat: seconds(who === one ? -HOUR / 2 : -2 * HOUR) }))).toEqual(both('200'))
    await lift(set)
  })

  test('[ENF8] for everybody meets what was issued before it, and what does not say when, of every kind', async () => {
    const olds = await Promise.all(KINDS.map(kind => credential(kind, { who: somebody(), iat: seconds(-2 * HOUR) })))
    const news = await Promise.all(KINDS.filter(kind => kind !== 'apiKey').map(kind => credential(kind, { who: somebody(), iat: seconds(-HOUR / 2) })))
    await meets({ issuedBefore: new Date(seconds(-HOUR) * SECOND).toISOString() }, olds, news)
  })

  test('[ENF8] takes a subject beside it and nothing else, is told as it was set, and lifts apart from the one for everybody', async () => {
    const issuedBefore = new Date((seconds() - 24 * HOUR) * SECOND).toISOString()
    for (const selector of [{ issuedBefore, tenant: 'x' }, { issuedBefore, subject: 'x', tenant: 'y' }, { subject: 'x', tenant: 'y' }, { issuedBefore, subject: '' }, { issuedBefore, all: true }, {}]) expect((await lock(selector)).status, JSON.stringify(selector)).toBe(400)
    const [one, all] = [await lock({ issuedBefore, subject: 'CN=a b,O=c' }), await lock({ issuedBefore })]
    const listed = async (): Promise<unknown> => ((await pair.b.admin('GET', '/v1/locks')).json['locks'] as readonly { readonly selector: Members }[]).map(({ selector }) => selector) // as the contract has it
    expect(await listed()).toEqual(expect.arrayContaining([{ issuedBefore, subject: 'CN=a b,O=c' }, { issuedBefore }]))
    await lift(all)
    expect(await listed()).toEqual([{ issuedBefore, subject: 'CN=a b,O=c' }])
    await lift(one)
    expect(await listed()).toEqual([])
  })
})

test('[ENF8, ADM3] locks beyond ten thousand are counted as a limit that was met, and taken all the same', async () => {
  const crowded = await TestGateway.start(await planOf())
  const met = async (): Promise<readonly string[]> => (await crowded.ops('/metrics')).text.split('\n').filter(line => line.startsWith('narrowgate_limit_reached_total{limit="locks"}'))
  const set = (subject: string): Promise<Answer> => crowded.admin('POST', '/v1/locks', { selector: { subject }, reason: 'test' })
  try {
    const locks = Array.from({ length: 9_999 }, (_, i) => ({ kind: 'subject', value: `nobody-${i}` }) as const)
    const news = { kind: 'lock.set', lock: newLockId(), effect: 'deny', reason: 'locked', until: null, by: 'test', note: '' } as const
    for (let from = 0; from < locks.length; from += 500) await Promise.all(locks.slice(from, from + 500).map(selector => crowded.parts.ledger.applyToLock(selector, { ...news, selector, id: newSignalId() })))
    expect((await set('the last')).json).toMatchObject({ enforced: true })
    expect([crowded.parts.mirror.locks.size, await met()]).toEqual([10_000, []])
    const who = somebody()
    const shown = await credential('jwt', { who })
    expect(await outcome(crowded, shown)).toBe('200')
    expect((await set(`agent-${who}`)).json).toMatchObject({ enforced: true })
    expect([await outcome(crowded, shown), await met()]).toEqual(['403 locked', ['narrowgate_limit_reached_total{limit="locks"} 1']])
  } finally {
    await crowded.stop()
  }
})
