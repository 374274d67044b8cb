// What a broker asks for, held against what the configuration lets it: as whom it acts, whom the session is for, and under which parent. Only reads;
// nobody gets more than its broker, and nothing that is wrong is bent right. SPEC: SES20, SES21, ADM23
import { namedBy } from '../approvals/barred.ts'
import type { Bindings } from '../core/binding.ts'
import { networkOf } from '../core/binding.ts'
import type { Broker } from '../core/policy.ts'
import { type Actor, type Claims, identityOf, type Principal } from '../core/principal.ts'
import { NO_PURPOSES, PURPOSE_KINDS, type Purposes } from '../core/purpose.ts'
import type { RefusalReason } from '../core/reason.ts'
import { type Brokered, DELEGATIONS_MAX, type Parent } from '../core/session.ts'
import { after, type Instant } from '../core/time.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { AdminFault } from './fault.ts'
import type { Caller } from './roles.ts'
import type { AdminRoom } from './room.ts'
import type { Call } from './routes/handler.ts'

type Opening = Call<'session.open'>
type Asked = Opening['body']

/** Longest chain of actors, as in a credential's `act`. */
const ACTORS_MAX = 8
const OWN_ISSUER = 'broker:'

/** The word callers know beside the status. */
const refused = (reason: RefusalReason, says: string): AdminFault => new AdminFault('forbidden', says, { reason })

export const mayActAs = ({ who }: Broker, { name, via, identity }: Caller): boolean => who === null || who.includes(identity) || (via === 'token' && who.includes(name))

/** @throws AdminFault the same for a broker that is not there and one that is not the caller's */
export function brokerFor({ room, caller, body: { broker: named } }: Opening): Broker {
  const own = [...room.mirror.policy.brokers.values()].filter(broker => mayActAs(broker, caller))
  const [broker, other] = named === undefined ? own : own.filter(({ name }) => name === named)
  if (broker === undefined) throw refused('not_eligible', named === undefined ? 'this caller may act as no broker' : `this caller may not act as a broker ${named}`)
  if (other !== undefined) throw new AdminFault('bad_request', 'this caller may act as several brokers: name one with `broker`')
  return broker
}

/** Who speaks for the session, outermost first: who asked for it, then whom its parent is and acts for. */
function actorsOf({ identity }: Caller, parent: LiveSession | null): Actor {
  const at = identity.indexOf('|')
  const above = parent === null ? null : { issuer: parent.record.principal.issuer, subject: parent.record.principal.subject, actsFor: parent.record.principal.actor }
  const actor: Actor = { issuer: identity.slice(0, at), subject: identity.slice(at + 1), actsFor: above }
  let length = 0
  for (let link: Actor | null = actor; link !== null; link = link.actsFor) length++
  if (length > ACTORS_MAX) throw refused('limit_reached', `at most ${ACTORS_MAX} may act for one another`)
  return actor
}

/** Operators come from files too: no principal is taken for one of them. @throws AdminFault */
export async function issuerFor({ name }: Broker, { room: { vouchedIssuer, authorizer }, body: { subject: { issuer: asked } } }: Opening): Promise<string> {
  const own = OWN_ISSUER + name
  if (asked === undefined || asked === own) return own
  if (asked.toLowerCase().startsWith(OWN_ISSUER) || vouchedIssuer(asked) || (await authorizer.issuers()).has(asked)) throw refused('not_eligible', `principals of ${asked} are vouched for by somebody else; give them another \`issuer\`, or none`)
  return asked
}

/** Work that is handed on stays with the tenant it is done for. */
function tenantUnder(parent: LiveSession | null, asked: string | undefined): string {
  const above = parent?.record.principal.tenant ?? ''
  if (above !== '' && asked !== undefined && asked !== above) throw refused('not_eligible', 'the parent is of another tenant')
  return asked ?? above
}

/** What the session is for: all that its parent is for, and what is asked. @throws AdminFault where they differ */
export function purposesUnder(parent: LiveSession | null, asked: Purposes): Purposes {
  const above = parent?.record.brokered?.purposes ?? NO_PURPOSES
  const other = PURPOSE_KINDS.find(kind => above[kind] !== undefined && asked[kind] !== undefined && asked[kind] !== above[kind])
  if (other !== undefined) throw refused('not_eligible', `the parent is for another ${other}`)
  return { ...above, ...asked }
}

/** Who may approve nothing because of what is above the session. */
export const barredUnder = (parent: LiveSession | null): readonly string[] =>
  parent === null ? [] : [...new Set([...namedBy(parent.record.principal), ...(parent.record.brokered?.barred ?? [])])]

type Represented = { readonly principal: Principal; readonly claims: Claims }

/** Whom the session is for, where the broker may ask for it. @throws AdminFault */
export function representedBy(broker: Broker, issuer: string, { caller, body }: Opening, parent: LiveSession | null): Represented {
  const { kind, subject, tenant, client = '', owner = null, claims = {} } = body.subject
  const principal: Principal = { kind, issuer, tenant: tenantUnder(parent, tenant), subject, client, owner, actor: actorsOf(caller, parent) }
  const may = broker.may.test(principal, claims)
  if (may === 'error') throw refused('not_eligible', `whether ${broker.name} may ask for ${identityOf(principal)} can not be told: its condition reads what is not there`)
  if (may === 'false') throw refused('not_eligible', `${broker.name} may not ask for ${identityOf(principal)}`)
  return { principal, claims }
}

/** @throws AdminFault where the broker has to name something and does not */
export function boundTo(broker: Broker, { bind = {} }: Asked): { readonly bindings: Bindings; readonly possession: Brokered['possession'] } {
  const { jkt = null, 'x5t#S256': certificate = null, workload = null, source = null } = bind
  const bindings: Bindings = { key: jkt ?? certificate, workload, device: null, source: source === null ? null : networkOf(source) }
  if (broker.bindRequired && Object.values(bindings).every(bound => bound === null)) throw new AdminFault('bad_request', `sessions of ${broker.name} are bound: \`bind\` names a key, a workload or a source`)
  return { bindings, possession: jkt !== null ? 'dpop' : certificate !== null ? 'certificate' : null }
}

/** The session to delegate from. @throws AdminFault `conflict` where it gives nothing now */
export async function parentFor({ room, directory, body: { parent: id } }: Opening): Promise<LiveSession | null> {
  if (id === undefined) return null
  const live = await directory.session(id).catch((error: unknown) => {
    throw error instanceof AdminFault ? new AdminFault('conflict', 'there is no such parent') : error
  })
  const { state } = room.mirror.effective(live, room.clock.now())
  if (state !== 'live') throw new AdminFault('conflict', state === 'frozen' ? 'the parent is frozen' : 'the parent is over')
  return live
}

export function delegatedFrom({ mirror, clock }: AdminRoom, parent: LiveSession): Parent {
  const { key, id, brokered } = parent.record
  const depth = brokered?.parent == null ? 0 : brokered.parent.depth + 1
  if (depth + 1 > DELEGATIONS_MAX) throw refused('limit_reached', `sessions are delegated at most ${DELEGATIONS_MAX} times in a row`)
  return { key, id, baseline: mirror.effective(parent, clock.now()).baseline, depth }
}

/** @throws AdminFault where more is asked for than the broker may give */
export function endFor({ name, max }: Broker, { for: span = max }: Asked, parent: LiveSession | null, now: Instant): Instant {
  if (span > max) throw refused('limit_reached', `sessions of ${name} live no longer than its \`max\``)
  const end = after(now, span)
  return parent !== null && parent.record.endsAt < end ? parent.record.endsAt : end
}
