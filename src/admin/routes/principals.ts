// Principals and how far they are trusted: the word of an operator, and of whoever scores from outside. What ended by a level stays ended. SPEC: EXP3, RSK6
import { setImmediate } from 'node:timers/promises'
import type { Anchor, AnchorRef, Matter } from '../../core/anchor.ts'
import { identityOf } from '../../core/principal.ts'
import { NO_STANDING } from '../../core/risk.ts'
import type { Session, SessionKey } from '../../core/session.ts'
import { isInForce } from '../../core/taint.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { principalAnchor } from '../../sessions/principal-anchor.ts'
import type { Page } from '../../sessions/store.ts'
import { type Answer, done, type Json, timeText, told } from '../answer.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { principalView, sessionRow } from '../session-view.ts'
import { contributionsView, endsOf, markView, pausesView, riskView, taintView, upcomingView } from '../trust-view.ts'
import { type Call, givenReason, type Handlers, wordOf } from './handler.ts'

type Kept = Extract<Matter, { is: 'principal' }>
type Room = Call<'principal.get'>['room']
/** `who`: as its score has it; null where it has none here. */
type Known = { readonly id: string; readonly who: string | null; readonly kept: Kept; readonly lives: readonly LiveSession[] }

const LISTED = 100
const PAGE = 500
/** Principals one question looks at, and sessions of one that are shown. */
const LOOKS_MAX = 100_000
const SESSIONS_SHOWN = 100
const NOTHING_KEPT: Kept = { is: 'principal', cooling: {}, ...NO_STANDING }

const keptIn = (anchor: Anchor | null): Kept => (anchor?.matter?.is === 'principal' ? anchor.matter : NOTHING_KEPT)
const refOf = (id: string): AnchorRef => ({ kind: 'principal', name: id })
const isLive = ({ record }: LiveSession): boolean => record.state.is === 'live'

/** Many principals may have one subject: of other tenants, with other clients. */
const isOf = ({ id }: Known, { principal }: Session): boolean => principalAnchor(principal).name === id

/** Who it is, as far as anything tells. */
const whoIs = ({ who, kept, lives: [life] }: Known): string | null => (life === undefined ? (who ?? kept.level?.who ?? null) : identityOf(life.record.principal))

const viewOf = ({ risk }: Room, { id, lives: [life] }: Known): ReturnType<Room['risk']['view']> => (life === undefined ? risk.viewOfPrincipal(refOf(id)) : risk.view(life))

// ---- one

async function found({ room, params: { id } }: Pick<Call<'principal.get'>, 'room' | 'params'>): Promise<Known> {
  const anchor = await room.mirror.anchor(refOf(id))
  const lives = [...room.mirror.all()].filter(live => live.principal.name === id && isLive(live))
  const watched = room.risk.watched().find(({ principal }) => principal.name === id)
  if (anchor === null && lives.length === 0 && watched === undefined) throw new AdminFault('not_found', 'there is no such principal')
  return { id, who: watched?.who ?? null, kept: keptIn(anchor), lives }
}

/** Also those that are not in memory here. */
async function sessionsOf({ mirror, store }: Room, known: Known): Promise<readonly Session[]> {
  const own = known.lives.slice(0, SESSIONS_SHOWN).map(({ record }) => record)
  const who = whoIs(known)
  const refs = who === null ? [] : await store.find({ kind: 'subject', value: who }, SESSIONS_SHOWN)
  const others = await Promise.all(refs.filter(({ name }) => mirror.known(name as SessionKey) === null).map(ref => store.load(ref))) // a session lies under its key
  return [...own, ...others.filter(record => record?.record === 'session').filter(record => isOf(known, record))].slice(0, SESSIONS_SHOWN)
}

function nextOf(room: Room, { lives }: Known): Json | null {
  const now = room.clock.now()
  const ends = lives.map(live => ({ live, next: endsOf(room, room.mirror.effective(live, now))[0] })).filter(({ next }) => next !== undefined)
  const [first] = ends.toSorted((a, b) => (a.next?.at ?? 0) - (b.next?.at ?? 0))
  return first === undefined ? null : { session: first.live.record.id, ...upcomingView(first.next) }
}

