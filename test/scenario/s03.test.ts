// S3: a job signs in one step and loses that before the next: what step sign was given is over where its runner has signed step test, at whichever gateway that
// arrives first, on the gRPC stream that is open too. The story is played once on each setting; each clause is asserted on what was seen of it.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClientCall, detailsOf, GrpcCaller } from '../support/grpc-echo.ts'
import { DpopKey } from '../support/possession.ts'
import { type TokenClaims, TokenIssuer } from '../support/token-issuer.ts'
import { until } from '../wire/support.ts'
import { paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, elevatedAt, keySetOf, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { SIGN_BATCH, Signer } from './signer.ts'
import { type Adapted, bearer, factsIn, type Line, loadsAsItStands, OpenStream, tokenFor } from './stage.ts'

const SIGNING = 'signing.internal'
const ARTIFACTS = 'artifacts.internal'
const ARTIFACT = '/app/build-881.tar'
const TARBALL = '/app/large.tar'
const LIVE = '/sign/b-1/live'
const BODY = { artifact: 'app.tar', digest: 'sha256:4f1c' }
const ASK = { profile: 'sign' }
const NONE = both('403 elevation_required')
const OVER = both('403 purpose_over')
/** What clocks of runners may be off by: a word counts so much longer than it says. */
const TOLERANCE = 5_000
const CLOCKS = 5
const PERMISSION_DENIED = 7
const CANCELLED = 1

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url')

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s03.yaml'))

describe.each(SETTINGS)('S3 %s', (_, raise) => {
  let setting: Setting
  let runner: TokenIssuer
  let signer: Signer
  const seen = {
    elsewhere: [] as (readonly string[])[], asks: [] as string[], passed: [] as readonly string[],
    batch: { elevation: '', session: '', announced: '', whole: '', digest: '', code: -1, reason: '', cutAfter: 0, behind: [] as readonly number[], cancelled: false, downloaded: '', again: [] as unknown[], later: 0, rest: [] as (readonly string[])[] },
    test: [] as (readonly string[])[], asksInTest: [] as string[],
    expires: { elevation: '', passed: [] as readonly string[], late: 0, lastByte: 0, after: [] as (readonly string[])[] },
    proofs: { passed: [] as string[], replayed: [] as string[], inTest: [] as string[], dispatched: 0 },
  }

  /** A job of the pipeline: as whom it calls in a step, as its runner signs it. */
  class Job {
    readonly id: string
    readonly token: string
    constructor(id: string, token: string) {
      this.id = id
      this.token = token
    }

    word(step: string, seq: number, claims: TokenClaims = {}): Promise<string> {
      return runner.sign({ iss: undefined, aud: undefined, client_id: undefined, sub: 'runner', job: this.id, step, seq, jti: crypto.randomUUID(), ...claims }, { header: { typ: 'purpose+jwt' } })
    }

    async in(step: string, seq: number, { host = SIGNING, ...claims }: TokenClaims & { readonly host?: string } = {}): Promise<Caller> {
      return this.showing(await this.word(step, seq, claims), host)
    }

    showing(word: string | null, host = SIGNING): Caller {
      const headers = bearer(this.token, { host })
      return { leaf: null, headers: word === null ? headers : { ...headers, 'narrowgate-step': word } }
    }
  }

  const jobOf = async (id: string): Promise<Job> => new Job(id, await tokenFor(setting.a.issuer, 'runner', { job: id, repository: 'acme/app' }))
  const posts = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'POST', '/sign', BODY)
  /** A later step is announced at A: with a request of what the job may do at rest. */
  const announces = async (job: Job, step: string, seq: number): Promise<string> => told(setting.a, await job.in(step, seq, { host: ARTIFACTS }), 'GET', ARTIFACT)
  const asksFor = async (caller: Caller): Promise<string> => {
    const { status, json } = await asked(setting.b, caller, 'POST', '/.narrowgate/elevations', ASK)
    return `${status} ${String(json['reason'])}`
  }

  /** Signing in the step that it is for, by the job that is in it; and everywhere else. */
  async function onlyThere(): Promise<void> {
    const [job, another] = [await jobOf('build-880'), await jobOf('build-879')]
    const lint = await job.in('lint', 1)
    seen.elsewhere.push(await posts(lint))
    seen.asks.push(await asksFor(lint), await asksFor(job.showing(null)))
    const word = await job.word('sign', 2)
    const sign = job.showing(word)
    seen.elsewhere.push(await posts(sign))
    await elevatedAt(setting.a, sign, ASK)
    seen.passed = await posts(sign)
    seen.elsewhere.push(await posts(job.showing(null)), await posts(another.showing(word)), await posts(await another.in('sign', 2)), await posts(await another.in('sign', 2, { job: job.id })))
    seen.elsewhere.push(await through(setting, sign, 'GET', '/sign'), await through(setting, sign, 'POST', '/sign/keys', BODY))
    seen.asks.push(await asksFor(another.showing(word)))
  }

  const batchOf = (grpc: GrpcCaller, job: Job, word: string): ClientCall => grpc.call(SIGN_BATCH, job.token, { metadata: { 'narrowgate-step': word } })
  const says = (call: ClientCall, text: string): void => void call.stream.write({ data: Buffer.from(text) })

  /** A batch that ends by itself. */
  async function aWholeBatch(grpc: GrpcCaller, job: Job, word: string): Promise<void> {
    const call = batchOf(grpc, job, word)
    for (const text of ['one', 'two', 'three']) says(call, text)
    const { code } = await call.done().ended
    Object.assign(seen.batch, { whole: String(code), digest: signer.batches[0]?.digest })
  }

  /** A batch and a download are open on B when A hears of step test. */
  async function whileABatchIsOpen(grpc: GrpcCaller, job: Job, word: string): Promise<void> {
    const { a: { upstream }, b } = setting
    const call = batchOf(grpc, job, word)
    const download = await OpenStream.open(b, TARBALL, job.showing(word, ARTIFACTS).headers)
    const pace = setInterval(() => { if (call.status === null) says(call, `at ${performance.now()} .`) }, 5)
    await until(() => timesIn(signer.batches[1]?.text ?? '').length > 3 && call.messages > 3, 'the batch to be under way')
    const announced = await announces(job, 'test', 3)
    const at = performance.now()
    const status = await call.ended
    clearInterval(pace)
    upstream.feed('artifact').write('behind')
    await download.says('behind')
    upstream.feed('artifact').end()
    const { complete } = await download.cut()
    const batch = signer.batches[1]
    await until(() => batch?.cancelled === true, 'the signer to see the end')
    const behind = timesIn(batch?.text ?? '').filter(time => time > at)
    Object.assign(seen.batch, { announced, code: status.code, reason: detailsOf(status)?.reason, cutAfter: call.endedAt - at, behind, cancelled: true, downloaded: String(complete) })
  }

  async function andThenTest(): Promise<void> {
    const job = await jobOf('build-882')
    const word = await job.word('sign', 2)
    const sign = job.showing(word)
    seen.batch.session = await sessionAt(setting.a, sign)
    seen.batch.elevation = await elevatedAt(setting.a, sign, ASK)
    const grpc = new GrpcCaller(setting.b.target.port, null, {}, 'sign.internal')
    await aWholeBatch(grpc, job, word)
    await whileABatchIsOpen(grpc, job, word)
    const again = [batchOf(grpc, job, word), batchOf(grpc, job, await job.word('test', 3))]
    for (const call of again) says(call, 'again')
    seen.batch.again = await Promise.all(again.map(async call => detailsOf(await call.ended)?.reason))
    seen.batch.later = signer.batches.length
    grpc.close()
    for (const [step, seq] of [['test', 3], ['sign', 2]] as const) seen.batch.rest.push(await through(setting, await job.in(step, seq, { host: ARTIFACTS }), 'GET', ARTIFACT))
    const inTest = await job.in('test', 3)
    seen.test.push(await posts(inTest), await posts(sign), await posts(await job.in('sign', 2)))
    seen.asksInTest.push(await asksFor(inTest), await asksFor(sign))
    seen.test.push(await posts(await job.in('sign', 4)))
  }

  /** Nobody announces anything: the word of the step says until when it counts. */
  async function untilItsWordEnds(): Promise<void> {
    const job = await jobOf('build-883')
    const exp = Math.floor(Date.now() / 1000) - 2
    const sign = await job.in('sign', 2, { exp })
    const ends = exp * 1000 + TOLERANCE
    seen.expires.elevation = await elevatedAt(setting.a, sign, ASK)
    seen.expires.passed = await posts(sign)
    const open = await OpenStream.open(setting.b, LIVE, sign.headers)
    const at = performance.now() + ends - Date.now()
    const stop = paced(setting.a, 'own')
    await open.cut().catch(() => null) // by a reset, or at an event's end
    stop()
    seen.expires.late = performance.now() - at
    seen.expires.lastByte = Math.max(...timesIn(open.text)) - at
    seen.expires.after.push(await posts(sign), await posts(await job.in('sign', 2)))
  }

  /** A job whose token is bound to a key: each of its requests carries a proof of its own. */
  async function withProofs(): Promise<void> {
    const { a, b, a: { upstream } } = setting
    const key = await DpopKey.make()
    const token = await tokenFor(a.issuer, 'runner', { job: 'build-884', repository: 'acme/app', cnf: { jkt: key.thumbprint } })
    const job = new Job('build-884', token)
    const proof = (method: string, host: string, path: string): Promise<string> => key.proof(method, `http://${host}${path}`, token)
    const shown = (word: string, dpop: string, host = SIGNING): Caller => ({ leaf: null, headers: { host, authorization: `DPoP ${token}`, dpop, 'narrowgate-step': word } })
    const posted = async (gate: Setting['a'], word: string, dpop: string): Promise<string> => told(gate, shown(word, dpop), 'POST', '/sign', BODY)
    const sign = await job.word('sign', 2)
    await elevatedAt(a, shown(sign, await proof('POST', SIGNING, '/.narrowgate/elevations')), ASK)
    const used = await proof('POST', SIGNING, '/sign')
    const unused = await Promise.all(Array.from({ length: 4 }, () => proof('POST', SIGNING, '/sign')))
    seen.proofs.passed = [await posted(a, sign, used), await posted(b, sign, await proof('POST', SIGNING, '/sign'))]
    const before = upstream.requests.length
    seen.proofs.replayed = [await posted(a, sign, used), await posted(b, sign, used)]
    await told(a, shown(await job.word('test', 3), await proof('GET', ARTIFACTS, ARTIFACT), ARTIFACTS), 'GET', ARTIFACT)
    const inTest = await job.word('test', 3)
    const [one = '', two = '', three = '', four = ''] = unused
    seen.proofs.inTest = [await posted(a, inTest, used), await posted(b, inTest, used), await posted(a, inTest, one), await posted(b, inTest, two), await posted(a, sign, three), await posted(b, sign, four)]
    seen.proofs.dispatched = upstream.requests.filter(({ path }, i) => i >= before && path === '/sign').length
  }

  let first: Job
  const duties = new Duties({
    carried: { method: 'POST', path: '/sign', body: BODY }, stream: LIVE, rest: null, before: '403 elevation_required', after: '403 purpose_over', reason: 'purpose_over',
    caller: async (_setting, name) => {
      const job = await jobOf(name === 'first' ? 'build-881' : 'build-885')
      if (name === 'first') first = job
      return job.in('sign', 2)
    },
    other: async () => {
      const caller = await (await jobOf('build-886')).in('sign', 2)
      await elevatedAt(setting.a, caller, ASK)
      return { caller, path: '/sign/b-2/live' }
    },
    give: (_setting, caller) => elevatedAt(setting.a, caller, ASK),
    end: () => announces(first, 'test', 3),
    revive: async () => {
      await announces(first, 'sign', 2)
      await announces(first, 'sign', 4)
    },
  })

  beforeAll(async () => {
    ;[runner, signer] = await Promise.all([TokenIssuer.create({ algorithm: 'ES256' }), Signer.start()])
    const jwksFile = keySetOf(runner)
    const adapt = (example: Adapted): void => {
      example['purposes'].step.signed.jwksFile = jwksFile
      example['upstreams'].signer.url = signer.origin
      example['routes'].find(({ name }: Line) => name === 'signer').upstream = 'signer'
    }
    setting = await raise('s03.yaml', { adapt })
    setting.a.upstream.plays.set(LIVE, '/sse/own').set(TARBALL, '/stream/artifact')
    await onlyThere()
    await andThenTest()
    await untilItsWordEnds()
    await withProofs()
    await duties.play(setting)
  }, 60_000)
  afterAll(async () => {
    await setting.stop()
    signer.close()
  })

  const own = (): readonly Line[] => duties.lines.filter(({ session }) => session === seen.batch.session)
  const closeOf = ({ exchange }: Line): Line | undefined => duties.lines.find(line => line['kind'] === 'exchange.closed' && line['exchange'] === exchange)
  const endOf = (elevation: string): Line | undefined => factsIn(duties.lines, 'elevation.ended').find(fact => fact['elevation'] === elevation)
  const requestOf = (elevation: string): Line | undefined => factsIn(duties.lines, 'elevation.requested').map(fact => fact['elevation'] as Line).find(({ id }) => id === elevation) // what was asked

  test('[S3.a] signing passes for the job in step sign, and in no other step, for no other job, at no other place', () => {
    expect(seen.passed).toEqual(both('200'))
    expect(seen.elsewhere).toEqual([NONE, NONE, both('403 purpose_missing'), NONE, NONE, NONE, both('403 no_rule'), both('403 no_rule')])
    expect(seen.asks).toEqual(['403 not_eligible', '403 purpose_missing', '403 purpose_missing'])
  })

  test('[S3.b] the runner announces step test: what step sign was given ends', () => {
    expect(endOf(seen.batch.elevation)).toMatchObject({ reason: 'purpose_over' })
    expect(requestOf(seen.batch.elevation)).toMatchObject({ proofs: { step: 'signed' }, purposes: { step: 'sign' } })
  })

  test('[S3.c] the word of the step expires: what it was given ends by itself, nothing written behind that passes, and the step shown anew brings nothing back', () => {
    const { elevation, passed, late, lastByte, after } = seen.expires
    expect(passed).toEqual(both('200'))
    expect(lastByte).toBeGreaterThan(-BOUND)
    expect(lastByte).toBeLessThanOrEqual(CLOCKS)
    expect(late).toBeGreaterThanOrEqual(-CLOCKS)
    expect(late).toBeLessThan(BOUND)
    expect(after).toEqual([NONE, OVER])
    expect(endOf(elevation)).toMatchObject({ reason: 'purpose_over' })
  })

  test('[S3.d] the batch that is open then is cut: none of its further messages passes, and no other batch begins', () => {
    const { whole, code, reason, behind, cancelled, cutAfter, later, again } = seen.batch
    expect([whole, behind, cancelled]).toEqual(['0', [], true])
    if (code !== CANCELLED) expect([code, reason]).toEqual([PERMISSION_DENIED, 'purpose_over']) // a call that is cut while bytes wait reads the reset alone (RULES 17)
    expect(cutAfter).toBeLessThan(BOUND)
    expect([again, later]).toEqual([['purpose_over', 'elevation_required'], 2])
  })

  test('[S3.e] signing from step test is refused: in its own name, in that of step sign, shown again or anew, and behind test too; nor is it given there', () => {
    expect(seen.test).toEqual([NONE, OVER, OVER, OVER])
    expect(seen.asksInTest).toEqual(['403 not_eligible', '403 purpose_over'])
  })

  test('[S3.f] a proof of step sign is refused in step test: one that was used, and one that was only made', () => {
    expect(seen.proofs.passed).toEqual(['200', '200'])
    expect(seen.proofs.inTest).toEqual(['401 credential_invalid', '401 credential_invalid', ...NONE, ...OVER])
    expect(seen.proofs.dispatched).toBe(0)
  })

  test('[S3.g] artifacts are read on, in either step, and the download that is under way goes through whole', () => {
    expect(seen.batch.rest).toEqual([both('200'), both('200')])
    expect([seen.batch.downloaded, seen.batch.announced]).toEqual(['true', '200'])
  })

  test('[S3.h] the steps are on record: with what was asked, with each request, and where the next one began', () => {
    const shown = own().filter(({ kind, route }) => (kind === 'exchange.opened' || kind === 'request.refused') && route !== null).map(({ kind, route, purposes }) => [kind, route, (purposes as { readonly step?: string }).step])
    for (const line of [['exchange.opened', 'signer', 'sign'], ['request.refused', 'signing', 'test'], ['request.refused', 'signer', 'test'], ['exchange.opened', 'artifacts', 'test']]) expect(shown).toContainEqual(line)
    const begun = factsIn(duties.lines, 'anchor.told').filter(({ kind }) => kind === 'step').map(({ matter }) => matter)
    for (const matter of [{ is: 'progress', position: 2, value: 'sign' }, { is: 'progress', position: 3, value: 'test' }]) expect(begun).toContainEqual(matter)
  })

  test('[S3.i] what was signed is on record by its digest: of each body before it passed, of each batch when it was over', () => {
    const signed = duties.lines.filter(({ kind, route, path }) => kind === 'exchange.opened' && route === 'signing' && path === '/sign')
    expect(signed.length).toBeGreaterThanOrEqual(8)
    for (const line of signed) {
      expect(line['bodyDigest']).toBe(sha256(JSON.stringify(BODY)))
      expect(closeOf(line)).toMatchObject({ requestDigest: line['bodyDigest'], complete: true })
    }
    const batches = own().filter(({ kind, route }) => kind === 'exchange.opened' && route === 'signer')
    expect(batches.map(({ path }) => path)).toEqual([SIGN_BATCH, SIGN_BATCH])
    expect(seen.batch.digest).not.toBe(sha256(''))
    expect(batches.map(closeOf)).toMatchObject([{ requestDigest: seen.batch.digest, complete: true }, { requestDigest: expect.stringMatching(/^[\w-]{43}$/), complete: false, reason: 'purpose_over' }])
  })

  test('[S3.j] each denied attempt is on record: who, in which step, at which place, and why', () => {
    const denied = own().filter(({ kind, route }) => kind === 'request.refused' && (route === 'signing' || route === 'signer'))
    const told = denied.map(({ method, path, reason, purposes }) => `${String(method)} ${String(path)} ${(purposes as { readonly step?: string }).step ?? ''} ${String(reason)}`)
    const twice = (line: string): readonly string[] => [line, line]
    const posts = [...twice('POST /sign test elevation_required'), ...Array.from({ length: 3 }, () => twice('POST /sign sign purpose_over')).flat()]
    expect(told.toSorted()).toEqual([...posts, `POST ${SIGN_BATCH} sign purpose_over`, `POST ${SIGN_BATCH} test elevation_required`].toSorted())
    for (const line of denied) expect(line).toMatchObject({ subject: expect.stringMatching(/\|runner$/), tenant: 'acme', decision: 'refuse' })
  })

  test('[S3.r] the same proof again is refused while everything else stands, through either', () => expect(seen.proofs.replayed).toEqual(both('401 credential_invalid')))

  for (const [id, says, prove] of duties.clauses({
    whole: 'S3.k', risk: 'S3.l', digest: 'S3.m', life: 'S3.n', exchanges: 'S3.o', verify: 'S3.p', replay: 'S3.q', reconnect: 'S3.s', revive: 'S3.t', across: 'S3.u', upstream: 'S3.w', shared: 'S3.x',
  })) test(`[${id}] ${says}`, prove)

  test('[S3.v] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
