import { DatabaseSync } from 'node:sqlite'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sessionRef } from '../../../src/core/record.ts'
import { openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import { placement } from '../../../src/sessions/placement.ts'
import { bodyOf, recordOf } from '../../../src/sessions/redis/entry.ts'
import { elevation, NOW, SESSION } from '../core/world.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'

const now = { ...SESSION, elevations: [elevation('elv_1')] }
/** As it was written before. */
const before = (): unknown => {
  const { bindings: _, brokered: __, drifts: ___, ...session } = now
  return { ...session, elevations: now.elevations.map(({ workload: ____, ...rest }) => rest) }
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
