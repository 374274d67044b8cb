// Tokens that a real identity provider (oidc-provider) refreshes, on two gateways over one Redis and on one with the embedded store: the session and its elevations
// go on with them, for that client alone; they bring back nothing that an operator ended, and do not get round a lock. SPEC: SES2, SES3, SES4, BND1, ENF8
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { ClientWire, type Form, FORMS, IdentityProvider, originOf, outcomeOf, planFor, type Tokens } from '../support/identity-provider.ts'
import { RedisServer } from '../support/redis-server.ts'
import { ClientAuthority, testAuthority } from '../support/tls.ts'
import { pause, until } from './support.ts'

let idp: IdentityProvider
let wire: ClientWire
let server: RedisServer
let pair: GatewayPair
let alone: TestGateway
beforeAll(async () => {
  const [site, authority, redis] = await Promise.all([testAuthority(), ClientAuthority.create('Runners'), RedisServer.start()])
  ;[server, wire, idp] = [redis, new ClientWire(site.ca), await IdentityProvider.start(site, authority)]
  pair = await TestGateway.pair(server, planFor(idp.issuer, site, authority))
  alone = await TestGateway.start({ ...planFor(idp.issuer, site, authority), issuer: pair.a.issuer })
  await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop()])
  await Promise.all([idp.close(), server.dispose()])
})

const BINDINGS = ['nothing', 'a DPoP key'] as const
type Binding = (typeof BINDINGS)[number]
const PLACES = ['two gateways', 'one gateway'] as const
type Place = (typeof PLACES)[number]
/** What a caller's tokens are. */
type Kind = { readonly form: Form; readonly binding: Binding }
const KINDS: readonly (Kind & { readonly where: Place })[] = PLACES.flatMap(where => FORMS.flatMap(form => BINDINGS.map(binding => ({ form, binding, where }))))
/** Where a change is made, and where it has to show. */
const gatesOf = (where: Place): readonly [TestGateway, TestGateway] => (where === 'one gateway' ? [alone, alone] : [pair.a, pair.b])

let turn = 0
/** A person's client, which proves its key where its tokens are bound to one. */
class Caller {
  readonly #client: openid.Configuration
  readonly #proof: openid.DPoPOptions
  readonly #form: Form
  readonly #person: string

  private constructor(client: openid.Configuration, proof: openid.DPoPOptions, form: Form, person: string) {
    this.#client = client
    this.#proof = proof
    this.#form = form
    this.#person = person
  }

  static async make(id: string, { form, binding }: Kind, person = `person-${++turn}`): Promise<Caller> {
    const client = await idp.client(id, wire)
    return new Caller(client, binding === 'nothing' ? {} : { DPoP: openid.getDPoPHandle(client, await openid.randomDPoPKeyPair()) }, form, person)
  }

