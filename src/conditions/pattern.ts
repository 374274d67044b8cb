// Vets a regular expression before it may meet a caller's text: JavaScript matches by backtracking, so what could take long is refused at load.
// Refused: groups that repeat something variable, too many ways to match, more than quadratic work. SPEC: CFG5
const LENGTH_MAX = 200
/** Ways to choose among branches and optional parts, multiplied. */
const CHOICES_MAX = 100
/** The longest text a pattern is matched against, in UTF-16 units; longer text is an evaluation error. */
export const SUBJECT_MAX = 1024

/** One position of a sequence: a character set as a bitmap of 128 ASCII characters and the rest, or a group. */
type Piece = { readonly set: readonly boolean[] | null; readonly repeat: 'one' | 'optional' | 'many' }
type Parsed = { readonly pieces: readonly Piece[]; readonly choices: number; readonly variable: boolean; readonly branches: number }

class Reader {
  at = 0
  readonly text: string
  constructor(text: string) {
    this.text = text
  }

  take(pattern: RegExp): string | null {
    const sticky = new RegExp(pattern.source, 'y')
    sticky.lastIndex = this.at
    const found = sticky.exec(this.text)?.[0] ?? null
    this.at += found?.length ?? 0
    return found
  }
}

class Refused extends Error {}

const SAMPLES = [...Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)), 'é']
const setOf = (atom: string): readonly boolean[] => {
  const one = new RegExp(`^(?:${atom})$`)
  return SAMPLES.map(sample => one.test(sample))
}
const overlap = (a: readonly boolean[], b: readonly boolean[]): boolean => a.some((held, i) => held && b[i] === true)

function repeatOf(quantifier: string | null): { readonly repeat: Piece['repeat']; readonly times: number } {
  if (quantifier === null) return { repeat: 'one', times: 1 }
  if (quantifier.startsWith('?')) return { repeat: 'optional', times: 1 }
  const bounds = /^\{(\d+)(,?)(\d*)\}/.exec(quantifier)
  const low = Number(bounds?.[1])
  const high = bounds === null || (bounds[2] === ',' && bounds[3] === '') ? Infinity : bounds[2] === ',' ? Number(bounds[3]) : low
  if (high !== Infinity && high > SUBJECT_MAX) throw new Refused(`repeats more than ${SUBJECT_MAX} times`)
  if (low === high) return { repeat: 'one', times: low }
  return { repeat: high === 1 ? 'optional' : 'many', times: high }
}

const QUANTIFIER = /(?:[*+?]|\{\d+(?:,\d*)?\})\??/
const ATOM = /\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[^1-9k])|\[(?:\\.|[^\]\\])*\]|[^\\[\]()|*+?]/

function readGroup(reader: Reader, depth: number): { readonly pieces: readonly Piece[]; readonly choices: number } {
  if (reader.take(/\?[=!]|\?<[=!]/) !== null) throw new Refused('looks ahead or behind')
  reader.take(/\?:|\?<[A-Za-z_]\w*>|\?[ims]*(?:-[ims]+)?:/)
  const inner = readAlternatives(reader, depth + 1)
  if (reader.take(/\)/) === null) throw new Refused('has an open group')
  const { repeat, times } = repeatOf(reader.take(QUANTIFIER))
  if (times === 1) return { pieces: inner.pieces.map(piece => (repeat === 'optional' && piece.repeat === 'one' ? { set: null, repeat: 'one' } : piece)), choices: inner.choices * (repeat === 'optional' ? 2 : 1) }
  if (inner.variable || inner.choices > 1) throw new Refused('repeats a group whose inside varies; nested repetition can take exponential time')
  return { pieces: [{ set: null, repeat: repeat === 'many' ? 'many' : 'one' }], choices: 1 }
}

function readSequence(reader: Reader, depth: number): Parsed {
  const pieces: Piece[] = []
  let choices = 1
  let variable = false
  while (reader.at < reader.text.length && !/[|)]/.test(reader.text[reader.at] ?? '')) {
    if (reader.take(/\(/) !== null) {
      const group = readGroup(reader, depth)
      pieces.push(...group.pieces)
      choices *= group.choices
      variable ||= group.pieces.some(({ repeat }) => repeat !== 'one')
      continue
    }
    if (reader.take(/[\^$]|\\[bB]/) !== null) continue
    const atom = reader.take(ATOM)
    if (atom === null) throw new Refused('refers back to a group, or uses a form that is not supported')
    const { repeat } = repeatOf(reader.take(QUANTIFIER))
    pieces.push({ set: setOf(atom), repeat })
    if (repeat === 'optional') choices *= 2
    variable ||= repeat !== 'one'
  }
  return { pieces, choices, variable, branches: 1 }
}

function readAlternatives(reader: Reader, depth: number): Parsed {
  if (depth > 8) throw new Refused('nests groups too deeply')
  const branches = [readSequence(reader, depth)]
  while (reader.take(/\|/) !== null) branches.push(readSequence(reader, depth))
  const only = branches.length === 1 ? branches[0] : undefined
  if (only !== undefined) return only
  // Behind a choice nothing is certain: its pieces count, but none of them pins what stands before.
  return {
    pieces: branches.flatMap(({ pieces }) => pieces.map((piece): Piece => (piece.repeat === 'one' ? { set: null, repeat: 'one' } : piece))),
    choices: branches.reduce((sum, branch) => sum + branch.choices, 0),
    variable: branches.some(branch => branch.variable),
    branches: branches.length,
  }
}

/** A repetition is pinned when something certain that it cannot match follows before the next one: it can end in one place only. */
function isPinned(pieces: readonly Piece[], at: number): boolean {
  const own = pieces[at]?.set ?? null
  for (const { set, repeat } of pieces.slice(at + 1)) {
    if (repeat === 'many') return false
    if (repeat === 'one' && own !== null && set !== null && !overlap(own, set)) return true
  }
  return false
}

/**
 * The power of the text's length to which matching can grow: what follows a repetition that can end in many places is tried from each
 * of them, what follows a pinned one from one place; without an anchor all of it is tried from every place.
 */
function degree(pieces: readonly Piece[], anchored: boolean): number {
  const many = pieces.flatMap(({ repeat }, i) => (repeat === 'many' ? [i] : []))
  const work = many.reduceRight((next, i) => (isPinned(pieces, i) ? Math.max(1, next) : 1 + next), 0)
  return work + (anchored ? 0 : 1)
}

function vetted(source: string): string | null {
  const reader = new Reader(source)
  const { pieces, choices, branches } = readAlternatives(reader, 0)
  if (reader.at < source.length) return 'has a `)` too many'
  const power = degree(pieces, branches === 1 && source.startsWith('^'))
  if (power > 2) return 'repeats too many overlapping parts; start it with `^`, or use contains(), startsWith() or endsWith()'
  const most = power === 2 ? CHOICES_MAX / 5 : CHOICES_MAX
  return choices > most ? `can match in more than ${most} ways` : null
}

/** Why this pattern must not be used, as the end of the sentence "the pattern …"; null when it is harmless. */
export function patternFault(source: string): string | null {
  if (source.length > LENGTH_MAX) return `is longer than ${LENGTH_MAX} characters`
  try {
    new RegExp(source)
  } catch {
    return 'is not a regular expression'
  }
  try {
    return vetted(source)
  } catch (error) {
    if (error instanceof Refused) return error.message
    return 'uses a form that is not supported'
  }
}
