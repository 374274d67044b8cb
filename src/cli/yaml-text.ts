// JSON values as YAML 1.2: block style, texts quoted wherever a reader could take them for something else. SPEC: ADM10
const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./@+-]*$/
const WORDS: ReadonlySet<string> = new Set(['true', 'false', 'null', 'yes', 'no', 'on', 'off', 'y', 'n'])

const textOf = (text: string): string => (PLAIN.test(text) && !WORDS.has(text.toLowerCase()) ? text : JSON.stringify(text).replaceAll(/[\u007f-\u009f\u2028\u2029]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`))

function scalarOf(value: unknown): string | null {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') return textOf(value)
  if (Array.isArray(value)) return value.length === 0 ? '[]' : null
  if (typeof value === 'object') return Object.keys(value).length === 0 ? '{}' : null
  return JSON.stringify(value)
}

function linesOf(value: unknown, indent: string): readonly string[] {
  const scalar = scalarOf(value)
  if (scalar !== null) return [`${indent}${scalar}`]
  if (Array.isArray(value)) return value.flatMap(item => itemOf(item, indent))
  return Object.entries(value as object).flatMap(([key, member]) => memberOf(key, member, indent)) // neither scalar nor list
}

function itemOf(item: unknown, indent: string): readonly string[] {
  const [first = '', ...rest] = linesOf(item, `${indent}  `)
  return [`${indent}- ${first.slice(indent.length + 2)}`, ...rest]
}

function memberOf(key: string, value: unknown, indent: string): readonly string[] {
  const scalar = scalarOf(value)
  return scalar !== null ? [`${indent}${textOf(key)}: ${scalar}`] : [`${indent}${textOf(key)}:`, ...linesOf(value, `${indent}  `)]
}

/** Ends with a line feed. */
export const yamlText = (value: unknown): string => `${linesOf(value, '').join('\n')}\n`