  /** Another client of the same sign-in. */
  beside(id: string, kind: Kind): Promise<Caller> { return Caller.make(id, kind, this.#person) }

  get subject(): string { return `${idp.issuer}|${this.#person}` }

  signIn(): Promise<Tokens> { return idp.signIn(this.#client, this.#person, this.#form, this.#proof) }
  refresh(tokens: Tokens): Promise<Tokens> { return idp.refresh(this.#client, tokens, this.#proof) }

  send(gate: TestGateway, { access }: Tokens, path: string, body: string | null = null): Promise<Response> {
    const headers = new Headers(body === null ? {} : { 'content-type': 'application/json' })
    return openid.fetchProtectedResource(this.#client, access, new URL(path, originOf(gate)), body === null ? 'GET' : 'POST', body, headers, this.#proof)
  }

  shows(gate: TestGateway, tokens: Tokens, place: 'base' | 'extra'): Promise<string> { return outcomeOf(this.send(gate, tokens, `/${place}/${++turn}`)) }

  async session(gate: TestGateway, tokens: Tokens): Promise<string> {
    const { id } = (await (await this.send(gate, tokens, '/.narrowgate/session')).json()) as { readonly id: string } // the session's own view of itself
    return id
  }

  async elevate(gate: TestGateway, tokens: Tokens): Promise<void> {
    expect((await this.send(gate, tokens, '/.narrowgate/elevations', '{"profile":"long"}')).status).toBe(201)
  }
}

type Claims = { readonly [name: string]: unknown }
const claimsOf = ({ access }: Tokens): Claims => JSON.parse(Buffer.from(access.split('.')[1] ?? '', 'base64url').toString()) as Claims // of a JWT
const schemeOf = ({ binding }: Pick<Kind, 'binding'>): string => (binding === 'nothing' ? 'bearer' : 'dpop')
const unelevated = (kind: Pick<Kind, 'binding'>): string => `403 elevation_required ${schemeOf(kind)} insufficient_scope`
const revoked = (kind: Pick<Kind, 'binding'>): string => `401 credential_revoked ${schemeOf(kind)} invalid_token`

/** Tokens name the second of their issue: what is issued from here on is issued later. */
async function nextSecond(): Promise<void> {
  const next = Math.floor(Date.now() / 1_000) * 1_000 + 1_000
  await until(() => Date.now() >= next, 'the next second')
}

async function terminated(gate: TestGateway, session: string): Promise<void> {
  expect((await gate.admin('POST', `/v1/sessions/${session}/terminate`, { reason: 'test' })).json).toMatchObject({ enforced: true })
}

describe.each(KINDS)('a refreshed token of the form $form, bound to $binding, at $where,', kind => {
  test('[SES2, SES3, BND1] keeps the session and its elevation', async () => {
    const [here, there] = gatesOf(kind.where)
    const caller = await Caller.make('console', kind)
    const first = await caller.signIn()
    expect(await caller.shows(here, first, 'base')).toBe('200')
    expect(await caller.shows(here, first, 'extra')).toBe(unelevated(kind))
    await caller.elevate(here, first)
    let tokens = first
    for (let i = 0; i < 3; i++) {
      const before = tokens
      tokens = await caller.refresh(before)
      expect([tokens.access === before.access, tokens.refresh === before.refresh]).toEqual([false, false])
      for (const gate of [there, here]) expect(await caller.shows(gate, tokens, 'extra')).toBe('200')
      expect(await caller.session(there, tokens)).toBe(await caller.session(here, first))
    }
  })

  test('[SES4, SES3] is refused with all of its kind once its session is revoked; one that is issued after that begins at the baseline', async () => {
    const [here, there] = gatesOf(kind.where)
    const caller = await Caller.make('console', kind)
    const first = await caller.signIn()
    await caller.elevate(here, first)
    const [session, unseen] = [await caller.session(there, first), await caller.refresh(first)]
    expect(await caller.shows(there, first, 'extra')).toBe('200')
    await terminated(here, session)
    for (const gate of [here, there]) for (const tokens of [first, unseen]) expect(await caller.shows(gate, tokens, 'base')).toBe(revoked(kind))
    await nextSecond()
    const later = await caller.refresh(unseen)
    expect(await caller.shows(there, later, 'base')).toBe('200')
    for (const gate of [here, there]) expect(await caller.shows(gate, later, 'extra')).toBe(unelevated(kind))
    expect(await caller.session(here, later)).not.toBe(session)
    for (const gate of [here, there]) for (const tokens of [first, unseen]) expect(await caller.shows(gate, tokens, 'base')).toBe(revoked(kind))
  })

  test('[REV-006, SES4, ENF8] is refused as often as it is refreshed while a lock stands on its subject, and so is every client and sign-in; others go on', async () => {
    const [here, there] = gatesOf(kind.where)
    const [caller, another] = [await Caller.make('console', kind), await Caller.make('console', kind)]
    let [tokens, others] = [await caller.signIn(), await another.signIn()]
    await caller.elevate(here, tokens)
    const session = await caller.session(there, tokens)
    expect(await caller.shows(there, tokens, 'extra')).toBe('200')
    const set = await here.admin('POST', '/v1/locks', { selector: { subject: caller.subject }, reason: 'disabled' })
    expect(set.json).toMatchObject({ enforced: true })
    for (const ended of [false, true]) {
      if (ended) await terminated(here, session).then(nextSecond)
      const beside = await caller.beside('reports', kind)
      const [signedIn, besides] = [await caller.signIn(), await beside.signIn()]
      for (const gate of [there, here]) {
        ;[tokens, others] = [await caller.refresh(tokens), await another.refresh(others)]
        for (const place of ['base', 'extra'] as const) expect(await caller.shows(gate, tokens, place)).toBe('403 locked')
        expect([await caller.shows(gate, signedIn, 'base'), await beside.shows(gate, besides, 'base')]).toEqual(['403 locked', '403 locked'])
        expect(await another.shows(gate, others, 'base')).toBe('200')
      }
    }
    const { id } = set.json['lock'] as { readonly id: string } // the answer of a lock that was set
    expect((await there.admin('DELETE', `/v1/locks/${id}?reason=test`)).status).toBe(200)
    for (const gate of [here, there]) expect([await caller.shows(gate, tokens, 'base'), await caller.shows(gate, tokens, 'extra')]).toEqual(['200', unelevated(kind)])
  })
})

describe.each(PLACES)('at %s', where => {
  test.each(BINDINGS)('[SES2, SES3] another client of the same sign-in, its tokens bound to %s, has neither the session nor its elevation, refreshed or not', async binding => {
    const [[here, there], kind] = [gatesOf(where), { form: 'jwt', binding } as const]
    const caller = await Caller.make('console', kind)
    const beside = await caller.beside('reports', kind)
    const mine = await caller.signIn()
    await caller.elevate(here, mine)
    let others = await beside.signIn()
    expect([claimsOf(others)['sid'], claimsOf(others)['sub'], claimsOf(others)['client_id']]).toEqual([claimsOf(mine)['sid'], claimsOf(mine)['sub'], 'reports'])
    for (let i = 0; i < 2; i++) {
      for (const gate of [here, there]) {
        expect([await beside.shows(gate, others, 'base'), await beside.shows(gate, others, 'extra')]).toEqual(['200', unelevated(kind)])
        expect(await beside.session(gate, others)).not.toBe(await caller.session(gate, mine))
        expect(await caller.shows(gate, mine, 'extra')).toBe('200')
      }
      others = await beside.refresh(others)
    }
  })

  test('[SES2, SES3] a refreshed token whose sign-in nobody names keeps its session by its key, and without one it has a session of its own', async () => {
    const [here, there] = gatesOf(where)
    for (const binding of BINDINGS) {
      const kind = { form: 'opaque', binding } as const
      const caller = await Caller.make('reports', kind)
      const first = await caller.signIn()
      await caller.elevate(here, first)
      const second = await caller.refresh(first)
      for (const gate of [there, here]) {
        expect(await caller.shows(gate, second, 'extra')).toBe(binding === 'nothing' ? unelevated(kind) : '200')
        expect(await caller.shows(gate, first, 'extra')).toBe('200')
      }
    }
  })

  test('[BND1, SES2] a refreshed token of another key of the same sign-in and client does not carry the elevation that the first key asked for', async () => {
    const [[here, there], kind] = [gatesOf(where), { form: 'jwt', binding: 'a DPoP key' } as const]
    const caller = await Caller.make('console', kind)
    const other = await caller.beside('console', kind)
    const mine = await caller.signIn()
    await caller.elevate(here, mine)
    const first = await other.signIn()
    expect(claimsOf(first)['sid']).toBe(claimsOf(mine)['sid'])
    const others = await other.refresh(first)
    for (const gate of [here, there]) {
      for (const tokens of [first, others]) expect(await other.shows(gate, tokens, 'extra')).toBe('403 binding_broken')
      expect(await caller.shows(gate, mine, 'extra')).toBe('200')
    }
  })
})
