// What an elevation is for, and what a request showed of it.
// SPEC: PUR1, PUR2
export const PURPOSE_KINDS = ['ticket', 'run', 'step', 'conversation', 'turn', 'task'] as const
export type PurposeKind = (typeof PURPOSE_KINDS)[number]

/** How strongly a purpose value is proven: a header's word, a claim of the token, or an orchestrator's signature. */
export type Proof = 'stated' | 'claimed' | 'signed'

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
