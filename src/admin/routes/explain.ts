// Why a request would be let through or refused now. The judge is asked; nothing is sent, taken or counted. SPEC: EXP1
import type { Case } from '../../core/checks/check.ts'
import { grantName } from '../../core/decision.ts'
import { type Explained, explain, type Remedy } from '../../core/explain.ts'
import type { Evaluation } from '../../core/evaluation.ts'
import type { Purposes } from '../../core/purpose.ts'
import { REASONS } from '../../core/reason.ts'
import { type Place, placeOf, type Route, routeOf } from '../../core/route.ts'
import { FOREVER } from '../../core/time.ts'
import { NO_CLAIMS } from '../../enforcement/exchange.ts'
import { explanation, remedyView, supposed, supposedCase } from '../../enforcement/supposed.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { type Answer, type Json, timeText, told } from '../answer.ts'
import { AdminFault } from '../fault.ts'
import type { AdminRoom } from '../room.ts'
import { riskView, taintView } from '../trust-view.ts'
import { type Call, purposesIn } from './handler.ts'

type Asked = Call<'explain'>['body']

function targetOf({ describeTarget }: AdminRoom, { url }: Asked): Evaluation['resource'] {
  const [, authority, rest] = /^https?:\/\/([^/?#]*)(\/[^#]*)$/i.exec(url) ?? []
  const described = authority === undefined || rest === undefined ? 'expected an address such as https://api.example.com/v1/things' : describeTarget(rest, authority)
  if (typeof described === 'string') throw new AdminFault('bad_request', `url: ${described}`)
  return described.target
}

/** The message it would carry, where its route serves MCP. */
function calledOn(route: Route | string, { room, body: { mcp } }: Call<'explain'>): Evaluation['action']['call'] {
  if (typeof route === 'string') return null
  if (route.mcp === null && mcp !== undefined) throw new AdminFault('bad_request', `mcp: the route ${route.name} carries no messages of MCP`)
  if (route.mcp === null) return null
  if (mcp === undefined) throw new AdminFault('bad_request', `mcp: the route ${route.name} decides by the message: write its method, and what it names`)
  const called = room.describeCall(mcp, route.mcp)
  if (typeof called === 'string') throw new AdminFault('bad_request', `mcp: ${called}`)
  return called
}

/** What it would show: its newest credential, and what it is bound to. */
function evaluationOf({ room, body }: Call<'explain'>, live: LiveSession, purposes: Purposes): Evaluation {
  const { method, upgrade = null, url, source = '', headers = {} } = body
  const showing = { evidence: live.newest, source, secure: url.toLowerCase().startsWith('https:'), workload: live.record.bindings.workload, purposes, body: null, headers: Object.entries(headers).flat() }
  return supposed({ method, upgrade, call: null }, targetOf(room, body), showing)
}

/** What is taken for granted, for a request shows more than its address. */
function assumptions({ body }: Call<'explain'>, live: LiveSession, { rule }: Place): readonly string[] {
  const { condition } = rule ?? { condition: null }
  return [
    ...(live.newest === null ? ['no credential of the session was seen on this gateway: it is explained without one'] : ['it shows the newest credential seen here']),
    ...(live.record.bindings.workload === null ? [] : ['it comes from the workload the session is bound to']),
    ...(live.record.bindings.source !== null && body.source === undefined ? ['nobody said where it comes from: write `source`'] : []),
    ...(rule === null || rule.decision === null ? [] : [`the policy decision point '${rule.decision.pdp}' lets it: nobody asks it`]),
    ...(condition !== null && condition.readsArguments && body.mcp?.args === undefined ? ['what the condition reads of the arguments is not judged: write `mcp.args`'] : []),
    ...(condition !== null && condition.readsBody ? ['what the condition reads of the body is not judged'] : []),
  ]
}

/** A level falls as time passes: when at the earliest. */
function withFall(remedy: Remedy, risk: ReturnType<AdminRoom['risk']['view']>): Json {
  const fall = remedy.is === 'level' && risk !== null ? { at: timeText(risk.fallsAt), to: risk.fallsTo } : {}
  return { ...remedyView(remedy), ...fall }
}

function decisionView({ decision }: Explained): Json {
  if (decision.effect === 'permit') return { decision: 'permit', grant: grantName(decision.grant), until: timeText(decision.until), would: decision.would, reason: null }
  const { reason, requestable } = decision
  return { decision: 'refuse', grant: null, until: null, would: null, reason, requestable, says: REASONS[reason].says }
}

function answerOf(call: Call<'explain'>, live: LiveSession, { place, standing }: Case, explained: Explained): Answer {
  const risk = call.room.risk.view(live)
  return told({
    session: live.record.id, route: place.route.name, rule: place.rule?.name ?? null, scope: place.rule?.scope ?? null, ...decisionView(explained),
    ...explanation(explained), remedies: explained.remedies.map(remedy => withFall(remedy, risk)),
    level: standing?.level?.name ?? null, risk: riskView(risk), taints: (standing?.taints ?? []).map(taintView), assumed: assumptions(call, live, place),
  })
}

export async function explained(call: Call<'explain'>): Promise<Answer> {
  const { room, directory, body } = call
  const { mirror, clock, store } = room
  const live = await directory.session(body.session)
  const bare = evaluationOf(call, live, live.record.brokered?.purposes ?? purposesIn(body.purposes))
  const route = routeOf(mirror.policy.table, bare.resource)
  const evaluation = { ...bare, action: { ...bare.action, call: calledOn(route, call) } }
  if (typeof route === 'string') return told({ session: live.record.id, route: null, rule: null, scope: null, decision: 'refuse', grant: null, until: null, would: null, reason: route, requestable: false, says: REASONS[route].says })
  const place = placeOf(route, evaluation.action, evaluation.resource)
  const keeper = { clock, mirror, confirmedUntil: () => store.confirmedUntil(), vouchesFor: () => true }
  const asked: Case = { ...supposedCase(keeper, { place, evaluation, live, claims: live.knownClaims ?? NO_CLAIMS, vouchedUntil: FOREVER }), external: 'ahead' }
  return answerOf(call, live, asked, explain(asked))
}
