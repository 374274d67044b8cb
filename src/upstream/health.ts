// Asks each address of an upstream whether it is well, over the connections that requests use. SPEC: WIRE20
import type { HealthCheck } from '../config/compile/upstreams.ts'
import type { Endpoint } from './endpoint.ts'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from './handler.ts'

export class HealthChecks {
  readonly #check: HealthCheck
  readonly #endpoints: () => readonly Endpoint[]
  readonly #timer: NodeJS.Timeout
  readonly #probes = new Set<Probe>()
  #stopped = false

  constructor(check: HealthCheck, endpoints: () => readonly Endpoint[]) {
    this.#check = check
    this.#endpoints = endpoints
    this.#timer = setInterval(() => this.#askAll(), check.every).unref()
    setImmediate(() => this.#askAll())
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
    for (const probe of this.#probes) probe.giveUp()
  }

  /** Where every connection is in use, requests are the better witnesses. */
  #askAll(): void {
    if (this.#stopped) return
    for (const endpoint of this.#endpoints()) {
      if (endpoint.isFull) continue
      const probe: Probe = new Probe(this.#check, endpoint, () => void this.#probes.delete(probe))
      this.#probes.add(probe)
      if (!endpoint.sendNow(probe)) endpoint.open({ handler: probe, tried: [endpoint] })
    }
  }
}

class Probe implements UpstreamHandler {
  readonly source = null
  readonly #check: HealthCheck
  readonly #endpoint: Endpoint
  readonly #done: () => void
  readonly #timer: NodeJS.Timeout
  #sending: Sending | null = null
  #status = 0
  #over = false

  constructor(check: HealthCheck, endpoint: Endpoint, done: () => void) {
    this.#check = check
    this.#endpoint = endpoint
    this.#done = done
    this.#timer = setTimeout(() => this.#end(false), check.timeout)
  }

  outgoing(sending: Sending): UpstreamRequest | null {
    if (this.#over) return null
    this.#sending = sending
    const { host, port } = this.#endpoint.address
    return { method: 'GET', path: this.#check.path, headers: ['host', host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, 'user-agent', 'narrowgate-health'], bodyLength: 0 }
  }

  answered({ status }: AnswerHead): void {
    this.#status = status
  }

  ended(): void {
    this.#sending = null
    this.#end(this.#status >= 200 && this.#status < 300)
  }

  failed(fault: UpstreamFault): void {
    this.#sending = null
    if (fault === 'upstream_busy') this.giveUp()
    else this.#end(false)
  }

  drained(): void {}
  informed(): void {}
  data(): void {}

  /** Ends it without a verdict. */
  giveUp(): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#sending?.abort()
    this.#endpoint.withdraw(this)
    this.#done()
  }

  #end(good: boolean): void {
    if (this.#over) return
    this.giveUp()
    this.#endpoint.wellness.probed(good)
  }
}
