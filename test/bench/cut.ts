// `npm run bench:cut`: how soon a change at one gateway has cut what is open at another one, over a real Redis, and what many sessions cost.
// Needs redis-server; anything that does not come out as it must ends it with exit code 1.
import { type Change, measureChange, type Scene } from './cut/change.ts'
import { measureCrowd } from './cut/crowd.ts'
import { type Figures, jsonLine, text } from './cut/figures.ts'
import { type CutOptions, parseOptions, type Part } from './cut/options.ts'
import { measureSessions } from './cut/sessions.ts'
import { exchangesThatFit, Site } from './cut/site.ts'
import type { Operator } from './cut/operator.ts'

const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** Rounds that warm both gateways up and count for nothing. */
const WARM_UP = 30

async function rounds(scene: Scene, operator: Operator, paths: readonly string[], count: number): Promise<readonly Change[]> {
  const warm = Math.min(WARM_UP, count)
  const all: Change[] = []
  for (let round = 0; round < warm + count; round++) all.push(await measureChange(scene, paths, operator, round))
  return all.slice(warm)
}

const pathsOf = (many: number): readonly string[] => Array.from({ length: many }, (_, i) => (i % 2 === 0 ? '/sse?every=100' : '/download?every=100'))

async function cuts(options: CutOptions, runs: (part: Part) => boolean): Promise<Pick<Figures, 'one' | 'hundred' | 'crowd'>> {
  if (!runs('one') && !runs('hundred') && !runs('crowd')) return { one: null, hundred: null, crowd: null }
  const site = await Site.open()
  try {
    const scene: Scene = { site, here: await site.gateway(), there: await site.gateway() }
    const operator = site.operator(scene.here)
    const fit = Math.min(options.crowd, exchangesThatFit())
    if (fit < options.crowd && runs('crowd')) say(`${fit} exchanges instead of ${options.crowd}: each takes two of the files one process may open here (ulimit -n)`)
    const one = runs('one') ? await rounds(scene, operator, ['/sse?every=20'], options.rounds) : null
    const hundred = runs('hundred') ? await rounds(scene, operator, pathsOf(options.many), options.rounds) : null
    const crowd = runs('crowd') ? await measureCrowd(scene, operator, fit) : null
    operator.close()
    return { one, hundred, crowd }
  } finally {
    await site.close()
  }
}

async function sessions({ sessions: count }: CutOptions): Promise<Figures['sessions']> {
  const site = await Site.open()
  try {
    return await measureSessions(site, count)
  } finally {
    await site.close()
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  const runs = (part: Part): boolean => options.only.includes(part)
  const figures: Figures = { ...(await cuts(options, runs)), sessions: runs('sessions') ? await sessions(options) : null }
  process.stdout.write(`${options.json ? jsonLine(figures) : text(figures, options)}\n`)
}

await main().catch((error: unknown) => {
  say(`bench:cut: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
