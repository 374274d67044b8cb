// Every operation of the admin API, once: the server, the command line and docs/admin-api.md are made from this list.
// Nothing else is served. SPEC: ADM18, ADM12
import type { z } from 'zod'
import { completeBody, openBody } from './contract-brokered.ts'
import {
  acceptBody, anchorBody, approveBody, clearTaintsBody, elevationQuery, extendBody, freezeBody, justified, liftBody, liftQuery, lockBody, narrowBody, nothing, overrideBody, reportQuery, requestBody, restrictive, reviewBody, reviewQuery, sessionQuery, shortenBody, stepUpQuery, toolQuery,
} from './contract-schemas.ts'
import { newsBody } from './contract-news.ts'
import { clearBody, explainBody, principalQuery, scoreBody } from './contract-trust.ts'
import type { Role } from './roles.ts'

export type Operation = {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Segments in braces are parameters. */
  readonly path: `/${string}`
  /** Any of them will do; empty means that no token is asked for. */
  readonly roles: readonly Role[]
  readonly query: z.ZodType
  readonly body: z.ZodType
  /** What the body is written in; `none` takes no body. */
  readonly takes: 'none' | 'json' | 'yaml'
  readonly summary: string
}

const ANYONE = [] as const
const READ = ['viewer'] as const
const OPERATE = ['operator'] as const
const ASK = ['operator', 'broker'] as const

const read = <P extends `/${string}`, Q extends z.ZodType>(path: P, query: Q, summary: string) => ({ method: 'GET', path, roles: READ, query, body: nothing, takes: 'none', summary }) as const
const act = <P extends `/${string}`, B extends z.ZodType, const R extends readonly Role[]>(path: P, roles: R, body: B, summary: string) => ({ method: 'POST', path, roles, query: nothing, body, takes: 'json', summary }) as const

