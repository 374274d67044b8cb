// Which address takes the next request: by weight among those that are well, smoothly, so that no address gets its share in one burst.
// Pure arithmetic over what it is given (smooth weighted round-robin, as nginx does it). SPEC: WIRE20

/** What balancing knows of an address; `credit` is its own. */
export interface Share {
  readonly weight: number
  readonly well: boolean
  credit: number
}

/**
 * @param not addresses that were tried already
 * @returns null when there is none left; where none is well, one that is not is better than none
 */
export function nextOf<S extends Share>(shares: readonly S[], not: readonly S[]): S | null {
  const [only] = shares
  if (only !== undefined && shares.length === 1) return not.includes(only) ? null : only
  return among(shares, share => share.well && !not.includes(share)) ?? among(shares, share => !not.includes(share))
}

function among<S extends Share>(shares: readonly S[], fits: (share: S) => boolean): S | null {
  let best: S | null = null
  let total = 0
  for (const share of shares) {
    if (!fits(share)) continue
    share.credit += share.weight
    total += share.weight
    if (best === null || share.credit > best.credit) best = share
  }
  if (best !== null) best.credit -= total
  return best
}
