// Records as they were written before sessions were bound to anything: what was not said then was nothing. Without it an upgrade would refuse all of them.
// SPEC: STO11, STO14
import { NOT_BOUND } from '../core/binding.ts'
import type { Elevation } from '../core/elevation.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'

/** Members that came later. */
const SESSION: Pick<Session, 'bindings' | 'brokered' | 'drifts'> = { bindings: NOT_BOUND, brokered: null, drifts: [] }
const ELEVATION: Pick<Elevation, 'workload'> = { workload: null }

/** The record itself where nothing is missing. */
export function inPresentForm(record: StoredRecord): StoredRecord {
  if (record.record !== 'session') return record
  const elevations = record.elevations.every(elevation => 'workload' in elevation) ? record.elevations : record.elevations.map(elevation => ({ ...ELEVATION, ...elevation }))
  return 'bindings' in record && elevations === record.elevations ? record : { ...SESSION, ...record, elevations }
}
