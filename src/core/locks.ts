// Standing refusals and how they are found: by name, so that a request pays for a few look-ups and only when there are locks at all.
// SPEC: ENF8, BND5
import { cutOffOf, type Lock, type LockEffect, selectorName, stronger } from './anchor.ts'
import type { Elevation } from './elevation.ts'
import type { Evaluation } from './evaluation.ts'
import type { Evidence } from './evidence.ts'
import type { Principal } from './principal.ts'
import type { Session } from './session.ts'
import { FOREVER, type Instant, earlier } from './time.ts'
import { lowerCase } from './path-pattern.ts'
import { toolOf, toolPartsOf } from './tools.ts'

type Dated = { readonly lock: Lock; readonly before: Instant }
/** Cut-offs of one effect for one subject, newest first, each lasting longer than all before it: those that last no longer never count. */
type Ladder = readonly Dated[]
/** Newest first. */
type CutOffsOfOne = { readonly dated: readonly Dated[]; readonly ladders: readonly Ladder[] }
/** By the subject they are for; null is everybody. */
type CutOffs = ReadonlyMap<string | null, CutOffsOfOne>

/** Those on tools, by route and the tool's name in lower case: a server that makes no difference between cases is not talked into another name. */
type ToolLocks = ReadonlyMap<string, readonly Lock[]>

export type LockIndex = { readonly size: number; readonly byName: ReadonlyMap<string, Lock>; readonly issuedBefore: CutOffs; readonly tools: ToolLocks }

export const NO_LOCKS: LockIndex = { size: 0, byName: new Map(), issuedBefore: new Map(), tools: new Map() }

export function lockIndex(locks: Iterable<Lock>): LockIndex {
  const byName = new Map<string, Lock>()
  for (const lock of locks) if (lock.state === 'set') byName.set(selectorName(lock.selector), lock)
  return { size: byName.size, byName, issuedBefore: cutOffsAmong(byName.values()), tools: toolsAmong(byName.values()) }
}

// ---- cut-offs, read once each

const lastsUntil = ({ until }: Lock): Instant => until ?? FOREVER
const newestFirst = (a: Dated, b: Dated): number => (a.before === b.before ? 0 : a.before < b.before ? 1 : -1)

/** What cannot be read refuses whatever was issued. */
function datedOf(lock: Lock): { readonly subject: string | null; readonly dated: Dated } {
  const { before, subject } = cutOffOf(lock.selector)
  return { subject, dated: { lock, before: Number.isNaN(before) ? FOREVER : before } }
}

function cutOffsOf(dated: readonly Dated[]): CutOffsOfOne {
  const ladders = new Map<LockEffect, Dated[]>()
  for (const each of dated) {
    const ladder = ladders.get(each.lock.effect)
    const last = ladder?.at(-1)
    if (ladder === undefined) ladders.set(each.lock.effect, [each])
    else if (last === undefined || lastsUntil(each.lock) > lastsUntil(last.lock)) ladder.push(each)
  }
  return { dated, ladders: [...ladders.values()] }
}

export function cutOffsAmong(locks: Iterable<Lock>): Map<string | null, CutOffsOfOne> {
  const found = new Map<string | null, Dated[]>()
  for (const lock of locks) {
    if (lock.selector.kind !== 'issuedBefore') continue
    const { subject, dated } = datedOf(lock)
    const known = found.get(subject)
    if (known === undefined) found.set(subject, [dated])
    else known.push(dated)
  }
  const cutOffs = new Map<string | null, CutOffsOfOne>()
  for (const [subject, dated] of found) cutOffs.set(subject, cutOffsOf(dated.sort(newestFirst)))
  return cutOffs
}

/** A cut-off that was set, changed or lifted; those for other subjects are not looked at. */
export function moveCutOff(cutOffs: Map<string | null, CutOffsOfOne>, lock: Lock): void {
  const { subject, dated } = datedOf(lock)
  const others = (cutOffs.get(subject)?.dated ?? []).filter(other => other.lock.selector.value !== lock.selector.value)
  if (lock.state === 'set') others.push(dated)
  if (others.length === 0) cutOffs.delete(subject)
  else cutOffs.set(subject, cutOffsOf(others.sort(newestFirst)))
}

// ---- locks on tools

