// What the gateway itself sends a server of MCP behind the end of an exchange: that a call is cancelled, or a task. Few at a time, not waited for long, by
// nobody, and never tried twice; what becomes of them is counted. SPEC: MCP9
import type { AnswerHead, Sending, UpstreamHandler, UpstreamRequest } from '../../../upstream/handler.ts'
import type { Upstream } from '../../../upstream/upstream.ts'
import type { ProxyRoom } from '../../room.ts'
import { signedHead } from '../../upstream-identity.ts'

/** Towards one upstream at a time; and behind them, where many calls are cut at once. */
const MOST = 64
const WAITING_MOST = 4_096
/** Milliseconds that one may wait for its turn: its word on who asks counts no longer. */
const WAITS = 30_000
/** Milliseconds until one is given up. */
const PATIENCE = 5_000
const NO_TRAILERS: readonly string[] = []

/** `headers` are names and values in turn, without those of framing, and not signed. */
export type Errand = { readonly path: string; readonly headers: readonly string[]; readonly body: Buffer }
/** What errands need of the proxy. */
export type ErrandRoom = Pick<ProxyRoom, 'metrics' | 'minter' | 'keeper'>
type Outcome = 'done' | 'refused' | 'failed' | 'late'

class Running implements UpstreamHandler {
  readonly source = null
  readonly #room: ErrandRoom
  readonly #upstream: Upstream
  readonly #errand: Errand
  readonly #over: (outcome: Outcome) => void
  readonly #timer: NodeJS.Timeout
  #sending: Sending | null = null
  #outcome: Outcome | null = null
  #status = 0

  constructor(room: ErrandRoom, upstream: Upstream, errand: Errand, over: (outcome: Outcome) => void) {
    this.#room = room
    this.#upstream = upstream
    this.#errand = errand
    this.#over = over
    this.#timer = setTimeout(() => this.#late(), PATIENCE).unref()
  }

  outgoing(sending: Sending): UpstreamRequest | null {
    if (this.#outcome !== null) return null
    const { path, headers, body } = this.#errand
    const { minter, keeper: { clock } } = this.#room
    this.#sending = sending
    process.nextTick(() => { // behind the head
      sending.write(body)
      sending.end(NO_TRAILERS)
    })
    const signed = signedHead({ method: 'POST', path, headers, body }, this.#upstream, minter.key, clock.now())
    return { method: 'POST', path, headers: signed, bodyLength: body.length }
  }

  drained(): void {}
  informed(): void {}
  data(): void {}
  answered({ status }: AnswerHead): void { this.#status = status }
  ended(): void { this.#finish(this.#status < 400 ? 'done' : 'refused') }
  failed(): void { this.#finish('failed') }

  #late(): void {
    this.#sending?.abort()
    if (this.#sending === null) this.#upstream.withdraw(this)
    this.#finish('late')
  }

  #finish(outcome: Outcome): void {
    if (this.#outcome !== null) return
    this.#outcome = outcome
    clearTimeout(this.#timer)
    this.#over(outcome)
  }
}

type Waiting = { readonly upstream: Upstream; readonly errand: Errand; /** Elapsed time. */ readonly until: number }
/** Of one upstream, while it has any. */
type Line = { running: number; readonly waiting: Waiting[] }

export class Errands {
  readonly #room: ErrandRoom
  /** By upstream. */
  readonly #lines = new Map<string, Line>()

  constructor(room: ErrandRoom) {
    this.#room = room
  }

  send(upstream: Upstream, errand: Errand): void {
    const { name } = upstream
    const { metrics, keeper: { clock } } = this.#room
    const line = this.#lines.get(name) ?? { running: 0, waiting: [] }
    this.#lines.set(name, line)
    if (line.running < MOST) return this.#run(line, upstream, errand)
    if (line.waiting.length < WAITING_MOST) return void line.waiting.push({ upstream, errand, until: clock.elapsed() + WAITS })
    metrics.limitReached.inc({ limit: 'mcp_errands' })
    metrics.mcpErrands.inc({ upstream: name, outcome: 'dropped' })
  }

  #run(line: Line, upstream: Upstream, errand: Errand): void {
    line.running++
    upstream.send(new Running(this.#room, upstream, errand, outcome => this.#over(line, upstream.name, outcome)))
  }

  #over(line: Line, name: string, outcome: Outcome): void {
    line.running--
    this.#room.metrics.mcpErrands.inc({ upstream: name, outcome })
    if (line.waiting.length > 0) setImmediate(() => this.#next(line, name)) // where none can be sent they all fail in this turn
    else this.#dropIfOver(line, name)
  }

  #next(line: Line, name: string): void {
    const { metrics, keeper: { clock } } = this.#room
    while (line.running < MOST && line.waiting.length > 0) {
      const next = line.waiting.shift()
      if (next !== undefined && clock.elapsed() < next.until) this.#run(line, next.upstream, next.errand)
      else metrics.mcpErrands.inc({ upstream: name, outcome: 'late' })
    }
    this.#dropIfOver(line, name)
  }

  #dropIfOver(line: Line, name: string): void {
    if (line.running === 0 && line.waiting.length === 0 && this.#lines.get(name) === line) this.#lines.delete(name)
  }
}

/** What goes with an errand of what went with its request: who asks, by what right, in which session of the protocol. */
const KEPT: ReadonlySet<string> = new Set(['host', 'authorization', 'narrowgate-context', 'txn-token', 'mcp-session-id', 'mcp-protocol-version'])

/** @param sent the head of the request, as it went @param credential name of the header that holds what the upstream is shown */
export function errandHeaders(sent: readonly string[], credential: string | null): string[] {
  const headers: string[] = []
  for (let i = 0; i < sent.length; i += 2) {
    const name = (sent[i] ?? '').toLowerCase()
    if (KEPT.has(name) || name === credential) headers.push(name, sent[i + 1] ?? '')
  }
  headers.push('content-type', 'application/json', 'accept', 'application/json, text/event-stream', 'accept-encoding', 'identity')
  return headers
}
