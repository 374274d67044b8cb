// Gives http-proxy a connection that was dialled like every other one to an upstream: its identity verified, its PROXY header sent, one address of
// several. Keeps none. SPEC: WIRE18, WIRE21
import { Agent } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dial, Dialled } from '../../upstream/dial.ts'

export class DialAgent extends Agent {
  readonly #dial: (told: Dialled) => Dial

  constructor(dial: (told: Dialled) => Dial) {
    super({ keepAlive: false })
    this.#dial = dial
  }

  override createConnection(_options: unknown, made?: (error: Error | null, stream: Duplex) => void): undefined {
    this.#dial({
      opened: socket => made?.(null, socket),
      failed: (fault, cause) => made?.(Object.assign(new Error(fault), { code: cause, fault }), undefined as unknown as Duplex), // node looks at the error alone
    })
  }
}