const isOnTool = ({ selector: { kind } }: Lock): boolean => kind === 'tool' || kind === 'definition'
const inAnyCase = (route: string, tool: string): string => toolOf(route, lowerCase(tool))

function toolIn({ selector: { value } }: Lock): string {
  const { route, tool } = toolPartsOf(value)
  return inAnyCase(route, tool)
}

export function toolsAmong(locks: Iterable<Lock>): Map<string, readonly Lock[]> {
  const found = new Map<string, readonly Lock[]>()
  for (const lock of locks) if (isOnTool(lock)) moveTool(found, lock)
  return found
}

/** A lock on a tool that was set, changed or lifted; any other changes nothing. */
export function moveTool(tools: Map<string, readonly Lock[]>, lock: Lock): void {
  if (!isOnTool(lock)) return
  const name = toolIn(lock)
  const others = (tools.get(name) ?? []).filter(({ selector: { kind, value } }) => kind !== lock.selector.kind || value !== lock.selector.value)
  if (lock.state === 'set') tools.set(name, [...others, lock])
  else if (others.length > 0) tools.set(name, others)
  else tools.delete(name)
}

// ---- on sessions and elevations

const NONE: readonly Lock[] = []
export const standsAt = (lock: Lock, now: Instant): boolean => lock.state === 'set' && (lock.until === null || lock.until > now)

/** By who it is, by what others call it, by what it is bound to, and by the life it was delegated from. */
function namesOfSession({ id, principal: { issuer, subject, tenant }, bindings: { device, workload }, aliases, brokered }: Session): readonly string[] {
  const names = [`session:${id}`, `subject:${issuer}|${subject}`, `subject:${subject}`, `tenant:${tenant}`, `issuer:${issuer}`, 'all:']
  if (device !== null) names.push(`device:${device}`)
  if (workload !== null) names.push(`workload:${workload}`)
  for (const alias of aliases) names.push(`alias:${alias}`)
  if (brokered !== null && brokered.parent !== null) names.push(`parent:${brokered.parent.id}`)
  return names
}

/** `toBaseline`: one of the locks keeps to the baseline, whatever a stronger one does as well. */
type Hit = { readonly lock: Lock; readonly until: Instant; readonly toBaseline: boolean }

/** The strongest of several locks, and the first instant at which one of them lifts by itself. */
function strongest(locks: readonly Lock[]): Hit | null {
  let hit: Hit | null = null
  for (const lock of locks) {
    const until = lock.until ?? FOREVER
    const toBaseline = lock.effect === 'baseline'
    if (hit === null) hit = { lock, until, toBaseline }
    else hit = { lock: stronger(lock.effect, hit.lock.effect) === hit.lock.effect ? hit.lock : lock, until: earlier(until, hit.until), toBaseline: toBaseline || hit.toBaseline }
  }
  return hit
}

function named(index: LockIndex, names: readonly string[], now: Instant): Lock[] {
  const found: Lock[] = []
  for (const name of names) {
    const lock = index.byName.get(name)
    if (lock && standsAt(lock, now)) found.push(lock)
  }
  return found
}

export const locksOnSession = (index: LockIndex, session: Session, now: Instant): Hit | null =>
  index.size === 0 ? null : strongest(named(index, namesOfSession(session), now))

type Named = Pick<Elevation, 'id' | 'profile'>
const namesOfElevation = ({ id, profile }: Named): readonly string[] => [`profile:${profile}`, `elevation:${id}`]

/** The strongest lock on an elevation or on its profile. @param before what it follows: a lock on that is not gone round by its end */
export const lockOnElevation = (index: LockIndex, elevation: Named, now: Instant, before: Named | null = null): Hit | null =>
  index.size === 0 ? null : strongest(named(index, before === null ? namesOfElevation(elevation) : [...namesOfElevation(elevation), ...namesOfElevation(before)], now))

// ---- on requests

/** What a request shows that locks may name. */
export type ShownToLocks = { readonly evidence: Evidence | null; readonly action: Pick<Evaluation['action'], 'call'>; readonly context: Pick<Evaluation['context'], 'workload' | 'certified'> }

/** Nothing of MCP. */
export const NO_CALL: ShownToLocks['action'] = { call: null }
type Whose = Pick<Principal, 'issuer' | 'subject'> | null

/** Credentials without an issue time are older than any cut-off. */
const isTooOld = (issuedAt: Instant | null, before: Instant): boolean => !(issuedAt !== null && issuedAt > before)

