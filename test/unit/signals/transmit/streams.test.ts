// Streams of receivers in the store, beside streams of transmitters: who is told may tell, too, and by one name.
import { expect, test } from 'vitest'
import { instant } from '../../../../src/core/time.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import { openEmbeddedStore } from '../../../../src/sessions/embedded-store.ts'
import { SharedFacts } from '../../../../src/signals/ssf/streams/shared-facts.ts'
import type { Stream } from '../../../../src/signals/transmit/stream.ts'
import { Streams } from '../../../../src/signals/transmit/streams.ts'

const STREAM: Stream = { id: 'stm_1', status: 'enabled', reason: null, held: false, push: null, requested: null, description: null, verifiedAt: instant(0), choice: 0 }

test('[TRM4, SSF5] a receiver that tells us things as well, under the same name, has two streams, and neither takes the place of the other', async () => {
  const store = openEmbeddedStore({ file: ':memory:', clock: new SystemClock(), ephemeral: true })
  const [told, heard] = [new Streams(store), new SharedFacts('idp', store, null, true)]
  await told.change('idp', async () => ({ stream: STREAM, answer: null }))
  await heard.told({ id: 'theirs', audience: ['us'], pollUrl: null, verifyEvery: 0, inactiveAfter: null, tellsOfRevocation: true })
  await heard.read()
  expect([await told.read('idp'), heard.stream]).toEqual([STREAM, { id: 'theirs', audience: ['us'] }])
  await store.close()
})
