// Does what a policy decision point asks for of a session, before its answer counts: committed, and enforced by every gateway; what is in force already costs
// a look. One that cannot be done leaves the others done. SPEC: PEP5
import type { Session, SessionKey } from '../../core/session.ts'
import type { SessionNews } from '../../core/signal.ts'
import { after, type Duration, type Instant } from '../../core/time.ts'
import type { Applied } from '../../sessions/doing.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { isEverywhere, isWithin, type Outcome } from '../aftereffects.ts'
import type { Obligation } from './obligations.ts'

type Word = { readonly by: string; readonly note: string; readonly id: null; readonly life: Session['id'] }
type Done = Outcome & Pick<Applied<Session>, 'record'>

/** What somebody is to be told. */
export type Notification = { readonly pdp: string; readonly evaluation: string; readonly session: Session; readonly to: readonly string[]; readonly body: string; readonly topic: string | null; readonly at: Instant }

export type CompliancePorts = {
  /** Where news enters, answered when it is enforced. */
  readonly door: { session(key: SessionKey, news: SessionNews, word: Word): Promise<Done> }
  /** Never waits and never throws. */
  readonly tell: (channels: readonly string[], notification: Notification) => void
}

/** Who asks, for whom. */
export type Demander = { readonly pdp: string; readonly evaluation: string; readonly live: LiveSession; readonly channels: readonly string[]; readonly now: Instant; /** Of a freeze that does not say. */ readonly frozenFor: Duration }

/** What leaves least comes last: nothing can be done to a session that has ended. */
const ORDER: readonly Obligation['is'][] = ['notify', 'narrow', 'shorten', 'freeze', 'terminate']

/** null where it is in force already. */
function newsOf(obligation: Exclude<Obligation, { is: 'notify' }>, { state, cap, endsAt, frozen }: Session, { now, frozenFor }: Demander): SessionNews | null {
  if (state.is !== 'live') return null
  switch (obligation.is) {
    case 'terminate': return { kind: 'session.terminated', reason: 'external_denied' }
    case 'freeze': return frozen === null ? { kind: 'session.frozen', until: after(now, obligation.for ?? frozenFor) } : null
    case 'narrow': return isWithin(cap, obligation.to) ? null : { kind: 'session.narrowed', to: obligation.to ?? 'baseline', elevations: [] }
    case 'shorten': return after(now, obligation.to) < endsAt ? { kind: 'session.shortened', endsAt: after(now, obligation.to) } : null
  }
}

/** `moved`: something of the session is other than it was when the question was asked. */
export type Complied = { readonly isDone: boolean; readonly moved: boolean }
const [NOTHING, FAILED]: readonly [Complied, Complied] = [{ isDone: true, moved: false }, { isDone: false, moved: false }]

async function enforce(ports: CompliancePorts, obligation: Exclude<Obligation, { is: 'notify' }>, demander: Demander): Promise<Complied> {
  const { pdp, evaluation, live } = demander
  const { key, id } = live.record
  const news = newsOf(obligation, live.stored, demander)
  if (news === null) return NOTHING
  const outcome = await ports.door.session(key, news, { by: `pdp:${pdp}`, note: evaluation, id: null, life: id })
  return { isDone: outcome.rejected === null && isEverywhere(outcome), moved: true }
}

/** Never rejects. */
export async function comply(ports: CompliancePorts, obligations: readonly Obligation[], demander: Demander): Promise<Complied> {
  let [isDone, moved] = [true, false]
  for (const obligation of obligations.toSorted((a, b) => ORDER.indexOf(a.is) - ORDER.indexOf(b.is))) {
    if (obligation.is === 'notify') {
      const { to, body, topic } = obligation
      const { pdp, evaluation, live: { record: session }, channels, now: at } = demander
      ports.tell(channels, { pdp, evaluation, session, to, body, topic, at })
    } else {
      const done = await enforce(ports, obligation, demander).catch(() => FAILED)
      isDone &&= done.isDone
      moved ||= done.moved
    }
  }
  return { isDone, moved }
}
