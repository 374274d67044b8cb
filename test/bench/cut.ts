// `npm run bench:cut`: how soon a change at one gateway has cut what is open at another one, over a real Redis, in each protocol, and what many sessions cost.
// Needs redis-server; anything that does not come out as it must ends it with exit code 1.
import { type Change, measureChange, type Scene } from './cut/change.ts'
import { measureCrowd } from './cut/crowd.ts'
import { measurePushed, type Pushed, Transmitter } from './cut/event.ts'
import { type Cuts, type Figures, jsonLine, text } from './cut/figures.ts'
import { type CutOptions, parseOptions, type Part } from './cut/options.ts'
import { pathOf, pathsOf, type Protocol } from './cut/protocols.ts'
import { measureSessions } from './cut/sessions.ts'
import { exchangesThatFit, Site } from './cut/site.ts'
import type { Operator } from './cut/operator.ts'

const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** Rounds that warm both gateways up and count for nothing. */
const WARM_UP = 30

async function rounds(scene: Scene, protocol: Protocol, operator: Operator, paths: readonly string[], count: number): Promise<readonly Change[]> {
  const warm = Math.min(WARM_UP, count)
  const all: Change[] = []
  for (let round = 0; round < warm + count; round++) all.push(await measureChange(scene, protocol, paths, operator, round))
  return all.slice(warm)
}

async function cutsOf(protocol: Protocol, scene: Scene, operator: Operator, { rounds: count, many, crowd: asked }: CutOptions, runs: (part: Part) => boolean): Promise<Cuts> {
  const fit = Math.min(asked[protocol], exchangesThatFit())
  if (fit < asked[protocol] && runs('crowd')) say(`${fit} exchanges instead of ${asked[protocol]}: each takes two of the files one process may open here (ulimit -n)`)
  const one = runs('one') ? await rounds(scene, protocol, operator, [pathOf(protocol, 20)], count) : null
  const hundred = runs('hundred') ? await rounds(scene, protocol, operator, pathsOf(protocol, many), count) : null
  const crowd = runs('crowd') ? await measureCrowd(scene, protocol, operator, fit) : null
  return { one, hundred, crowd }
}

/** One protocol after the other, each between gateways of its own. */
async function cuts(options: CutOptions, runs: (part: Part) => boolean): Promise<Figures['cuts']> {
  const all = new Map<Protocol, Cuts>()
  if (!runs('one') && !runs('hundred') && !runs('crowd')) return all
  for (const protocol of options.protocols) {
    const site = await Site.open()
    try {
      const scene: Scene = { site, here: await site.gateway(), there: await site.gateway() }
      const operator = site.operator(scene.here)
      all.set(protocol, await cutsOf(protocol, scene, operator, options, runs))
      operator.close()
    } finally {
      await site.close()
    }
  }
  return all
}

/** Each round a caller of its own, with an event stream and a WebSocket. */
async function events({ rounds: count }: CutOptions): Promise<readonly Pushed[]> {
  const site = await Site.open()
  try {
    const scene: Scene = { site, here: await site.gateway(), there: await site.gateway() }
    const [operator, transmitter] = [site.operator(scene.here), new Transmitter(scene)]
    const warm = Math.min(WARM_UP, count)
    const all: Pushed[] = []
    for (let round = 0; round < warm + count; round++) all.push(await measurePushed(scene, operator, transmitter))
    operator.close()
    transmitter.close()
    return all.slice(warm)
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
  const figures: Figures = { cuts: await cuts(options, runs), sessions: runs('sessions') ? await sessions(options) : null, events: runs('event') ? await events(options) : null }
  process.stdout.write(`${options.json ? jsonLine(figures) : text(figures, options)}\n`)
}

await main().catch((error: unknown) => {
  say(`bench:cut: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
