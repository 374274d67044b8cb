// Tools of MCP routes as their servers define them, and an operator's word that a definition counts. SPEC: MCP14, ADM12
import { traitsOf } from '../../core/call.ts'
import type { ToolPin } from '../../core/anchor.ts'
import type { Route } from '../../core/route.ts'
import { definitionLock, pinOf, pinsIn, pinsRef } from '../../core/tools.ts'
import { standsAt } from '../../core/locks.ts'
import { newLockId } from '../../runtime/id.ts'
import { type Answer, type Json, timeText, told } from '../answer.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { type Call, type Handlers, wordOf } from './handler.ts'

type Room = Call<'tool.list'>['room']

const SHA256 = 'sha256:'
const DEFAULT_MAX = 100

const pinsOf = async ({ mirror }: Room, { name }: Route) => pinsIn((await mirror.anchor(pinsRef(name)))?.matter ?? null)

function toolView({ mirror, clock }: Room, { name: route, mcp }: Route, { tool, accepted, changed, since, by }: ToolPin): Json {
  const lock = mirror.lock(definitionLock(route, tool))
  const traits = mcp === null ? null : traitsOf(mcp, { kind: 'tool', method: 'tools/call', name: tool, args: null, digest: null })
  return {
    route, tool, state: changed === null ? 'accepted' : 'changed', accepted: SHA256 + accepted, seen: SHA256 + (changed ?? accepted), configured: traits?.digest != null,
    locked: lock !== null && standsAt(lock, clock.now()) ? lock.effect : null, class: traits?.class ?? null, labels: traits?.labels ?? [], since: timeText(since), by,
  }
}

async function list({ room, query: { route, state, limit = DEFAULT_MAX } }: Call<'tool.list'>): Promise<Answer> {
  const routes = room.mirror.policy.routes.filter(({ name, mcp }) => mcp !== null && (route === undefined || name === route))
  const found = (await Promise.all(routes.map(async each => (await pinsOf(room, each)).pins.map(pin => toolView(room, each, pin))))).flat()
  const wanted = found.filter(tool => state === undefined || tool['state'] === state)
  return told({ tools: wanted.slice(0, limit), more: wanted.length > limit })
}

/** It says itself which one counts. */
function assertOwnWord({ mcp }: Route, tool: string, digest: string): void {
  const configured = mcp === null ? null : (traitsOf(mcp, { kind: 'tool', method: 'tools/call', name: tool, args: null, digest: null })?.digest ?? null)
  if (configured !== null && configured !== digest) throw new AdminFault('conflict', 'the configuration names another definition of this tool')
}

/** What was seen meanwhile is locked again. */
async function lockAgain(room: Room, route: Route, tool: string): Promise<void> {
  const changed = pinOf(await pinsOf(room, route), tool)?.changed ?? null
  const onChange = route.mcp?.onChange ?? 'off'
  if (changed === null || (onChange !== 'hide' && onChange !== 'freeze')) return
  const selector = definitionLock(route.name, tool)
  await room.intake.lock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect: onChange === 'freeze' ? 'freeze' : 'deny', reason: 'tool_changed', until: null }, { by: 'mcp', note: 'its definition is not the accepted one', id: null })
}

async function accept({ room, caller, params: { route: name, tool }, body: { digest: written, reason } }: Call<'tool.accept'>): Promise<Answer> {
  const route = room.mirror.policy.routes.find(each => each.name === name && each.mcp !== null)
  if (route === undefined) throw new AdminFault('not_found', 'there is no such route of MCP')
  const digest = written.slice(SHA256.length)
  assertOwnWord(route, tool, digest)
  const word = wordOf(caller, reason)
  const accepting = room.intake.anchor(pinsRef(name), { kind: 'tool.accepted', tool, digest }, word)
  const answer = await enforced(accepting, `tool/${name}/${tool}`, reason)
  const selector = definitionLock(name, tool)
  if (room.mirror.lock(selector) === null) return answer
  const lifted = await enforced(room.intake.lock(selector, { kind: 'lock.lifted' }, word), `tool/${name}/${tool}`, reason)
  await lockAgain(room, route, tool)
  return lifted
}

export const TOOL_HANDLERS: Handlers<'tool.list' | 'tool.accept'> = { 'tool.list': list, 'tool.accept': accept }
