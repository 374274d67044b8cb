// Questions to a process of the bench and its answers, over Node's channel between parent and child. A child ends with its parent.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

type Question = { readonly id: number; readonly ask: string; readonly argument: unknown }
type Reply = { readonly id: number; readonly answer: unknown; readonly fault: string | null }

const ANSWER_WITHIN = 300_000
const END_WITHIN = 10_000

export class Child {
  readonly #name: string
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, { readonly resolve: (answer: unknown) => void; readonly reject: (error: Error) => void }>()
  #asked = 0

  constructor(file: string, args: readonly string[], execArgv: readonly string[] = []) {
    this.#name = file
    this.#process = fork(new URL(file, import.meta.url), [...args], { execArgv: [...execArgv], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#process.on('message', (reply: Reply) => this.#heard(reply)) // what `answering` sends
    this.#process.once('exit', code => this.#over(new Error(`${file} ended with ${code}`)))
    this.#process.once('error', error => this.#over(error))
  }

  /** @throws Error with what went wrong there, or when it ended */
  async ask(what: string, argument: unknown = null): Promise<unknown> {
    const id = ++this.#asked
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(id, { resolve, reject })
    const late = setTimeout(() => reject(new Error(`${this.#name} did not answer ${what}`)), ANSWER_WITHIN)
    this.#process.send({ id, ask: what, argument } satisfies Question, error => { if (error !== null) reject(error) })
    return promise.finally(() => {
      clearTimeout(late)
      this.#waiting.delete(id)
    })
  }

  /** A number it tells. */
  async figure(what: string, argument: unknown = null): Promise<number> { return Number(await this.ask(what, argument)) }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.disconnect()
    const late = setTimeout(() => this.#process.kill('SIGKILL'), END_WITHIN)
    await ended.finally(() => clearTimeout(late))
  }

  #heard({ id, answer, fault }: Reply): void {
    if (fault === null) this.#waiting.get(id)?.resolve(answer)
    else this.#waiting.get(id)?.reject(new Error(`${this.#name}: ${fault}`))
  }

  #over(cause: Error): void {
    for (const { reject } of this.#waiting.values()) reject(cause)
  }
}

/** In the child: answers its parent's questions, and ends when the parent is gone or done with it. */
export function answering(answers: { readonly [ask: string]: (argument: unknown) => unknown }, end: () => Promise<void> = async () => {}): void {
  const reply = (reply: Reply): void => void process.send?.(reply)
  const answer = async ({ id, ask, argument }: Question): Promise<void> => {
    try {
      reply({ id, answer: await answers[ask]?.(argument), fault: null })
    } catch (error) {
      reply({ id, answer: null, fault: error instanceof Error ? String(error.stack) : String(error) })
    }
  }
  process.on('message', (question: Question) => void answer(question)) // what `Child.ask` sends
  process.once('disconnect', () => void end().finally(() => process.exit(0)))
}
