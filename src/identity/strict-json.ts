// Refuses JSON that two parsers may read differently: members named twice (in any spelling), and nesting no claim needs.
// SPEC: SES10

/** Deepest nesting of a header or a claims set. */
export const DEPTH_MAX = 32

/** The index after the string that starts at `from`; the text is known to be JSON. */
function endOfString(text: string, from: number): number {
  let at = from + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

/** In `text`, which JSON.parse accepts: does any object name a member twice, or does anything nest too deep? */
export function isAmbiguousJson(text: string): boolean {
  /** Names seen in each open object; null for an open array. */
  const open: (Set<string> | null)[] = []
  let atName = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      const end = endOfString(text, at)
      const names = open.at(-1) ?? null
      if (atName && names !== null) {
        const name = String(JSON.parse(text.slice(at, end)))
        if (names.has(name)) return true
        names.add(name)
      }
      atName = false
      at = end - 1
    } else if (char === '{' || char === '[') {
      open.push(char === '{' ? new Set() : null)
      atName = char === '{'
      if (open.length > DEPTH_MAX) return true
    } else if (char === '}' || char === ']') open.pop()
    else if (char === ',') atName = true
  }
  return false
}
