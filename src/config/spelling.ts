// Did you mean: the nearest of the known names, where it is near enough to be meant. SPEC: CFG2
/** Levenshtein distance, a swap of neighbours counted as one; gives up above `most`. */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : Infinity
      row.push(Math.min(change, swap, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}

export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > 64) return null
  const most = word.length <= 3 ? 1 : Math.min(3, Math.ceil(word.length / 3))
  let best: string | null = null
  let least = most + 1
  for (const candidate of known) {
    const steps = distance(word.toLowerCase(), candidate.toLowerCase(), most)
    if (steps < least) [best, least] = [candidate, steps]
  }
  return best
}

export function didYouMean(word: string, known: Iterable<string>): string | null {
  const found = nearest(word, known)
  return found === null ? null : `did you mean '${found}'?`
}
