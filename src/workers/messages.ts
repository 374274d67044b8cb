// What the primary process and its workers say to each other. Both ends are the same program: what arrives is of these kinds or is not for us.
import type { Snapshot } from '../runtime/metrics.ts'

/** A worker's place among the others. */
export type Seat = {
  /** From 1 on; names its files. A worker that died is followed by one in the same seat. */
  readonly index: number
  /** No other worker serves while it starts: it alone can answer probes. */
  readonly alone: boolean
}

export type ToPrimary =
  /** It listens to what is said to it from now on. */
  | { readonly is: 'here' }
  | { readonly is: 'ready' }
  | { readonly is: 'open'; readonly exchanges: number }
  | { readonly is: 'scraped' }
  | { readonly is: 'metrics'; readonly turn: number; readonly snapshot: Snapshot }

export type ToWorker =
  | { readonly is: 'stop'; readonly by: string }
  | { readonly is: 'reload' }
  /** The worker's own metrics are wanted. */
  | { readonly is: 'tell'; readonly turn: number }
  /** The metrics of all, for those that were scraped. null: they could not be had. */
  | { readonly is: 'told'; readonly text: string | null }
