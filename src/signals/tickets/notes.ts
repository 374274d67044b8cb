// A note in the ticket when an elevation for it begins and when it ends, told by the gateway that wrote it. Each is tried for a while and then given up;
// nobody waits for one, and a gateway that dies takes those along that it had not sent. SPEC: TKT5
import { type AnchorRef, partsOf } from '../../core/anchor.ts'
import type { Elevation } from '../../core/elevation.ts'
import type { Fact } from '../../core/fact.ts'
import type { StoredRecord } from '../../core/record.ts'
import { duration, type Instant } from '../../core/time.ts'
import { type HttpClient, HttpFault } from '../../runtime/http-client.ts'
import type { Log } from '../../runtime/log.ts'
import type { OpenConnector, OpenConnectors } from './open-connectors.ts'
import { filled, filledJson } from './template.ts'

type NoteOutcome = 'sent' | 'failed' | 'dropped'

type Tools = {
  readonly open: () => OpenConnectors
  readonly http: Pick<HttpClient, 'ask'>
  readonly log: Log
  readonly count: (source: string, outcome: NoteOutcome) => void
}

type Waiting = { readonly source: string; readonly ref: AnchorRef; readonly key: string; readonly values: ReadonlyMap<string, string>; attempts: number }

const WAITING_MAX = 1_000
const AT_ONCE = 4
const ATTEMPTS = 6
/** Before the second attempt, in milliseconds; three times as long before each further one. */
const FIRST = 2_000
const ANSWER_BYTES = 64 * 1024
const TAKEN_STATUSES = Array.from({ length: 100 }, (_, i) => 200 + i)
const STOP_WITHIN = duration(2_000)

const moment = (at: Instant): string => new Date(at).toISOString()

function textOf(fact: Fact, { id, profile, requestedBy, because }: Elevation): string | null {
  if (fact.what === 'elevation.activated') return `Elevation ${id} (${profile}) began for ${requestedBy}, until ${moment(fact.until)} at the latest.${because === '' ? '' : ` Reason: ${because}`}`
  return fact.what === 'elevation.ended' ? `Elevation ${id} (${profile}) of ${requestedBy} ended at ${moment(fact.at)}: ${fact.reason}.` : null
}

/** Another attempt may fare better. */
const isTemporary = (error: unknown): boolean => error instanceof HttpFault && (error.status === 0 || error.status >= 500 || [408, 425, 429].includes(error.status))

export class Notes {
  readonly #tools: Tools
  readonly #waiting: Waiting[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #sending = new Set<Promise<void>>()
  /** Those that wait for their next attempt. */
  #pausing = 0
  #stopped = false

  constructor(tools: Tools) {
    this.#tools = tools
  }

  /** What was just written. Never throws and never waits. */
  committed(record: StoredRecord, facts: readonly Fact[]): void {
    if (record.record !== 'session') return
    for (const fact of facts) {
      if (fact.what !== 'elevation.activated' && fact.what !== 'elevation.ended') continue
      const elevation = record.elevations.find(({ id }) => id === fact.elevation)
      if (elevation !== undefined) this.#tell(fact, elevation)
    }
  }

  /** Gives those under way a moment, and up what waits. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    const over = Promise.withResolvers<void>()
    const timer = setTimeout(over.resolve, STOP_WITHIN)
    await Promise.race([Promise.all(this.#sending), over.promise])
    clearTimeout(timer)
    for (const { source } of this.#waiting.splice(0)) this.#tools.count(source, 'dropped')
  }

  #tell(fact: Fact, elevation: Elevation): void {
    const { ticket, id, profile, requestedBy } = elevation
    const [text, parts] = [textOf(fact, elevation), ticket === null ? null : partsOf(ticket)]
    if (text === null || ticket === null || parts === null || this.#connector(parts.source)?.settings.note == null) return
    const values = new Map([['text', text], ['id', parts.id], ['elevation', id], ['profile', profile], ['subject', requestedBy]])
    this.#put({ source: parts.source, ref: ticket, key: `${fact.because}.${id}.${fact.what}`, values, attempts: 0 })
  }

  #connector(source: string): OpenConnector | undefined { return this.#tools.open().get(source) }

  #put(waiting: Waiting): void {
    if (this.#stopped || this.#waiting.length + this.#pausing >= WAITING_MAX) return this.#tools.count(waiting.source, 'dropped')
    this.#waiting.push(waiting)
    this.#next()
  }

  #next(): void {
    while (this.#sending.size < AT_ONCE && !this.#stopped) {
      const waiting = this.#waiting.shift()
      if (waiting === undefined) return
      const sending = this.#send(waiting).finally(() => {
        this.#sending.delete(sending)
        this.#next()
      })
      this.#sending.add(sending)
    }
  }

  async #send(waiting: Waiting): Promise<void> {
    const { source, ref, key, values } = waiting
    const connector = this.#connector(source)
    const [note, parts] = [connector?.settings.note ?? null, partsOf(ref)]
    const url = note === null || parts === null ? null : filled(note.url, parts)
    if (connector === undefined || note === null || url === null) return this.#tools.count(source, 'dropped')
    const { authorization, ca } = connector.access
    const headers = { ...note.headers, 'content-type': 'application/json', 'idempotency-key': key, ...(authorization === null ? {} : { authorization }) }
    try {
      await this.#tools.http.ask(url, { method: note.method, body: filledJson(note.body, values), headers, ca, statuses: TAKEN_STATUSES }, { timeout: note.timeout, bytes: ANSWER_BYTES }, 'new')
      this.#tools.count(source, 'sent')
    } catch (error) {
      this.#failed(waiting, error)
    }
  }

  #failed(waiting: Waiting, error: unknown): void {
    waiting.attempts++
    if (isTemporary(error) && waiting.attempts < ATTEMPTS && !this.#stopped) return this.#later(waiting)
    this.#tools.count(waiting.source, 'failed')
    this.#tools.log.warn({ connector: waiting.source, note: waiting.key, cause: error instanceof Error ? error.message : String(error) }, 'a ticket did not get its note')
  }

  #later(waiting: Waiting): void {
    this.#pausing++
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#pausing--
      this.#put(waiting)
    }, FIRST * 3 ** (waiting.attempts - 1) * (0.75 + Math.random() / 2)).unref()
    this.#timers.add(timer)
  }
}
