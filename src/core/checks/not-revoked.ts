// SPEC: SES4 — what a revocation of its key has ended stays ended, also in a later life that a newer credential opened.
import { refuse } from '../decision.ts'
import { isMarked } from '../session.ts'
import type { Check } from './check.ts'

export const notRevoked: Check = ({ standing, evaluation }) =>
  standing !== null && isMarked(standing.session, evaluation.evidence?.issuedAt ?? null) ? refuse('credential_revoked') : null
