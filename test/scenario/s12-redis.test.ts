// S12 over Redis: a pipeline that A narrows to signing pushes and signs through B. The story is played once; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { type Ending, RawClient, request } from '../support/raw-client.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { keySetOf, signedStep } from './callers.ts'
import { goneForLonger, isEnforced, type Raised, raisePair, STALE, throughBoth } from './pair.ts'
import { type Adapted, bearer, elevate, type Headers, type Line, tokenFor, word } from './stage.ts'

const SIGN = { host: 'sign.internal' }
const RUN = 'run-881'
const PIECE = 64 * 1024
const BUFFERS = 256 * 1024
const NARROWED = ['403 narrowed', '403 narrowed']
const REFUSED = ['403 elevation_required', '403 elevation_required']
const OVER = ['403 purpose_over', '403 purpose_over']
const PASSED = ['200', '200']

let pair: Raised
let runner: TokenIssuer
/** At the repository, in the first step of the run. */
let git: Headers
let token = ''
let session = ''
const seen = {
  start: [] as readonly string[], narrowed: {} as Line, ending: 'closed here' as Ending, exact: false, afterAck: -1, aborted: false, signing: [] as number[],
  later: [] as readonly string[], undo: [] as (number | readonly string[])[], widened: [] as readonly string[], granted: [] as readonly string[],
  reopened: [] as readonly string[], replay: [] as readonly string[], gone: [] as readonly string[], signs: [] as readonly string[], dispatched: -1,
}

const as = (host: Headers, bearerOf = token): Headers => bearer(bearerOf, host)
const push = (bearerOf = token): Promise<readonly string[]> => throughBoth(pair, 'POST', '/shop/git-receive-pack', as(git, bearerOf))
const fetchRefs = (): Promise<readonly string[]> => throughBoth(pair, 'GET', '/shop/info/refs', as(git))
const sign = (bearerOf = token): Promise<readonly string[]> => throughBoth(pair, 'POST', '/sign', as(SIGN, bearerOf))
const grant = (bearerOf = token): Promise<string> => elevate(pair.a, as(git, bearerOf), { profile: 'build', purpose: { run: RUN } })

/** At the repository, in a step as its runner signs it. */
async function inStep(step: string, seq: number, run = RUN): Promise<Headers> {
  return { host: 'git.internal', 'narrowgate-step': await signedStep(runner, run, step, seq) }
}

async function signOn(client: RawClient): Promise<void> {
  await client.send(request('POST', '/sign', as(SIGN), 'digest'))
  seen.signing.push((await client.response()).status)
}

/** A narrows while a push is on its way through B, beside a connection that signs. */
async function narrowedAtTheStep(): Promise<void> {
  const { a, b } = pair
  const [signer, pushing] = [await RawClient.connect(b.target), await RawClient.connect(b.target)]
  await signOn(signer)
  await pushing.send(request('POST', '/shop/git-receive-pack', { ...as(git), 'Content-Type': 'application/x-git-receive-pack-request', 'Transfer-Encoding': 'chunked' }))
  let sent = 0
  const pace = setInterval(() => {
    pushing.push(Buffer.concat([Buffer.from(`${PIECE.toString(16)}\r\n`), patternAt(sent, PIECE), Buffer.from('\r\n')]))
    sent += PIECE
  }, 5)
  const received = await a.upstream.request('/shop/git-receive-pack')
  await vi.waitFor(() => expect(received.bodyBytes).toBeGreaterThan(4 * PIECE))
  seen.narrowed = (await word(a, `/v1/sessions/${session}/narrow`, { to: ['sign:create'] })).json
  const atAck = received.bodyBytes
  seen.ending = await pushing.ended
  clearInterval(pace)
  await vi.waitFor(() => expect(received.abortedAt).toBeGreaterThan(0))
  Object.assign(seen, { aborted: true, afterAck: received.bodyBytes - atAck, exact: firstMismatch(received.body()) === null })
  await signOn(signer)
  signer.close()
}

