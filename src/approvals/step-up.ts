// A step-up as it is asked for, and what counts as an answer that a caller gives by itself. Pure: what a caller shows is looked at here, never believed
// elsewhere. Nothing that was issued before it was asked for answers it. SPEC: STU1, STU2, STU3
import { authenticatedUntil } from '../core/authentication.ts'
import type { Case } from '../core/checks/check.ts'
import type { Evidence } from '../core/evidence.ts'
import { knownAs, type Policy } from '../core/policy.ts'
import { type Claims, identityOf, type Principal, type PrincipalKind } from '../core/principal.ts'
import type { Session } from '../core/session.ts'
import { coveredBy, type Given, isPending, type Means, type StepUp, type StepUpId, type StepUpNeed, type StepUpRules } from '../core/step-up.ts'
import { after, duration, type Instant, instant } from '../core/time.ts'
import type { TokenBinding } from '../identity/credential.ts'
import { namedBy } from './barred.ts'

/** How far ahead an issuer's clock may be. */
const AHEAD = duration(60_000)
const PEOPLE: ReadonlySet<PrincipalKind> = new Set<PrincipalKind>(['person', 'operator'])

/** People sign in before anything else; nobody else can, and is asked to only where there is no other way. */
function meansFor({ by, all }: StepUpRules, kind: PrincipalKind): readonly Means[] {
  const others = by.filter(means => means !== 'signIn')
  if (PEOPLE.has(kind)) return by.includes('signIn') ? ['signIn', ...others] : by
  return all || others.length === 0 ? by : others
}

/** `issuer|subject` of everyone whose word it must not be: the caller, whom it acts for, its owner, its broker, and each of them under other names. */
export function barredFromStepUp(policy: Policy, { principal, brokered }: Session, more: readonly string[]): readonly string[] {
  const named = [...namedBy(principal), ...more, ...(brokered === null ? [] : [brokered.by, ...brokered.barred])]
  return [...new Set(named.flatMap(identity => knownAs(policy, identity)))]
}

/** @param who the credential that needs it, where the session's first one was another */
export function stepUpOf(id: StepUpId, c: Case, session: Session, { rules, because }: StepUpNeed, who: Principal): StepUp {
  const { all, acr, role, within, onTimeout, onDeny, uses, for: span, notify } = rules
  return {
    id, covers: coveredBy(c, rules), by: meansFor(rules, session.principal.kind), all, acr, role, askedAt: c.now, expiresAt: after(c.now, within), onTimeout, onDeny, uses, for: span,
    because, barred: barredFromStepUp(c.policy, session, namedBy(who)), notify, given: [], used: [], state: { is: 'pending' },
  }
}

/** What a request shows beside its session. `nonceAt`: when the nonce in its proof of possession was handed out; null where that is not told. */
export type Shown = { readonly principal: Principal; readonly claims: Claims; readonly evidence: Evidence; readonly binding: TokenBinding | null; readonly nonceAt: Instant | null }

/** When they signed in, where that was behind the question and as it asks. */
function signedIn({ askedAt, acr }: StepUp, { claims }: Shown, now: Instant): Instant | null {
  const { auth_time: seconds } = claims
  const counts = typeof seconds === 'number' && authenticatedUntil({ acr, maxAge: duration(now - askedAt) }, claims, now) >= now
  return counts ? instant(Math.floor(seconds * 1_000)) : null
}

/**
 * A credential issued behind the question; of one that is bound to a key, with a proof made behind it. A certificate proves itself by its connection.
 * What people hold without a key is renewed without them: it shows nothing anew.
 */
function attested({ askedAt }: StepUp, { principal: { kind }, evidence: { issuedAt, keyThumbprint }, binding, nonceAt }: Shown, now: Instant): Instant | null {
  if (keyThumbprint === null && PEOPLE.has(kind)) return null
  if (issuedAt === null || issuedAt < askedAt || issuedAt > after(now, AHEAD)) return null
  return binding?.is === 'dpop' && (nonceAt === null || nonceAt < askedAt) ? null : issuedAt
}

/** What it answers of this step-up, and did not before. */
export function givenBy(stepUp: StepUp, shown: Shown, now: Instant): readonly Given[] {
  if (!isPending(stepUp) || stepUp.expiresAt <= now) return []
  const { by, given } = stepUp
  return by.flatMap((means): readonly Given[] => {
    if (means === 'approval' || given.some(each => each.means === means)) return []
    const at = means === 'signIn' ? signedIn(stepUp, shown, now) : attested(stepUp, shown, now)
    return at === null ? [] : [{ means, by: identityOf(shown.principal), at, proof: shown.evidence.credential }]
  })
}
