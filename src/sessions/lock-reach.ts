// Whom a lock that came, changed or went can concern here: so that one on a single caller has nothing of anybody else judged again. SPEC: ENF8, STO6
import { cutOffOf, type Selector } from '../core/anchor.ts'
import { identityOf } from '../core/principal.ts'
import type { LiveSession } from './live-session.ts'

/** `anonymous`: also what is open without a session. Those below the sessions follow. */
type Concerned = { readonly sessions: readonly LiveSession[]; readonly anonymous: boolean }

const isOf = ({ record: { principal } }: LiveSession, subject: string): boolean => principal.subject === subject || identityOf(principal) === subject

/** null: what it meets is told by each request, or it is everybody. */
export function concernedBy(selector: Selector, sessions: Iterable<LiveSession>): Concerned | null {
  const { kind, value } = selector
  const those = (meets: (live: LiveSession) => boolean, anonymous = false): Concerned => ({ sessions: [...sessions].filter(meets), anonymous })
  if (kind === 'subject') return those(live => isOf(live, value))
  if (kind === 'session') return those(({ record: { id } }) => id === value)
  if (kind === 'tool' || kind === 'definition') return those(({ pins }) => pins > 0) // no standing depends on it, only what is open
  if (kind === 'alias') return those(({ record: { aliases } }) => aliases.includes(value))
  const { subject } = kind === 'issuedBefore' ? cutOffOf(selector) : { subject: null }
  return subject === null ? null : those(live => isOf(live, subject), true) // of whom nothing is known it may be meant
}
