// Reads TypeScript without a parser: comments and the insides of texts blanked out at equal length, imports, and quoted texts.
// Good enough for this project's style; it never executes or type-checks anything.
export type Quoted = { readonly at: number; readonly text: string }
export type Import = { readonly to: string; readonly typeOnly: boolean; readonly names: readonly string[] }

export type Scanned = {
  /** The source with comments and the contents of texts and regular expressions as spaces; every offset as in the original. */
  readonly bare: string
  /** Quoted texts and the literal parts of templates, in order. */
  readonly quoted: readonly Quoted[]
  readonly comments: readonly string[]
}

const REGEX_AFTER = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|=>|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|yield|await))\s*$/

const blank = (text: string): string => text.replace(/[^\n]/g, ' ')

/** Index behind the regular expression that opens at `start`. */
function endOfRegex(source: string, start: number): number {
  let inClass = false
  for (let i = start + 1; i < source.length; i++) {
    const c = source[i]
    if (c === '\\') i++
    else if (c === '\n') return i
    else if (c === '[') inClass = true
    else if (c === ']') inClass = false
    else if (c === '/' && !inClass) return i + 1
  }
  return source.length
}

/** Index of the quote that closes the text opened at `start`; for a template also the next `${`. */
function endOfText(source: string, start: number, quote: string): number {
  for (let i = start; i < source.length; i++) {
    if (source[i] === '\\') i++
    else if (source[i] === quote || (quote === '`' && source.startsWith('${', i))) return i
  }
  return source.length
}

export function scan(source: string): Scanned {
  const quoted: Quoted[] = []
  const comments: string[] = []
  const braces: number[] = [] // depth at which each open `${` closes again
  let bare = ''
  let depth = 0
  const skipTo = (end: number): string => {
    const text = source.slice(bare.length, end)
    bare += blank(text)
    return text
  }
  const readText = (quote: string): void => {
    const at = bare.length
    const end = endOfText(source, at, quote)
    quoted.push({ at, text: skipTo(end) })
    if (source[end] === '$') {
      bare += '${'
      braces.push(depth++)
    } else bare += source[end] ?? ''
  }
  while (bare.length < source.length) {
    const i = bare.length
    const c = source[i] ?? ''
    if (source.startsWith('//', i)) comments.push(skipTo((source.indexOf('\n', i) + 1 || source.length + 1) - 1))
    else if (source.startsWith('/*', i)) comments.push(skipTo((source.indexOf('*/', i + 2) + 2 || source.length + 2)))
    else if (c === '/' && REGEX_AFTER.test(bare.slice(-40))) skipTo(endOfRegex(source, i))
    else {
      bare += c
      if (c === '{') depth++
      else if (c === '}') {
        depth--
        if (braces.at(-1) === depth) {
          braces.pop()
          readText('`')
        }
      } else if (c === "'" || c === '"' || c === '`') readText(c)
    }
  }
  return { bare, quoted, comments }
}

const STATIC = /\b(?:import|export)\s+(type\s)?([\w*${}\s,]*?)(?:\bfrom\s*)?['"]/g
const DYNAMIC = /\bimport\s*\(\s*(['"`]?)/g

/** Every module a source names: static, re-exported and dynamic. A dynamic import of a computed name comes out as `to: '*'`. */
export function importsOf({ bare, quoted }: Scanned): readonly Import[] {
  const textAt = new Map(quoted.map(({ at, text }) => [at, text]))
  const found: Import[] = []
  for (const match of bare.matchAll(STATIC)) {
    const to = textAt.get(match.index + match[0].length)
    if (to === undefined) continue
    const names = (match[2] ?? '').split(/[{},]/).map(name => name.trim().replace(/^type\s+/, '').split(/\s+as\s+/)[0] ?? '').filter(name => name !== '')
    found.push({ to, typeOnly: match[1] !== undefined, names })
  }
  for (const match of bare.matchAll(DYNAMIC)) found.push({ to: match[1] === '' ? '*' : (textAt.get(match.index + match[0].length) ?? '*'), typeOnly: false, names: ['*'] })
  return found
}

/** Texts that are the first argument of a call: the titles of tests among them. */
export function firstArguments({ bare, quoted }: Scanned): readonly string[] {
  return quoted.filter(({ at }) => /\(\s*['"`]$/.test(bare.slice(Math.max(0, at - 200), at))).map(({ text }) => text)
}
