// S15 by its minutes, on a clock that is moved to them: an agent works on tickets for ten minutes, with the queue of its task open, then asks for a secret; nobody
// answers for 120 seconds. Another one is answered behind 40. The story is played once; each clause is asserted on what was seen of it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { WEBHOOK_SECRET } from '../support/ticket-source.ts'
import { until } from '../wire/support.ts'
import { factsOf, paced, timesIn } from './brokers.ts'
import { asHolder } from './operators.ts'
import { type Adapted, APPROVER, bearer, elevate, type Headers, type Line, OpenStream, outcome, raise, tokenFor, word } from './stage.ts'

const BEGIN = Date.parse('2026-11-21T10:00:00Z')
const SECOND = 1_000
const MINUTE = 60 * SECOND
const TICKET = '/tickets/7'
const SECRET = '/secrets/db'
const QUEUE = '/queue/live'
const ASKED = '401 step_up_required'
const REVOKED = '401 credential_revoked'
/** By the judge alone, until the end is written. */
const OVER = ['403 step_up_denied', REVOKED]
const BOUND = 1_000
const CLOCKS = 5
const AHEAD = 1_500

let gate: TestGateway
let lines: readonly Line[] = []
const clock = new ShiftedClock(new Date(BEGIN).toISOString())
const seen = {
  minutes: [] as string[][], flows: [] as boolean[], spared: [] as string[], within: 0, pending: [] as string[], same: false, open: false, over: { told: [] as string[], after: 0, late: 0 }, reconnect: [] as string[], again: [] as string[],
  answered: [] as (number | string)[], others: [] as unknown[], late: 0, dispatched: -1, session: '', slow: '', id: '', slowId: '',
}

const agent = async (name: string): Promise<Headers> => {
  await word(gate, `/v1/anchors/task/${name}`, { state: 'open', tenant: 'acme' })
  return bearer(await tokenFor(gate.issuer, name, { sid: name, owner: 'omar' }, clock.shift), { host: 'tickets.internal', 'narrowgate-task': name })
}
const atVault = (headers: Headers): Headers => ({ ...headers, host: 'vault.internal' })
const ask = async (headers: Headers, method: string, path: string): Promise<string> => outcome(await gate.ask(method, path, headers))
const moveTo = (at: number): void => clock.moveTo(new Date(at).toISOString())
/** `performance.now()` at that time; whatever comes between the two readings makes it earlier. */
const instantOf = (at: number): number => Math.max(...Array.from({ length: 5 }, () => performance.now() + at - clock.now()))
const sessionOf = async (headers: Headers): Promise<string> => String((await gate.ask('GET', '/.narrowgate/session', headers)).json['id'])
const tickets = async (headers: Headers): Promise<string[]> => [await ask(headers, 'GET', TICKET), await ask(headers, 'POST', `${TICKET}/comments`)]
const goesOn = (stream: OpenStream): Promise<boolean> => {
  const from = performance.now()
  return until(() => timesIn(stream.text).some(time => time > from), 'the queue to go on').then(() => true)
}

async function working(name: string): Promise<Headers> {
  const headers = await agent(name)
  await gate.ask('GET', TICKET, headers)
  await elevate(gate, headers, { profile: 'triage', purpose: { task: name } })
  return headers
}

/** A timer that was set before the clock is moved comes late: what ends within a second makes the gateway look at the time. Resolves with a wait for that. */
async function looksSoon(): Promise<() => Promise<void>> {
  const headers = await agent('brief')
  const session = await sessionOf(headers)
  const id = await elevate(gate, headers, { profile: 'triage', purpose: { task: 'brief' }, for: '1s' })
  return () => until(() => gate.parts.mirror.byId(session)?.record.elevations.find(each => each.id === id)?.state.is === 'ended', 'a look at the time')
}

