// Members of what a transmitter answers, as far as they are what they should be. Repairs nothing: what is of another kind is not there. SPEC: SSF4
export type Members = { readonly [name: string]: unknown }

export const membersOf = (value: unknown): Members | null => (typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null)

/** null where it is none. */
export function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

export function textIn(of: Members, name: string): string | null {
  const value = of[name]
  return typeof value === 'string' && value !== '' ? value : null
}

/** Texts of a list; null where it is none. */
export function textsIn(of: Members, name: string): readonly string[] | null {
  const value = of[name]
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : null
}

/** Whole seconds as milliseconds; null where there are none. */
export function secondsIn(of: Members, name: string): number | null {
  const value = of[name]
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value * 1000 : null
}