async function nothingTheCallerCanDo(): Promise<void> {
  const { a, b } = pair
  const renewed = await tokenFor(a.issuer, 'pipeline', { run_id: RUN }, 2_000)
  for (const gate of [a, b]) seen.undo.push((await gate.ask('POST', '/.narrowgate/session/widen', { ...as(git), 'content-type': 'application/json' }, '{}')).status)
  seen.undo.push(await push(renewed))
  await grant()
  seen.undo.push(await push(), await fetchRefs())
}

async function widenedAgain(): Promise<void> {
  const { a, b } = pair
  const { json } = await a.admin('GET', `/v1/sessions/${session}`)
  for (const { id, state } of json['elevations'] as readonly { readonly id: string; readonly state: string }[]) if (state === 'active') await word(a, `/v1/elevations/${id}/revoke`) // the contract's shape
  await word(b, `/v1/sessions/${session}/widen`)
  seen.widened = [...(await push()), ...(await fetchRefs()), ...(await sign())]
  await grant()
  seen.granted = [...(await push()), ...(await fetchRefs()), ...(await sign())]
}

async function theWayBack(): Promise<void> {
  const { a, b } = pair
  await word(a, `/v1/anchors/run/${RUN}`, { state: 'ended', tenant: 'acme' })
  await word(b, `/v1/anchors/run/${RUN}`, { state: 'open', tenant: 'acme' })
  seen.reopened = [...(await push()), ...(await sign())]
  await word(a, `/v1/sessions/${session}/terminate`)
  seen.replay = await sign()
}

async function theStoreIsGone(): Promise<void> {
  const newer = await tokenFor(pair.a.issuer, 'pipeline', { run_id: RUN }, 4_000)
  await grant(newer)
  expect(await push(newer)).toEqual(PASSED)
  await goneForLonger(pair)
  const requests = pair.a.upstream.requests.length
  seen.gone = await push(newer)
  seen.signs = await sign(newer)
  seen.dispatched = pair.a.upstream.requests.length - requests
}

beforeAll(async () => {
  runner = await TokenIssuer.create({ algorithm: 'ES256' })
  const jwksFile = keySetOf(runner)
  pair = await raisePair('s12.yaml', { adapt: (example: Adapted) => { example['purposes'].step.signed.jwksFile = jwksFile } })
  git = await inStep('build', 1)
  const { a } = pair
  a.upstream.plays.set('/shop/git-receive-pack', '/upload').set('/shop/info/refs', '/ok').set('/sign', '/ok')
  token = await tokenFor(a.issuer, 'pipeline', { run_id: RUN })
  session = String((await a.ask('GET', '/.narrowgate/session', as(git))).json['id'])
  await grant()
  seen.start = [...(await fetchRefs()), ...(await push()), ...(await sign())]
  a.upstream.forget()
  await narrowedAtTheStep()
  seen.later = [...(await push()), ...(await fetchRefs())]
  await nothingTheCallerCanDo()
  await widenedAgain()
  await theWayBack()
  await theStoreIsGone()
}, 60_000)
afterAll(() => pair.stop())

test('[S12.v] narrowed through A, a push through B is aborted before it is answered, signing goes on there, and nobody but an operator gets it back through either', () => {
  expect(seen.start).toEqual([...PASSED, ...PASSED, ...PASSED])
  isEnforced(seen.narrowed, { cut: 1 })
  expect(seen).toMatchObject({ ending: 'reset', exact: true, aborted: true, signing: [200, 200] })
  expect(seen.afterAck).toBeLessThanOrEqual(BUFFERS) // out of the kernel's buffers; nothing was handed to it
  expect(seen.later).toEqual([...NARROWED, ...NARROWED])
  expect(seen.undo).toEqual([404, 404, NARROWED, NARROWED, NARROWED])
  expect(seen.widened).toEqual([...REFUSED, ...REFUSED, ...PASSED])
  expect(seen.granted).toEqual([...PASSED, ...PASSED, ...PASSED])
  expect([seen.reopened, seen.replay]).toEqual([[...OVER, ...PASSED], ['401 credential_revoked', '401 credential_revoked']])
})

test('[S12.w] with Redis gone no elevated call passes after the lease, on A or B', () => {
  expect([seen.gone, seen.signs, seen.dispatched]).toEqual([STALE, STALE, 0])
})
