// What an elevation is for, and what a request showed of it.
// SPEC: PUR1, PUR2
import { FOREVER, type Instant } from './time.ts'

export const PURPOSE_KINDS = ['ticket', 'run', 'step', 'conversation', 'turn', 'task'] as const
export type PurposeKind = (typeof PURPOSE_KINDS)[number]

/** How strongly a purpose value is proven: a header's word, a claim of the token, or an orchestrator's signature. */
export const PROOFS = ['stated', 'claimed', 'signed'] as const
export type Proof = (typeof PROOFS)[number]
export const isProofEnough = (given: Proof, wanted: Proof): boolean => PROOFS.indexOf(given) >= PROOFS.indexOf(wanted)

/** Purposes that have an order: a later one ends what the earlier ones carry, and none comes back. */
export const ORDERED: ReadonlySet<PurposeKind> = new Set<PurposeKind>(['turn', 'step'])

/** Where in its order a value stands. `line`: within what: the conversation, the run, or the session. */
export type Position = { readonly kind: PurposeKind; readonly line: string; readonly at: number }

/** What a purpose may be called, wherever it comes from. */
export const PURPOSE_VALUE = /^[A-Za-z0-9][A-Za-z0-9._:@/#-]{0,199}$/

/** Purpose values by kind: what an elevation stands for, or what one request shows. */
export type Purposes = { readonly [K in PurposeKind]?: string }

export const NO_PURPOSES: Purposes = {}

type PurposeFit = 'shown' | 'missing' | 'different'

/** Does a request that shows `shown` stand for everything `wanted` names? */
export function purposeFit(wanted: Purposes, shown: Purposes): PurposeFit {
  let fit: PurposeFit = 'shown'
  for (const kind of PURPOSE_KINDS) {
    const value = wanted[kind]
    if (value === undefined || shown[kind] === value) continue
    if (shown[kind] !== undefined) return 'different'
    fit = 'missing'
  }
  return fit
}

/** What a request shows of its purposes. */
export type Shown = {
  readonly purposes: Purposes
  /** Until when what was signed of them counts; FOREVER where nothing is. */
  readonly until: Instant
  /** Of those that have an order. */
  readonly positions: readonly Position[]
}
const NO_POSITIONS: readonly Position[] = []
export const shownPlainly = (purposes: Purposes): Shown => ({ purposes, until: FOREVER, positions: NO_POSITIONS })