async function theStory(): Promise<void> {
  const [first, other] = [await working('first'), await working('other')]
  seen.session = await sessionOf(first)
  const [queue, beside] = [await OpenStream.open(gate, QUEUE, first), await OpenStream.open(gate, QUEUE, other)]
  const stop = paced(gate, 'queue')
  let looked = async (): Promise<void> => {}
  for (let minute = 0; minute <= 10; minute++) {
    moveTo(BEGIN + minute * MINUTE)
    seen.minutes.push(await tickets(first))
    seen.flows.push(await goesOn(queue))
    await looked()
    if (minute === 9) looked = await looksSoon()
  }

  const slow = await working('slow')
  seen.slow = await sessionOf(slow)
  const challenge = await gate.ask('GET', SECRET, atVault(first))
  const asked = challenge.json['step_up'] as Line // a challenge has one
  seen.id = String(asked['id'])
  const expiresAt = Date.parse(String(asked['expires_at']))
  seen.within = expiresAt - clock.now()
  seen.slowId = String(((await gate.ask('GET', SECRET, atVault(slow))).json['step_up'] as Line)['id']) // likewise
  moveTo(clock.now() + 40 * SECOND)
  seen.answered = [(await asHolder(gate, APPROVER, `/v1/step-ups/${seen.slowId}/approve`)).status, await ask(atVault(slow), 'GET', SECRET), await ask(atVault(slow), 'GET', SECRET)]
  seen.spared = await tickets(first)

  moveTo(expiresAt - AHEAD)
  await looksSoon()
  const late = await gate.ask('GET', SECRET, atVault(first))
  Object.assign(seen, { pending: [outcome(late), ...(await tickets(first))], same: (late.json['step_up'] as Line)['id'] === seen.id, open: await goesOn(queue) })
  expect(clock.now()).toBeLessThan(expiresAt) // all of it was begun in time
  const overAt = instantOf(expiresAt)
  await until(() => clock.now() >= expiresAt, 'the end of the 120 seconds')
  const requests = gate.upstream.requests.length
  const told = [...(await tickets(first)), await ask(atVault(first), 'GET', SECRET)]
  await queue.cut().catch(() => null) // by a reset, or at an event's end
  seen.over = { told, after: performance.now() - overAt, late: Math.max(...timesIn(queue.text)) - overAt }
  seen.reconnect = [await ask(first, 'GET', QUEUE), await ask(atVault(first), 'GET', SECRET)]
  seen.late = (await asHolder(gate, APPROVER, `/v1/step-ups/${seen.id}/approve`)).status
  seen.again = await tickets(first)
  seen.dispatched = gate.upstream.requests.length - requests
  seen.others = [await goesOn(beside), ...(await tickets(other)), ...(await tickets(slow))]
  stop()
  beside.client.close()
  lines = await gate.trail()
}

beforeAll(async () => {
  const adapt = (example: Adapted, directory: string): void => {
    const { webhook } = example['notify'].oncall
    Object.assign(webhook, { url: 'https://127.0.0.1:9/', secretFile: join(directory, 'hook') }) // nobody listens there
    writeFileSync(webhook.secretFile, WEBHOOK_SECRET, { mode: 0o600 })
  }
  gate = await raise('s15.yaml', { clock, adapt })
  gate.upstream.plays.set(TICKET, '/ok').set(`${TICKET}/comments`, '/ok').set(SECRET, '/ok').set(QUEUE, '/sse/queue')
  await theStory()
}, 60_000)
afterAll(() => gate.stop())

const PASSED = ['200', '200']
const stepUpFacts = (session: string, what: string): readonly Line[] => factsOf(lines, session).filter(fact => fact['what'] === what)

test('[S15.a] it reads and writes tickets from minute 0 to minute 10, with the queue open all the while', () => {
  expect(seen.minutes).toEqual(Array.from({ length: 11 }, () => PASSED))
  expect(seen.flows).toEqual(Array.from({ length: 11 }, () => true))
})

test('[S15.c, S15.e] for 120 seconds the secret is refused with one challenge while the tickets pass; then the session is terminated and the queue cut, at that very instant', () => {
  expect(seen.within).toBeGreaterThan(119 * SECOND)
  expect(seen.within).toBeLessThanOrEqual(120 * SECOND)
  expect([seen.spared, seen.pending, seen.same, seen.open]).toEqual([PASSED, [ASKED, ...PASSED], true, true])
  for (const told of seen.over.told) expect(OVER).toContain(told)
  expect(seen.over.late).toBeLessThan(CLOCKS)
  expect(seen.over.after).toBeLessThan(BOUND)
  expect(stepUpFacts(seen.session, 'stepUp.expired')).toMatchObject([{ stepUp: seen.id }])
  expect(stepUpFacts(seen.session, 'session.revoked')).toMatchObject([{ reason: 'step_up_denied' }])
  expect(lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === seen.session)).toMatchObject([{ reason: 'step_up_denied' }])
})

test('[S15.q, S15.r, S15.s] behind it neither the token nor a new connection to the queue is let through, and a yes comes too late', () => {
  expect([seen.reconnect, seen.again, seen.late, seen.dispatched]).toEqual([[REVOKED, REVOKED], [REVOKED, REVOKED], 409, 0])
})

test('[S15.j] the log tells how long each answer took: 40 seconds of the one that was given, 120 of the one that nobody gave', () => {
  expect(seen.answered).toEqual([200, '200', ASKED])
  const tookOf = (session: string, id: string, what: string): number => {
    const asked = stepUpFacts(session, 'stepUp.asked').map(({ stepUp }) => stepUp as Line).find(each => each['id'] === id) // such a fact has one
    const [end] = stepUpFacts(session, what)
    return Number(end?.['at']) - Number(asked?.['askedAt'])
  }
  expect(tookOf(seen.slow, seen.slowId, 'stepUp.answered')).toBeGreaterThanOrEqual(40 * SECOND)
  expect(tookOf(seen.slow, seen.slowId, 'stepUp.answered')).toBeLessThan(41 * SECOND)
  expect(tookOf(seen.session, seen.id, 'stepUp.expired')).toBeGreaterThanOrEqual(120 * SECOND)
  expect(tookOf(seen.session, seen.id, 'stepUp.expired')).toBeLessThan(121 * SECOND)
})

test('[S15.v] other agents work on beside it, and so does the one that was answered', () => expect(seen.others).toEqual([true, ...PASSED, ...PASSED]))
