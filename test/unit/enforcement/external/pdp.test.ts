// One decision point, asked over real sockets: how many questions at once, and how long what it says of itself counts.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { duration } from '../../../../src/core/time.ts'
import { Pdp } from '../../../../src/enforcement/external/pdp.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import { HttpClient } from '../../../../src/runtime/http-client.ts'
import { AuthzenPdp, permits } from '../../../support/authzen-pdp.ts'
import { eventually } from '../../../support/redis-server.ts'

class LaterClock extends SystemClock {
  later = 0
  override elapsed(): number { return super.elapsed() + this.later }
}

const YES = { is: 'said', decision: true, context: {} }
let double: AuthzenPdp
let http: HttpClient
beforeAll(async () => {
  double = await AuthzenPdp.start()
  http = new HttpClient()
})
afterEach(() => {
  double.say = () => permits()
  double.metadata = {}
})
afterAll(async () => {
  await http.close()
  await double.close()
})

const clock = new LaterClock()
const open = (timeout = 2_000): Pdp => new Pdp({ name: 'main', url: double.url, discover: true, tokenFile: null, caFile: null, timeout: duration(timeout) }, { token: null, ca: null }, { clock, http, notice: () => undefined })
const ask = (pdp: Pdp, lane: 'new' | 'open' = 'new', evaluation = 'eval_1') => pdp.ask(evaluation, lane, () => '{}')

test('[PEP3] no more than so many are on their way at once, and those of new requests keep nobody from asking about what is open', async () => {
  const pdp = open(500)
  expect(await ask(pdp)).toEqual(YES)
  double.say = () => 'silent'
  const asked = Array.from({ length: 256 }, () => ask(pdp))
  expect(await ask(pdp)).toEqual({ is: 'silence', why: 'busy' })
  double.say = () => permits()
  expect(await ask(pdp, 'open')).toEqual(YES)
  await Promise.all(asked)
})

test('[PEP3] who asks what it has no good answer to shuts nobody else out', async () => {
  const pdp = open()
  double.say = ({ headers }) => (headers['x-request-id'] === 'eval_odd' ? { body: { decision: 'true' } } : permits())
  for (let i = 0; i < 4; i++) expect(await ask(pdp, 'new', 'eval_odd')).toEqual({ is: 'silence', why: 'malformed' })
  expect(await ask(pdp)).toEqual(YES)
})

test('[PEP3] a connection that was kept open and is gone costs no answer', async () => {
  const pdp = open()
  let times = 0
  double.say = ({ headers }) => (headers['x-request-id'] === 'eval_2' && times++ === 0 ? 'reset' : permits())
  expect([await ask(pdp, 'new', 'eval_2'), times]).toEqual([YES, 2])
})

test('[PEP3] metadata is asked for once an hour; what it said before counts until it says something else that is believed', async () => {
  const pdp = open()
  const before = double.looks
  await Promise.all([ask(pdp), ask(pdp)])
  clock.later += 3_599_000
  await ask(pdp)
  expect(double.looks - before).toBe(1)
  clock.later += 2_000
  double.metadata = { policy_decision_point: 'https://other.example' }
  expect(await ask(pdp)).toEqual(YES)
  await eventually('another look', 2_000, async () => (double.looks - before >= 2 ? true : null))
  expect(await ask(pdp)).toEqual(YES)
  clock.later += 1_000
  double.metadata = { access_evaluation_endpoint: `${double.url}/moved` }
  await eventually('the other place', 2_000, async () => (await ask(pdp), double.asked.at(-1)?.path === '/moved' ? true : null))
})
