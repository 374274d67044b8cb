// The answer to a verb: it is given when every gateway has enforced the change, and says what happened to what was open. SPEC: ADM3
import type { Enforced } from '../signals/intake.ts'
import type { Enforcement, Tally } from '../sessions/store.ts'
import { type Answer, done, told } from './answer.ts'
import type { EnforcedAnswer } from './contract-schemas.ts'
import { faultOf } from './fault.ts'

const NOTHING: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
/** Nothing had to change: it was so already. */
const ALREADY: Enforcement = { gateways: { total: 0, acknowledged: 0, expired: 0 }, exchanges: NOTHING, exchangesUnknown: 0 }
type Change = { readonly version: number }

/**
 * 200 when it is enforced and kept; 202 when the store did not answer and it is in force here from memory, owed to the store. Other gateways of a
 * shared store may then go on with what they know, at least until their lease has run out: such a change is never called enforced.
 * @param target what was changed, for the trail
 * @param note null: no reason was given, which is flagged
 */
export async function enforced(change: Promise<Enforced<Change>>, target: string, note: string | null): Promise<Answer> {
  const { record, rejected, position, assumed, journaled, enforcement, laterOn, othersFailClosedAt, onlyHere, tookMs } = await change
  if (rejected !== null) throw faultOf(rejected)
  const { gateways, exchanges, exchangesUnknown } = enforcement ?? ALREADY
  const body: EnforcedAnswer = {
    version: record?.version ?? null, enforced: gateways.acknowledged + gateways.expired >= gateways.total && !onlyHere, durable: assumed === null, gateways, exchanges, exchangesUnknown,
    laterOn: laterOn.map(({ route, within }) => ({ route, withinMs: within })), tookMs: Math.round(tookMs * 1000) / 1000, ...(note === null ? { reasonMissing: true } : {}),
    ...(assumed === null ? {} : { journaled }), ...(othersFailClosedAt === null ? {} : { othersFailClosedAt: new Date(othersFailClosedAt).toISOString() }),
  }
  if (assumed !== null) return done(body, target, 202)
  return position === null ? told(body) : done(body, target)
}
