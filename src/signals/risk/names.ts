// Maps by name that never hold more than a few, and cost nothing while they hold none: there is one of each kind for every principal in memory.
import { NAMES_MAX } from '../../core/conduct.ts'

/** What a principal that did nothing yet has of everything; never written to. */
export const NONE = new Map<string, never>()

/** At most so many names: a further one takes the place of the first. */
export function put<V>(map: Map<string, V>, name: string, value: V): Map<string, V> {
  if (map.size === 0) return new Map([[name, value]])
  const [first] = map.size >= NAMES_MAX && !map.has(name) ? map.keys() : []
  if (first !== undefined) map.delete(first)
  return map.set(name, value)
}

export function grouped<V>(maps: readonly ReadonlyMap<string, V>[]): ReadonlyMap<string, readonly V[]> {
  const groups = new Map<string, V[]>()
  for (const map of maps) {
    for (const [name, value] of map) {
      const group = groups.get(name)
      if (group === undefined) groups.set(name, [value])
      else group.push(value)
    }
  }
  return groups
}
