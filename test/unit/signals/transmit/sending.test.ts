// What a receiver says of events that are wrong: done with, and never more in the log than it has to be.
import { expect, test } from 'vitest'
import { duration, instant } from '../../../../src/core/time.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import { openLog } from '../../../../src/runtime/log.ts'
import { Metrics } from '../../../../src/runtime/metrics.ts'
import { openEmbeddedStore } from '../../../../src/sessions/embedded-store.ts'
import { Polls } from '../../../../src/signals/transmit/polls.ts'
import { Sending } from '../../../../src/signals/transmit/sending.ts'
import { queueOf, type Stream } from '../../../../src/signals/transmit/stream.ts'
import { Streams } from '../../../../src/signals/transmit/streams.ts'
import { Waits } from '../../../../src/signals/transmit/waits.ts'

const STREAM: Stream = { id: 'stm_1', status: 'enabled', reason: null, held: false, push: null, requested: null, description: null, verifiedAt: instant(0), choice: 0 }

test('[TRM5] faults that a receiver makes up are done with at once by kind, and fill neither the store with calls nor the log', async () => {
  const clock = new SystemClock()
  const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  const jtis = Array.from({ length: 400 }, (_, i) => `j${i}`)
  for (const id of jtis) await store.enqueue(queueOf('siem', STREAM), { id, text: '{}', forgetAt: instant(clock.now() + duration(60_000)) }, 1_000)
  let [warned, calls] = [0, 0]
  const counting = new Proxy(store, { get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'dequeue') calls++
    return typeof member === 'function' ? member.bind(target) : member
  } })
  const log = Object.assign(openLog('silent'), { warn: () => { warned++ } })
  const sending = new Sending({ store: counting, signer: () => { throw new Error('nothing is signed') }, metrics: new Metrics(), log })
  const polls = new Polls({ streams: new Streams(store), sending, waits: new Waits() })
  const say = (errOf: (i: number) => string) => polls.answer('siem', STREAM, { maxEvents: 0, setErrs: Object.fromEntries(jtis.map((jti, i) => [jti, { err: errOf(i) }])) }, new AbortController().signal)
  await say(i => (i % 2 === 0 ? 'even' : 'odd'))
  await say(i => (i % 2 === 0 ? 'even' : 'odd'))
  expect([warned, calls, (await store.waiting(queueOf('siem', STREAM), 1)).length]).toEqual([2, 4, 0])
  await say(i => `made up ${i}`)
  expect(warned).toBe(16)
  await store.close()
})
