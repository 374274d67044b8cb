// Locks, and the marks that refuse a session's earlier credentials: both are standing refusals an operator sees and lifts in one place.
// SPEC: ADM3, ENF8, SES4
import { cutOffOf, type Lock, type Selector } from '../../core/anchor.ts'
import { standsAt } from '../../core/locks.ts'
import type { Session } from '../../core/session.ts'
import { after, type Instant } from '../../core/time.ts'
import { toolOf } from '../../core/tools.ts'
import { foldedName } from '../../identity/canonical-name.ts'
import { newLockId } from '../../runtime/id.ts'
import { type Answer, type Json, timeText, told } from '../answer.ts'
import { LIST_MAX } from '../contract-schemas.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { type Call, givenReason, type Handlers, wordOf } from './handler.ts'

const MARK = 'mark_'
/** Beyond so many an operator is told. One more is never refused: it may be an emergency. */
const LOCKS_MAX = 10_000

/** As a body writes it. */
function selectorView(selector: Selector): Json {
  const { kind, value } = selector
  if (kind !== 'issuedBefore') return { [kind]: kind === 'all' ? true : value }
  const { before, subject } = cutOffOf(selector)
  return { issuedBefore: timeText(before), ...(subject === null ? {} : { subject }) }
}

const lockView = ({ id, selector, effect, reason, note, by, since, until }: Lock): Json =>
  ({ id, is: 'lock', selector: selectorView(selector), effect, reason, note, by, since: timeText(since), until: timeText(until) })

const markView = ({ id, notBefore, state }: Session): Json => ({
  id: `${MARK}${id}`, is: 'mark', selector: { session: id }, effect: 'deny', reason: 'credential_revoked', note: state.is === 'live' ? '' : state.reason,
  by: '', since: timeText(notBefore), until: null, // who revoked stands in the trail, not in the record
})

function standing({ room }: Pick<Call<'lock.list'>, 'room'>): readonly Lock[] {
  const now = room.clock.now()
  return [...room.mirror.locks.byName.values()].filter(lock => standsAt(lock, now))
}

const untilOf = ({ until, for: span }: Call<'lock.set'>['body'], now: Instant): Instant | null => until ?? (span === undefined ? null : after(now, span))

/** Sessions of a selector that are counted in the store, which no gateway may hold. */
const COUNTED_MAX = 10_000

/** The store finds a life by its id also when it is over. */
async function liveIn({ store }: Call<'lock.set'>['room'], selector: Selector): Promise<number> {
  const found = await store.find(selector, COUNTED_MAX)
  const [ref] = found
  if (selector.kind !== 'session' || ref === undefined) return found.length
  const record = await store.load(ref)
  return record?.record === 'session' && record.state.is === 'live' ? 1 : 0
}

/** What a lock would meet now, on every gateway that answers in time: none of them holds all sessions, and several hold the same. */
async function previewed(room: Call<'lock.set'>['room'], selector: Selector): Promise<Answer> {
  const [{ sessions, ...survey }, stored] = await Promise.all([room.store.survey(selector), liveIn(room, selector)])
  return told({ dryRun: true, sessions: Math.max(sessions, stored), ...survey })
}

async function set({ room, caller, body }: Call<'lock.set'>): Promise<Answer> {
  const { selector, effect = 'deny', reason } = body
  if (body.dryRun === true) return previewed(room, selector)
  const news = { kind: 'lock.set', lock: newLockId(), selector, effect, reason: 'locked', until: untilOf(body, room.clock.now()) } as const
  return locked(room, room.intake.lock(selector, news, wordOf(caller, reason)), selector, givenReason(reason))
}

/** Is it written in other letters than whoever it means is known by? */
function isMisspelled(written: string, foldsSubjects: Call<'lock.set'>['room']['foldsSubjects']): boolean {
  const at = written.indexOf('|')
  const subject = written.slice(at + 1)
  return foldedName(subject) !== subject && foldsSubjects(at < 0 ? null : written.slice(0, at))
}

/** A lock on a name nobody configured stands all the same: it may be configured later. */
function unheard({ mirror: { policy }, foldsSubjects }: Call<'lock.set'>['room'], selector: Selector): { readonly warning?: string } {
  const { kind, value } = selector
  const subject = kind === 'subject' ? value : kind === 'issuedBefore' ? cutOffOf(selector).subject : null
  if (subject !== null && isMisspelled(subject, foldsSubjects)) return { warning: `subjects ${subject.includes('|') ? 'of that issuer' : 'of some issuers'} are known in small letters: the lock meets none of them as ${subject}` }
  const missing = ((kind === 'tool' || kind === 'definition') && !policy.routes.some(({ name, mcp }) => mcp !== null && value.startsWith(toolOf(name, '')))) || (kind === 'route' && !policy.routes.some(({ name }) => name === value)) || (kind === 'profile' && !policy.profiles.has(value))
  return missing ? { warning: `no ${kind} ${value} is configured: the lock meets nothing now` } : {}
}

function tellOfMany({ mirror: { locks: { size } }, metrics, log }: Call<'lock.set'>['room']): void {
  if (size <= LOCKS_MAX) return
  metrics.limitReached.inc({ limit: 'locks' })
  log.warn({ locks: size, limit: LOCKS_MAX }, 'more locks stand than there should')
}

/** The answer also names the lock, so that it can be lifted. */
async function locked(room: Call<'lock.set'>['room'], setting: ReturnType<Call<'lock.set'>['room']['intake']['lock']>, selector: Selector, note: string | null): Promise<Answer> {
  const answer = await enforced(setting, `${selector.kind}:${selector.value}`, note)
  const { record: lock } = await setting
  tellOfMany(room)
  return lock === null || answer.is !== 'json' ? answer : { ...answer, body: { ...answer.body, ...unheard(room, selector), lock: lockView(lock) } }
}

async function lift(call: Call<'lock.lift'>): Promise<Answer> {
  const { room, directory, caller, params: { id }, query, body } = call
  const reason = body.reason ?? query.reason
  if (reason === undefined) throw new AdminFault('bad_request', 'a reason is required')
  const word = wordOf(caller, reason)
  if (id.startsWith(MARK)) {
    const { record } = await directory.session(id.slice(MARK.length))
    if (record.notBefore === null) throw new AdminFault('not_found', 'there is no such mark')
    return enforced(room.intake.session(record.key, { kind: 'mark.cleared' }, word), id, reason)
  }
  const lock = standing(call).find(each => each.id === id)
  if (lock === undefined) throw new AdminFault('not_found', 'there is no such lock')
  return enforced(room.intake.lock(lock.selector, { kind: 'lock.lifted' }, word), id, reason)
}

export const LOCK_HANDLERS: Handlers<'lock.list' | 'lock.set' | 'lock.lift'> = {
  'lock.list': async call => {
    const marks = await call.directory.sessions(({ notBefore }) => notBefore !== null, LIST_MAX)
    return told({ locks: standing(call).map(lockView), marks: marks.items.map(markView), more: marks.more })
  },
  'lock.set': set,
  'lock.lift': lift,
}
