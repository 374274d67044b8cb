// Who waits for something to be told: a poll that is open, the pusher of a stream. What was put here wakes them at once; what another gateway put they find
// by looking. SPEC: TRM5
export class Waits {
  readonly #waiting = new Map<string, Set<() => void>>()
  #stopped = false

  get isStopped(): boolean { return this.#stopped }

  count(receiver: string): number { return this.#waiting.get(receiver)?.size ?? 0 }

  /** Until something is there for the receiver, so many milliseconds are over, or nobody wants it any more. */
  wait(receiver: string, ms: number, gone: AbortSignal | null): Promise<void> {
    if (this.#stopped || gone?.aborted === true) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const all = this.#waiting.get(receiver) ?? new Set()
    this.#waiting.set(receiver, all)
    all.add(resolve)
    const timer = setTimeout(resolve, ms)
    const leave = (): void => resolve()
    gone?.addEventListener('abort', leave)
    return promise.finally(() => {
      clearTimeout(timer)
      gone?.removeEventListener('abort', leave)
      all.delete(resolve)
      if (all.size === 0 && this.#waiting.get(receiver) === all) this.#waiting.delete(receiver)
    })
  }

  wake(receiver: string): void { for (const resolve of this.#waiting.get(receiver) ?? []) resolve() }

  /** Nobody waits any more, and nobody will. */
  stop(): void {
    this.#stopped = true
    for (const receiver of this.#waiting.keys()) this.wake(receiver)
  }
}
