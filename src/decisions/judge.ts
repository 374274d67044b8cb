// What the gateway's own judge says of a question, on the session or principal it is about. Nothing is sent, taken or counted for whoever it is about; where the
// gateway cannot decide there is no decision, so that whoever asks keeps the door shut. SPEC: PDP2, PDP3
import type { PdpServed, PepSettings } from '../config/compile/decisions.ts'
import type { Case } from '../core/checks/check.ts'
import { type Decision, refuse } from '../core/decision.ts'
import { evaluate } from '../core/evaluate.ts'
import { headerOf, proofOf } from '../core/policy.ts'
import type { PurposeKind, Purposes } from '../core/purpose.ts'
import { type Place, placeOf, routeOf } from '../core/route.ts'
import type { Instant } from '../core/time.ts'
import { supposed, supposedCase } from '../enforcement/supposed.ts'
import { purposesClaimed } from '../identity/purposes.ts'
import { newEvaluationId } from '../runtime/id.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { DecisionFault } from './fault.ts'
import { type Meant, meantBy } from './meaning.ts'
import type { Question } from './question.ts'
import type { DecisionsRoom } from './room.ts'
import { claimsOf, type Subject, Subjects } from './subject.ts'

/** Who asks, and by which configuration. */
export type Asking = { readonly pep: PepSettings; readonly served: PdpServed }

export type Judged = {
  readonly evaluation: string
  readonly at: Instant
  readonly question: Question
  readonly decision: Decision
  readonly live: LiveSession | null
  /** What was judged; null where it did not come to that. */
  readonly asked: Case | null
  readonly meant: Meant | null
}

/** The gateway answers these itself. */
const RESERVED = /^\/\.narrowgate(?:\/|$)/
const PURPOSE_VALUE = /^[\x21-\x7e]{1,200}$/
/** Nothing was decided by these: what it would take is not here now. */
const UNABLE: { readonly [reason: string]: string } = {
  stale: 'nothing proves now that what this is decided by is fresh', store_failed: 'the session store does not answer', store_forged: 'what the session store holds was not written by a gateway',
  external_unavailable: 'the rule asks a decision point of its own, which only a request is asked about',
}

/** Would the gateway record it, or have it leave something behind? An answer does neither. */
const doesMore = (decision: Decision, { rule }: Place): boolean =>
  decision.effect === 'permit' && ((rule !== null && (rule.after !== null || rule.record !== 'off')) || (decision.grant.is === 'elevation' && decision.grant.elevation.recording))

export class Judge {
  readonly #room: DecisionsRoom
  readonly #subjects: Subjects

  constructor(room: DecisionsRoom) {
    this.#room = room
    this.#subjects = new Subjects(room)
  }

