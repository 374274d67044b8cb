// What a request fills in, against what its profile asks for. SPEC: ELV1
import type { ParamSpec, Profile } from '../core/policy.ts'

export type Params = { readonly [name: string]: unknown }

const ITEM_MAX = 256

function paramFault(name: string, spec: ParamSpec, value: unknown): string | null {
  if (value === undefined) return spec.required ? `parameter ${name} is missing` : null
  const fits = spec.type === 'list' ? Array.isArray(value) && value.every(item => typeof item === 'string' && item.length <= ITEM_MAX) : typeof value === spec.type
  if (!fits) return `parameter ${name} must be a ${spec.type}`
  const size = Array.isArray(value) ? value.length : typeof value === 'string' ? value.length : typeof value === 'number' ? value : 0
  return spec.max !== null && size > spec.max ? `parameter ${name} is larger than ${spec.max}` : null
}

/** One sentence on what is wrong, or null. */
export function paramsFault(profile: Profile, params: Params): string | null {
  const unknown = Object.keys(params).find(name => !profile.params.has(name))
  if (unknown !== undefined) return `parameter ${unknown} is unknown`
  for (const [name, spec] of profile.params) {
    const fault = paramFault(name, spec, params[name])
    if (fault !== null) return fault
  }
  return null
}
