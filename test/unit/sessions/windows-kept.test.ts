// An operator's word on a window is known to everybody who asks about it, whether or not a session stands on it.
import { expect, test } from 'vitest'
import type { Anchor, Matter } from '../../../src/core/anchor.ts'
import { FOREVER, instant } from '../../../src/core/time.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { NOW } from '../core/world.ts'
import { POLICY, World } from './world.ts'

const NIGHT = { kind: 'window', name: 'night' } as const
const windows = new Map([['night', { name: 'night', timeZone: 'UTC', version: '1', around: () => ({ opens: FOREVER, closes: FOREVER }) }]])
const word = (until: number): Matter => ({ is: 'window', override: { from: NOW, until: instant(until) }, reopened: instant(0) })
const untilOf = (anchor: Anchor | null): number | null => (anchor?.matter?.is === 'window' ? (anchor.matter.override?.until ?? null) : null)

test('[WIN4, RSK2] without a session that stands on it, also after a restart and under another configuration', async () => {
  const world = await World.start({ ...POLICY, windows })
  const tell = (until: number) => world.ledger.applyToAnchor(NIGHT, { kind: 'anchor.told', matter: word(until), id: newSignalId(), by: 'operator', note: '' })
  expect(world.mirror.anchors.known(NIGHT)).toBeNull()
  await tell(NOW + 1_000)
  expect(untilOf(world.mirror.anchors.known(NIGHT))).toBe(NOW + 1_000)
  expect(untilOf((await world.restarted()).anchors.known(NIGHT))).toBe(NOW + 1_000)
  await world.mirror.replacePolicy(POLICY)
  await world.mirror.replacePolicy({ ...POLICY, windows })
  await tell(NOW + 2_000)
  expect(untilOf(world.mirror.anchors.known(NIGHT))).toBe(NOW + 2_000)
  await world.close()
})
