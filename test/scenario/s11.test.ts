// S11: maintenance on the production account, as far as a fixed time goes. The story is played once; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { approve } from './operators.ts'
import { bearer, elevate, factsIn, type Headers, type Line, linesOf, loadsAsItStands, OpenStream, outcome, raise, recordsAreWhole, risksAreNamed, toldAndKept, tokenFor, verifyFindsEveryMissingRecord, word } from './stage.ts'

const HOST = { host: 'db.prod.internal' }
const SHORT = 1_500
const BOUND = 1_000
const CLOCKS = 5

let gate: TestGateway
let dba: Headers
let other: Headers
let session = ''
let lines: readonly Line[] = []
const seen = {
  atRest: [] as string[], waiting: '', early: '', started: '', inside: [] as string[], after: [] as string[], reconnect: '', keepAlive: [] as number[],
  clock: { late: 0, cutAfter: 0, aborted: false, complete: true }, early_end: { tookMs: 0, cut: 0, received: 0, complete: true, after: '' },
  extended: { outlived: false, exact: false, complete: false, tooFar: 0 }, others: false,
  reopened: [] as string[], replay: '', told: '', kept: '-',
}

const ask = async (method: string, path: string, headers: Headers = dba): Promise<string> => outcome(await gate.ask(method, path, headers))

/** Asked for by the caller, approved by somebody on call. */
async function approved(body: object): Promise<string> {
  const id = await elevate(gate, dba, { profile: 'maintenance', ...body })
  seen.waiting = await ask('GET', '/sql/tables')
  await approve(gate, id)
  return id
}

async function onConnection(client: RawClient, path: string): Promise<RawResponse> {
  await client.send(request('GET', path, dba))
  return client.response()
}

/** Rows of a report, each with the time at which the upstream wrote it. */
function rows(): () => string {
  let written = ''
  const pace = setInterval(() => {
    const row = `row ${performance.now()}\n`
    written += row
    for (const name of ['report', 'beside']) gate.upstream.feed(name).write(row)
  }, 5)
  return () => {
    clearInterval(pace)
    return written
  }
}
const lastRow = (stream: OpenStream): number => Math.max(...[...stream.text.matchAll(/row ([\d.]+)\n/g)].map(([, at]) => Number(at)))

async function endsByTheClock(): Promise<void> {
  await approved({ for: `${SHORT}ms`, startAt: new Date(Date.now() + 400).toISOString() })
  seen.early = await ask('GET', '/sql/tables')
  await vi.waitFor(async () => expect(await ask('GET', '/sql/tables')).toBe('200'), { timeout: 5_000, interval: 20 })
  const until = performance.now() + SHORT
  seen.inside = [await ask('POST', '/sql/query'), await ask('GET', '/sql/tables')]
  const kept = await RawClient.connect(gate.target)
  seen.keepAlive.push((await onConnection(kept, '/sql/tables')).status)
  const report = await OpenStream.open(gate, '/reports/daily', dba)
  const beside = await OpenStream.open(gate, '/reports/beside', other)
  const stop = rows()
  const { complete } = await report.cut()
  const cutAt = performance.now()
  seen.clock = { late: lastRow(report) - until, cutAfter: cutAt - until, aborted: false, complete }
  await beside.client.until(() => lastRow(beside) > cutAt + 50)
  stop()
  seen.others = true
  const recorded = await gate.upstream.request('/reports/daily')
  await vi.waitFor(() => expect(recorded.abortedAt).toBeGreaterThan(0))
  seen.clock.aborted = true
  seen.keepAlive.push((await onConnection(kept, '/sql/tables')).status)
  seen.after = [await ask('GET', '/sql/tables'), await ask('POST', '/sql/query'), await ask('GET', '/reports/daily')]
  seen.reconnect = await ask('GET', '/reports/daily')
  kept.close()
  beside.client.close()
}

