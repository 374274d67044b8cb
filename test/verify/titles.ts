// Which ids the tests prove: `[ENF3] …`, `[ENF3, SES2] …`, `[ENF3][SES2] …`, `[S11.c] …` at the start of a test's title.
// A title made from data (`[${id}] …`) counts for every id that its own file spells out as a text.
import { firstArguments, scan } from './source.ts'

const TITLE = /^(?:\[[A-Za-z0-9.,\- ]+\] ?)*\[[A-Za-z0-9.,\- ]+\] /
const MADE = /^\[$|^\[[$%]/
const SPELT_OUT = /^(?:[A-Z0-9]+-\d+R?|S\d+\.[a-z]{1,2})$/

/** Ids a title quotes; empty when it quotes none. */
export const idsOf = (title: string): readonly string[] =>
  [...(TITLE.exec(title)?.[0] ?? '').matchAll(/\[([^\]]+)\]/g)].flatMap(([, ids = '']) => ids.split(',').map(id => id.trim()))

export type Proofs = ReadonlyMap<string, readonly string[]>

/** @param tests path → source of test files; @returns id → `path › title` of each test that quotes it */
export function proofsIn(tests: ReadonlyMap<string, string>): Proofs {
  const proofs = new Map<string, string[]>()
  const add = (id: string, proof: string): void => {
    const known = proofs.get(id)
    if (known) known.push(proof)
    else proofs.set(id, [proof])
  }
  for (const [path, source] of tests) {
    const scanned = scan(source)
    const titles = firstArguments(scanned)
    for (const title of titles) for (const id of idsOf(title)) add(id, `${path} › ${title}`)
    if (titles.some(title => MADE.test(title))) for (const { text } of scanned.quoted) if (SPELT_OUT.test(text)) add(text, `${path} › [${text}]`)
  }
  return proofs
}

/** `ELV1-ELV3` and `ELV1–3` as their members; a single id as itself. */
export function expand(range: string): readonly string[] {
  const [, prefix = '', first = '', last = first] = /^([A-Z]+)(\d+)(?:[-–](?:[A-Z]+)?(\d+))?$/.exec(range) ?? []
  return prefix === '' ? [] : Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => `${prefix}${Number(first) + i}`)
}

/** Ids after `SPEC:` in the comments that open a file. */
export function claimedBy(source: string): readonly string[] {
  const opening = source.split('\n').slice(0, 5).filter(line => line.startsWith('//')).map(line => line.slice(2)).join(' ')
  const listed = /SPEC:((?:[\s,]*[A-Z]{3,4}\d+(?:[-–](?:[A-Z]{3,4})?\d+)?)+)/.exec(opening)?.[1] ?? ''
  return [...listed.matchAll(/\b[A-Z]{3,4}\d+(?:[-–](?:[A-Z]{3,4})?\d+)?/g)].flatMap(([range]) => expand(range))
}
