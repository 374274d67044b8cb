// What upstreams are told of a request's standing, as claims: for the API that is asked (Narrowgate-Context) and for the trust domain behind it
// (Txn-Token, draft-ietf-oauth-transaction-tokens). Pure; a credential is never among them. SPEC: CTX1-CTX4
import type { TransactionSettings } from '../config/compile/upstream-identity.ts'
import type { UpstreamSettings } from '../config/settings.ts'
import { type Grant, grantName } from '../core/decision.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Evaluation } from '../core/evaluation.ts'
import { type Actor, identityOf } from '../core/principal.ts'
import type { Place } from '../core/route.ts'
import type { Session } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'

/** For an upstream whose trust domain passes tokens on: who asks now, and the scope its rule asks for (null for none). */
export type Transaction = { readonly settings: TransactionSettings; readonly source: string; readonly scope: string | null }

export const transactionOf = ({ transaction: settings }: Pick<UpstreamSettings, 'transaction'>, { context: { source } }: Pick<Evaluation, 'context'>, { rule }: Place): Transaction | null =>
  (settings === null ? null : { settings, source, scope: rule?.scope ?? null })

/** `until`: when the permit ends without any message, and with it what the token says. `transaction`: null where its upstream takes no Txn-Token. */
export type About = { readonly session: Session; readonly grant: Grant; readonly upstream: string; readonly until: Instant; readonly transaction: Transaction | null }

/** Actors that are told. */
const ACTORS_MAX = 8

type Act = { readonly iss: string; readonly sub: string; readonly act?: Act }
type Given = { readonly by: string; /** Seconds. */ readonly at: number; /** Digest of what was shown. */ readonly shown: string }
type Claims = { readonly [name: string]: unknown }

/** As RFC 8693 §4.1 has them, outermost first. */
function actOf(actor: Actor, most = ACTORS_MAX): Act {
  const { issuer: iss, subject: sub, actsFor } = actor
  return actsFor === null || most <= 1 ? { iss, sub } : { iss, sub, act: actOf(actsFor, most - 1) }
}

const givenTo = ({ approvals }: Elevation): readonly Given[] => approvals.map(({ by, at, shown }) => ({ by, at: Math.floor(at / 1000), shown }))

/** The name under which the trail has it too. */
const ticketOf = ({ ticket, ties }: Elevation): string | null => (ticket ?? ties.find(({ anchor }) => anchor.kind === 'ticket')?.anchor ?? null)?.name ?? null

/** Of an elevation: what stands behind it. */
function footingOf(elevation: Elevation): Claims {
  const [approval, ticket, { unasked }] = [givenTo(elevation), ticketOf(elevation), elevation]
  return {
    elevation: elevation.id, profile: elevation.profile, purpose: elevation.purposes,
    ...(approval.length === 0 ? {} : { approval }), ...(unasked === null ? {} : { unasked }), ...(ticket === null ? {} : { ticket }),
  }
}

const standingOf = (grant: Grant): Claims => (grant.is === 'elevation' ? footingOf(grant.elevation) : {})

/** Whom the request counts for, in both tokens. */
export const subjectOf = ({ principal }: Session): string => identityOf(principal)

export function contextClaims({ session, grant }: About): Claims {
  const { principal: { tenant, client, actor } } = session
  return {
    sid: session.id, tenant, client, grant: grantName(grant), ...standingOf(grant),
    ...(actor === null ? {} : { act: actOf(actor) }), ...(grant.is === 'elevation' ? { scope: grant.elevation.adds.join(' ') } : {}),
  }
}

/** One for a session as it stands under one grant, whichever gateway and upstream: logs of a trust domain are joined by it. */
const transactionId = ({ session, grant }: About): string => sha256(`txn ${session.id} ${session.version} ${grantName(grant)}`)

/** `cnf.kid`: thumbprint of the key or certificate the session is bound to. @param workload what asks for tokens: this gateway */
export function transactionClaims(about: About, { settings, source, scope }: Transaction, workload: string): Claims {
  const { session: { id, principal: { tenant, actor }, bindings: { key } }, grant } = about
  return {
    txn: transactionId(about), req_wl: workload,
    scope: settings.scope ?? (grant.is === 'elevation' ? grant.elevation.adds.join(' ') : (scope ?? grantName(grant))),
    tctx: { session: id, grant: grantName(grant), ...standingOf(grant), ...(actor === null ? {} : { act: actOf(actor) }) },
    rctx: { source, ...(tenant === '' ? {} : { tenant }), ...(key === null ? {} : { cnf: { kid: key } }) },
  }
}
