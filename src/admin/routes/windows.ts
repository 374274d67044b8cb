// Windows as they stand, and an operator's word on them, which moves what is open at once: longer, shorter, or back to the calendar. SPEC: WIN4, ADM12
import type { Anchor } from '../../core/anchor.ts'
import { openWithin } from '../../core/footing.ts'
import { after, duration, type Instant, instant, later } from '../../core/time.ts'
import { type Override, type Schedule, windowAt } from '../../core/window.ts'
import type { Word } from '../../signals/intake.ts'
import { type Answer, timeText, told } from '../answer.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { type Call, type Handlers, wordOf } from './handler.ts'

type Room = Call<'window.list'>['room']

/** How far an override reaches. */
const LONGEST = duration(31 * 86_400_000)

/** What clocks of two gateways are off by at most: an elevation that starts as the window opens is none that ran before. */
const MARGIN = 100

const overrideOf = (anchor: Anchor | null): Override | null => (anchor?.matter?.is === 'window' ? anchor.matter.override : null)

async function windowView(room: Room, schedule: Schedule) {
  const { name, timeZone } = schedule
  const anchor = await room.lookUp({ kind: 'window', name })
  const now = room.clock.now()
  const override = overrideOf(anchor)
  const { open, until, opens } = windowAt(schedule, override, now)
  const [version = schedule.version] = openWithin([name], room.mirror.policy, { find: () => anchor }, now).schedules
  return { name, open, opens: timeText(opens), closes: open ? timeText(until) : null, timeZone, version, override: override === null ? null : { from: timeText(override.from), until: timeText(override.until) } }
}

function scheduleOf({ room, params }: Call<'window.override' | 'window.restore'>): Schedule {
  const schedule = room.mirror.policy.windows.get(params.name)
  if (schedule === undefined) throw new AdminFault('not_found', 'there is no such window')
  return schedule
}

/** What is open now, by the calendar or by an earlier word; null when nothing is. */
function openSince(schedule: Schedule, moved: Override | null, now: Instant): Instant | null {
  const { open, opens } = windowAt(schedule, moved, now)
  return open ? opens : null
}

/** Closing is an override that is over: what it meets of the calendar counts no more. */
function overrideFor(schedule: Schedule, moved: Override | null, { from, until }: Call<'window.override'>['body'], now: Instant): Override {
  const since = openSince(schedule, moved, now)
  if (until === 'now' && since === null) throw new AdminFault('conflict', 'the window is not open')
  const start = from ?? since ?? now
  const end = until === 'now' ? later(now, instant(start + 1)) : until
  if (end <= start) throw new AdminFault('bad_request', 'until: it is not after the beginning')
  if (end > after(now, LONGEST) || (from !== undefined && (from < now - LONGEST || from > after(now, LONGEST)))) throw new AdminFault('bad_request', 'an override reaches at most 31 days')
  return { from: start, until: end }
}

/** Whoever leaves it open must have seen how it stood: what ran while it was shut must not run on. Whoever shuts it is heard in any case. */
async function move({ intake }: Room, schedule: Schedule, anchor: Anchor | null, override: Override | null, now: Instant, word: Word): Promise<Answer> {
  const { name } = schedule
  const seen = anchor?.version ?? 0
  const reopened = openSince(schedule, overrideOf(anchor), now) === null ? now - MARGIN : 0
  const staysOpen = openSince(schedule, override, now) !== null
  const telling = intake.anchor({ kind: 'window', name }, { kind: 'anchor.told', matter: { is: 'window', override, reopened: instant(reopened) } }, staysOpen ? { ...word, of: seen } : word)
  const { rejected, facts, record } = await telling
  if (rejected === null && staysOpen && facts.length === 0 && record?.version !== seen) throw new AdminFault('conflict', 'somebody else has moved the window meanwhile')
  return enforced(telling, `window/${name}`, word.note)
}

async function override(call: Call<'window.override'>): Promise<Answer> {
  const { room, caller, params, body } = call
  const schedule = scheduleOf(call)
  const anchor = await room.lookUp({ kind: 'window', name: params.name })
  const now = room.clock.now()
  return move(room, schedule, anchor, overrideFor(schedule, overrideOf(anchor), body, now), now, wordOf(caller, body.reason))
}

async function restore(call: Call<'window.restore'>): Promise<Answer> {
  const { room, caller, params, body, query } = call
  const reason = body.reason ?? query.reason
  if (reason === undefined) throw new AdminFault('bad_request', 'a reason is required')
  const schedule = scheduleOf(call)
  const anchor = await room.lookUp({ kind: 'window', name: params.name })
  if (overrideOf(anchor) === null) throw new AdminFault('not_found', 'nobody has moved this window')
  return move(room, schedule, anchor, null, room.clock.now(), wordOf(caller, reason))
}

export const WINDOW_HANDLERS: Handlers<'window.list' | 'window.override' | 'window.restore'> = {
  'window.list': async ({ room }) => told({ windows: await Promise.all([...room.mirror.policy.windows.values()].map(schedule => windowView(room, schedule))) }),
  'window.override': override,
  'window.restore': restore,
}
