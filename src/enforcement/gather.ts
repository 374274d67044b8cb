// Everything that must be awaited between the preview and the admission, as one declared list under one deadline.
// A step that needs nothing costs a look. After any await the judge is asked again at admit. SPEC: ENF2, RULES 1
import { type Grant, grantName } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { About, ContextMinter } from '../upstream/context.ts'
import type { Inquiry } from './exchange.ts'
import type { Recorder } from './recorder.ts'

export type GatherStep = {
  readonly name: string
  /** Must this request wait for the step? Asked again in each round, so a step done is a step not needed. */
  readonly needed: (request: Gathering) => boolean
  readonly run: (request: Gathering) => Promise<void>
  /** What the caller is told when it fails. */
  readonly failure: Reason
  /** Takes back what it did, perhaps in part, for a request that is not admitted after it. Must not throw. */
  readonly undo: (request: Gathering, reason: Reason) => void
}

/** A request between preview and admission, and which steps were begun for it, by name, with the grant each was begun for. */
export type Gathering = {
  readonly inquiry: Inquiry
  readonly grant: Grant
  readonly until: Instant
  readonly upstream: string
  readonly done: Map<string, string>
}

/** The declared list: the intent of an elevated request on stable storage where that is configured, and what the upstream is told of it. */
export function gatherSteps(recorder: Recorder, minter: ContextMinter, fsync: () => boolean): readonly GatherStep[] {
  return [
    {
      name: 'intent', failure: 'record_failed',
      needed: ({ grant, done }) => grant.is === 'elevation' && fsync() && done.get('intent') !== grantName(grant),
      run: ({ inquiry, grant, until }) => recorder.intended(inquiry, grant, until),
      undo: ({ inquiry }, reason) => recorder.notDispatched(inquiry, reason),
    },
    {
      name: 'context', failure: 'internal_error',
      needed: request => request.inquiry.live !== null && !minter.isReady(aboutOf(request)),
      run: request => minter.mint(aboutOf(request)),
      undo: () => undefined,
    },
  ]
}

const aboutOf = ({ inquiry: { live }, grant, until, upstream }: Gathering): About =>
  ({ session: (live as LiveSession).record, grant, until, upstream }) // asked only for requests of a session

/** Runs what is needed, in the list's order, all under one deadline in milliseconds. Returns the reason of the step that failed, or null. */
export async function gather(steps: readonly GatherStep[], request: Gathering, deadline: number): Promise<Reason | null> {
  const started = performance.now()
  for (const step of steps) {
    if (!step.needed(request)) continue
    request.done.set(step.name, grantName(request.grant))
    const failure = await within(step.run(request), deadline - (performance.now() - started)).then(() => null, () => step.failure)
    if (failure !== null) return failure
  }
  return null
}

/** The request is not admitted after all: what was done for it is taken back. */
export function abandon(steps: readonly GatherStep[], request: Gathering, reason: Reason): void {
  for (const step of steps) if (request.done.has(step.name)) step.undo(request, reason)
}

async function within(work: Promise<void>, deadline: number): Promise<void> {
  let timer: NodeJS.Timeout | null = null
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('a step took too long')), deadline)
  })
  try {
    await Promise.race([work, late])
  } finally {
    if (timer !== null) clearTimeout(timer)
  }
}
