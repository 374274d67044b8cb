// What a data set that is new refuses, and for how long it says so.
import { expect, onTestFinished, test } from 'vitest'
import { newSignalId } from '../../../src/runtime/id.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { acceptLoss, installStore, markBirth } from '../../../src/sessions/birth.ts'
import { openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import { policyOf, CONFIG } from '../../contract/admin-desk.ts'

async function fresh() {
  const clock = new SystemClock()
  const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  onTestFinished(() => store.close())
  const mirror = new Mirror(store, policyOf(CONFIG), 10)
  await mirror.start()
  return { store, mirror, ledger: new Ledger(store, mirror, clock) }
}

test('[STO11] a loss is accepted once; the second word says that none waits', async () => {
  const { store, ledger } = await fresh()
  expect(await markBirth(store, ledger, false)).toBe('marked')
  expect(await markBirth(store, ledger, false)).toBe('marked')
  expect(await acceptLoss(store, ledger, 'ops', 'new disk')).toBe('accepted')
  expect(await acceptLoss(store, ledger, 'ops', 'new disk')).toBe('nothing')
  expect(await markBirth(store, ledger, false)).toBe('clean')
})

test('[STO11] an operator who lifts the lock by hand has said it too', async () => {
  const { store, mirror, ledger } = await fresh()
  await markBirth(store, ledger, false)
  const selector = { kind: 'issuedBefore', value: String(store.born) } as const
  expect(mirror.lock(selector)).toMatchObject({ reason: 'state_lost' })
  await ledger.applyToLock(selector, { kind: 'lock.lifted', id: newSignalId(), by: 'ops', note: 'known' })
  expect([await markBirth(store, ledger, false), await acceptLoss(store, ledger, 'ops', 'again')]).toEqual(['clean', 'nothing'])
})

test('[STO11] an installed data set has lost nothing', async () => {
  const { store, ledger } = await fresh()
  expect([await installStore(store), await markBirth(store, ledger, false), await acceptLoss(store, ledger, 'ops', 'x')]).toEqual(['installed', 'clean', 'nothing'])
})
