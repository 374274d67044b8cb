// A store that does not answer while callers have to step up: what is refused stays refused, nothing is covered twice, and what is open ends rather than waits
// for ever; and the command line's word on a step-up. SPEC: STU2, STU4, STU5, ADM10
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import type { Commit, SessionStore } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { TestGateway } from '../support/gateway.ts'
import { approve, asks, bearer, caller, freshPath, operate, riseTo, stepUpPlan, toldIn } from './step-up-stage.ts'
import { exchangesOf, takeOff, TapUpstream } from './support.ts'

let upstream: TapUpstream
let gate: TestGateway
/** Commits of which a fact is called so fail. */
let failing = ''

const faulty = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'commit' || name === 'commitRestrictive') return (commit: Commit) => (commit.facts.some(({ what }) => what === failing) ? Promise.reject(new StoreFault('unreachable', 'as the test says')) : target[name](commit))
    return typeof member === 'function' ? member.bind(target) : member
  },
})

beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start({ ...stepUpPlan(upstream), wrapStore: faulty })
})
afterEach(() => { failing = '' })
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

test('[STU2] a question that the store does not take: refused all the same, without one', async () => {
  const [token, path] = [await caller(gate)(), freshPath('once')]
  failing = 'stepUp.asked'
  const { status, json } = await gate.ask('GET', path, bearer(token))
  expect([status, json['reason'], json['step_up'], upstream.taps.has(path)]).toEqual([401, 'step_up_required', undefined, false])
  failing = ''
  expect(toldIn(await gate.ask('GET', path, bearer(token))).id).toMatch(/^stp_/)
})

test('[STU4] a use that the store does not confirm carries nothing', async () => {
  const [token, path] = [await caller(gate)(), freshPath('once')]
  const { id } = toldIn(await gate.ask('GET', path, bearer(token)))
  expect((await approve(gate, id)).status).toBe(200)
  failing = 'stepUp.used'
  const { status, json } = await gate.ask('GET', path, bearer(token))
  expect([status, json['reason'], upstream.taps.has(path)]).toEqual([503, 'store_failed', false])
})

test('[STU5] what is held and nobody can be asked about ends', async () => {
  const token = await caller(gate, { sub: 'unasked' })()
  const { id: session, key } = await gate.session(token)
  const flight = await takeOff(gate, upstream, 'download', 'extra', token)
  failing = 'stepUp.asked'
  await riseTo(gate, key, 20)
  expect(exchangesOf(gate, session)[0]?.state).toBe('frozen')
  expect(await flight.ended).toBe('reset')
  expect((await gate.trail()).findLast(({ kind }) => kind === 'exchange.cut')).toMatchObject({ reason: 'store_failed' })
})

test('[ADM10, STU6] get step-ups, approve and deny by id; one is approved as it was asked for', async () => {
  writeFileSync(join(gate.directory, 'ann'), `nga_${'ann'.padEnd(43, '0')}\n`, { mode: 0o600 })
  const run = async (...words: readonly string[]): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> => {
    let [out, err] = ['', '']
    const env = { NARROWGATE_SERVER: `http://127.0.0.1:${gate.gateway.front.bound.get('admin')?.address.port}`, NARROWGATE_TOKEN_FILE: join(gate.directory, 'ann') }
    const exit = await runCommandLine(words, { out: text => { out += text }, err: text => { err += text }, env, quit: () => undefined, onSignal: () => () => undefined, demo: async () => false })
    return { exit, out, err }
  }
  const token = await caller(gate)()
  const [first, second] = [freshPath('once'), freshPath('mild')]
  const [a, b] = [toldIn(await gate.ask('GET', first, bearer(token))).id, toldIn(await gate.ask('GET', second, bearer(token))).id]
  const listed = await run('get', 'step-ups')
  expect(listed.out).toMatch(new RegExp(`${a} +pending +agent-1 +api#1 +attest,approval +api#1 +${first}`))
  expect(listed.out).toContain(b)
  expect((await run('approve', a, '--reason', 'x', '--uses', '1')).exit).toBe(2)
  const approved = await run('approve', a, '--reason', 'looked at it')
  expect([approved.exit, approved.err.includes(first)]).toEqual([0, true])
  expect((await asks(gate, upstream, first, bearer(token))).status).toBe(200)
  expect((await run('deny', b)).exit).toBe(0)
  expect((await operate(gate, 'ann', 'GET', `/v1/step-ups/${b}`)).json).toMatchObject({ state: 'denied', deniedBy: 'ops|ann', rule: 'api#2', request: null })
})
