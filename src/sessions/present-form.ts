// Records as they were written before sessions were bound to anything: what was not said then was nothing. Without it an upgrade would refuse all of them.
// SPEC: STO11, STO14
import type { Anchor, Matter } from '../core/anchor.ts'
import { NOT_BOUND } from '../core/binding.ts'
import { type Approval, type Elevation, PLAIN, type Stage, type Tie } from '../core/elevation.ts'
import { NO_STANDING } from '../core/risk.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'

/** Members that came later. */
const SESSION: Pick<Session, 'bindings' | 'aliases' | 'overlay' | 'demand' | 'brokered' | 'drifts' | 'stepUps' | 'taints'> = { bindings: NOT_BOUND, aliases: [], overlay: [], demand: null, brokered: null, drifts: [], stepUps: [], taints: [] }
const MATTER: Pick<Anchor, 'matter'> = { matter: null }
const PLAIN_TIE: Pick<Tie, 'position' | 'level'> = { position: null, level: null }
/** Of the one stage there was. */
const APPROVAL: Pick<Approval, 'stage' | 'shown' | 'claims'> = { stage: 0, shown: '', claims: {} }
type Before = Elevation & { readonly approvalsNeeded?: number }

function presentElevation(elevation: Before): Elevation {
  const { approvalsNeeded: count = 0, ...rest } = elevation // written when there was one stage, and nothing else
  const stages: readonly Stage[] = count === 0 ? [] : [{ role: 'approver', count }]
  return { ...PLAIN, ...rest, stages, ties: elevation.ties.map(tie => ({ ...PLAIN_TIE, ...tie })), approvals: elevation.approvals.map(approval => ({ ...APPROVAL, ...approval })) }
}

function presentAnchor(anchor: Anchor): Anchor {
  if (!('matter' in anchor)) return { ...MATTER, ...anchor as Anchor }
  const { matter } = anchor
  return matter?.is === 'principal' && !('taints' in matter) ? { ...anchor, matter: { ...NO_STANDING, ...matter as Extract<Matter, { is: 'principal' }> } } : anchor // written when pauses were all there was
}

/** The record itself where nothing is missing. */
export function inPresentForm(record: StoredRecord): StoredRecord {
  if (record.record === 'anchor') return presentAnchor(record)
  if (record.record !== 'session') return record
  const elevations = record.elevations.every(elevation => 'revision' in elevation && elevation.ties.every(tie => 'level' in tie)) ? record.elevations : record.elevations.map(presentElevation)
  return 'bindings' in record && 'stepUps' in record && 'overlay' in record && elevations === record.elevations ? record : { ...SESSION, ...record, elevations }
}
