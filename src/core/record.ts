// What the store keeps, by reference. A session lies under its key's digest, an anchor under kind and name, a lock under its selector.
// SPEC: STO1
import { type Anchor, type AnchorKind, type Lock, type Selector, selectorName } from './anchor.ts'
import type { Elevation } from './elevation.ts'
import type { Session, SessionKey } from './session.ts'

export type StoredRecord = Session | Anchor | Lock
export type RecordRef = { readonly kind: 'session' | 'lock' | AnchorKind; readonly name: string }

export const sessionRef = (key: SessionKey): RecordRef => ({ kind: 'session', name: key })
export const lockRef = (selector: Selector): RecordRef => ({ kind: 'lock', name: selectorName(selector) })
export const refOfRecord = (record: StoredRecord): RecordRef =>
  record.record === 'session' ? sessionRef(record.key) : record.record === 'lock' ? lockRef(record.selector) : { kind: record.kind, name: record.name }
export const refName = (ref: RecordRef): string => `${ref.kind}/${ref.name}`

/** Selectors under which a live session is found: what an index of the store holds. */
export function indexOf(session: Session): readonly Selector[] {
  if (session.state.is !== 'live') return [{ kind: 'session', value: session.id }]
  const { principal, credential, brokered, aliases, bindings: { device, workload } } = session
  return [
    { kind: 'session', value: session.id },
    { kind: 'subject', value: `${principal.issuer}|${principal.subject}` },
    { kind: 'subject', value: principal.subject },
    { kind: 'tenant', value: principal.tenant },
    { kind: 'issuer', value: principal.issuer },
    { kind: 'credential', value: credential.id },
    ...(brokered?.parent == null ? [] : [{ kind: 'parent', value: brokered.parent.id } as const]),
    ...aliases.map(value => ({ kind: 'alias', value }) as const),
    ...(device === null ? [] : [{ kind: 'device', value: device } as const]),
    ...(workload === null ? [] : [{ kind: 'workload', value: workload } as const]),
  ]
}

/** Anchors that elevations of this session stand on and that could still end them. */
export function tiesOf(session: Session): readonly RecordRef[] {
  if (session.state.is !== 'live') return []
  return session.elevations
    .filter(({ state }) => state.is === 'requested' || state.is === 'scheduled' || state.is === 'active' || state.is === 'suspended')
    .flatMap(standsOn)
}

/** Every anchor one elevation stands on: its ties, its windows, and the ticket its profile reads. */
export const standsOn = ({ ties, within, ticket }: Elevation): readonly RecordRef[] =>
  [...ties.map(({ anchor: { kind, name } }) => ({ kind, name })), ...within.map(name => ({ kind: 'window', name }) as const), ...(ticket === null ? [] : [{ kind: ticket.kind, name: ticket.name }])]
