// Who tells of changes in trust and is not heard of: silence is a signal. What stands on somebody who tells of nothing any more is held until it is heard again.
// SPEC: OUT7
import type { Matter } from './anchor.ts'
import type { AnchorView } from './footing.ts'
import type { StreamRules } from './policy.ts'
import type { Principal } from './principal.ts'
import { after, earlier, FOREVER, type Instant } from './time.ts'

export type Silence = { readonly holds: 'nothing' | 'elevations' | 'everything'; /** The next instant at which time alone changes it. */ readonly until: Instant; /** From when on everything is held, by time alone. */ readonly freezesAt: Instant }

export const NO_SILENCE: Silence = { holds: 'nothing', until: FOREVER, freezesAt: FOREVER }

type Stream = Extract<Matter, { is: 'stream' }>

/** One that was never heard of is silent; so is one that says it tells of nothing for now. */
export const isHeard = (stream: Stream | null, { freshness }: Pick<StreamRules, 'freshness'>, now: Instant): boolean => stream !== null && stream.status === 'enabled' && now < after(stream.heardAt, freshness)

const speaksFor = ({ issuers, tenants }: StreamRules, { issuer, tenant }: Pick<Principal, 'issuer' | 'tenant'>): boolean => issuers.includes(issuer) && (tenants.length === 0 || tenants.includes(tenant))

const heardTill = (silence: Silence, at: Instant, { onSilence }: StreamRules): Silence => ({ ...silence, until: earlier(silence.until, at), freezesAt: onSilence === 'freeze' ? earlier(silence.freezesAt, at) : silence.freezesAt })

export function silenceOn(principal: Pick<Principal, 'issuer' | 'tenant'>, streams: readonly StreamRules[], anchors: AnchorView, now: Instant): Silence {
  if (streams.length === 0) return NO_SILENCE
  let silence = NO_SILENCE
  for (const rules of streams) {
    if (!speaksFor(rules, principal)) continue
    const matter = anchors.find({ kind: 'stream', name: rules.name })?.matter ?? null
    const stream = matter?.is === 'stream' ? matter : null
    if (stream !== null && isHeard(stream, rules, now)) silence = heardTill(silence, after(stream.heardAt, rules.freshness), rules)
    else silence = { ...silence, holds: rules.onSilence === 'freeze' || silence.holds === 'everything' ? 'everything' : 'elevations' }
  }
  return silence
}
