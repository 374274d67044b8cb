// Asks the policy decision point of a rule what it says of a request or of something open: one question at a time for what is the same, what it asks for done
// before its answer counts, and the answer kept for the very state it was asked about. Also the step of gather that waits for it. SPEC: PEP2-PEP7, RULES 1, RULES 4
import type { Case } from '../../core/checks/check.ts'
import { askedOf, type RuleDecision } from '../../core/external.ts'
import type { Reason } from '../../core/reason.ts'
import { after, type Instant } from '../../core/time.ts'
import type { Lane } from '../../runtime/http-client.ts'
import { evaluationIdOf, newEvaluationId } from '../../runtime/id.ts'
import type { Metrics } from '../../runtime/metrics.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { caseOf, type GateKeeper, type Inquiry } from '../exchange.ts'
import type { GatherStep } from '../gather.ts'
import { comply, type CompliancePorts } from './compliance.ts'
import type { Heard } from './hearing.ts'
import { type Obliged, OBLIGATIONS, obligationsIn } from './obligations.ts'
import type { Pdp, Said } from './pdp.ts'
import { type Question, questionOf } from './question.ts'
import { relayedRequest } from './relayed-request.ts'

type Ports = CompliancePorts & { readonly keeper: GateKeeper; readonly pdps: () => ReadonlyMap<string, Pdp>; readonly metrics: Metrics }
export type Inquired = Omit<Inquiry, 'risk'>

/** Different questions on their way at once, with what is done about their answers. */
const ASKING_MAX = 4_096
/** Questions of one request: once more where what it stands on changed while it was asked. */
const TIMES_MAX = 2

/** A rule of a session and what it asks; null where nobody can be asked. */
type Asked = { readonly c: Case; readonly live: LiveSession; readonly decision: RuleDecision; readonly asked: string }

export class Asking {
  readonly #ports: Ports
  /** By all that makes a question another one. */
  readonly #underway = new Map<string, Promise<Heard>>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  get step(): GatherStep {
    return {
      name: 'decision', failure: 'external_unavailable',
      needed: ({ inquiry }) => inquiry.external !== null && this.#caseOf(inquiry).external === 'ahead',
      run: ({ inquiry }) => this.#run(inquiry),
      undo: () => undefined,
    }
  }

  async #run(inquiry: Inquired): Promise<Reason | 'again'> {
    const { external } = inquiry
    if (external === null || external.times >= TIMES_MAX) return 'external_unavailable'
    const evaluation = external.last === null ? evaluationIdOf(inquiry.id) : newEvaluationId()
    external.last = await this.ask(inquiry, evaluation, 'new')
    if (!external.last.moved) external.times++
    return external.last.answer === null ? 'external_unavailable' : 'again'
  }

  /** Never rejects. @param evaluation names it, unless the same is being asked already */
  ask(inquiry: Inquired, evaluation: string, lane: Lane): Promise<Heard> {
    const c = this.#caseOf(inquiry)
    const decision = c.place.rule?.decision ?? null
    if (decision === null || inquiry.live === null) return Promise.resolve(unheard('', evaluation, 'unasked'))
    const asked: Asked = { c, live: inquiry.live, decision, asked: askedOf(c) }
    const question = questionOf(c, decision)
    if (question === null) return Promise.resolve(this.#counted(unasked(asked, evaluation)))
    const name = `${lane} ${decision.pdp} ${asked.asked} ${question.key}`
    const underway = this.#underway.get(name)
    if (underway !== undefined) return underway
    if (this.#underway.size >= ASKING_MAX) return Promise.resolve(this.#counted(unheard(decision.pdp, evaluation, 'busy')))
    const asking = this.#asked(asked, question, evaluation, lane).then(heard => this.#counted(heard), () => this.#counted(unheard(decision.pdp, evaluation, 'failed')))
    this.#underway.set(name, asking)
    return asking.finally(() => this.#underway.delete(name))
  }

  async #asked({ c, live, decision, asked }: Asked, question: Question, evaluation: string, lane: Lane): Promise<Heard> {
    const { pdp: name, notify } = decision
    const pdp = this.#ports.pdps().get(name)
    if (pdp === undefined) return unheard(name, evaluation, 'unasked')
    const supported = OBLIGATIONS.filter(kind => kind !== 'notification' || notify.length > 0)
    const { said, askedAt } = await this.#timed(pdp, evaluation, lane, (at, advertised) => question.text(at, advertised === null ? null : supported.filter(kind => advertised.includes(kind))))
    if (said.is === 'silence') return unheard(name, evaluation, said.why)
    const obliged = obligationsIn(said.context['obligations'], { subject: question.subject, claims: c.claims, hasChannels: notify.length > 0 })
    const { isDone, moved } = await comply(this.#ports, obliged.done, { pdp: name, evaluation, live, channels: notify, now: this.#ports.keeper.clock.now(), frozenFor: c.policy.sessions.frozenFor })
    return heardOf({ said, obliged, isDone, moved, evaluation, askedAt, asked, decision })
  }

  /** An answer counts from when it was asked for. */
  async #timed(pdp: Pdp, evaluation: string, lane: Lane, text: Parameters<Pdp['ask']>[2]): Promise<{ readonly said: Said; readonly askedAt: Instant }> {
    const { keeper: { clock }, metrics } = this.#ports
    const [askedAt, started] = [clock.now(), performance.now()]
    const said = await pdp.ask(evaluation, lane, text)
    metrics.externalDuration.of(pdp.name).observe((performance.now() - started) / 1000)
    return { said, askedAt }
  }

  #counted(heard: Heard): Heard {
    const { pdp, outcome } = heard.noted
    this.#ports.metrics.externalDecisions.inc({ pdp, outcome })
    return heard
  }

  #caseOf(inquiry: Inquired): Case { return caseOf(inquiry, this.#ports.keeper, this.#ports.keeper.clock.now(), null) }
}

const unheard = (pdp: string, evaluation: string, outcome: string): Heard => ({ answer: null, noted: { pdp, evaluation, outcome }, access: null, moved: false })

/** What the configuration wants asked cannot be said of this request, and nothing goes on without. */
function unasked({ c, decision, asked }: Asked, evaluation: string): Heard {
  return { answer: { asked, refusal: 'condition_error', requestable: false, acr: null, until: after(c.now, decision.for) }, noted: { pdp: decision.pdp, evaluation, outcome: 'unasked' }, access: null, moved: false }
}

type Answered = { readonly said: Extract<Said, { is: 'said' }>; readonly obliged: Obliged; readonly isDone: boolean; readonly moved: boolean; readonly evaluation: string; readonly askedAt: Instant; readonly asked: string; readonly decision: RuleDecision }

function heardOf({ said: { decision: lets, context }, obliged: { acr, unmet }, isDone, moved, evaluation, askedAt, asked, decision }: Answered): Heard {
  const refusal: Reason | null = unmet || !isDone ? 'obligation_unmet' : lets ? null : 'external_denied'
  const access = refusal === 'external_denied' ? relayedRequest(context, evaluation, askedAt) : null
  const outcome = refusal === 'obligation_unmet' ? 'obligation_unmet' : acr !== null ? 'step_up' : lets ? 'permit' : 'deny'
  return { answer: { asked, refusal, requestable: access !== null, acr, until: after(askedAt, decision.for) }, noted: { pdp: decision.pdp, evaluation, outcome }, access, moved }
}
