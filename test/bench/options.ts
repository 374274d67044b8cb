// The command line of the bench.
import { parseArgs } from 'node:util'

export const ROW_NAMES = ['nginx', 'nginx-auth-request', 'http-proxy', 'narrowgate', 'dpop', 'mtls', 'mcp', 'large', 'micro'] as const
export type RowName = (typeof ROW_NAMES)[number]

export type Options = {
  readonly rounds: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly connections: number
  readonly only: readonly RowName[]
  readonly json: boolean
  readonly profile: boolean
}

export const USAGE = `npm run bench -- [--rounds 7] [--seconds 5] [--warmup 4] [--connections 64] [--only ${ROW_NAMES.join(',')}] [--profile] [--json]`

/** Longest load on one row: the elevations of the gateway's rows live for an hour, which all rows share. */
const SECONDS_IN_ALL = 600

function whole(text: string, name: string, max: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > max) throw new Error(`--${name} takes a whole number from 1 to ${max}\n${USAGE}`)
  return value
}

function rowNames(text: string): readonly RowName[] {
  const asked = text.split(',').map(name => name.trim())
  const unknown = asked.filter(name => !ROW_NAMES.some(row => row === name))
  if (unknown.length > 0) throw new Error(`--only knows no ${unknown.join(', ')}\n${USAGE}`)
  return ROW_NAMES.filter(name => asked.includes(name))
}

/** Throws an Error with the usage for anything it does not know. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '5' },
      warmup: { type: 'string', default: '4' },
      connections: { type: 'string', default: '64' },
      only: { type: 'string', default: ROW_NAMES.join(',') },
      json: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
    },
  })
  const rounds = whole(values.rounds, 'rounds', 50)
  return {
    rounds,
    seconds: whole(values.seconds, 'seconds', Math.floor(SECONDS_IN_ALL / rounds)),
    warmupSeconds: whole(values.warmup, 'warmup', 60),
    connections: whole(values.connections, 'connections', 512),
    only: rowNames(values.only),
    json: values.json,
    profile: values.profile,
  }
}
