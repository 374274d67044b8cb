// Rows and records as text for people. Nothing that came from elsewhere reaches the terminal as a control character. SPEC: ADM10
const CELL_MAX = 120

const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}')

export function cellText(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  if (typeof value === 'string') return plain(value)
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cellText).join(',')
  if (typeof value !== 'object') return JSON.stringify(value)
  const members = Object.entries(value)
  return members.length === 0 ? '-' : members.map(([key, member]) => `${plain(key)}=${cellText(member)}`).join(' ')
}

const cut = (text: string): string => (text.length > CELL_MAX ? `${text.slice(0, CELL_MAX - 1)}…` : text)

/** Columns aligned, headings in capitals; each row ends with a line feed. */
export function tableText(headings: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [headings.map(heading => cut(plain(heading).toUpperCase())), ...rows.map(row => row.map(value => cut(cellText(value))))]
  const widths = headings.map((_, column) => Math.max(...cells.map(row => row[column]?.length ?? 0)))
  return cells.map(row => `${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

const isRows = (value: unknown): value is readonly { readonly [member: string]: unknown }[] => Array.isArray(value) && value.length > 0 && value.every(item => typeof item === 'object' && item !== null && !Array.isArray(item))

/** A record: its members line by line, lists of records as tables of their own below. */
export function recordText(record: { readonly [member: string]: unknown }): string {
  const members = Object.entries(record)
  const simple = members.filter(([, value]) => !isRows(value))
  const width = Math.max(0, ...simple.map(([key]) => key.length))
  const lines = simple.map(([key, value]) => `${plain(key).padEnd(width)}  ${cellText(value)}\n`)
  const tables = members.flatMap(([key, value]) => {
    if (!isRows(value)) return []
    const headings = [...new Set(value.flatMap(row => Object.keys(row)))]
    return [`\n${plain(key)}\n${tableText(headings, value.map(row => headings.map(heading => row[heading])))}`]
  })
  return [...lines, ...tables].join('')
}
