import { DatabaseSync } from 'node:sqlite'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { approvalsNeeded, type Elevation, PLAIN } from '../../../src/core/elevation.ts'
import { sessionRef } from '../../../src/core/record.ts'
import type { Session } from '../../../src/core/session.ts'
import { openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import { placement } from '../../../src/sessions/placement.ts'
import { bodyOf, recordOf } from '../../../src/sessions/redis/entry.ts'
import { elevation, NOW, SESSION } from '../core/world.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'

const STAGES = [{ role: 'approver', count: 2 }]
const now: Session = {
  ...SESSION,
  elevations: [
    elevation('elv_1', { ties: [{ anchor: { kind: 'ticket', name: 'manual//T-1' }, generation: NOW, reason: 'ticket_closed', position: null, level: null }] }),
    elevation('elv_2', { stages: STAGES, approvals: [{ by: 'corp|ann', at: NOW, stage: 0, shown: '', claims: {} }], state: { is: 'requested', expiresAt: null } }),
  ],
}
/** As it was written before. */
const before = (): unknown => {
  const { bindings: _, brokered: __, drifts: ___, ...session } = now
  const members = (elevation: Elevation): object => Object.fromEntries(Object.entries(elevation).filter(([name]) => !(name in PLAIN) || name === 'approvals' || name === 'keyThumbprint'))
  return { ...session, elevations: now.elevations.map(elevation => ({ ...members(elevation), ties: elevation.ties.map(({ position: ____, ...tie }) => tie), approvals: elevation.approvals.map(({ by, at }) => ({ by, at })), approvalsNeeded: approvalsNeeded(elevation) })) }
}

test('[STO14] a record that was written without bindings is read as one that is bound to nothing, from either form', () => {
  expect(recordOf(sessionRef(SESSION.key), JSON.stringify(before()))).toEqual(now)
  const written = JSON.parse(bodyOf(now)) as unknown[]
  written[7] = { elevations: (before() as { elevations: unknown }).elevations }
  expect(recordOf(sessionRef(SESSION.key), JSON.stringify(written))).toEqual(now)
})

test('[STO11] so is one in a file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-form-'))
  const file = join(directory, 'store.db')
  try {
    const store = openEmbeddedStore({ file, clock: new SystemClock(), ephemeral: false })
    await store.commit({ operation: 'o', ref: sessionRef(SESSION.key), expectedVersion: 0, expectedEpoch: 'any', record: now, facts: [], due: null, news: null, awaited: false, ahead: null, ...placement(now, NOW) })
    await store.close()
    const rows = new DatabaseSync(file)
    expect(rows.prepare('UPDATE records SET body = ? WHERE kind = ?').run(JSON.stringify(before()), 'session').changes).toBe(1)
    rows.close()
    const again = openEmbeddedStore({ file, clock: new SystemClock(), ephemeral: false })
    expect(await again.load(sessionRef(SESSION.key))).toEqual(now)
    await again.close()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('[STO14] an anchor from before anything was known of one has nothing known of it', () => {
  const { matter: _, ...anchor } = { record: 'anchor', kind: 'ticket', name: 'manual//T-1', version: 3, state: 'open', generation: NOW, since: NOW, note: '', matter: null } as const
  expect(recordOf({ kind: 'ticket', name: anchor.name }, JSON.stringify(anchor))).toEqual({ ...anchor, matter: null })
})
