// What a caller is told of a step-up: in a refusal, in its challenge, and on its own side. Never who must not answer it. SPEC: STU1, STU6
import type { RequiredAuthentication } from '../core/authentication.ts'
import type { StepUp } from '../core/step-up.ts'
import { duration, type Instant } from '../core/time.ts'

export const REVALIDATE = '/.narrowgate/session/revalidate'

/** As a refusal tells it. */
export type StepUpTold = { readonly id: string; readonly by: readonly string[]; readonly all: boolean; readonly expires_at: string; readonly endpoint: string; readonly attest?: { readonly endpoint: string } }

const isoOf = (at: Instant): string => new Date(at).toISOString()

export const stepUpTold = ({ id, by, all, expiresAt }: StepUp): StepUpTold =>
  ({ id, by, all, expires_at: isoOf(expiresAt), endpoint: `/.narrowgate/step-ups/${id}`, ...(by.includes('attest') ? { attest: { endpoint: REVALIDATE } } : {}) })

/** On its own side, whatever became of it. */
export function stepUpAnswer(stepUp: StepUp) {
  const { covers, role, askedAt, because, uses, used, given, state } = stepUp
  const until = state.is === 'satisfied' ? state.until : null
  return {
    ...stepUpTold(stepUp), state: state.is, because, role, rule: covers.rule, request: covers.request === null ? null : { method: covers.request.method, host: covers.request.host, path: covers.request.path, ...(covers.request.call === null ? {} : { call: covers.request.call }) },
    askedAt: isoOf(askedAt), given: given.map(({ means, at }) => ({ means, at: isoOf(at) })), usesLeft: uses === null ? null : Math.max(0, uses - used.length), until: until === null ? null : isoOf(until),
  }
}

/** What a newer sign-in has to show; null where none is asked for. Whoever signed in since the question signed in recently enough. */
export const signInAsked = ({ by, acr, askedAt }: StepUp, now: Instant): RequiredAuthentication | null => (by.includes('signIn') ? { acr, maxAge: duration(Math.max(0, now - askedAt)) } : null)