  /** @throws DecisionFault where it cannot be decided, or must not be for whoever asks; StoreFault */
  async judged(asking: Asking, question: Question): Promise<Judged> {
    const judged = await this.asKnown(asking, question)
    return (await this.#wasBehind(judged)) ? this.asKnown(asking, question) : judged
  }

  /** By what is known here, without a word of the store about what may be on its way. @throws as `judged` */
  async asKnown(asking: Asking, question: Question): Promise<Judged> {
    const meant = meantBy(asking.served.questions, question, this.#room.describeTarget)
    const subject = await this.#subjects.find(asking.served, question)
    if (subject.is === 'refused') return this.#told(question, refuse(subject.reason), subject.live, null, meant.is === 'meant' ? meant : null)
    if (meant.is === 'refused') return this.#told(question, refuse(meant.reason), subject.live, null, null)
    return this.#judge(asking, question, subject, meant)
  }

  #told(question: Question, decision: Decision, live: LiveSession | null, asked: Case | null, meant: Meant | null): Judged {
    return { evaluation: newEvaluationId(), at: this.#room.keeper.clock.now(), question, decision, live, asked, meant }
  }

  /** In one turn, so that what was judged is what is told. */
  #judge({ pep }: Asking, question: Question, subject: Subject, meant: Meant): Judged {
    const { mirror } = this.#room.keeper
    const { live } = subject
    if (live !== null && mirror.byId(question.subject.id) !== live) throw new DecisionFault('stale', 'the session changed while it was looked up') // news no longer reaches it
    const route = RESERVED.test(meant.target.path) ? 'no_route' : routeOf(mirror.policy.table, meant.target)
    if (typeof route === 'string') return this.#told(question, refuse(route), live, null, meant)
    if (pep.routes !== null && !pep.routes.has(route.name)) throw new DecisionFault('forbidden', 'you may not ask about this')
    if (route.mcp !== null) return this.#told(question, refuse('not_shown'), live, null, meant) // what decides there is in a message, and nobody shows one
    const action = { method: meant.method, upgrade: null, call: null }
    const place = placeOf(route, action, meant.target)
    const purposes = this.#purposes(subject, meant)
    if (purposes === null || (meant.encodedSlash && route.encodedSlash === 'reject')) return this.#told(question, refuse('bad_request'), live, null, meant)
    if (place.rule?.anonymous !== true && subject.evidence !== null && !subject.taken(route)) return this.#told(question, refuse('credential_invalid'), live, null, meant)
    const asked = this.#caseOf(subject, meant, place, purposes)
    const decision = evaluate(asked)
    this.#assertAble(decision, asked, subject)
    return this.#told(question, doesMore(decision, place) ? refuse('not_shown') : decision, live, asked, meant)
  }

  #caseOf(subject: Subject, { target, method, secure, source, headers, body }: Meant, place: Place, purposes: Purposes): Case {
    const { live, evidence, vouchedUntil } = subject
    const showing = { evidence, source, secure, workload: live?.record.bindings.workload ?? null, purposes, headers, body: place.rule?.inspect == null ? null : body }
    const asked = supposedCase(this.#room.keeper, { place, evaluation: supposed({ method, upgrade: null, call: null }, target, showing), live, claims: claimsOf(subject), vouchedUntil })
    return subject.is === 'session' || place.rule?.anonymous === true ? asked : { ...asked, standing: subject.standing(asked.now) }
  }

  /** As a request shows them: none that an orchestrator signs. null where a header is malformed. */
  #purposes(subject: Subject, { headers }: Meant): Purposes | null {
    const { purposes: sources } = this.#room.keeper.mirror.policy
    const stated: { [K in PurposeKind]?: string } = {}
    for (const source of sources.values()) {
      const { kind } = source
      const header = proofOf(source) === 'stated' ? headerOf(source) : null
      const at = header === null ? -1 : headers.findIndex((name, i) => i % 2 === 0 && name === header)
      const value = at < 0 ? undefined : headers[at + 1]
      if (value !== undefined && !PURPOSE_VALUE.test(value)) return null
      if (value !== undefined) stated[kind] = value
    }
    return { ...purposesClaimed(sources, claimsOf(subject)), ...subject.own, ...stated }
  }

  /** A right must not follow from claims that nobody showed here, nor a denial be told that they would turn. */
  #assertAble(decision: Decision, { standing, place: { rule } }: Case, { is, claims }: Subject): void {
    const unable = decision.effect === 'refuse' ? UNABLE[decision.reason] : undefined
    if (unable !== undefined) throw new DecisionFault(decision.effect === 'refuse' && decision.reason === 'stale' ? 'stale' : 'unavailable', unable)
    const isPlain = rule === null || rule.effect === 'deny' || rule.anonymous || (decision.effect === 'refuse' && standing !== null && standing.reason === decision.reason)
    if (is === 'session' && claims === null && !isPlain) throw new DecisionFault('unseen', 'this gateway has not seen a credential of the session since its start, so that it cannot tell what it may do')
  }

  /** What its session was given may have been announced and not heard here yet. */
  async #wasBehind({ decision, live }: Judged): Promise<boolean> {
    const { mirror, clock } = this.#room.keeper
    const elapsed = clock.elapsed()
    return decision.effect === 'refuse' && live !== null && mirror.mayBeBehind(live, elapsed) && (await mirror.refresh(live, elapsed))
  }
}
