// SPIFFE ids of workloads, and patterns of them. An id is a text in its one form or none: nothing is decoded, folded or repaired, and only what was
// read here is ever compared with a pattern. SPEC: SES1, SES11
declare const read: unique symbol

/** Longest id, in bytes; ids are ASCII (SPIFFE-ID §2.3). */
const ID_MAX = 2_048
/** Longest trust domain, in bytes (SPIFFE-ID §2.1). */
const TRUST_DOMAIN_MAX = 255

const ID = /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)+)$/
const PATTERN = /^spiffe:\/\/([a-z0-9._-]+)((?:\/(?:[A-Za-z0-9._-]+|\*))+)$/

type Parts = { readonly text: string; readonly trustDomain: string; readonly segments: readonly string[] }
/** Made by `spiffeIdOf` alone. */
export type SpiffeId = Parts & { readonly [read]: 'id' }
/** Made by `spiffePatternOf` alone. */
export type SpiffePattern = Parts & { readonly [read]: 'pattern' }

function parts(text: string, form: RegExp): Parts | null {
  if (text.length > ID_MAX) return null
  const [, trustDomain = '', path = ''] = form.exec(text) ?? []
  if (trustDomain === '' || trustDomain.length > TRUST_DOMAIN_MAX) return null
  const segments = path.slice(1).split('/')
  return segments.some(segment => segment === '.' || segment === '..') ? null : { text, trustDomain, segments }
}

/** The id of a workload: `spiffe://`, a trust domain in lower case, at least one segment of a path. Null for anything else, the bare id of a trust domain too. */
export const spiffeIdOf = (text: string): SpiffeId | null => parts(text, ID) as SpiffeId | null // the mark is given here

/** An id in which `*` stands for one whole segment of the path, whatever it is. Null for what is none. */
export const spiffePatternOf = (text: string): SpiffePattern | null => parts(text, PATTERN) as SpiffePattern | null // the mark is given here

/** Byte for byte, segment for segment, as many of them. */
export function matches(pattern: SpiffePattern, { trustDomain, segments }: SpiffeId): boolean {
  if (pattern.trustDomain !== trustDomain || pattern.segments.length !== segments.length) return false
  return pattern.segments.every((wanted, i) => wanted === '*' || wanted === segments[i])
}
