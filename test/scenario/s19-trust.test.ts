// S19, the partner's word: a federated workload has asked to attach a policy, and before anybody on call decides its issuer says at A that it is trusted no more. The story is
// played once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { request } from '../support/raw-client.ts'
import { ClientAuthority } from '../support/tls.ts'
import { type TokenClaims, TokenIssuer } from '../support/token-issuer.ts'
import { until } from '../wire/support.ts'
import { factsOf, paced, refusedBeside, timesIn } from './brokers.ts'
import { asked, both, type Caller, connect, keySetOf, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { approve, asHolder } from './operators.ts'
import { APPROVER, bearer, factsIn, type Line, type Staging, word } from './stage.ts'
import { hasTold, issSub, outsideNews, type Otherwise, type Pushed, Transmitter } from './transmitter.ts'

const HOST = { host: 'iam.internal' }
const DOMAIN = 'spiffe://partner.example'
const PROVISIONER = `${DOMAIN}/ns/prod/sa/provisioner`
const OWN = 'spiffe://acme.example/ns/prod/sa/provisioner'
const CI = 'https://ci.partner.example'
const TRUST = 'https://trust.partner.example'
const OURS = 'https://gateway.acme.example'
const POLICY = 'PowerUserAccess'
const LIVE = '/policies/live'
const NOT_ELEVATED = '403 elevation_required'
const REVOKED = '401 revoked_outside'
/** By the word about whoever it is, or by the end of the session. */
const GONE = [REVOKED, '401 credential_revoked']
/** Milliseconds from the answer to the sender until nothing passes any more, on a busy machine. */
const WITHIN = 1_000

/** Somebody who waits for a decision, with a stream open on B. */
type Waiting = { readonly caller: Caller; readonly session: string; readonly elevation: string; /** What somebody on call looks at. */ readonly shown: unknown; readonly text: () => string; readonly over: () => Promise<unknown>; readonly close: () => void }
/** What became of somebody who waited. */
type Ended = { readonly jti: string; readonly session: string; readonly elevation: string; cutAfter: number; state: unknown; word: number; after: readonly (readonly string[])[]; reads: readonly string[] }

let own: TokenIssuer
let partner: TokenIssuer
let ci: TokenIssuer
let stranger: TokenIssuer
let trust: Transmitter
let staging: Staging
beforeAll(async () => {
  const domain = (): Promise<TokenIssuer> => TokenIssuer.create({ algorithm: 'ES256' })
  const [ours, authority, signals] = [await ClientAuthority.create('Acme'), await ClientAuthority.create('Partner'), await domain()]
  ;[own, partner, ci, stranger] = [await domain(), await domain(), await TokenIssuer.create({ issuer: CI }), await domain()]
  staging = {
    trustDomains: { 'acme.example': ours.cert.certFile, 'partner.example': authority.cert.certFile },
    keySets: { 'own': keySetOf(own, 'jwt-svid'), 'partner': keySetOf(partner, 'jwt-svid'), 'partner-ci': keySetOf(ci), 'partner-trust': keySetOf(signals) },
  }
  trust = new Transmitter(signals, 'partner-trust', TRUST, OURS)
})

describe.each(SETTINGS)('S19 %s', (_, raise) => {
  let setting: Setting
  let lines: readonly Line[] = []
  let beside: readonly Line[] = []
  const seen = {
    refused: {} as Record<string, Pushed>, unknown: '', ofOurs: { jti: '', reads: [] as readonly string[] }, meanwhile: { lives: false, reads: [] as readonly string[], calls: [] as readonly string[], state: '' as unknown },
    ends: {} as Record<string, Ended>, demanded: [] as readonly string[], unseen: [] as (readonly string[])[], others: [] as (readonly string[])[], replay: { frozen: [] as readonly string[], resumed: [] as readonly string[], answers: [] as number[], again: [] as readonly string[], jti: '' },
  }

  const svid = async (id: string, claims: TokenClaims = {}, by = partner): Promise<Caller> =>
    ({ leaf: null, headers: bearer(await by.sign({ iss: undefined, client_id: undefined, sub: id, jti: crypto.randomUUID(), ...claims }, { header: { typ: 'JWT' } }), HOST) })
  const pipeline = async (sub: string, claims: TokenClaims = {}): Promise<Caller> =>
    ({ leaf: null, headers: bearer(await ci.sign({ sub, organization: 'partner', jti: crypto.randomUUID(), act: { sub: 'scheduler', act: { sub: 'olga' } }, ...claims }, { header: { typ: 'JWT' }, lifetime: 3600 }), HOST) })
  const reads = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'GET', '/policies/all')
  const attaches = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'POST', '/attach-policy', { policy: POLICY })
  const stateOf = async (elevation: string): Promise<unknown> => (await setting.b.admin('GET', `/v1/elevations/${elevation}`)).json['state']
  const asks = async (caller: Caller): Promise<string> => String((await asked(setting.a, caller, 'POST', '/.narrowgate/elevations', { profile: 'attach-policy', params: { policy: POLICY } })).json['id'])

  async function waiting(caller: Caller): Promise<Waiting> {
    const session = await sessionAt(setting.a, caller)
    const client = await connect(setting.b, caller)
    await client.send(request('GET', LIVE, caller.headers))
    const text = (): string => client.bytes().toString('latin1')
    await until(() => timesIn(text()).length > 3, `the stream to be under way: ${text().slice(0, 200)}`)
    const elevation = await asks(caller)
    return { caller, session, elevation, shown: await shownOf(elevation), text, over: () => client.response().catch(() => null), close: () => client.close() } // by a reset, or at an event's end
  }

  const livesOn = async ({ text }: Waiting): Promise<boolean> => {
    const at = performance.now()
    await until(() => timesIn(text()).some(time => time > at), 'what was written since')
    return true
  }

  const shownOf = async (elevation: string): Promise<unknown> => (await setting.a.admin('GET', `/v1/elevations/${elevation}`)).json['shown']
  /** Somebody on call says yes to what was shown; the status. */
  const approved = async (elevation: string, shown: unknown): Promise<number> => (await asHolder(setting.a, APPROVER, `/v1/elevations/${elevation}/approve`, { shown })).status

  const UNSIGNED = Buffer.from(JSON.stringify({ alg: 'none', typ: 'secevent+jwt' })).toString('base64url')

  /** All of it is about somebody who is there; none of it is the partner's word for us. */
  async function whatCountsForNothing(subject: Line): Promise<void> {
    const { a } = setting
    const says = async (otherwise: Otherwise = {}, about = subject, who = trust): Promise<Pushed> => trust.push(a, await who.sign('session-revoked', about, {}, otherwise), otherwise)
    const [head = '', payload = ''] = (await trust.sign('session-revoked', subject)).split('.')
    const forger = new Transmitter(stranger, 'partner-trust', TRUST, OURS)
    seen.refused = {
      'no signature': await trust.push(a, `${UNSIGNED}.${payload}.`),
      'its signature taken off': await trust.push(a, `${head}.${payload}.`),
      'signed by another key': await says({}, subject, forger),
      'signed by the pipeline\'s key': await says({}, subject, new Transmitter(ci, 'partner-trust', TRUST, OURS)),
      'for another audience': await says({ claims: { aud: 'https://gateway.other.example' } }),
      'for nobody': await says({ claims: { aud: undefined } }),
      'of another issuer': await says({ claims: { iss: CI } }),
      'a token of another kind': await says({ header: { typ: 'JWT' } }),
      'an end of its own': await says({ claims: { exp: Math.floor(Date.now() / 1000) + 600 } }),
      'of tomorrow': await says({ claims: { iat: Math.floor(Date.now() / 1000) + 86_400 } }),
      'about somebody else\'s principal': await says({}, issSub('https://login.example', 'olga')),
      'pushed without the header': await says({ authorization: null }),
      'pushed with another header': await says({ authorization: 'Bearer of nobody' }),
    }
    const workload = await svid(OWN, {}, own)
    await sessionAt(a, workload)
    seen.ofOurs = { jti: await hasTold(trust, setting, 'session-revoked', { format: 'uri', uri: OWN }), reads: await reads(workload) }
    seen.unknown = await hasTold(trust, setting, 'session-revoked', issSub(CI, 'repo:partner/nobody'))
  }

  /** The partner says it at A; what becomes of who waited, on both. */
  async function ends(name: string, who: Waiting, type: string, subject: Line, details: Line = {}): Promise<void> {
    const { caller, session, elevation, shown } = who
    const jti = crypto.randomUUID()
    const at = await trust.tells(setting.a, type, subject, details, { claims: { jti } })
    await who.over()
    const ended: Ended = { jti, session, elevation, cutAfter: performance.now() - at, state: '', word: 0, after: [await attaches(caller)], reads: [] }
    ended.state = await stateOf(elevation)
    ended.word = await approved(elevation, shown)
    ended.after = [...ended.after, await attaches(caller)]
    ended.reads = await reads(caller)
    seen.ends[name] = ended
  }

  /** What follows where the partner's file says nothing: no elevation is left, and nothing passes until it has shown anew who it is. */
  async function untilItIsProven(caller: Caller): Promise<void> {
    expect(await reads(caller)).toEqual(both('200'))
    const elevation = await asks(caller)
    const [shown, session] = [await shownOf(elevation), await sessionAt(setting.a, caller)]
    const jti = await hasTold(trust, setting, 'credential-change', issSub(CI, 'repo:partner/rotated'), { credential_type: 'verifiable-credential', change_type: 'delete' })
    for (const { parts: { mirror } } of [setting.a, setting.b]) await until(() => mirror.byId(session)?.record.demand != null, 'the demand')
    seen.demanded = await reads(caller)
    seen.ends['credential deleted'] = { jti, session, elevation, cutAfter: 0, state: await stateOf(elevation), word: await approved(elevation, shown), after: [await attaches(caller)], reads: seen.demanded }
  }

  /** A word that is taken back here is not said once more by sending it again. */
  async function theSameAgain(caller: Caller): Promise<void> {
    const { a, b } = setting
    const session = await sessionAt(a, caller)
    expect(await reads(caller)).toEqual(both('200'))
    const jti = crypto.randomUUID()
    const token = await trust.sign('risk-level-change', issSub(CI, 'repo:partner/replayed'), { principal: 'USER', current_level: 'HIGH' }, { claims: { jti } })
    const push = async (gate: Setting['a']): Promise<number> => (await trust.push(gate, token)).status
    seen.replay.answers.push(await push(a))
    for (const { parts: { mirror } } of [a, b]) await until(() => mirror.byId(session)?.record.frozen != null, 'the freeze')
    seen.replay.frozen = await reads(caller)
    await word(a, `/v1/sessions/${session}/resume`)
    seen.replay.resumed = await reads(caller)
    seen.replay.answers.push(await push(a), await push(b))
    await hasTold(trust, setting, 'session-revoked', issSub(CI, 'repo:partner/nobody else')) // what was sent before it has been looked at by then
    seen.replay.again = await reads(caller)
    seen.replay.jti = jti
  }

  const duties = new Duties({
    carried: { method: 'POST', path: '/attach-policy?dry=no', body: { policy: POLICY } }, stream: `/attach-policy/${POLICY}/progress`, rest: '/policies/all', before: NOT_ELEVATED, after: REVOKED, gone: REVOKED,
    reason: 'session_ended', cut: 'revoked_outside', tenant: 'partner', within: WITHIN,
    caller: (_setting, name) => pipeline(`repo:partner/${name}`),
    other: async () => ({ caller: await pipeline('repo:partner/beside'), path: LIVE }),
    give: async ({ a }, caller) => {
      const id = await asks(caller)
      await approve(a, id)
      return id
    },
    end: ({ a }) => trust.tells(a, 'session-revoked', issSub(CI, 'repo:partner/first')),
    revive: async () => {
      for (const [type, details] of [['session-established', {}], ['assurance-level-change', { namespace: 'NIST-AAL', current_level: 'nist-aal2', change_direction: 'increase' }], ['device-compliance-change', { previous_status: 'not-compliant', current_status: 'compliant' }], ['risk-level-change', { principal: 'USER', current_level: 'LOW' }]] as const) await trust.tells(setting.a, type, issSub(CI, 'repo:partner/first'), details)
    },
  })

  beforeAll(async () => {
    setting = await raise('s19.yaml', staging)
    setting.a.upstream.plays.set(LIVE, '/sse/live')
    const stop = paced(setting.a, 'live')
    const [infra, ...unseen] = [await waiting(await pipeline('repo:partner/infra')), await pipeline('repo:partner/infra'), await svid(PROVISIONER, { sid: 'never shown' })]
    const [workload, other1, other2, neighbour] = [await waiting(await svid(PROVISIONER)), await waiting(await svid(PROVISIONER, { sid: 'another' })), await svid(`${DOMAIN}/ns/dev/sa/provisioner`), await waiting(await pipeline('repo:partner/neighbour'))]
    await whatCountsForNothing(issSub(CI, 'repo:partner/infra'))
    seen.meanwhile = { lives: await livesOn(infra), reads: await reads(infra.caller), calls: await attaches(infra.caller), state: await stateOf(infra.elevation) }
    await ends('session revoked', infra, 'session-revoked', issSub(CI, 'repo:partner/infra'))
    await ends('credential revoked', workload, 'credential-change', { format: 'uri', uri: PROVISIONER }, { credential_type: 'x509', change_type: 'revoke' })
    for (const caller of unseen) seen.unseen.push(await reads(caller))
    await other1.over()
    await untilItIsProven(await pipeline('repo:partner/rotated'))
    await theSameAgain(await pipeline('repo:partner/replayed'))
    seen.others = [[String(await livesOn(neighbour))], await reads(neighbour.caller), await reads(other2)]
    stop()
    await duties.play(setting)
    lines = duties.lines
    beside = await refusedBeside(setting.a)
    neighbour.close()
  }, 120_000)
  afterAll(() => setting.stop())

  const endOf = (name: string): Ended => {
    const ended = seen.ends[name]
    if (ended === undefined) throw new Error(`${name} was not played`)
    return ended
  }
  const terminated = (): readonly Ended[] => [endOf('session revoked'), endOf('credential revoked')]

  test('[S19.c] while the decision pends its issuer says that the session is revoked, or a credential: what it asked for is cancelled, and nobody can approve it any more', () => {
    for (const { session, elevation, state, word: status } of Object.values(seen.ends)) {
      expect([state, status]).toEqual(['ended', 409])
      const own = factsOf(lines, session).filter(fact => fact['elevation'] === elevation || (fact['elevation'] as Line | undefined)?.['id'] === elevation)
      expect(own.map(({ what }) => what)).toEqual(['elevation.requested', 'elevation.ended'])
    }
    expect(Object.keys(seen.ends)).toEqual(['session revoked', 'credential revoked', 'credential deleted'])
  })

  test('[S19.d] the call stays refused through both, then and after the word of somebody on call that came too late; whatever else it asks, too', () => {
    for (const { after, reads: rest } of terminated()) for (const told of [...after, rest].flat()) expect(GONE).toContain(told)
    expect([endOf('credential deleted').after, seen.demanded]).toEqual([[both('401 step_up_required')], both('401 step_up_required')])
  })

  test('[S19.e] the session is ended, and what it has open on B is cut, within T after A accepted the event; those of others go on', () => {
    for (const { cutAfter, session } of terminated()) {
      expect(cutAfter).toBeLessThan(BOUND)
      expect(factsOf(lines, session).filter(({ what }) => what === 'session.revoked')).toMatchObject([{ reason: 'revoked_outside' }])
      expect(lines.filter(({ kind, session: of }) => kind === 'exchange.cut' && of === session)).toMatchObject([{ reason: 'revoked_outside', gateway: setting.b.parts.gateway, latencyMs: expect.any(Number) }])
    }
    expect(seen.others).toEqual([['true'], both('200'), both('200')])
  })

  test('[S19.f] the same event again does nothing, at A or at B: what an operator let go on goes on; that it came again is counted', async () => {
    const { frozen, resumed, answers, again, jti } = seen.replay
    expect([answers, resumed, again]).toEqual([[202, 202, 202], both('200'), both('200')])
    for (const told of frozen) expect(told).toMatch(/frozen/)
    const { taken, done } = outsideNews(lines, jti)
    expect([taken.length, done.length]).toEqual([1, 1])
    const scrapes = await Promise.all([...new Set([setting.a, setting.b])].map(async gate => (await gate.ops('/metrics')).text))
    const counted = scrapes.flatMap(text => [...text.matchAll(/^narrowgate_set_received_total\{.*source="partner-trust".*outcome="again".*\} (\d+)$/gm)]).reduce((sum, [, count]) => sum + Number(count), 0)
    expect(counted).toBe(2)
  })

  const isRefused = (name: string, status: number, err: string): void => expect([name, seen.refused[name]]).toEqual([name, { status, err }])

  test('[S19.g] unsigned, or signed by anybody else, it is refused, and on record', () => {
    for (const name of ['no signature', 'its signature taken off', 'signed by another key', 'signed by the pipeline\'s key']) expect([name, seen.refused[name]?.status]).toEqual([name, 400])
    isRefused('pushed without the header', 401, 'authentication_failed')
    isRefused('pushed with another header', 401, 'authentication_failed')
  })

  test('[S19.h] for another audience, or of another issuer or kind, it is refused, and on record', () => {
    isRefused('for another audience', 400, 'invalid_audience')
    isRefused('of another issuer', 400, 'invalid_issuer')
    for (const name of ['for nobody', 'a token of another kind', 'an end of its own', 'of tomorrow']) isRefused(name, 400, 'invalid_request')
  })

  test('[S19.g, S19.h] each refusal is on record beside the trail, and nothing of it in the trail', () => {
    const own = beside.filter(({ path }) => path === '/ssf/events/partner-trust')
    expect(own).toHaveLength(Object.keys(seen.refused).length)
    for (const line of own) expect(line).toMatchObject({ reason: expect.any(String), fault: expect.stringMatching(/^set_/) })
  })

  test('[S19.i] about an unknown subject it comes to nothing, and about a principal that it may not speak for it is refused; both are on record', () => {
    const { taken, done } = outsideNews(lines, seen.unknown)
    expect(taken).toMatchObject([{ matter: { event: { issuer: TRUST, type: 'session-revoked' } } }])
    expect(done).toMatchObject([{ matter: { outcome: 'nobody', met: 0 } }])
    isRefused('about somebody else\'s principal', 400, 'access_denied')
    expect(outsideNews(lines, seen.ofOurs.jti).done).toMatchObject([{ matter: { outcome: 'nobody', met: 0 } }])
    expect(seen.ofOurs.reads).toEqual(both('200'))
  })

  test('[S19.f, S19.g, S19.h, S19.i] of all that nothing followed for who was named: its stream, its session and its request went on', () =>
    expect(seen.meanwhile).toEqual({ lives: true, reads: both('200'), calls: both(NOT_ELEVATED), state: 'requested' }))

  test('[S19.j, S19.k, S19.l] the log has the jti of the event, its issuer and what it was mapped to, and that this ended the session, the request and the stream', () => {
    const mapped = { 'session revoked': ['session-revoked', [{ do: 'terminate' }]], 'credential revoked': ['credential-change', [{ do: 'terminate' }]] } as const
    for (const [name, [type, effects]] of Object.entries(mapped)) {
      const { jti, session, elevation } = endOf(name)
      const { taken: [taken], done: [done] } = outsideNews(lines, jti)
      expect(taken).toMatchObject({ matter: { event: { source: 'partner-trust', issuer: TRUST, jti, type, effects } } })
      expect(done).toMatchObject({ matter: { outcome: 'acted', met: name === 'session revoked' ? 1 : 2 } })
      const because = taken?.['because']
      expect(because).toMatch(/^sig_out_/)
      const [ended, cancelled] = [factsOf(lines, session).filter(({ what }) => what === 'session.revoked'), factsIn(lines, 'elevation.ended').filter(fact => fact['elevation'] === elevation)]
      const cut = lines.filter(({ kind, session: of }) => kind === 'exchange.cut' && of === session)
      for (const line of [...ended, ...cancelled, ...cut]) expect(String(line['because']).split('.')[0]).toBe(because) // what each part of it is called begins with its own name
      expect([ended.length, cancelled.length, cut.length]).toEqual([1, 1, 1])
    }
    expect(outsideNews(lines, endOf('credential deleted').jti).taken).toMatchObject([{ matter: { event: { effects: [{ do: 'endElevations' }, { do: 'reproof' }] } } }])
  })

  test('[S19.s] another token of either, issued before and never shown until then, is refused too', () => expect(seen.unseen).toEqual([both(REVOKED), both(REVOKED)]))

  for (const [id, says, prove] of duties.clauses({
    whole: 'S19.m', risk: 'S19.n', digest: 'S19.o', life: 'S19.p', exchanges: 'S19.q', verify: 'S19.r', replay: 'S19.s', reconnect: 'S19.t', revive: 'S19.u', across: 'S19.v', upstream: 'S19.x', shared: 'S19.y',
  })) test(`[${id}] ${says}`, prove)

  test('[S19.w] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
