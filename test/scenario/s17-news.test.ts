// S17, the issuer's word: a pipeline has handed work on, and its workers have handed on theirs; then its issuer says at A that the pipeline's session is revoked. Played once on
// each setting.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { until } from '../wire/support.ts'
import { BROKERED_SETTINGS, factsOf, opened, paced, timesIn } from './brokers.ts'
import { both, type Caller, keySetOf, sessionAt, type Setting, through } from './callers.ts'
import { BOUND } from './duties.ts'
import { bearer, type Line, OpenStream, word } from './stage.ts'
import { hasTold, issSub, outsideNews, Transmitter } from './transmitter.ts'

const DATA = { host: 'customers.internal' }
const CI = 'https://ci.example'
const LIST = '/catalog/list'
const LIVE = '/catalog/live'
const EXPORT = '/exports/u'
/** By its parent, until its own end is written. */
const REVOKED = ['401 parent_ended', '401 credential_revoked']

type Held = { readonly caller: Caller; readonly session: string }
type Ended = { readonly jti: string; readonly sessions: readonly string[]; cutAfter: number; own: readonly string[]; after: readonly string[]; dispatched: number }

describe.each(BROKERED_SETTINGS)('S17 %s', (_, raise) => {
  let setting: Setting
  let ci: TokenIssuer
  let issuer: Transmitter
  let lines: readonly Line[] = []
  const seen = { before: [] as (readonly string[])[], ends: [] as Ended[], idle: [] as (readonly string[])[], beside: [] as (readonly string[])[], kept: false, revived: [] as (readonly string[])[] }

  const held = async (session: string | null, token: string): Promise<Held> => {
    const caller: Caller = { leaf: null, headers: bearer(token, DATA) }
    return { caller, session: session ?? await sessionAt(setting.a, caller) }
  }
  const pipeline = async (sub: string, jti: string): Promise<Held> =>
    held(null, await ci.sign({ sub, org: 'acme', jti, act: { sub: 'scheduler', act: { sub: 'olga' } } }, { lifetime: 6 * 3600 }))

  async function worker(name: string, { session: parent }: Held): Promise<Held> {
    const { token, session } = await opened(setting.a, { subject: { kind: 'service', subject: name, tenant: 'acme' }, parent, purpose: { run: 'U' } })
    return held(session, token)
  }

  const looks = ({ caller }: Held, path = LIST): Promise<readonly string[]> => through(setting, caller, 'GET', path)
  const open = (gate: TestGateway, { caller }: Held): Promise<OpenStream> => OpenStream.open(gate, LIVE, caller.headers)

  /** What the workers have open on B, when A hears of the pipeline's end. */
  async function ends(parent: Held, workers: readonly Held[], subject: Line): Promise<void> {
    const { a, b } = setting
    const streams = await Promise.all(workers.map(who => open(b, who)))
    await Promise.all(streams.map(stream => until(() => timesIn(stream.text).length > 3, 'all to be under way')))
    const jti = crypto.randomUUID()
    const at = await issuer.tells(a, 'session-revoked', subject, { initiating_entity: 'policy' }, { claims: { jti } })
    await Promise.all(streams.map(stream => stream.cut().catch(() => null))) // by a reset, or at an event's end
    const cutAfter = performance.now() - at
    const requests = a.upstream.requests.length
    const after = (await Promise.all(workers.flatMap(who => [looks(who), looks(who, '/pii/customers/7'), looks(who, LIVE), through(setting, who.caller, 'POST', EXPORT, { customers: 3 })]))).flat()
    seen.ends.push({ jti, sessions: [parent, ...workers].map(({ session }) => session), cutAfter, own: await looks(parent), after, dispatched: a.upstream.requests.length - requests })
  }

  beforeAll(async () => {
    ci = await TokenIssuer.create({ issuer: CI })
    const signals = await TokenIssuer.create({ algorithm: 'ES256' })
    issuer = new Transmitter(signals, 'ci', CI, 'https://gateway.example')
    setting = await raise('s17.yaml', { keySets: { 'pipelines': keySetOf(ci), 'ci': keySetOf(signals) } })
    const { a } = setting
    a.upstream.plays.set(LIST, '/ok').set(LIVE, '/sse/live').set('/pii/customers/7', '/ok').set(EXPORT, '/ok')
    const [nightly, weekly, second] = [await pipeline('nightly', 'n-1'), await pipeline('weekly', 'w-1'), await pipeline('weekly', 'w-2')]
    const [own, ofWeekly, ofSecond] = [await worker('w-1', nightly), await worker('w-2', weekly), await worker('w-3', second)]
    const below = await worker('w-1-1', own)
    seen.before = await Promise.all([own, below, ofWeekly, ofSecond].map(who => looks(who)))
    const kept = await open(setting.b, ofSecond)
    const stop = paced(a, 'live')
    await hasTold(issuer, setting, 'session-revoked', issSub(CI, 'monthly'))
    await hasTold(issuer, setting, 'session-revoked', { format: 'jwt_id', iss: CI, jti: 'w-3' })
    seen.idle = await Promise.all([own, below, ofWeekly].map(who => looks(who)))
    await ends(nightly, [own, below], issSub(CI, 'nightly'))
    await ends(weekly, [ofWeekly], { format: 'jwt_id', iss: CI, jti: 'w-1' })
    seen.beside = [await looks(second), await looks(ofSecond)]
    const at = performance.now()
    await until(() => timesIn(kept.text).some(time => time > at), 'what was written since')
    seen.kept = true
    stop()
    kept.client.close()
    await issuer.tells(a, 'session-established', issSub(CI, 'nightly'))
    const lock = (await word(a, '/v1/locks', { selector: { session: own.session } })).json['lock'] as Line // the contract's shape
    await word(a, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
    seen.revived = [await looks(own), await looks(below), await looks(ofWeekly)]
    lines = await setting.trail()
  }, 60_000)
  afterAll(() => setting.stop())

  test('[S17.d] the issuer says that the pipeline\'s session is revoked, by its subject or by its token: whatever was delegated from it, at any depth, is refused through both, and what it has open on B is cut', () => {
    expect(seen.before).toEqual([both('200'), both('200'), both('200'), both('200')])
    expect(seen.ends.map(({ after }) => after.length)).toEqual([16, 8])
    for (const { cutAfter, own, after, dispatched } of seen.ends) {
      expect(cutAfter).toBeLessThan(BOUND)
      for (const told of own) expect(['401 revoked_outside', '401 credential_revoked']).toContain(told)
      for (const told of after) expect(REVOKED).toContain(told)
      expect(dispatched).toBe(0)
    }
  })

  test('[S17.d] nothing of it for what it says of other sessions, for those of another pipeline, and for another session of the same one', () => {
    expect([seen.idle, seen.beside, seen.kept]).toEqual([[both('200'), both('200'), both('200')], [both('200'), both('200')], true])
  })

  test('[S17.d] no later word revives them', () => {
    for (const told of seen.revived.flat()) expect(REVOKED).toContain(told)
  })

  test('[S17.d] the log has the event, the session it ended, and the ends of those below it', () => {
    for (const { jti, sessions: [parent = '', ...below] } of seen.ends) {
      const { taken: [taken], done: [done] } = outsideNews(lines, jti)
      expect(taken).toMatchObject({ matter: { event: { source: 'ci', issuer: CI, type: 'session-revoked', effects: [{ do: 'terminate' }] } } })
      expect(done).toMatchObject({ matter: { outcome: 'acted', met: 1 } })
      const revoked = (session: string): readonly Line[] => factsOf(lines, session).filter(({ what }) => what === 'session.revoked')
      expect(revoked(parent)).toMatchObject([{ reason: 'revoked_outside', because: expect.stringContaining(String(taken?.['because'])) }])
      for (const session of below) expect(revoked(session).map(({ reason }) => reason)).toEqual(['parent_ended'])
    }
  })
})
