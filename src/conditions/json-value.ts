// What an expression gives, as JSON that others read: plain values alone, whole numbers exactly or not at all. Never a view of the judge's input, a time,
// bytes or anything else that JSON would spell by chance. SPEC: PEP1
const DEPTH_MAX = 16
const MEMBERS_MAX = 1_000

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue }

class NoJson extends Error {}

function memberOf(name: unknown, value: unknown, depth: number): readonly [string, JsonValue] {
  if (typeof name !== 'string') throw new NoJson()
  return [name, plain(value, depth)]
}

function objectOf(members: readonly (readonly [unknown, unknown])[], depth: number): JsonValue {
  if (members.length > MEMBERS_MAX) throw new NoJson()
  return Object.fromEntries(members.map(([name, value]) => memberOf(name, value, depth)))
}

function number(value: number): number {
  if (!Number.isFinite(value)) throw new NoJson()
  return value
}

function structure(value: object, depth: number): JsonValue {
  if (depth > DEPTH_MAX) throw new NoJson()
  if (Array.isArray(value)) {
    if (value.length > MEMBERS_MAX) throw new NoJson()
    return value.map(each => plain(each, depth))
  }
  if (value instanceof Map) return objectOf([...value], depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return objectOf(Object.entries(value), depth)
  throw new NoJson()
}

function plain(value: unknown, depth: number): JsonValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') return number(value)
  if (typeof value === 'bigint' && BigInt(Number(value)) === value) return Number(value)
  if (typeof value === 'object') return structure(value, depth + 1)
  throw new NoJson()
}

/** @throws where it is no JSON */
export const plainJson = (value: unknown): JsonValue => plain(value, 0)
