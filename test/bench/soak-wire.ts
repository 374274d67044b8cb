// `npm run soak:wire -- --minutes 30`: a gateway in a process of its own under mixed traffic of all protocols whose sessions are cut all the time. Every ten
// seconds it says what that process holds; at the end whether that is flat and is given back at rest. Ends with 1 where it is not, or anything went wrong.
// `--quick` runs for ten seconds, in which nothing is flat yet: it proves that it works and that everything is given back, and nothing else.
import { parseArgs } from 'node:util'
import { Callers } from './soak/exchanges.ts'
import { Life, type Tally } from './soak/life.ts'
import { Site } from './soak/site.ts'
import { judge, line, type Sample, shown } from './soak/verdict.ts'

/** Behind the longest that kept connections and remembered credentials last here. */
const REST = 15_000
/** What a gateway has open that carries nothing: listeners, the operator, connections kept for the next. */
const SOCKETS_AT_REST = 12

/** Milliseconds. `together`: sessions at a time, each with some twenty exchanges. */
type Size = { readonly runsFor: number; readonly every: number; readonly together: number }

const { values: { minutes, quick } } = parseArgs({ options: { minutes: { type: 'string', default: '30' }, quick: { type: 'boolean', default: false } } })
if (!(Number(minutes) >= 1)) throw new RangeError('--minutes takes a number from 1 on')
const { runsFor, every, together }: Size = quick ? { runsFor: 10_000, every: 1_500, together: 2 } : { runsFor: Number(minutes) * 60_000, every: 10_000, together: 6 }

const say = (text: string): void => console.log(text)
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

const site = await Site.open()
const callers = new Callers(site.port)
const tally: Tally = { lives: 0, opened: 0, cut: 0, frozen: 0, left: 0, refused: 0 }
const samples: Sample[] = []
const started = performance.now()
const until = started + runsFor
let fault: Error | null = null

/** One session behind the other. */
async function lane(first: number): Promise<void> {
  for (let turn = first; fault === null && performance.now() < until; turn++) await new Life(site, callers, tally).live(turn)
}

async function sampled(): Promise<Sample> {
  const figures = await site.figures()
  return { atSeconds: (performance.now() - started) / 1_000, figures }
}

async function watch(): Promise<void> {
  for (let next = started + every; fault === null && next <= until; next += every) {
    await pause(next - performance.now())
    const sample = await sampled()
    samples.push(sample)
    say(`${line(sample)}  | ${tally.lives} lives, ${tally.opened} opened, ${tally.cut} cut, ${tally.frozen} frozen`)
  }
}

const failed = (error: unknown): void => {
  fault ??= error instanceof Error ? error : new Error(String(error))
}

await Promise.all([watch(), ...Array.from({ length: together }, (_, i) => lane(i))].map(part => part.catch(failed)))
callers.close()
let sound = fault === null
if (fault === null) {
  await pause(REST)
  const rest = await sampled()
  say(`at rest\n${line(rest)}\n`)
  for (const { name, middle, growth, allowed, flat } of judge(samples)) say(`${flat ? 'flat ' : 'GROWS'}  ${name.padEnd(9)} ${shown(name, middle)}, second half ${growth < 0 ? '−' : '+'}${shown(name, Math.abs(growth))}, allowed ${shown(name, allowed)}`)
  const back = rest.figures.exchanges === 0 && rest.figures.sockets <= SOCKETS_AT_REST
  sound = back && (quick || judge(samples).every(({ flat }) => flat))
  say(`${back ? 'given' : 'NOT given'} back at rest: ${rest.figures.exchanges} exchanges, ${rest.figures.sockets} sockets\n${sound ? 'sound' : 'NOT sound'}: ${JSON.stringify(tally)}`)
} else say(`NOT sound: ${String(fault)}\n${JSON.stringify(tally)}\nlimits that were met: ${(await site.limits()).join(', ') || 'none'}`)
await site.close()
process.exit(sound ? 0 : 1)
