// Keys and values that belong to the agreed form but that this version does not serve: told apart from spelling mistakes.
// `*` stands for one name or position. SPEC: CFG3
const KEYS: ReadonlySet<string> = new Set([
  'include', 'tests',
  'admin.console',
  ...['inspectBytes', 'recording'].map(key => `routes.*.rules.*.${key}`),
  'audit.trail.reserve', 'audit.sign', 'audit.onSinkFailure', 'telemetry.traces', 'introspection',
])

const VALUES: readonly { readonly at: string; readonly value: RegExp }[] = [
  { at: 'elevations.*.endWhen.*', value: /^(device|key)\./ },
]

/** Values that may be written as a map in later versions. */
const MAPS = ['elevations.*.approval.extend']

type Step = string | number

const fits = (pattern: string, path: readonly Step[]): boolean => {
  const parts = pattern.split('.')
  return parts.length === path.length && parts.every((part, i) => part === '*' || part === String(path[i]))
}

export const isUnsupportedKey = (path: readonly Step[]): boolean => [...KEYS].some(pattern => fits(pattern, path))

export const isUnsupportedValue = (path: readonly Step[], value: unknown): boolean =>
  typeof value === 'string' && VALUES.some(entry => fits(entry.at, path) && entry.value.test(value))

export const isUnsupportedMap = (path: readonly Step[], value: unknown): boolean =>
  typeof value === 'object' && value !== null && MAPS.some(pattern => fits(pattern, path))

/** In the order in which the reference lists them. */
export const UNSUPPORTED_KEYS: readonly string[] = [...KEYS].sort()
