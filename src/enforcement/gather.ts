// Everything that must be awaited between the preview and the admission, as one declared list under one deadline.
// A step that needs nothing costs a look. After any await the judge is asked again at admit. SPEC: ENF2, RULES 1
import type { UpstreamSettings } from '../config/settings.ts'
import { staysHere } from '../core/call.ts'
import { type Grant, grantName } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { StepUp, StepUpId } from '../core/step-up.ts'
import type { Instant } from '../core/time.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { type About, transactionOf } from '../upstream/claims.ts'
import type { ContextMinter } from '../upstream/context.ts'
import type { Aftereffects } from './aftereffects.ts'
import type { Broker } from './brokered/broker.ts'
import type { Budget } from './budget.ts'
import type { Asking } from './external/asking.ts'
import type { Inquiry } from './exchange.ts'
import type { Recorder } from './recorder.ts'
import type { Spending } from './spending.ts'
import type { StepUpUses } from './step-up-use.ts'

export type GatherStep = {
  readonly name: string
  /** Must this request wait for the step? Asked again in each round, so a step done is a step not needed. */
  readonly needed: (request: Gathering) => boolean
  /** @returns why the request is refused by what it found, or null; `again` where the judge knows more than before: nothing else is begun until he is asked again */
  readonly run: (request: Gathering) => Promise<Reason | 'again' | null>
  /** What the caller is told when it fails, or takes too long. */
  readonly failure: Reason
  /** Takes back what it did, perhaps in part, for a request that is not admitted after it. Must not throw. */
  readonly undo: (request: Gathering, reason: Reason) => void
}

/** What goes upstream, as far as it is gathered for. */
export interface Gathered {
  readonly upstream: { readonly name: string; readonly settings: Pick<UpstreamSettings, 'transaction'> }
  /** Reads the body whole, in its own time. @returns why that failed, or null */
  inspect(): Promise<Reason | null>
  /** The token that its caller showed and was known by; null where it showed none. */
  bearer(): string | null
}

/** A request between preview and admission, and which steps were begun for it, by name, with the grant each was begun for. */
export type Gathering = {
  readonly inquiry: Inquiry
  readonly grant: Grant
  /** What the caller showed anew that the request stands on; null where it needs nothing of that kind. */
  readonly stepUp: StepUp | null
  readonly until: Instant
  readonly relay: Gathered
  readonly done: Map<string, string>
  readonly reserved: Reserved
}

/** What the request took of the limits of the elevation that would carry it, and how often it did; and the step-up of which it took a use. */
export type Reserved = { spending: Spending | null; attempts: number; stepUp: StepUpId | null }

/** The declared list: the body where the rule wants it read, what its limits and its step-up ask for, what somebody outside says of it, the intent of an elevated request on stable storage where that is configured, what an allowed one leaves behind, the credential for its upstream where that is obtained for it, and what the upstream is told of it. */
export function gatherSteps(recorder: Recorder, minter: ContextMinter, budget: Budget, stepUps: StepUpUses, external: Asking, broker: Pick<Broker, 'step'>, aftereffects: Aftereffects, fsync: () => boolean): readonly GatherStep[] {
  return [
    {
      name: 'inspect', failure: 'internal_error',
      needed: ({ inquiry: { place, evaluation } }) => place.rule?.inspect != null && evaluation.context.body === null,
      run: ({ relay }) => relay.inspect().then(failure => failure ?? 'again'),
      undo: () => undefined,
    },
    budget.step,
    stepUps.step,
    external.step,
    {
      name: 'intent', failure: 'record_failed',
      needed: ({ grant, done }) => grant.is === 'elevation' && fsync() && done.get('intent') !== grantName(grant),
      run: ({ inquiry, grant, until }) => recorder.intended(inquiry, grant, until).then(() => null),
      undo: ({ inquiry }, reason) => recorder.notDispatched(inquiry, reason),
    },
    aftereffects.step,
    broker.step(request => wordOn(request, minter)),
    {
      name: 'context', failure: 'internal_error',
      needed: request => request.inquiry.live !== null && !staysHere(request.inquiry.evaluation.action.call) && !minter.isReady(aboutOf(request)),
      run: request => minter.mint(aboutOf(request)).then(() => null),
      undo: () => undefined,
    },
  ]
}

function aboutOf({ inquiry: { live, place, evaluation }, grant, until, relay: { upstream: { name, settings } } }: Gathering): About {
  const session = (live as LiveSession).record // asked only for requests of a session
  return { session, grant, until, upstream: name, transaction: transactionOf(settings, evaluation, place) }
}

/** What the gateway itself says of it, for whoever exchanges that. */
async function wordOn(request: Gathering, minter: ContextMinter): Promise<string | null> {
  const about = aboutOf(request)
  if (!minter.isReady(about)) await minter.mint(about)
  return minter.ready(about)
}

/** Runs what is needed, in the list's order, all under one deadline in milliseconds, and the rule's own for the body. Returns why a step refused it or failed, or null. */
export async function gather(steps: readonly GatherStep[], request: Gathering, deadline: number): Promise<Reason | null> {
  const until = performance.now() + deadline + (request.inquiry.place.rule?.inspect?.timeout ?? 0)
  for (const step of steps) {
    if (!step.needed(request)) continue
    request.done.set(step.name, grantName(request.grant))
    const outcome = await within(step.run(request), until - performance.now()).catch(() => step.failure)
    if (outcome !== null) return outcome === 'again' ? null : outcome
  }
  return null
}

/** The request is not admitted after all: what was done for it is taken back. */
export function abandon(steps: readonly GatherStep[], request: Gathering, reason: Reason): void {
  for (const step of steps) if (request.done.has(step.name)) step.undo(request, reason)
}

async function within<T>(work: Promise<T>, deadline: number): Promise<T> {
  let timer: NodeJS.Timeout | null = null
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('a step took too long')), deadline)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    if (timer !== null) clearTimeout(timer)
  }
}
