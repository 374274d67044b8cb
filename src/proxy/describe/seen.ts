// What a request shows beside its target, as the judge sees it: headers are those that go upstream, and nobody pays for them until a condition
// reads one. SPEC: DEC5, WIRE4, WIRE6
import type { Evaluation } from '../../core/evaluation.ts'
import type { Purposes } from '../../core/purpose.ts'
import { endToEnd, type Inbound } from '../http/outgoing.ts'

export class Seen {
  readonly protocol = 'http'
  readonly source: string
  readonly secure: boolean
  readonly workload: string | null
  readonly purposes: Purposes
  readonly #inbound: Inbound
  #headers: readonly string[] | null = null

  constructor(inbound: Inbound, { source, secure, workload, purposes }: Pick<Evaluation['context'], 'source' | 'secure' | 'workload' | 'purposes'>) {
    this.#inbound = inbound
    this.source = source
    this.secure = secure
    this.workload = workload
    this.purposes = purposes
  }

  get headers(): readonly string[] { return (this.#headers ??= endToEnd(this.#inbound)) }
}
