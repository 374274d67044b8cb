// What a request shows beside its target, as the judge sees it: headers are those that go upstream, and nobody pays for them until a condition
// reads one, nor for the certificate of its connection until there are locks. SPEC: DEC5, WIRE4, WIRE6
import { queryDigest } from '../../audit/record.ts'
import type { Evaluation, Inspected, Target } from '../../core/evaluation.ts'
import type { Position, Purposes, Shown } from '../../core/purpose.ts'
import type { Instant } from '../../core/time.ts'
import { endToEnd, type Inbound } from '../http/outgoing.ts'

/** What may still be learnt of it, or is not always asked for. */
type Caller = Pick<Evaluation['context'], 'certified' | 'body'> & { readonly target: Pick<Target, 'query'> }

export class Seen {
  readonly protocol = 'http'
  readonly source: string
  readonly secure: boolean
  readonly workload: string | null
  readonly purposes: Purposes
  readonly purposesUntil: Instant
  readonly positions: readonly Position[]
  readonly #inbound: Inbound
  readonly #caller: Caller
  #headers: readonly string[] | null = null

  constructor(inbound: Inbound, caller: Caller, { source, secure, workload, shown }: Pick<Evaluation['context'], 'source' | 'secure' | 'workload'> & { readonly shown: Shown }) {
    this.#inbound = inbound
    this.#caller = caller
    this.source = source
    this.secure = secure
    this.workload = workload
    this.purposes = shown.purposes
    this.purposesUntil = shown.until
    this.positions = shown.positions
  }

  get queryDigest(): string | null { return queryDigest(this.#caller.target.query) }
  get certified(): string | null { return this.#caller.certified }
  /** Read on the way, where the rule asks for that. */
  get body(): Inspected | null { return this.#caller.body }
  get headers(): readonly string[] { return (this.#headers ??= endToEnd(this.#inbound)) }
}
