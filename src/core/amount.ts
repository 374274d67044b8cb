// Amounts as whole numbers of their smallest unit, exactly: a decimal is never a float here. SPEC: LIM2
const DECIMAL = /^(\d{1,15})(?:\.(\d{1,8}))?$/

/** `12.5` at scale 2 is 1250. null where it is no plain decimal, has more digits than the scale, or is larger than is exact. @param text as it was written */
export function unitsOf(text: string, scale: number): number | null {
  const [, whole, part = ''] = DECIMAL.exec(text) ?? []
  if (whole === undefined || part.length > scale) return null
  const units = Number(`${whole}${part.padEnd(scale, '0')}`)
  return Number.isSafeInteger(units) ? units : null
}

const INDEX = /^(?:0|[1-9]\d*)$/
const unescaped = (token: string): string => token.replaceAll('~1', '/').replaceAll('~0', '~')

function childOf(value: unknown, name: string): unknown {
  if (value instanceof Map) return value.get(name)
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return Array.isArray(value) && !INDEX.test(name) ? undefined : Reflect.get(value, name)
}

/** A number has lost how it was written: it counts if the decimal with that many digits is the same number. */
function unitsOfNumber(amount: number, scale: number): number | null {
  const text = amount.toFixed(scale)
  return Number(text) === amount ? unitsOf(text, scale) : null
}

/** The amount in a JSON value, as units. null where none is there, or it is none: negative, too large, with more digits than the scale. @param pointer RFC 6901 */
export function amountIn(value: unknown, pointer: string, scale: number): number | null {
  const found = pointer === '' ? value : pointer.split('/').slice(1).map(unescaped).reduce(childOf, value)
  if (typeof found === 'number') return unitsOfNumber(found, scale)
  return typeof found === 'string' ? unitsOf(found, scale) : null
}
