// The answer to a verb: it is given when every gateway has enforced the change, and says what happened to what was open. SPEC: ADM3
import type { Enforced } from '../signals/intake.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import type { Enforcement, Tally } from '../sessions/store.ts'
import { type Answer, done, told } from './answer.ts'
import { faultOf } from './fault.ts'

const NOTHING: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
/** Nothing had to change: it was so already. */
const ALREADY: Enforcement = { gateways: { total: 0, acknowledged: 0, expired: 0 }, exchanges: NOTHING, exchangesUnknown: 0 }
/** Enforced in memory; what the store's fault hid is how many exchanges that touched. */
const NOT_DURABLE = { version: null, enforced: true, durable: false, gateways: ALREADY.gateways, exchanges: NOTHING, exchangesUnknown: 1, tookMs: null }

type Change = { readonly version: number }

/** @param target what was changed, for the trail. @param note null: no reason was given, which is flagged */
export async function enforced(change: Promise<Enforced<Change>>, target: string, note: string | null): Promise<Answer> {
  const missing = note === null ? { reasonMissing: true } : {}
  let applied: Enforced<Change>
  try {
    applied = await change
  } catch (error) {
    if (error instanceof StoreFault && error.code === 'not_durable') return done({ ...NOT_DURABLE, ...missing }, target, 202)
    throw error
  }
  if (applied.rejected !== null) throw faultOf(applied.rejected)
  const { gateways, exchanges, exchangesUnknown } = applied.enforcement ?? ALREADY
  const body = {
    version: applied.record?.version ?? null, enforced: gateways.acknowledged + gateways.expired >= gateways.total, durable: true, gateways, exchanges, exchangesUnknown,
    tookMs: Math.round(applied.tookMs * 1000) / 1000, ...missing,
  }
  return applied.position === null ? told(body) : done(body, target)
}
