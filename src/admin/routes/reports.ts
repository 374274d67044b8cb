// Reports over this gateway's own trail and configuration. One is read at a time: reading takes long, and nobody else should wait for it. SPEC: RPT1, RPT2
import { type Observed, readObserved } from '../../audit/observed.ts'
import { readUses } from '../../audit/uses.ts'
import { duration, type Duration, type Instant, instant } from '../../core/time.ts'
import { type Answer, timeText, told } from '../answer.ts'
import { AdminFault } from '../fault.ts'
import { privilegeReport } from '../privilege-report.ts'
import type { AdminRoom } from '../room.ts'
import type { Call, Handlers } from './handler.ts'

const WEEK = duration(7 * 86_400_000)
const GROUPS_TOLD = 500

const reading = new WeakSet<AdminRoom>()

async function alone<T>(room: AdminRoom, read: (files: readonly string[]) => Promise<T>): Promise<T> {
  if (reading.has(room)) throw new AdminFault('limit_reached', 'another report is being read')
  reading.add(room)
  try {
    return await read(await room.trailSoFar())
  } finally {
    reading.delete(room)
  }
}

const from = ({ clock }: AdminRoom, back: Duration = WEEK): Instant => instant(clock.now() - back)

async function privilege({ room, query: { since } }: Call<'report.privilege'>): Promise<Answer> {
  const start = from(room, since)
  return told(privilegeReport(room, await alone(room, files => readUses(files, start)), start))
}

/** Observed routes first by what they would refuse; one that would refuse nothing may be enforced. */
function routesOf({ mirror }: AdminRoom, { groups, requests }: Observed) {
  return mirror.policy.routes.filter(({ mode }) => mode === 'observe').map(({ name }) => ({
    route: name, requests: requests.get(name) ?? 0, wouldRefuse: groups.filter(({ route }) => route === name).reduce((sum, group) => sum + group.requests, 0),
  })).sort((a, b) => b.wouldRefuse - a.wouldRefuse)
}

async function observed({ room, query: { since } }: Call<'report.observed'>): Promise<Answer> {
  const start = from(room, since)
  const found = await alone(room, files => readObserved(files, start))
  const { groups, others, isAll } = found
  return told({
    since: timeText(start), until: timeText(room.clock.now()), whole: isAll && others === 0 && groups.length <= GROUPS_TOLD, routes: routesOf(room, found),
    refusals: groups.slice(0, GROUPS_TOLD).map(({ methods, first, last, ...group }) => ({ ...group, methods: [...methods], first: timeText(first), last: timeText(last) })),
  })
}

export const REPORT_HANDLERS: Handlers<'report.privilege' | 'report.observed'> = { 'report.privilege': privilege, 'report.observed': observed }