export const OPERATIONS = {
  'session.list': read('/v1/sessions', sessionQuery, 'Sessions, those in memory first'),
  'session.get': read('/v1/sessions/{id}', nothing, 'One session: scopes now, elevations, open exchanges'),
  'session.timeline': read('/v1/sessions/{id}/timeline', nothing, 'Every line of the trail that names the session, and whether one is missing'),
  'session.open': act('/v1/sessions', ['broker'], openBody, 'Open a session for one task and get its token, which is shown once; as `brokers` says. An `Idempotency-Key` that was used within the last day gets 409, never another token'),
  'session.complete': act('/v1/sessions/{id}/complete', ASK, completeBody, 'The task is done: end the session before its time; a broker ends what was opened by it'),
  'session.narrow': act('/v1/sessions/{id}/narrow', OPERATE, narrowBody, 'Take scopes away until `widen`: everything but the baseline, all but `to`, or some elevations'),
  'session.widen': act('/v1/sessions/{id}/widen', OPERATE, justified, 'Lift what `narrow` took away'),
  'session.freeze': act('/v1/sessions/{id}/freeze', OPERATE, freezeBody, 'Hold everything open and refuse everything new until `resume`'),
  'session.resume': act('/v1/sessions/{id}/resume', OPERATE, justified, 'Lift a freeze'),
  'session.terminate': act('/v1/sessions/{id}/terminate', OPERATE, restrictive, 'End the session, cut what is open, refuse its credentials from now on'),
  'session.shorten': act('/v1/sessions/{id}/shorten', OPERATE, shortenBody, 'Let the session end earlier'),
  'principal.list': read('/v1/principals', principalQuery, 'Principals that stand at a level, are tainted, or have points on this gateway'),
  'principal.get': read('/v1/principals/{id}', nothing, 'One principal: its score and what it is made of, its level and why, taints, pauses, sessions, when it falls at the earliest and what ends next'),
  'principal.clear': act('/v1/principals/{id}/clear', OPERATE, clearBody, 'Take its score back to 0 or its taints away; what ended by them stays ended'),
  'principal.score': act('/v1/principals/{id}/risk', ASK, scoreBody, 'A score from outside, under a name: it takes the place of the earlier one of that name, and decays from now'),
  'explain': act('/v1/explain', READ, explainBody, 'Why a request of a session is let through or refused as things are now, check by check, and what would have to happen; nothing is sent and nothing is taken'),
  'session.clearTaints': act('/v1/sessions/{id}/taints/clear', OPERATE, clearTaintsBody, 'Forget what the session has touched, so that routes which exclude it take it again'),
  'profile.list': read('/v1/profiles', nothing, 'What can be asked for'),
  'elevation.request': act('/v1/elevations', ASK, requestBody, 'Ask for an elevation on behalf of a session. Asked again with the same `Idempotency-Key`, it is the same elevation; another ask under it gets 409'),
  'elevation.list': read('/v1/elevations', elevationQuery, 'Elevations of all sessions'),
  'elevation.get': read('/v1/elevations/{id}', nothing, 'One elevation'),
  'elevation.approve': act('/v1/elevations/{id}/approve', ['approver', 'operator'], approveBody, 'Approve what was shown, or less, where the open stage asks for somebody like the caller; never one\'s own request'),
  'elevation.deny': act('/v1/elevations/{id}/deny', ['approver', 'operator'], restrictive, 'Refuse a request'),
  'elevation.withdraw': act('/v1/elevations/{id}/withdraw', ASK, restrictive, 'Take back a request one filed'),
  'elevation.extend': act('/v1/elevations/{id}/extend', ['operator', 'broker', 'approver'], extendBody, 'Give more time, within the profile\'s longest; where extending needs an approval, only as an approver'),
  'elevation.release': act('/v1/elevations/{id}/release', ASK, restrictive, 'Give it back'),
  'elevation.revoke': act('/v1/elevations/{id}/revoke', ['operator', 'approver'], restrictive, 'Take it away: as the approver who gave it, or as an operator'),
  'lock.list': read('/v1/locks', nothing, 'Standing locks, and marks that refuse a session\'s earlier credentials'),
  'lock.set': act('/v1/locks', OPERATE, lockBody, 'Refuse, freeze or narrow everything a selector meets, new and open'),
  'lock.lift': { method: 'DELETE', path: '/v1/locks/{id}', roles: OPERATE, query: liftQuery, body: liftBody, takes: 'json', summary: 'Lift a lock (`lck_…`) or clear a mark (`mark_…`); a reason is required' },
  'tool.list': read('/v1/tools', toolQuery, 'Tools of MCP routes: which definition counts, which other one was seen since, and whether the tool is locked for that'),
  'tool.accept': act('/v1/tools/{route}/{tool}/accept', OPERATE, acceptBody, 'A definition that was seen counts from now on; the lock that it had brought is lifted. The name of the tool is percent-encoded'),
  'signal.tell': act('/v1/signals', OPERATE, newsBody, 'Tell of a change in trust: acted on for every session it means, as news of a transmitter would be. The same `Idempotency-Key` is the same news'),
  'anchor.list': read('/v1/anchors/{kind}', nothing, 'Tickets, tasks, runs … somebody had a word on'),
  'anchor.word': act('/v1/anchors/{kind}/{name}', OPERATE, anchorBody, 'An operator\'s word that a ticket, task, run … is open or ended; `open` needs a reason'),
  'window.list': read('/v1/windows', nothing, 'Windows: whether they are open, when they open and close next, and an operator\'s word on them'),
  'window.override': act('/v1/windows/{name}/override', OPERATE, overrideBody, 'Move a window at once, everywhere: open it, keep it open longer, or close it'),
  'window.restore': { method: 'DELETE', path: '/v1/windows/{name}/override', roles: OPERATE, query: liftQuery, body: liftBody, takes: 'json', summary: 'Take an operator\'s word on a window back: its calendar counts again; a reason is required' },
  'review.list': read('/v1/reviews', reviewQuery, 'Emergencies: elevations taken without asking that somebody must look at, soonest first'),
  'review.give': act('/v1/reviews/{elevation}', ['approver'], reviewBody, 'Look at an emergency: never by who took it; a missed one may still be given'),
  'stepUp.list': read('/v1/step-ups', stepUpQuery, 'Step-ups: callers that have to show anew that they may go on'),
  'stepUp.get': read('/v1/step-ups/{id}', nothing, 'One step-up: what for, why, how, until when'),
  'stepUp.approve': act('/v1/step-ups/{id}/approve', ['approver', 'operator'], justified, 'Let the caller go on, where the step-up asks for somebody like you; never for oneself'),
  'stepUp.deny': act('/v1/step-ups/{id}/deny', ['approver', 'operator'], restrictive, 'Do not let the caller go on; where its rules say so that ends its session'),
  'route.list': read('/v1/routes', nothing, 'Routes and their rules, in order'),
  'config.get': read('/v1/config', nothing, 'The running configuration: digest, file, warnings'),
  'config.validate': { method: 'POST', path: '/v1/config/validate', roles: OPERATE, query: nothing, body: nothing, takes: 'yaml', summary: 'Problems of a configuration that is sent along; nothing is changed' },
  'config.reload': act('/v1/config/reload', OPERATE, restrictive, 'Read the file again and swap whole, or keep what runs'),
  'report.privilege': read('/v1/reports/privilege', reportQuery, 'What is reachable without an elevation and by whom, and which profiles give more than was used of them, by this gateway\'s trail'),
  'report.observed': read('/v1/reports/observed', reportQuery, 'What enforcing would have refused on observed routes, by this gateway\'s trail'),
  'event.watch': read('/v1/events', nothing, 'Facts and verdicts as they happen, as server-sent events'),
  'audit.checkpoint': read('/v1/audit/checkpoint', nothing, 'Number and digest of the trail\'s last line'),
  'health.live': { method: 'GET', path: '/livez', roles: ANYONE, query: nothing, body: nothing, takes: 'none', summary: 'The process answers' },
  'health.ready': { method: 'GET', path: '/readyz', roles: ANYONE, query: nothing, body: nothing, takes: 'none', summary: '200 when it can serve, 503 with what is wrong when not' },
  'health.metrics': { method: 'GET', path: '/metrics', roles: ANYONE, query: nothing, body: nothing, takes: 'none', summary: 'Metrics for Prometheus' },
} as const satisfies { readonly [name: string]: Operation }

export type OperationName = keyof typeof OPERATIONS
export const OPERATION_NAMES = Object.keys(OPERATIONS) as readonly OperationName[] // keys of the list above

type Named<P extends string> = P extends `${string}{${infer N}}${infer R}` ? N | Named<R> : never
export type ParamsOf<N extends OperationName> = { readonly [K in Named<(typeof OPERATIONS)[N]['path']>]: string }
/** What a handler reads. */
export type BodyOf<N extends OperationName> = z.output<(typeof OPERATIONS)[N]['body']>
export type QueryOf<N extends OperationName> = z.output<(typeof OPERATIONS)[N]['query']>
/** What a client writes. */
export type BodyFor<N extends OperationName> = z.input<(typeof OPERATIONS)[N]['body']>
export type QueryFor<N extends OperationName> = z.input<(typeof OPERATIONS)[N]['query']>
