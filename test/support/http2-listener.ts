// The gateway's listener alone, with a plain function in place of the pipeline: real sockets, plain or TLS. For tests only.
import type { HttpProtocol, LimitSettings } from '../../src/config/settings.ts'
import { duration } from '../../src/core/time.ts'
import type { Arrival } from '../../src/proxy/arrival.ts'
import type { Certificate } from '../../src/proxy/certificate.ts'
import { Listener } from '../../src/proxy/listener.ts'
import { ownHead } from '../../src/proxy/own-answer.ts'
import { SystemClock } from '../../src/runtime/clock.ts'

type Plan = {
  readonly protocols?: readonly HttpProtocol[]
  readonly tls?: Certificate
  readonly proxies?: readonly string[]
  readonly limits?: Partial<LimitSettings>
  readonly onRequest?: (arrival: Arrival) => void
}

const LIMITS: LimitSettings = {
  headerBytes: 16_384, headers: 128, bodyBytes: 0, inspectTotal: 1e9, headersTimeout: duration(2_000), idleTimeout: duration(5_000), connections: 100, streamsPerConnection: 128, exchanges: 1_000, mirroredSessions: 100,
}

export const whole = ({ answer, headers }: Arrival, status = 200): void => {
  const body = Buffer.from(JSON.stringify(headers))
  answer.sendWhole(ownHead(status, ['content-type', 'application/json'], body.length), body)
}

/** One listener and all that it told. */
export class TestListener {
  readonly listener: Listener
  readonly arrivals: Arrival[] = []
  readonly faults: string[] = []
  readonly limits: string[] = []
  port = 0

  private constructor({ protocols = ['http1', 'http2'], tls, proxies, limits = {}, onRequest = whole }: Plan) {
    this.listener = new Listener({
      host: '127.0.0.1', port: 0, tls: tls ?? null, protocols, proxies: proxies === undefined ? null : () => proxies, limits: { ...LIMITS, ...limits }, clock: new SystemClock(),
      onRequest: arrival => {
        this.arrivals.push(arrival)
        onRequest(arrival)
      },
      onFault: (reason, source, protocol) => void this.faults.push(`${protocol} ${reason} ${source}`),
      onFull: () => void this.limits.push('streams_per_connection'),
      onLimit: limit => void this.limits.push(limit),
    })
  }

  static async start(plan: Plan = {}): Promise<TestListener> {
    const started = new TestListener(plan)
    started.port = (await started.listener.listen()).port
    return started
  }

  stop(): void {
    this.listener.destroy()
  }
}