async function shown(room: Room, known: Known): Promise<Json> {
  const { id, kept, lives: [life] } = known
  const now = room.clock.now()
  return {
    id, who: whoIs(known), principal: life === undefined ? null : principalView(life.record), risk: riskView(viewOf(room, known)), stats: viewOf(room, known)?.stats ?? null,
    level: kept.level === null ? null : markView(kept.level), reached: kept.reached.map(({ at, when }) => ({ at, when: timeText(when) })), clearedAt: kept.clearedAt === 0 ? null : timeText(kept.clearedAt),
    taints: kept.taints.filter(taint => isInForce(taint, now)).map(taintView), pauses: pausesView(kept), sessions: (await sessionsOf(room, known)).map(session => sessionRow(room, session)), next: nextOf(room, known),
  }
}

// ---- many

function row(room: Room, known: Known): Json {
  const { id, kept, lives } = known
  const risk = viewOf(room, known)
  const now = room.clock.now()
  return {
    id, who: whoIs(known), score: risk === null ? null : Math.round(risk.score * 10) / 10, level: kept.level?.name ?? null, since: timeText(kept.level?.since ?? null),
    contributions: contributionsView(risk?.contributions ?? []), taints: kept.taints.filter(taint => isInForce(taint, now)).map(({ name }) => name), sessions: lives.length,
  }
}

/** Everybody with a session or points here, or of whom something is kept; other work gets its turn between. */
async function everybody({ mirror, store, risk }: Room): Promise<readonly Known[]> {
  const all = new Map<string, { readonly kept: Kept; readonly lives: LiveSession[] }>()
  const scored = new Map(risk.watched().map(({ principal, who }) => [principal.name, who]))
  for (const live of mirror.all()) {
    if (!isLive(live)) continue
    const known = all.get(live.principal.name)
    const kept = mirror.trusted(live.principal)
    if (known === undefined) all.set(live.principal.name, { kept: kept === 'unknown' ? NOTHING_KEPT : { ...NOTHING_KEPT, ...kept }, lives: [live] })
    else known.lives.push(live)
  }
  for (let cursor: string | null = ''; cursor !== null && all.size < LOOKS_MAX;) {
    const page: Page = await store.list('principal', cursor, PAGE)
    for (const record of page.records) if (record.record === 'anchor' && !all.has(record.name)) all.set(record.name, { kept: keptIn(record), lives: [] })
    cursor = page.next
    await setImmediate()
  }
  for (const id of scored.keys()) if (!all.has(id)) all.set(id, { kept: NOTHING_KEPT, lives: [] })
  return [...all].map(([id, known]) => ({ id, who: scored.get(id) ?? null, ...known }))
}

function isWanted(room: Room, known: Known, { level, subject }: Call<'principal.list'>['query']): boolean {
  const { kept } = known
  if (level !== undefined && kept.level?.name !== level) return false
  const who = whoIs(known)
  if (subject !== undefined) return who !== null && (who === subject || who.endsWith(`|${subject}`))
  return kept.level !== null || kept.taints.some(taint => isInForce(taint, room.clock.now())) || (viewOf(room, known)?.score ?? 0) > 0
}

async function listed({ room, query }: Call<'principal.list'>): Promise<Answer> {
  const { limit = LISTED } = query
  const wanted = (await everybody(room)).filter(known => isWanted(room, known, query))
  const rows = wanted.toSorted((a, b) => (b.kept.level?.at ?? 0) - (a.kept.level?.at ?? 0) || (a.id < b.id ? -1 : 1)).slice(0, limit)
  return told({ principals: rows.map(known => row(room, known)), more: wanted.length > limit })
}

// ---- words on one

async function clear(call: Call<'principal.clear'>): Promise<Answer> {
  const { room, caller, params: { id }, body: { risk = false, taints = null, reason } } = call
  await found(call)
  return enforced(room.intake.anchor(refOf(id), { kind: 'principal.cleared', risk, taints }, wordOf(caller, reason)), id, givenReason(reason))
}

async function score(call: Call<'principal.score'>): Promise<Answer> {
  const { room, params: { id }, body: { name, points } } = call
  const known = await found(call)
  const who = whoIs(known)
  if (who === null) throw new AdminFault('conflict', 'nothing here tells who it is: it has no session in memory and stands at no level')
  room.risk.told(refOf(id), who, name, points)
  return done({ id, name, points, risk: riskView(viewOf(room, known)) }, `${id} ${name}=${points}`)
}

export const PRINCIPAL_HANDLERS: Handlers<'principal.list' | 'principal.get' | 'principal.clear' | 'principal.score'> = {
  'principal.list': listed,
  'principal.get': async call => told(await shown(call.room, await found(call))),
  'principal.clear': clear,
  'principal.score': score,
}