/** Of the cut-offs that a credential is too old for, the one that lasts longest: others that stand do no more than it. */
function longest(ladder: Ladder, issuedAt: Instant | null): Lock | null {
  let met = 0
  let unmet = ladder.length
  while (met < unmet) {
    const middle = (met + unmet) >>> 1
    if (isTooOld(issuedAt, ladder[middle]?.before ?? FOREVER)) met = middle + 1
    else unmet = middle
  }
  return ladder[met - 1]?.lock ?? null
}

function addCutOffs(found: Lock[], cutOffs: CutOffsOfOne | undefined, issuedAt: Instant | null, now: Instant): void {
  if (cutOffs === undefined) return
  for (const ladder of cutOffs.ladders) {
    const lock = longest(ladder, issuedAt)
    if (lock !== null && standsAt(lock, now)) found.push(lock)
  }
}

/** Of whom nothing is known everything is meant. */
function addTooOld(found: Lock[], cutOffs: CutOffs, { issuedAt }: Evidence, whose: Whose, now: Instant): void {
  if (cutOffs.size === 0) return
  if (whose === null) {
    for (const each of cutOffs.values()) addCutOffs(found, each, issuedAt, now)
    return
  }
  addCutOffs(found, cutOffs.get(null), issuedAt, now)
  addCutOffs(found, cutOffs.get(whose.subject), issuedAt, now)
  addCutOffs(found, cutOffs.get(`${whose.issuer}|${whose.subject}`), issuedAt, now)
}

/** Who has no session here meets a lock on everybody by the request; whose connection is another workload's than the credential is met as both. */
function namesOfRequest(route: string, { evidence, context: { workload, certified } }: ShownToLocks, whose: Whose): readonly string[] {
  const names = [`route:${route}`]
  if (evidence === null || whose === null) names.push('all:')
  if (workload !== null) names.push(`workload:${workload}`)
  if (certified !== null && certified !== workload) names.push(`workload:${certified}`)
  if (evidence === null) return names
  const { credential, issuer, keyId, device } = evidence
  names.push(`credential:${credential}`, `issuer:${issuer}`)
  if (keyId !== null) names.push(`keyId:${issuer}|${keyId}`, `keyId:${keyId}`)
  if (device !== null) names.push(`device:${device}`)
  return names
}

/** Whatever is called of it: also what is left of a call, such as its task. */
function onTool({ tools }: LockIndex, route: string, { action: { call } }: ShownToLocks, now: Instant): readonly Lock[] {
  return call?.kind !== 'tool' || tools.size === 0 ? NONE : (tools.get(inAnyCase(route, call.name)) ?? NONE).filter(lock => standsAt(lock, now))
}

function meeting(index: LockIndex, route: string, shown: ShownToLocks, whose: Whose, now: Instant): readonly Lock[] {
  const found = named(index, namesOfRequest(route, shown, whose), now)
  found.push(...onTool(index, route, shown, now))
  const { evidence } = shown
  if (evidence !== null) addTooOld(found, index.issuedBefore, evidence, whose, now)
  return found
}

/** The strongest lock that meets this request by its route, its credential or its workload rather than by its session. @param whose the principal of the credential */
export const locksOnRequest = (index: LockIndex, route: string, shown: ShownToLocks, whose: Whose, now: Instant): Lock | null =>
  index.size === 0 ? null : (strongest(meeting(index, route, shown, whose, now))?.lock ?? null)

/** Does one of those locks keep the request to its baseline, whatever stronger ones do to it as well? */
export const keptToBaseline = (index: LockIndex, route: string, shown: ShownToLocks, whose: Whose, now: Instant): boolean =>
  index.size > 0 && strongest(meeting(index, route, shown, whose, now))?.toBaseline === true

/** Those that stand on tools of a route. */
export function toolLocks({ tools }: LockIndex, route: string, now: Instant): readonly Lock[] {
  const prefix = toolOf(route, '')
  return tools.size === 0 ? NONE : [...tools.values()].flat().filter(lock => lock.selector.value.startsWith(prefix) && standsAt(lock, now))
}

/** The first instant at which one of those lifts by itself. */
export const toolLocksUntil = (index: LockIndex, route: string, now: Instant): Instant => toolLocks(index, route, now).reduce((at, { until }) => earlier(at, until ?? FOREVER), FOREVER)
