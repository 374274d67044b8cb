// The command line of bench:cut.
import { parseArgs } from 'node:util'

export const PARTS = ['one', 'hundred', 'crowd', 'sessions'] as const
export type Part = (typeof PARTS)[number]

export type CutOptions = {
  /** Changes measured one by one. */
  readonly rounds: number
  /** Open exchanges where there are many of one session, and where there are very many. */
  readonly many: number
  readonly crowd: number
  readonly sessions: number
  readonly only: readonly Part[]
  readonly json: boolean
}

const USAGE = `npm run bench:cut -- [--rounds 210] [--quick] [--only ${PARTS.join(',')}] [--json]`
const FULL = { rounds: 210, many: 100, crowd: 10_000, sessions: 100_000 } as const
const QUICK = { rounds: 6, many: 10, crowd: 200, sessions: 1_000 } as const

function roundsOf(text: string): number {
  const rounds = Number(text)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 10_000) throw new Error(`--rounds takes a whole number from 1 to 10000\n${USAGE}`)
  return rounds
}

function partsOf(text: string): readonly Part[] {
  const asked = text.split(',').map(name => name.trim())
  const unknown = asked.filter(name => !PARTS.some(part => part === name))
  if (unknown.length > 0) throw new Error(`--only knows no ${unknown.join(', ')}\n${USAGE}`)
  return PARTS.filter(part => asked.includes(part))
}

/** @throws Error with the usage for anything it does not know */
export function parseOptions(args: readonly string[]): CutOptions {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string' }, quick: { type: 'boolean', default: false }, only: { type: 'string', default: PARTS.join(',') }, json: { type: 'boolean', default: false } },
  })
  const size = values.quick ? QUICK : FULL
  return { ...size, rounds: values.rounds === undefined ? size.rounds : roundsOf(values.rounds), only: partsOf(values.only), json: values.json }
}
