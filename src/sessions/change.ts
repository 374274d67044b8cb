// What moved in a gateway's view of the shared state, for whoever judges what is open again.
import type { LiveSession } from './live-session.ts'
import type { Announcement, Tally } from './store.ts'

export const NO_TALLY: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }

/** These sessions, or everything (a lock on more than one of them, the policy). `anonymous`: what is open without one as well. */
export type Change = { readonly sessions: readonly LiveSession[] | 'all'; readonly anonymous: boolean; readonly announcement: Announcement | null }
export type ChangeListener = (change: Change) => Promise<Tally>
