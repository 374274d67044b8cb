// What one request, and whatever it opened, heard of the policy decision point of its rule. SPEC: PEP2, PEP7
import type { ExternalNoted } from '../../audit/record.ts'
import type { Case } from '../../core/checks/check.ts'
import { askedOf, type External, type ExternalAnswer } from '../../core/external.ts'
import type { RelayedRequest } from './relayed-request.ts'

/** What came of one question; `answer` null where none counts. */
export type Heard = {
  readonly answer: ExternalAnswer | null
  readonly noted: ExternalNoted
  /** Where its refusal may be lifted, for the caller; null where that is not told. */
  readonly access: RelayedRequest | null
  /** What it asked for moved the session, so that it is asked again about what that is now. */
  readonly moved: boolean
}

export class Hearing {
  last: Heard | null = null
  /** Questions so far, but for those whose own answer moved what was asked about. */
  times = 0

  /** An answer about anything else than this is none: it is asked again before anything goes on. */
  about(c: Case): External {
    const answer = this.last?.answer ?? null
    return answer !== null && answer.asked === askedOf(c) ? answer : 'ahead'
  }
}
