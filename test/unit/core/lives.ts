// Lives of one session, told step by step: what the tests of the tables begin with.
import { NOT_BOUND } from '../../../src/core/binding.ts'
import type { Elevation } from '../../../src/core/elevation.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionNews, SessionSignal, SignalId } from '../../../src/core/signal.ts'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import { elevationId, elevationOf, START, type Step, tell, type Told } from './news.ts'
import { AS_ASKED } from './world.ts'

export const later = (seconds: number): Instant => instant(START + seconds * 1_000)
export const told = { id: 'sig_x' as SignalId, by: 'operator', note: '' } // a test word
export const asSignal = (news: SessionNews, by = told.by): SessionSignal => ({ ...told, by, ...news })

/** A live session at START that lasts an hour, and what is told of it. */
export function life(...news: readonly (readonly [seconds: number, news: SessionNews, by?: string])[]): Session {
  const opened: Session | null = transition(null, asSignal({
    kind: 'session.opened', key: 'key' as Session['key'], session: 'ses_1' as Session['id'], epoch: 'e1', endsAt: later(3_600), // test words
    principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: 'agent', client: '', owner: null, actor: null },
    credential: { id: 'cred_1', keyId: null, issuedAt: START, expiresAt: later(3_600) }, bindings: NOT_BOUND, aliases: [], brokered: null,
  }), START).record
  const session = news.reduce<Session | null>((record, [seconds, one, by]) => {
    const { record: next, rejected } = transition(record, asSignal(one, by), later(seconds))
    if (rejected !== null) throw new Error(rejected.says)
    return next
  }, opened)
  if (session === null) throw new Error('no session')
  return session
}
export const asks = (n: number, changes: Partial<Parameters<typeof elevationOf>[0]> = {}, more: Partial<Elevation> = {}): SessionNews =>
  ({ kind: 'elevation.requested', startsAt: changes.starts == null ? null : later(changes.starts), elevation: elevationOf({ id: elevationId(n), profile: 'fix', adds: ['db:read', 'db:write'], for: 60, more: 60, needs: 0, starts: null, expires: null, ...changes }, START, more) })
export const approves = (n: number, adds: readonly string[] | null = null, long: number | null = null, barred: readonly string[] = [], more: Partial<Extract<SessionNews, { kind: 'elevation.approved' }>> = {}): SessionNews =>
  ({ kind: 'elevation.approved', elevation: elevationId(n), ...AS_ASKED, adds, for: long === null ? null : duration(long * 1_000), barred, ...more })
export const of = (session: Session | null, n = 1): Elevation => {
  const elevation = session?.elevations.find(({ id }) => id === elevationId(n))
  if (elevation === undefined) throw new Error(`no elevation ${n}`)
  return elevation
}
export const starts = (n: number): SessionNews => ({ kind: 'elevation.started', elevation: elevationId(n) })
export const NARROW: SessionNews = { kind: 'session.narrowed', to: 'baseline', elevations: [] }
export const WIDEN: SessionNews = { kind: 'session.widened' }

/** Every consecutive pair of records of a story that are of one life. */
export const ofOneLife = (steps: readonly Step[]): readonly (Told & { readonly before: Session; readonly after: Session })[] =>
  tell(steps).told.flatMap(one => (one.before !== null && one.result.record !== null && one.before.id === one.result.record.id ? [{ ...one, before: one.before, after: one.result.record }] : []))
