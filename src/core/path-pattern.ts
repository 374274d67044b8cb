// Path patterns over canonical segments: literals, `{name}`, `*` for one segment, `**` for any tail.
// An exact path also covers its form with one trailing slash. SPEC: DEC3
export type PathParams = { readonly [name: string]: string }

type Part = { readonly is: 'literal'; readonly text: string } | { readonly is: 'name'; readonly name: string } | { readonly is: 'any' }

export type PathPattern = {
  readonly source: string
  readonly parts: readonly Part[]
  readonly tail: boolean
  readonly names: boolean
  /** Characters before the first part that is not literal: what precedence counts first. */
  readonly literalPrefix: number
  readonly literals: number
}

export const NO_PARAMS: PathParams = {}

const part = (segment: string): Part => {
  if (segment === '*') return { is: 'any' }
  return segment.startsWith('{') && segment.endsWith('}') ? { is: 'name', name: segment.slice(1, -1) } : { is: 'literal', text: segment }
}

/** `source` starts with `/`, is canonical, and holds `**` at most as its last segment: config/ has checked it. */
export function pathPattern(source: string): PathPattern {
  const segments = source.slice(1).split('/')
  const tail = segments.at(-1) === '**'
  const parts = (tail ? segments.slice(0, -1) : segments).filter((segment, i, all) => segment !== '' || i < all.length - 1).map(part)
  const firstOpen = parts.findIndex(({ is }) => is !== 'literal')
  const prefix = firstOpen === -1 ? parts : parts.slice(0, firstOpen)
  return {
    source, parts, tail,
    names: parts.some(({ is }) => is === 'name'),
    literalPrefix: prefix.reduce((sum, p) => sum + 1 + (p.is === 'literal' ? p.text.length : 0), 0),
    literals: parts.filter(({ is }) => is === 'literal').length,
  }
}

/** In lower case; escapes stay as they are. */
export const lowerCase = (segment: string): string => segment.replace(/%[0-9A-F]{2}|[A-Z]+/g, part => (part.startsWith('%') ? part : part.toLowerCase()))

/** How a literal is compared: as it is, or by an upstream that ignores case, for segments in lower case. */
export type Reading = 'exact' | 'lower'

/** Does the pattern cover these segments? A trailing empty segment is the trailing slash. */
export function coversPath(pattern: PathPattern, segments: readonly string[], reading: Reading = 'exact'): boolean {
  const { parts, tail } = pattern
  const length = segments.length > parts.length && segments[segments.length - 1] === '' && !tail ? segments.length - 1 : segments.length
  if (tail ? length < parts.length : length !== parts.length) return false
  for (let i = 0; i < parts.length; i++) {
    const wanted = parts[i]
    const segment = segments[i]
    if (wanted === undefined || segment === undefined || segment === '') return false
    if (wanted.is === 'literal' && wanted.text !== segment && (reading === 'exact' || lowerCase(wanted.text) !== segment)) return false
  }
  return true
}

/** The segments behind the pattern's names, still in canonical encoding. Call only where the pattern covers the path. */
export function paramsOf(pattern: PathPattern, segments: readonly string[]): PathParams {
  if (!pattern.names) return NO_PARAMS
  const params: { [name: string]: string } = Object.create(null) as { [name: string]: string } // names come from configuration, `__proto__` included
  pattern.parts.forEach((p, i) => {
    if (p.is === 'name') params[p.name] = segments[i] ?? ''
  })
  return params
}
