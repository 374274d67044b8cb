// Nonces that tell when they were handed out: only ours, only while they live, on every gateway of the data set.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Nonces } from '../../../src/identity/dpop/nonces.ts'
import { duration, instant } from '../../../src/core/time.ts'

const SLOT = 300_000
const noncesOf = (key = 7, epoch = 0): Nonces => new Nonces(Buffer.alloc(32, key), duration(SLOT), epoch)
const times = fc.integer({ min: 1, max: 4_000_000_000_000 })

test('[STU3, BND2] one is taken like any other by every gateway of its data set, and tells its time, for two slots', () => {
  fc.assert(fc.property(times, fc.integer({ min: 0, max: 2 * SLOT - 1 }), (at, later) => {
    const nonce = noncesOf().timed(instant(at))
    expect([noncesOf().handedOutAt(nonce, instant(at + later)), noncesOf().accepts(nonce, instant(at + later))]).toEqual([at, true])
    expect([noncesOf().handedOutAt(nonce, instant(at + 2 * SLOT)), noncesOf().accepts(nonce, instant(at + 2 * SLOT))]).toEqual([null, false])
  }))
})

test('[STU3, BND2] none is made newer, and none comes from another key, an earlier counter, or the other kind', () => {
  const now = instant(1_800_000_000_000)
  const nonce = noncesOf().timed(now)
  const [at = '', digest = ''] = nonce.split('.')
  const other = [`${(now + 1).toString(36)}.${digest}`, `0${at}.${digest}`, `${at.toUpperCase()}.${digest}`, `${at}.${digest}x`, `.${digest}`, `${at}.`, digest, noncesOf().current(now), noncesOf(8).timed(now), noncesOf(7, 1).timed(now), '', '.']
  for (const wrong of other) expect(noncesOf().handedOutAt(wrong, now), wrong).toBeNull()
  fc.assert(fc.property(fc.string({ maxLength: 60 }), text => noncesOf().handedOutAt(text, now) === null))
})