/** An operator's word cuts a report that runs. */
async function endsEarly(): Promise<void> {
  gate.upstream.forget()
  const id = await approved({})
  const report = await OpenStream.open(gate, '/reports/daily', dba)
  const stop = rows()
  await report.says('row ')
  const answer = await word(gate, `/v1/elevations/${id}/revoke`)
  const { client } = report
  const { json } = answer
  seen.early_end = { ...seen.early_end, tookMs: Number(json['tookMs']), cut: (json['exchanges'] as { readonly cut: number }).cut, received: client.received } // the contract's shape
  const { complete } = await report.cut()
  stop()
  seen.early_end = { ...seen.early_end, complete, received: client.received - seen.early_end.received, after: await ask('GET', '/sql/tables') }
}

/** A report that runs over the old end and through to its own. */
async function outlives(): Promise<void> {
  const id = await approved({ for: `${SHORT}ms` })
  const old = performance.now() + SHORT
  const report = await OpenStream.open(gate, '/reports/daily', dba)
  await word(gate, `/v1/elevations/${id}/extend`, { for: '1h' })
  seen.extended.tooFar = (await gate.admin('POST', `/v1/elevations/${id}/extend`, { for: '4h', reason: 'too far' })).status
  const stop = rows()
  await report.client.until(() => performance.now() > old + 200 && lastRow(report) > old + 200)
  const written = stop()
  seen.extended.outlived = true
  gate.upstream.feed('report').end()
  const response = await report.cut()
  seen.extended = { ...seen.extended, complete: response.complete, exact: response.body.toString('latin1') === written }
  await word(gate, `/v1/elevations/${id}/revoke`)
}

async function theWayBack(): Promise<void> {
  const [lock] = [(await word(gate, '/v1/locks', { selector: { subject: 'svc-dba' } })).json['lock'] as Line] // the contract's shape
  seen.reopened.push(await ask('GET', '/sql/tables'))
  await word(gate, `/v1/locks/${String(lock?.['id'])}`, {}, 'DELETE')
  await word(gate, `/v1/sessions/${session}/freeze`)
  await word(gate, `/v1/sessions/${session}/resume`)
  seen.reopened.push(await ask('GET', '/sql/tables'), await ask('GET', '/reports/daily'))
  await word(gate, `/v1/sessions/${session}/terminate`)
  ;[seen.told, seen.kept] = await toldAndKept(gate, session)
  seen.replay = await ask('GET', '/sql/tables')
}

beforeAll(async () => {
  gate = await raise('s11.yaml')
  gate.upstream.plays.set('/reports/daily', '/stream/report').set('/reports/beside', '/stream/beside')
  dba = bearer(await tokenFor(gate.issuer, 'svc-dba'), HOST)
  session = String((await gate.ask('GET', '/.narrowgate/session', dba)).json['id'])
  const second = await tokenFor(gate.issuer, 'svc-dba', { sid: 'second' })
  other = bearer(second, HOST)
  await approve(gate, await elevate(gate, other, { profile: 'maintenance' }))
  seen.atRest = [await ask('GET', '/sql/tables'), await ask('POST', '/sql/query'), await ask('GET', '/reports/daily'), await ask('DELETE', '/sql/tables')]
  await endsByTheClock()
  await endsEarly()
  await outlives()
  await theWayBack()
  lines = await linesOf(gate)
}, 60_000)
afterAll(() => gate.stop())

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s11.yaml'))
test('[S11.a] without an elevation everything in prod is refused', () => expect(seen.atRest).toEqual(['403 elevation_required', '403 elevation_required', '403 elevation_required', '403 no_rule']))
test('[S11.b] inside an elevation of fixed time its requests pass', () => expect(seen.inside).toEqual(['200', '200']))

test('[S11.d] a running report is cut when the elevation\'s time ends: nothing goes through behind it, and the upstream is aborted', () => {
  expect(seen.clock.late).toBeLessThanOrEqual(CLOCKS + 50) // the caller learnt of its beginning by asking every 20 ms
  expect(seen.clock.cutAfter).toBeLessThan(BOUND)
  expect(seen.clock).toMatchObject({ aborted: true, complete: false })
})

test('[S11.g] connecting before activation and after the end is refused, also while the approval or the start is awaited', () => {
  expect([seen.waiting, seen.early]).toEqual(['403 elevation_required', '403 elevation_required'])
  expect(seen.after).toEqual(Array.from({ length: 3 }, () => '403 elevation_required'))
  expect(seen.keepAlive).toEqual([200, 403])
})

