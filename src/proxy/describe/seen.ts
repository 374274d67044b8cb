// What a request shows beside its target, as the judge sees it: headers are those that go upstream, and nobody pays for them until a condition
// reads one, nor for the certificate of its connection until there are locks. SPEC: DEC5, WIRE4, WIRE6
import type { Evaluation } from '../../core/evaluation.ts'
import type { Purposes } from '../../core/purpose.ts'
import { endToEnd, type Inbound } from '../http/outgoing.ts'

type Certified = Pick<Evaluation['context'], 'certified'>

export class Seen {
  readonly protocol = 'http'
  readonly source: string
  readonly secure: boolean
  readonly workload: string | null
  readonly purposes: Purposes
  readonly #inbound: Inbound
  readonly #caller: Certified
  #headers: readonly string[] | null = null

  constructor(inbound: Inbound, caller: Certified, { source, secure, workload, purposes }: Pick<Evaluation['context'], 'source' | 'secure' | 'workload' | 'purposes'>) {
    this.#inbound = inbound
    this.#caller = caller
    this.source = source
    this.secure = secure
    this.workload = workload
    this.purposes = purposes
  }

  get certified(): string | null { return this.#caller.certified }
  get headers(): readonly string[] { return (this.#headers ??= endToEnd(this.#inbound)) }
}
