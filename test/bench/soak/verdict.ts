// What soak:wire makes of its figures: is what a gateway holds the same at the end as in the middle of a run, and is it given back at rest?

/** Bytes and counts of one moment. */
export type Figures = {
  readonly rss: number
  readonly heap: number
  /** Buffers outside of the heap. */
  readonly external: number
  /** What keeps the event loop of the process busy: sockets, timers, requests. */
  readonly handles: number
  readonly sockets: number
  readonly exchanges: number
  readonly sessions: number
}

export type Sample = { readonly atSeconds: number; readonly figures: Figures }
export type Judged = { readonly name: keyof Figures; readonly middle: number; readonly growth: number; readonly allowed: number; readonly flat: boolean }

const MIB = 1_048_576
const SHARE = 0.1
/** What noise may bring, beside a tenth of the median: what is open swings between nothing and everything. What leaks less shows at rest. */
const NOISE: Figures = { rss: 32 * MIB, heap: 4 * MIB, external: 8 * MIB, handles: 120, sockets: 120, exchanges: 60, sessions: 60 }
const NAMES: readonly (keyof Figures)[] = ['rss', 'heap', 'external', 'handles', 'sockets', 'exchanges', 'sessions']

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2
}

/** The median of all slopes between two samples (Theil–Sen): one peak does not turn it. Per second. */
function slope(points: readonly (readonly [number, number])[]): number {
  const slopes = points.flatMap(([x1, y1], i) => points.slice(i + 1).map(([x2, y2]) => (y2 - y1) / (x2 - x1)))
  return median(slopes)
}

/** The second half of a run: the first is for caches and compiled code. */
export function judge(samples: readonly Sample[]): readonly Judged[] {
  const half = samples.slice(samples.length >> 1)
  const [first, last] = [half[0], half.at(-1)]
  if (first === undefined || last === undefined || half.length < 3) throw new RangeError('too few samples for a verdict: a longer run is needed')
  return NAMES.map(name => {
    const middle = median(half.map(({ figures }) => figures[name]))
    const growth = slope(half.map(({ atSeconds, figures }) => [atSeconds, figures[name]] as const)) * (last.atSeconds - first.atSeconds)
    const allowed = Math.max(NOISE[name], middle * SHARE)
    return { name, middle, growth, allowed, flat: growth <= allowed }
  })
}

const isBytes = (name: keyof Figures): boolean => name === 'rss' || name === 'heap' || name === 'external'
export const shown = (name: keyof Figures, value: number): string => (isBytes(name) ? `${(value / MIB).toFixed(1)} MiB` : value.toFixed(0))

export const line = ({ atSeconds, figures }: Sample): string => `${String(Math.round(atSeconds)).padStart(5)} s  ${NAMES.map(name => `${name} ${shown(name, figures[name])}`).join('  ')}`
