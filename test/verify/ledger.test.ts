// The ledger is whole, nothing in it was dropped or postponed, and nothing is pending on a finished milestone (RULES 38).
import { expect, test } from 'vitest'
import { read, textsUnder } from './files.ts'
import { entriesOf, type Ledger, overdue, report, unknownIn } from './ledger.ts'
import { proofsIn } from './titles.ts'

const ledger = JSON.parse(read('test/ledger.json')) as Ledger // its form is what the first tests check
const proofs = proofsIn(new Map([...textsUnder('test', '.test.ts'), ...textsUnder('test', '-contract.ts')])) // a suite that several stores share is no test file itself

/** Entries due by the end of each milestone, as first written. They may grow; a smaller number means something was dropped or postponed. */
const FLOOR: Readonly<Record<string, number>> = { core: 123, 'shared-state': 196, protocols: 223, identity: 280, elevations: 507, risk: 658, signals: 686, agents: 722, operations: 725, release: 726 }

test('every entry has an id of its own, a text and a known milestone', () => {
  const ids = entriesOf(ledger).map(({ id }) => id)
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([])
  expect(entriesOf(ledger).filter(({ text, milestone }) => text.length < 8 || !ledger.milestones.includes(milestone))).toEqual([])
})

test('all 25 scenarios are there, each with clauses of every kind a scenario has', () => {
  expect(ledger.scenarios.map(({ id }) => id)).toEqual(Array.from({ length: 25 }, (_, i) => `S${i + 1}`))
  const lacking = ledger.scenarios.flatMap(({ id, clauses }) => ['mid-flight', 'refuse', 'log', 'way back closed', 'nothing else suffers'].filter(part => !clauses.some(clause => clause.part === part)).map(part => `${id}: ${part}`))
  expect(lacking).toEqual(['S25: refuse']) // its verbs are all mid-flight
  expect(ledger.scenarios.flatMap(({ id, clauses }) => clauses.filter(clause => !clause.id.startsWith(`${id}.`)))).toEqual([])
})

test('all 102 cases and all 41 store items are there', () => {
  expect(ledger.cases).toHaveLength(102)
  const numbers = new Set(ledger.store.map(({ id }) => Number.parseInt(id.slice('STORE-'.length), 10)))
  expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 41 }, (_, i) => i + 1))
  expect(ledger.store.filter(({ on }) => on === 'struck').map(({ id }) => id)).toEqual(['STORE-33'])
})

test('nothing was dropped or postponed', () => {
  const due = ledger.milestones.map((milestone, i) => [milestone, entriesOf(ledger).filter(entry => ledger.milestones.indexOf(entry.milestone) <= i).length] as const)
  expect(due.filter(([milestone, count]) => count < (FLOOR[milestone] ?? 0))).toEqual([])
})

test('milestones are finished in their order', () => {
  expect(ledger.finished).toEqual(ledger.milestones.slice(0, ledger.finished.length))
})

test('no test quotes a clause, case or item that is not in the ledger', () => {
  expect(unknownIn(ledger, proofs)).toEqual([])
})

test('nothing is pending on a finished milestone', () => {
  console.log(report(ledger, proofs))
  expect(overdue(ledger, proofs)).toEqual([])
})

test('a finished milestone without its proof is found, and a proof in the wrong place does not count', () => {
  const small: Ledger = { milestones: ['core'], finished: ['core'], scenarios: [{ id: 'S5', title: '', clauses: [{ id: 'S5.a', part: 'grant', text: 'it passes', milestone: 'core' }] }], cases: [], store: [] }
  const title = "test('[S5.a] it passes', f)"
  expect(overdue(small, new Map())).toEqual(['S5.a is pending on core: it passes'])
  expect(overdue(small, proofsIn(new Map([['unit/a.test.ts', title]])))).toHaveLength(1)
  expect(overdue(small, proofsIn(new Map([['scenario/s5.test.ts', title]])))).toEqual([])
  expect(unknownIn(small, proofsIn(new Map([['scenario/s5.test.ts', "test('[S5.z] gone', f)"]])))).toEqual(['S5.z: scenario/s5.test.ts › [S5.z] gone'])
})