test('[S11.i] an operator ends the elevation while it is open: the report is cut with the answer', () => {
  expect(seen.early_end).toMatchObject({ cut: 1, complete: false, received: 0, after: '403 elevation_required' })
  expect(seen.early_end.tookMs).toBeLessThan(BOUND)
})

test('[S11.k] an operator extends the elevation: the stream survives the old end, whole and byte-exact; beyond the limit is refused', () => {
  expect(seen.extended).toMatchObject({ outlived: true, exact: true, complete: true })
  expect(seen.extended.tooFar).toBe(409)
})

test('[S11.m] every request names the elevation and the end that applied to it', () => {
  const opened = lines.filter(line => line['kind'] === 'exchange.opened' && line['session'] === session)
  const ends = new Map<string, readonly unknown[]>()
  for (const { elevation, until } of factsIn(lines, 'elevation.activated').concat(factsIn(lines, 'elevation.extended'))) ends.set(String(elevation), [...(ends.get(String(elevation)) ?? []), until])
  expect(opened.length).toBeGreaterThan(5)
  for (const { elevation, until, grant } of opened) {
    const { id } = elevation as { readonly id: string; readonly profile: string } // an elevated exchange's
    expect(grant).toBe(id)
    expect(ends.get(id)).toContain(until)
  }
})

test('[S11.o] each record names who, on whose behalf, with what, where, what was decided and why, and what went through', () => recordsAreWhole(lines, session))

test('[S11.p] each record names the risk before and after', () => risksAreNamed(lines, gate))

test('[S11.r] the life of each elevation is there, with who approved it', () => {
  const own = lines.filter(({ kind, fact }) => kind === 'fact' && String((fact as Line)['what']).startsWith('elevation.')).map(({ fact }) => fact as Line)
  const lives = new Map<string, string[]>()
  for (const { what, elevation } of own) {
    const id = typeof elevation === 'string' ? elevation : (elevation as { readonly id: string }).id // the first fact holds it whole
    lives.set(id, [...(lives.get(id) ?? []), String(what).slice('elevation.'.length)])
  }
  expect([...lives.values()].slice(1)).toEqual([
    ['requested', 'approved', 'scheduled', 'activated', 'ended'], ['requested', 'approved', 'activated', 'ended'], ['requested', 'approved', 'activated', 'extended', 'ended'],
  ])
  expect(factsIn(lines, 'elevation.approved').map(({ approver, by }) => [approver, by])).toEqual(Array.from({ length: 4 }, () => ['https://login.example|ann', 'https://login.example|ann']))
  expect(factsIn(lines, 'elevation.ended').map(({ reason }) => reason)).toEqual(['time_up', 'revoked', 'revoked'])
  expect(seen.told).toBe(seen.kept)
})

test('[S11.s] the life of each exchange is there: opened, and cut with grant and latency', () => {
  const cuts = lines.filter(({ kind }) => kind === 'exchange.cut')
  expect(cuts).toMatchObject([
    { session, reason: 'time_up', because: 'time', grant: expect.stringMatching(/^elv_/), latencyMs: expect.any(Number) },
    { session, reason: 'revoked', because: expect.stringMatching(/^sig_/), grant: expect.stringMatching(/^elv_/), latencyMs: expect.any(Number) },
  ])
  for (const { exchange, latencyMs } of cuts) {
    expect(latencyMs).toBeLessThan(BOUND)
    expect(lines.filter(line => line['exchange'] === exchange).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
  }
})

test('[S11.t] `audit verify` passes, and fails when one record is removed, whichever', () => verifyFindsEveryMissingRecord(gate))
test('[S11.u] the same token again is refused', () => expect([seen.after[0], seen.replay]).toEqual(['403 elevation_required', '401 credential_revoked']))
test('[S11.v] reconnecting after the cut is refused', () => expect([seen.reconnect, seen.early_end.after]).toEqual(['403 elevation_required', '403 elevation_required']))
test('[S11.w] lifting a lock on the subject or a freeze revives nothing', () => expect(seen.reopened).toEqual(['403 locked', '403 elevation_required', '403 elevation_required']))
test('[S11.z] another session\'s report on the same upstream keeps flowing', () => expect(seen.others).toBe(true))
