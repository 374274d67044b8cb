// What the story claims must be seen: each claim is compared with what happened, and the first that does not hold ends the story.
import { setTimeout as pause } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'

const LOOK_EVERY_MS = 2

const words = (value: unknown): string => inspect(value, { depth: 6, breakLength: 120, maxStringLength: 400, maxArrayLength: 20 })

export class NotObserved extends Error {
  readonly expected: string
  readonly seen: string
  override readonly name = 'NotObserved'

  constructor(what: string, expected: string, seen: string) {
    super(what)
    this.expected = expected
    this.seen = seen
  }
}

/** @throws NotObserved unless both are deeply the same */
export function observe(what: string, expected: unknown, seen: unknown): void {
  if (!isDeepStrictEqual(seen, expected)) throw new NotObserved(what, words(expected), words(seen))
}

/** @param seen shown when it does not hold. @throws NotObserved */
export function observeThat(what: string, holds: boolean, seen: unknown): void {
  if (!holds) throw new NotObserved(what, 'that it holds', words(seen))
}

/** Waits at most so many milliseconds. @param seen what is shown when it never held. @throws NotObserved */
export async function observeWithin(what: string, withinMs: number, holds: () => boolean | Promise<boolean>, seen: () => unknown): Promise<void> {
  const until = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > until) throw new NotObserved(what, `within ${withinMs} ms`, words(seen()))
    await pause(LOOK_EVERY_MS)
  }
}
