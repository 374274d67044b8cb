// S1: the deploy key opens to the CI's svc-deploy for the run of release R-17, from the pipeline's signed `release.started` until `pipeline.completed`, with 50 MB
// of secrets half downloaded. The story is played once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { firstMismatch } from '../support/pattern.ts'
import { type RawClient, request } from '../support/raw-client.ts'
import { ClientAuthority } from '../support/tls.ts'
import { CallerStream } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { factsOf } from './brokers.ts'
import { asked, both, type Caller, connect, connectHttp2, elevatedAt, on, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { tells, told, useSecrets } from './news.ts'
import { type Adapted, bearer, factsIn, type Line, outcome, tokenFor, word } from './stage.ts'

const HOST = { host: 'release.internal' }
const KEY = '/v1/secrets/deploy-key'
/** One for each protocol. */
const [BY_2, BY_1] = [`${KEY}/bundle-2`, `${KEY}/bundle-1`]
const WHOLE = 50 * 1024 * 1024
const HALF = WHOLE / 2
const STREAM = `${KEY}/live`
const OVERRIDE = '/v1/windows/release-hours/override'
const ASK = { profile: 'deploy-key', purpose: { run: 'R-17' } }
const OVER = both('403 purpose_over')
const OTHERS = ['/v1/secrets/signing-key', '/v1/secrets/deploy-key2', '/v1/secrets'] as const
const SPELLED = [`${KEY}/../signing-key`, `${KEY}/%2e%2e/signing-key`, `${KEY}/..%2fsigning-key`] as const
const AMBIGUOUS = '/v1/secrets/Deploy-Key'
const MINUTES = 60_000

const day = (fromNow: number): string => new Date(Date.now() + fromNow * 86_400_000).toISOString().slice(0, 10)

/** The change freeze of the example is two months from whenever this runs. */
function adapt(example: Adapted, directory: string): void {
  useSecrets(example, directory)
  Object.assign(example['windows']['release-hours'].except[0], { from: day(60), to: day(67) })
}

let ci: ClientAuthority
beforeAll(async () => { ci = await ClientAuthority.create('CI') })

describe.each(SETTINGS)('S1 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    early: [] as (readonly string[])[], asksEarly: [] as string[], forged: 0, refused: [] as (readonly string[])[], passed: [] as readonly string[], unproven: [] as (readonly string[])[], tooLong: '', extended: '', until: 0,
    byTime: [] as readonly string[], got: [] as number[], wrong: [] as (number | null)[], written: [] as number[], cutAfter: 0, status: [] as string[], next: {} as Line, behind: [] as readonly string[], session: '', elevation: '',
    shut: {} as Line, afterShut: [] as (readonly string[])[],
  }

  const holder = async (run: string | null = 'R-17'): Promise<Caller> => ({ leaf: await ci.issue({ subject: '/O=Acme/OU=CI/CN=svc-deploy' }), headers: { ...HOST, ...(run === null ? {} : { 'narrowgate-run': run }) } })
  const showing = ({ leaf }: Caller, run: string | null): Caller => ({ leaf, headers: { ...HOST, ...(run === null ? {} : { 'narrowgate-run': run }) } })
  const asks = async (caller: Caller, more: object = {}): Promise<string> => outcome(await asked(setting.a, caller, 'POST', '/.narrowgate/elevations', { ...ASK, ...more }))
  const pipeline = (event: string, release = 'R-17'): Promise<void> => told(setting.a, 'pipeline', { event, release })

  /** Nobody has told of the release; then somebody whose secret is another one. */
  async function beforeTheRelease(caller: Caller): Promise<void> {
    seen.early.push(await through(setting, caller, 'GET', KEY))
    seen.asksEarly.push(await asks(caller))
    seen.forged = await tells(setting.a, 'pipeline', { event: 'release.started', release: 'R-17' }, { secret: 'a secret of somebody else here' })
    seen.asksEarly.push(await asks(caller))
    seen.early.push(await through(setting, caller, 'GET', KEY))
  }

  async function inTheWindow(caller: Caller): Promise<void> {
    await pipeline('release.started')
    seen.early.push(await through(setting, caller, 'GET', KEY))
    seen.tooLong = await asks(caller, { for: '31m' })
    seen.elevation = await elevatedAt(setting.a, caller, ASK)
    const { json } = await asked(setting.b, caller, 'GET', `/.narrowgate/elevations/${seen.elevation}`)
    seen.until = Date.parse(String(json['until'])) - Date.now()
    seen.extended = outcome(await asked(setting.a, caller, 'POST', `/.narrowgate/elevations/${seen.elevation}/extend`, { for: '1m' }))
    seen.passed = await through(setting, caller, 'GET', KEY)
    for (const path of [...OTHERS, ...SPELLED, AMBIGUOUS]) seen.refused.push(await through(setting, caller, 'GET', path))
    for (const run of ['R-18', null]) seen.unproven.push(await through(setting, showing(caller, run), 'GET', KEY))
  }

  /** Downloads of B, over both protocols, whose callers stop to read at the half; then A hears that the pipeline is done. */
  async function completes(caller: Caller): Promise<void> {
    const { a, b } = setting
    a.upstream.plays.set(BY_2, `/download/${WHOLE}`).set(BY_1, `/download/${WHOLE}`)
    const session = connectHttp2(b, caller)
    const { host, ...headers } = caller.headers
    const stream = new CallerStream(session, 'GET', BY_2, { ':authority': host ?? '', ...headers })
    const plain = await connect(b, caller)
    await plain.send(request('GET', BY_1, caller.headers))
    const kept = await connect(b, caller)
    seen.status.push(outcome(await on(kept, caller, 'GET', '/status')))
    await Promise.all([until(() => stream.bytes > HALF, 'half of it by HTTP/2', 20_000, 1).then(() => stream.raw.pause()), plain.until(() => plain.received > HALF, 20_000).then(() => plain.pause())])
    await pipeline('pipeline.completed')
    const at = performance.now()
    seen.written = [BY_2, BY_1].map(path => a.upstream.requests.find(each => each.path === path)?.sentBytes ?? 0)
    stream.raw.resume()
    plain.resume()
    const [{ body }] = await Promise.all([cutOff(plain), stream.over()])
    seen.cutAfter = performance.now() - at
    seen.got = [stream.bytes, body.length]
    seen.wrong = [stream.wrongAt, firstMismatch(body)]
    seen.status.push(await overIt(session, '/status', caller), await overIt(session, KEY, caller), await overIt(session, '/status', caller))
    session.destroy()
    for (const path of ['/status', KEY, '/status']) seen.status.push(outcome(await on(kept, caller, 'GET', path)))
    kept.close()
    seen.next = (await asked(b, caller, 'GET', KEY)).json
    seen.behind = [...await through(setting, caller, 'GET', KEY), await asks(caller)]
  }

  /** The hours of releases are over, by an operator's word, while a run goes on; taking that back revives nothing. */
  async function theHoursEnd(): Promise<void> {
    await pipeline('release.started', 'R-16')
    const caller = await holder('R-16')
    await elevatedAt(setting.a, caller, { ...ASK, purpose: { run: 'R-16' } })
    seen.afterShut.push(await through(setting, caller, 'GET', KEY))
    seen.shut = (await word(setting.a, OVERRIDE, { until: 'now' })).json
    seen.afterShut.push(await through(setting, caller, 'GET', KEY), await through(setting, caller, 'GET', '/status'))
    await word(setting.a, OVERRIDE, {}, 'DELETE')
    seen.afterShut.push(await through(setting, caller, 'GET', KEY))
  }

  /** It ends by the clock, while its run goes on. */
  async function timeIsUp(): Promise<void> {
    await pipeline('release.started', 'R-15')
    const caller = await holder('R-15')
    await elevatedAt(setting.a, caller, { ...ASK, purpose: { run: 'R-15' }, for: '1s' })
    const session = await sessionAt(setting.b, caller)
    await until(() => setting.b.parts.mirror.byId(session)?.record.elevations[0]?.state.is === 'ended', 'its end by the clock')
    seen.byTime = await through(setting, caller, 'GET', KEY)
  }

  async function theStory(): Promise<void> {
    const caller = await holder()
    seen.session = await sessionAt(setting.a, caller)
    await beforeTheRelease(caller)
    await inTheWindow(caller)
    await completes(caller)
    await theHoursEnd()
    await timeIsUp()
  }

  const duties = new Duties({
    carried: { method: 'GET', path: `${KEY}?version=3` }, stream: STREAM, rest: '/status', before: '403 elevation_required', after: '403 purpose_over', reason: 'purpose_over', tenant: '', actors: [],
    caller: () => holder(),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'nora'), HOST) }, path: '/status/live' }),
    give: async ({ a }, caller) => {
      await pipeline('release.started')
      return elevatedAt(a, caller, ASK)
    },
    end: () => pipeline('pipeline.completed'),
    revive: () => pipeline('release.started'),
  })

  beforeAll(async () => {
    setting = await raise('s01.yaml', { clientsCaFile: ci.cert.certFile, adapt })
    setting.a.upstream.plays.set('/status', '/ok').set(KEY, '/ok')
    await theStory()
    await duties.play(setting)
  }, 60_000)
  afterAll(() => setting.stop())

  const own = (): readonly Line[] => duties.lines.filter(({ session }) => session === seen.session)

  test('[S1.b] the secret passes from release.started until pipeline.completed, for this release and no other', () => {
    expect([seen.passed, seen.behind]).toEqual([both('200'), [...OVER, '403 purpose_over']])
    expect(seen.unproven).toEqual([both('403 purpose_mismatch'), both('403 purpose_missing')])
  })

  test('[S1.c] it lasts 30 minutes and no longer: neither by asking for more nor by an extension; and less where less was asked for', () => {
    expect([seen.tooLong, seen.extended]).toEqual(['403 limit_reached', '403 limit_reached'])
    expect(seen.until).toBeGreaterThan(29 * MINUTES)
    expect(seen.until).toBeLessThanOrEqual(30 * MINUTES)
    expect(seen.byTime).toEqual(both('403 elevation_required'))
    const given = factsIn(duties.lines, 'elevation.activated')
    expect(given.length).toBeGreaterThanOrEqual(4)
    for (const { until: end, at } of given) expect(Number(end) - Number(at)).toBeLessThanOrEqual(30 * MINUTES)
  })

  test('[S1.d] the pipeline completes while 50 MB are half downloaded, over either protocol: the rest is cut, and what came is what was sent', () => {
    expect(seen.cutAfter).toBeLessThan(BOUND)
    expect(seen.wrong).toEqual([null, null])
    for (const [i, bytes] of seen.got.entries()) {
      expect(bytes).toBeGreaterThan(HALF)
      expect(bytes).toBeLessThanOrEqual(seen.written[i] ?? 0)
      expect(seen.written[i]).toBeLessThan(WHOLE)
    }
    for (const { path, abortedAt, sentBytes } of setting.a.upstream.requests) if (path === BY_1 || path === BY_2) expect([abortedAt > 0, sentBytes < WHOLE]).toEqual([true, true])
  })

  test('[S1.e] the next read of the secret is refused with 403, which says what ended: the run, or the hours of releases', () => {
    expect(seen.next).toMatchObject({ status: 403, reason: 'purpose_over', title: 'purpose over', detail: 'The purpose of the elevation is over.' })
    expect(seen.shut).toMatchObject({ enforced: true })
    expect(seen.afterShut).toEqual([both('200'), both('403 window_closed'), both('200'), both('403 window_closed')])
  })

  test('[S1.f] before the release was told of it is refused, and so is asking for it, whoever else says that it began', () => {
    expect(seen.early).toEqual(Array.from({ length: 3 }, () => both('403 elevation_required')))
    expect([seen.asksEarly, seen.forged]).toEqual([['403 purpose_mismatch', '403 purpose_mismatch'], 401])
  })

  test('[S1.g] another secret is refused in the window, however it is written', () =>
    expect(seen.refused).toEqual([...OTHERS.map(() => both('403 no_rule')), ...SPELLED.map(() => both('400 bad_request')), both('403 path_ambiguous')]))

  test('[S1.h] the status is still there on the same connections', () => expect(seen.status).toEqual(['200', '200', '403 purpose_over', '200', '200', '403 purpose_over', '200']))

  test('[S1.i] which event ended it is on record: the message of the pipeline, as the cause of the end', () => {
    const ended = factsOf(duties.lines, seen.session).find(({ what, elevation }) => what === 'elevation.ended' && elevation === seen.elevation)
    const event = factsIn(duties.lines, 'anchor.ended').find(({ because }) => because === ended?.['cause'])
    expect(event).toMatchObject({ kind: 'run', name: 'pipeline//R-17', by: 'webhook:pipeline', because: expect.stringMatching(/^sig_hook_/), matter: { facts: { state: 'pipeline.completed' } } })
    expect(ended).toMatchObject({ reason: 'purpose_over' })
  })

  test('[S1.j] how many bytes were delivered before the cut is on record', () => {
    for (const [i, bundle] of [BY_2, BY_1].entries()) {
      const opened = own().find(({ kind, path }) => kind === 'exchange.opened' && path === bundle)
      const closed = own().find(({ kind, exchange }) => kind === 'exchange.closed' && exchange === opened?.['exchange'])
      expect(closed).toMatchObject({ status: 200, reason: 'purpose_over' })
      expect(Number(closed?.['bytesDown'])).toBeGreaterThanOrEqual(seen.got[i] ?? Infinity)
      expect(Number(closed?.['bytesDown'])).toBeLessThanOrEqual(seen.written[i] ?? 0)
    }
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S1.k', risk: 'S1.l', digest: 'S1.m', life: 'S1.n', exchanges: 'S1.o', verify: 'S1.p', replay: 'S1.q', reconnect: 'S1.r', revive: 'S1.s', across: 'S1.t', upstream: 'S1.v', shared: 'S1.w',
  })) test(`[${id}] ${says}`, prove)

  test('[S1.u] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})

/** What came until the reset. */
async function cutOff(client: RawClient): Promise<{ readonly body: Buffer }> {
  await client.ended
  const bytes = client.bytes()
  return { body: bytes.subarray(bytes.indexOf('\r\n\r\n') + 4) }
}

/** One more request on a connection that stays. */
async function overIt(session: ReturnType<typeof connectHttp2>, path: string, { headers: { host = '', ...headers } }: Caller): Promise<string> {
  const stream = new CallerStream(session, 'GET', path, { ':authority': host, ...headers })
  await stream.over()
  return stream.status === 200 ? '200' : outcome({ status: stream.status, json: stream.json as Line }) // a problem is an object
}
