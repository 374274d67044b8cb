// S11 over Redis: a maintenance that is approved, extended and ended through A holds and ends on B. The story is played once; each clause is asserted on what
// was seen of it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { approve } from './operators.ts'
import { goneForLonger, isEnforced, type Raised, raisePair, STALE, throughBoth } from './pair.ts'
import { bearer, elevate, type Headers, type Line, OpenStream, tokenFor, word } from './stage.ts'

const HOST = { host: 'db.prod.internal' }
const SHORT = 1_500
const REFUSED = ['403 elevation_required', '403 elevation_required']
const REVOKED = ['401 credential_revoked', '401 credential_revoked']

let pair: Raised
let dba: Headers
let other: Headers
let session = ''
const seen = {
  waiting: [] as readonly string[], inside: [] as readonly string[], outlived: false, exact: false,
  ended: {} as Line, behind: 0, complete: true, after: [] as readonly string[], reconnect: [] as readonly string[], beside: false,
  locked: [] as readonly string[], reopened: [] as readonly string[], replay: [] as readonly string[], gone: [] as readonly string[], dispatched: -1, leaked: -1,
}

const both = (method: string, path: string, headers = dba): Promise<readonly string[]> => throughBoth(pair, method, path, headers)

/** Asked for on A, approved by somebody on call on B. */
async function approved(headers: Headers, more: object = {}): Promise<string> {
  const id = await elevate(pair.a, headers, { profile: 'maintenance', ...more })
  if (headers === dba) seen.waiting = await both('GET', '/sql/tables')
  await approve(pair.b, id)
  return id
}

/** Rows of every report, each with the time at which the upstream wrote it. */
function rows(): () => string {
  let written = ''
  const pace = setInterval(() => {
    const row = `row ${performance.now()}\n`
    written += row
    for (const name of ['report', 'beside']) pair.a.upstream.feed(name).write(row)
  }, 5)
  return () => {
    clearInterval(pace)
    return written
  }
}

/** Extended through A, a report of B runs over the old end; ended through A, it is cut. */
async function extendedThenEnded(): Promise<void> {
  const { a, b } = pair
  const id = await approved(dba, { for: `${SHORT}ms` })
  const old = performance.now() + SHORT
  seen.inside = await both('GET', '/sql/tables')
  const report = await OpenStream.open(b, '/reports/daily', dba)
  await word(a, `/v1/elevations/${id}/extend`, { for: '1h' })
  const beside = await OpenStream.open(b, '/reports/beside', other)
  const stop = rows()
  await report.client.until(() => performance.now() > old + 200 && report.text.length > 0)
  seen.outlived = true
  seen.ended = (await word(a, `/v1/elevations/${id}/revoke`)).json
  const at = performance.now()
  const { complete, body } = await report.cut()
  await beside.client.until(() => [...beside.text.matchAll(/row ([\d.]+)\n/g)].some(([, written]) => Number(written) > at + 50))
  const written = stop()
  seen.beside = true
  seen.complete = complete
  seen.behind = [...body.toString().matchAll(/row ([\d.]+)\n/g)].filter(([, when]) => Number(when) > at).length
  seen.exact = written.startsWith(body.toString())
  beside.client.close()
  seen.after = [...(await both('GET', '/sql/tables')), ...(await both('POST', '/sql/query'))]
  seen.reconnect = await both('GET', '/reports/daily')
}

async function theWayBack(): Promise<void> {
  const { a, b } = pair
  const lock = (await word(a, '/v1/locks', { selector: { subject: 'svc-dba' } })).json['lock'] as Line // the contract's shape
  seen.locked = await both('GET', '/sql/tables')
  await word(b, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
  await word(a, `/v1/sessions/${session}/freeze`)
  await word(b, `/v1/sessions/${session}/resume`)
  seen.reopened = [...(await both('GET', '/sql/tables')), ...(await both('GET', '/reports/daily'))]
  await word(b, `/v1/sessions/${session}/terminate`)
  seen.replay = await both('GET', '/sql/tables')
}

async function theStoreIsGone(): Promise<void> {
  const { a, b } = pair
  const report = await OpenStream.open(b, '/reports/beside', other)
  expect(await both('GET', '/sql/tables', other)).toEqual(['200', '200'])
  await goneForLonger(pair)
  const [requests, mark] = [a.upstream.requests.length, report.client.mark()]
  a.upstream.feed('beside').write('nobody reads this\n')
  seen.gone = await both('GET', '/sql/tables', other)
  seen.dispatched = a.upstream.requests.length - requests
  seen.leaked = report.client.receivedSince(mark)
  report.client.close()
}

beforeAll(async () => {
  pair = await raisePair('s11.yaml')
  const { a } = pair
  a.upstream.plays.set('/reports/daily', '/stream/report').set('/reports/beside', '/stream/beside')
  dba = bearer(await tokenFor(a.issuer, 'svc-dba'), HOST)
  other = bearer(await tokenFor(a.issuer, 'svc-dba', { sid: 'second' }), HOST)
  session = String((await a.ask('GET', '/.narrowgate/session', dba)).json['id'])
  await approved(other)
  await extendedThenEnded()
  await theWayBack()
  await theStoreIsGone()
}, 60_000)
afterAll(() => pair.stop())

test('[S11.x] what is approved, extended and ended through one gateway holds and ends on the other one before it is answered, and the way back is closed through both', () => {
  expect([seen.waiting, seen.inside, seen.outlived]).toEqual([REFUSED, ['200', '200'], true])
  isEnforced(seen.ended, { cut: 1 })
  expect([seen.complete, seen.behind, seen.exact, seen.beside]).toEqual([false, 0, true, true])
  expect([seen.after, seen.reconnect]).toEqual([[...REFUSED, ...REFUSED], REFUSED])
  expect([seen.locked, seen.reopened]).toEqual([['403 locked', '403 locked'], [...REFUSED, ...REFUSED]])
  expect(seen.replay).toEqual(REVOKED)
})

test('[S11.y] with Redis gone no elevated call passes after the lease, on A or B, and nothing of an open report', () => {
  expect([seen.gone, seen.dispatched, seen.leaked]).toEqual([STALE, 0, 0])
})
