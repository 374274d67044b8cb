// The ledger of what must be proven (test/ledger.json), and what a set of proofs makes of it. Pure; the file's form is checked here.
import type { Proofs } from './titles.ts'

export type Entry = { readonly id: string; readonly text: string; readonly milestone: string }
export type Clause = Entry & { readonly part: string }
export type Scenario = { readonly id: string; readonly title: string; readonly clauses: readonly Clause[] }
export type StoreItem = Entry & { readonly on: 'both' | 'embedded' | 'redis' | 'struck' }

export type Ledger = {
  readonly milestones: readonly string[]
  /** Milestones that are over, in order: nothing may be pending on them. */
  readonly finished: readonly string[]
  readonly scenarios: readonly Scenario[]
  readonly cases: readonly (Entry & { readonly class: string; readonly oracle: string })[]
  readonly store: readonly StoreItem[]
}

export const entriesOf = ({ scenarios, cases, store }: Ledger): readonly Entry[] => [...scenarios.flatMap(({ clauses }) => clauses), ...cases, ...store.filter(({ on }) => on !== 'struck')]

/** Where a proof of an entry has to stand: through real sockets, as its scenario or as a case on the wire. */
const homeOf = (id: string): RegExp => (/^S\d+\./.test(id) ? /^scenario\// : id.startsWith('STORE-') ? /^(?:contract|simulation|wire|unit)\// : /^wire\//)

export type Status = { readonly entry: Entry; readonly proofs: readonly string[] }

export const statuses = (ledger: Ledger, proofs: Proofs): readonly Status[] =>
  entriesOf(ledger).map(entry => ({ entry, proofs: (proofs.get(entry.id) ?? []).filter(proof => homeOf(entry.id).test(proof)) }))

/** What is not proven although its milestone is over. */
export const overdue = (ledger: Ledger, proofs: Proofs): readonly string[] =>
  statuses(ledger, proofs).filter(({ entry, proofs: by }) => by.length === 0 && ledger.finished.includes(entry.milestone)).map(({ entry }) => `${entry.id} is pending on ${entry.milestone}: ${entry.text}`)

const SHAPE = /^(?:S\d+\.[a-z]{1,2}|[A-Z0-9]+-\d{3}|STORE-\d+R?)$/

/** Ids the tests quote that look like the ledger's and are not in it. */
export function unknownIn(ledger: Ledger, proofs: Proofs): readonly string[] {
  const known = new Set(entriesOf(ledger).map(({ id }) => id))
  return [...proofs].filter(([id]) => SHAPE.test(id) && !known.has(id)).flatMap(([id, by]) => by.map(proof => `${id}: ${proof}`))
}

/** One line per milestone: how much is proven, and what is pending by name. */
export function report(ledger: Ledger, proofs: Proofs): string {
  const all = statuses(ledger, proofs)
  const lines = ledger.milestones.map(milestone => {
    const own = all.filter(({ entry }) => entry.milestone === milestone)
    const pending = own.filter(({ proofs: by }) => by.length === 0).map(({ entry }) => entry.id)
    return `pending(${milestone}): ${pending.length} of ${own.length}${pending.length === 0 ? '' : ` — ${pending.join(' ')}`}`
  })
  const proven = all.filter(({ proofs: by }) => by.length > 0).length
  return [`ledger: ${proven} of ${all.length} proven`, ...lines].join('\n')
}
