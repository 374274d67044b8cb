// Several credentials of one session: the newest makes the baseline and the end of everything open, an older one brings nothing back.
// SPEC: SES6, SES7, ENF4
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { exchangesOf, operate, outcomeOf, type Tap, TapUpstream, until } from './support.ts'

/** What a token may be over and still counts, in milliseconds: its end may lie in the past when it is shown. */
const TOLERANCE = 5_000
const SOON = 2_000
let upstream: TapUpstream
let gate: TestGateway
let turn = 0

beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start({
    baseline: `[{ scopes: [base:use] }, { when: "subject.claims.role == 'boss'", scopes: [boss:use] }]`,
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/boss"] }, scope: boss:use }
    - { allow: { paths: ["/*/asked"] }, scope: base:use, if: "subject.claims.role == 'boss'" }
    - { allow: { paths: ["/*/base"] }, scope: base:use }`,
  })
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

/** Tokens of a session of its own; times in seconds from now. */
function caller() {
  const sid = `sid-${++turn}`
  const now = Math.floor(Date.now() / 1000)
  return (issued: number, ends: number, role = 'clerk'): Promise<string> => gate.token({ sid, role, iat: now + issued, exp: now + ends })
}
const outcome = (place: string, token: string): Promise<unknown> => outcomeOf(gate, upstream, `/try${++turn}/${place}`, token)

async function open(place: string, token: string): Promise<{ readonly client: RawClient; readonly tap: Tap }> {
  const path = `/open${++turn}/${place}`
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', path, { authorization: `Bearer ${token}` }))
  const tap = await upstream.tap(path)
  tap.begin(null)
  await client.head()
  return { client, tap }
}

describe('claims', () => {
  test('[SES7] of a newer credential stand: an older one of the session does not bring its baseline or its claims back', async () => {
    const token = caller()
    const [boss, clerk] = [await token(-50, 3_600, 'boss'), await token(-5, 3_600)]
    expect([await outcome('boss', boss), await outcome('asked', boss)]).toEqual([200, 200])
    expect([await outcome('boss', clerk), await outcome('asked', clerk)]).toEqual(['elevation_required', 'condition_false'])
    for (let i = 0; i < 2; i++) {
      expect([await outcome('boss', boss), await outcome('asked', boss), await outcome('base', boss)]).toEqual(['elevation_required', 'condition_false', 200])
      expect(await outcome('boss', clerk)).toBe('elevation_required')
    }
  })

  test.each([['with nothing open', false], ['with something open', true]])('[SES7, ENF3] %s: what stood on the old baseline is cut when the newer credential comes, and is not had again', async (_, something) => {
    const token = caller()
    const [boss, clerk, again] = [await token(-50, 3_600, 'boss'), await token(-5, 3_600), await token(-1, 3_600, 'boss')]
    const held = something ? [await open('boss', boss), await open('base', boss)] : []
    expect(await outcome('base', clerk)).toBe(200)
    const [cut, stays] = held
    if (cut !== undefined) expect(await cut.client.ended).toBe('reset')
    expect([await outcome('boss', boss), await outcome('boss', again), await outcome('boss', boss)]).toEqual(['elevation_required', 200, 200])
    expect(stays?.tap.abortedAt ?? 0).toBe(0)
    for (const { client } of held) client.close()
  })
})

describe.concurrent('the end of the newest credential', () => {
  /** It is cut by the clock, with nothing sent and nobody asking, and not before `at`. */
  async function endsAt(at: number, { client, tap }: Awaited<ReturnType<typeof open>>): Promise<void> {
    expect(at - Date.now()).toBeLessThan(TOLERANCE + 1_000)
    await until(() => tap.abortedAt > 0, 'the end at the upstream', at - Date.now() + SOON)
    expect(Date.now()).toBeGreaterThanOrEqual(at)
    expect(await client.ended).toBe('reset')
  }
  const endOf = (session: string): number => exchangesOf(gate, session)[0]?.until ?? 0

  test('[ENF4, SES6] ends by the clock what it opened itself, also where the record has an older one that ended before', async () => {
    const token = caller()
    const [recorded, own] = [await token(-10, -3), await token(-9, -1)]
    const { id } = await gate.session(recorded)
    const held = await open('base', own)
    expect(gate.parts.mirror.byId(id)?.record.credential.expiresAt).toBeLessThan(endOf(id))
    await endsAt(endOf(id), held)
    expect(gate.parts.inflight.of(gate.parts.mirror.byId(id) ?? gate.parts.mirror.anonymous).length).toBe(0)
  })

  test('[ENF4, SES6] ends by the clock what it opened itself, also where the record has an older one that ends later', async () => {
    const token = caller()
    const [recorded, own] = [await token(-10, 3_600), await token(-9, -2)]
    const { id } = await gate.session(recorded)
    const held = await open('base', own)
    await endsAt(endOf(id), held)
  })

  test.each([['in use', true], ['shown once', false]])('[SES6] bounds an older token that would last longer: newer %s', async (_, inUse) => {
    const token = caller()
    const [old, newest] = [await token(-10, 3_600), await token(-9, -2)]
    const { id } = await gate.session(old)
    const using = inUse ? await open('base', newest) : null
    if (using === null) expect(await outcome('base', newest)).toBe(200)
    const held = await open('base', old)
    const at = endOf(id)
    for (const one of using === null ? [held] : [using, held]) await endsAt(at, one)
    expect(await outcome('base', old)).toBe('credential_ended')
  })

  test('[SES6] is moved by a later credential of the session, and everything open goes on', async () => {
    const token = caller()
    const [first, later] = [await token(-10, -3), await token(-5, 3_600)]
    const { id } = await gate.session(first)
    const held = await open('base', first)
    const before = endOf(id)
    expect(await outcome('base', later)).toBe(200)
    await until(() => Date.now() > before + 500, 'the former end to be over')
    held.tap.send()
    await until(() => held.client.bodyBytes === held.tap.sent, 'bytes after it')
    await operate(gate, id, 'terminate')
    expect(await held.client.ended).toBe('reset')
  })
})
