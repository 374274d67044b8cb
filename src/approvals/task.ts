// What an elevation is for: its purposes with their proof, the shared conditions they are tied to as they are now, and what their ticket says.
// A ticket nobody confirmed, a purpose that is over, or one that is shown with less proof than the profile asks is none. SPEC: PUR3, PUR5, PUR6, TKT1
import { type Anchor, type AnchorKind, anchorOf, type AnchorRef, progressAnchor } from '../core/anchor.ts'
import type { Elevation, Tie } from '../core/elevation.ts'
import { type Policy, type Profile, proofOf, type PurposeSource, purposeTold } from '../core/policy.ts'
import { isProofEnough, ORDERED, type Proof, PURPOSE_KINDS, PURPOSE_VALUE, type PurposeKind, type Purposes, type Shown } from '../core/purpose.ts'
import type { EndReason } from '../core/reason.ts'
import { FOREVER, instant } from '../core/time.ts'
import { type Declined, decline, isDeclined } from './declined.ts'

/** What whoever asks shows of its purposes with the ask itself; `null` for somebody else who asks for it, and vouches for what it is for. */
export type ShownPurposes = Shown | null

/** As they are now, asked from their source where nobody here knows them. */
export type AnchorLookup = (ref: AnchorRef) => Promise<Anchor | null>

export type Task = Pick<Elevation, 'purposes' | 'proofs' | 'ties' | 'ticket' | 'endsBy'> & { readonly seen: Anchor | null }

const END_OF: { readonly [K in PurposeKind]: EndReason } = {
  ticket: 'ticket_closed', run: 'purpose_over', step: 'purpose_over', conversation: 'purpose_over', turn: 'purpose_over', task: 'purpose_over',
}

/** The name under which an operator's word on a purpose is kept. */
export const manualAnchor = (kind: AnchorKind, tenant: string, id: string): AnchorRef => anchorOf('manual', kind, tenant, id)

function tenantOf({ connectors }: Policy, source: string, tenant: string): string {
  return connectors.get(source)?.tenanted === false ? '' : tenant
}

function purposesOf(profile: Profile, asked: Purposes, shown: ShownPurposes, policy: Policy): Purposes | Declined {
  const unknown = PURPOSE_KINDS.find(kind => asked[kind] !== undefined && !profile.purposes.includes(kind))
  if (unknown !== undefined) return decline('bad_request', `the profile knows no ${unknown}`)
  const found: { [K in PurposeKind]?: string } = {}
  for (const kind of profile.purposes) {
    const source = policy.purposes.get(kind)
    const own = shown?.purposes[kind]
    const value = asked[kind] ?? own
    if (value === undefined) return decline('purpose_missing', `the profile needs a ${kind}`)
    if (!PURPOSE_VALUE.test(value)) return decline('bad_request', `the ${kind} is not a name`)
    if (own !== undefined && own !== value) return decline('purpose_mismatch', `the request itself shows another ${kind}`)
    if (shown !== null && own === undefined && source !== undefined && proofOf(source) !== 'stated') return decline('purpose_missing', `the ${kind} must be shown with the request, ${proofOf(source)}`)
    found[kind] = value
  }
  return found
}

/** Somebody else who asks for a caller vouches for what it is for: as good as an orchestrator's signature. */
const givenProof = (source: PurposeSource, shown: ShownPurposes): Proof => (shown === null ? 'signed' : proofOf(source))

function proofsOf(profile: Profile, purposes: Purposes, shown: ShownPurposes, policy: Policy): Elevation['proofs'] | Declined {
  const proofs: { [K in PurposeKind]?: Proof } = {}
  for (const kind of PURPOSE_KINDS) {
    const source = policy.purposes.get(kind)
    if (purposes[kind] === undefined || source === undefined) continue
    const given = givenProof(source, shown)
    const wanted = profile.proof.get(kind) ?? 'stated'
    if (!isProofEnough(given, wanted)) return decline('purpose_missing', `the ${kind} must be ${wanted}, and is only ${given}`)
    proofs[kind] = proofOf(source)
  }
  return proofs
}

/** What nobody showed has no place in its line, and nothing later would end it: also where a session was opened for it. */
async function progressTie(kind: PurposeKind, shown: ShownPurposes, look: AnchorLookup): Promise<Tie | Declined> {
  const position = shown?.positions.find(each => each.kind === kind)
  if (position === undefined) return decline('denied', `only whoever shows a signed ${kind} asks for it`)
  const anchor = progressAnchor(position)
  const found = await look(anchor)
  if (found?.matter?.is === 'progress' && found.matter.position > position.at) return decline('purpose_over', `this ${kind} is over: ${kind} ${found.matter.value} has begun`)
  return { anchor, generation: found?.generation ?? instant(0), reason: 'purpose_over', position: position.at, level: null }
}

type Sourced = { readonly tie: Tie; readonly anchor: Anchor | null }

async function sourcedTie(policy: Policy, source: string, kind: PurposeKind, tenant: string, value: string, look: AnchorLookup): Promise<Sourced | Declined> {
  const ref = anchorOf(source, kind, tenantOf(policy, source, tenant), value)
  const found = await look(ref)
  if (found === null && (kind === 'ticket' || source !== 'manual')) return decline(kind === 'ticket' ? 'ticket_unknown' : 'purpose_mismatch', `no source has confirmed ${kind} ${value}`)
  if (found?.state === 'ended') return decline(kind === 'ticket' ? 'ticket_closed' : 'purpose_over', `${kind} ${value} is over`)
  return { anchor: found, tie: { anchor: ref, generation: found?.generation ?? instant(0), reason: END_OF[kind], position: null, level: null } }
}

/** What the ask is for, as everything it names is now. */
export async function taskOf(policy: Policy, profile: Profile, asked: Purposes, shown: ShownPurposes, tenant: string, look: AnchorLookup): Promise<Task | Declined> {
  const purposes = purposesOf(profile, asked, shown, policy)
  if (isDeclined(purposes)) return purposes
  const proofs = proofsOf(profile, purposes, shown, policy)
  if (isDeclined(proofs)) return proofs
  const ties: Tie[] = []
  const told = purposeTold(profile.purposes, policy.purposes)
  let [ticket, seen]: [AnchorRef | null, Anchor | null] = [null, null]
  for (const kind of PURPOSE_KINDS) {
    const [value, source] = [purposes[kind], policy.purposes.get(kind)]
    if (value === undefined || source === undefined) continue
    if (source.from.is === 'signed' && ORDERED.has(kind)) {
      const tie = await progressTie(kind, shown, look)
      if (isDeclined(tie)) return tie
      ties.push(tie) // one later than it ends it whatever `endWhen` says
    }
    if (source.source === null) continue
    const found = await sourcedTie(policy, source.source, kind, tenant, value, look)
    if (isDeclined(found)) return found
    if (profile.endWhen.includes(kind)) ties.push(found.tie)
    if (kind === told) [ticket, seen] = [found.tie.anchor, found.anchor]
  }
  const signed = PURPOSE_KINDS.some(kind => proofs[kind] === 'signed')
  return { purposes, proofs, ties, ticket, seen, endsBy: signed && shown !== null && shown.until !== FOREVER ? shown.until : null }
}
