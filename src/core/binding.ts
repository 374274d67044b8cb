// What a life is bound to besides its credential: what its first request proved, or what its broker said. Another one is a drift.
// SPEC: BND5, BND7
import type { Evidence } from './evidence.ts'

export const BINDING_KINDS = ['key', 'workload', 'device', 'source', 'tenant'] as const
export type BindingKind = (typeof BINDING_KINDS)[number]
/** `observe` lets a drift pass and tells of it; `off` does not look. */
export const BINDING_MODES = ['required', 'observe', 'off'] as const
export type BindingMode = (typeof BINDING_MODES)[number]
export type BindingModes = { readonly [K in BindingKind]: BindingMode }

/** null is bound to nothing in that respect. A tenant is part of the principal, and compared with what a route says. */
export type Bindings = {
  /** Thumbprint, as in `Evidence`. */
  readonly key: string | null
  /** A SPIFFE id, or `pod/<uid>`. */
  readonly workload: string | null
  readonly device: string | null
  /** As `networkOf` gives it. */
  readonly source: string | null
}

export const NOT_BOUND: Bindings = { key: null, workload: null, device: null, source: null }

/** What was shown in its place; empty for nothing. */
export type Drift = { readonly binding: BindingKind; readonly shown: string }

const GROUPS = 8
const GROUPS_OF_A_NETWORK = 4

const groupsOf = (part: string): readonly string[] => (part === '' ? [] : part.split(':').map(group => group.replace(/^0+(?=.)/, '').toLowerCase()))

/** An IPv4 address itself, of an IPv6 address its /64: hosts change the rest of it as they like. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [left = '', right = null] = (address.split('%', 1)[0] ?? '').split('::')
  const head = groupsOf(left)
  const tail = right === null ? [] : groupsOf(right)
  const between = Array.from({ length: Math.max(0, GROUPS - head.length - tail.length) }, () => '0')
  return `${[...head, ...between, ...tail].slice(0, GROUPS_OF_A_NETWORK).join(':')}::/64`
}

/** What a request binds the session to that it opens; to its source only where anybody asks for that. */
export function boundBy({ keyThumbprint: key, device }: Evidence, workload: string | null, source: string, modes: BindingModes): Bindings {
  const network = modes.source === 'off' ? null : networkOf(source)
  return key === null && workload === null && device === null && network === null ? NOT_BOUND : { key, workload, device, source: network }
}
