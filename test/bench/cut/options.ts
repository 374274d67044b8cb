// The command line of bench:cut.
import { parseArgs } from 'node:util'
import { type Protocol, PROTOCOLS } from './protocols.ts'

export const PARTS = ['one', 'hundred', 'crowd', 'sessions', 'event'] as const
export type Part = (typeof PARTS)[number]

export type CutOptions = {
  /** Changes measured one by one. */
  readonly rounds: number
  /** Open exchanges where there are many of one session, and where there are very many. */
  readonly many: number
  readonly crowd: Readonly<Record<Protocol, number>>
  readonly sessions: number
  readonly only: readonly Part[]
  /** Of whatever is cut. */
  readonly protocols: readonly Protocol[]
  readonly json: boolean
}

const USAGE = `npm run bench:cut -- [--rounds 210] [--quick] [--only ${PARTS.join(',')}] [--protocols ${PROTOCOLS.join(',')}] [--json]`
const FULL = { rounds: 210, many: 100, crowd: { http1: 10_000, websocket: 2_000, http2: 2_000 }, sessions: 100_000 } as const
const QUICK = { rounds: 6, many: 10, crowd: { http1: 200, websocket: 100, http2: 100 }, sessions: 1_000 } as const

function roundsOf(text: string): number {
  const rounds = Number(text)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 10_000) throw new Error(`--rounds takes a whole number from 1 to 10000\n${USAGE}`)
  return rounds
}

function namedIn<Name extends string>(option: string, text: string, names: readonly Name[]): readonly Name[] {
  const asked = text.split(',').map(name => name.trim())
  const unknown = asked.filter(name => !names.some(known => known === name))
  if (unknown.length > 0) throw new Error(`${option} knows no ${unknown.join(', ')}\n${USAGE}`)
  return names.filter(name => asked.includes(name))
}

/** @throws Error with the usage for anything it does not know */
export function parseOptions(args: readonly string[]): CutOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' }, quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
      only: { type: 'string', default: PARTS.join(',') }, protocols: { type: 'string', default: PROTOCOLS.join(',') },
    },
  })
  const size = values.quick ? QUICK : FULL
  const rounds = values.rounds === undefined ? size.rounds : roundsOf(values.rounds)
  return { ...size, rounds, only: namedIn('--only', values.only, PARTS), protocols: namedIn('--protocols', values.protocols, PROTOCOLS), json: values.json }
}
