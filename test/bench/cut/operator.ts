// The operator of bench:cut, on one kept connection to a gateway's admin listener.
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'

/** `sentAt` and `answeredAt` are `performance.now()`; `tookMs` is what the gateway says. */
export type Word = { readonly sentAt: number; readonly answeredAt: number; readonly tookMs: number; /** Gateways that did not say so: their lease ran out. */ readonly expired: number; readonly cut: number }

type EnforcedAnswer = { readonly enforced: boolean; readonly gateways: { readonly expired: number }; readonly exchanges: { readonly cut: number }; readonly tookMs: number }

export class Operator {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #port: number
  readonly #token: string

  constructor(port: number, token: string) {
    this.#port = port
    this.#token = token
  }

  /** A change that takes away. @throws Error unless it is enforced everywhere */
  async cuts(path: string, body: object = {}): Promise<Word> {
    const sentAt = performance.now()
    const { tookMs, enforced, gateways, exchanges } = (await this.says(path, body)) as EnforcedAnswer // the admin API's answer to these verbs
    const answeredAt = performance.now()
    if (!enforced) throw new Error(`${path} was not enforced everywhere`)
    return { sentAt, answeredAt, tookMs, expired: gateways.expired, cut: exchanges.cut }
  }

  async says(path: string, body: object): Promise<unknown> {
    const text = JSON.stringify({ reason: 'bench', ...body })
    const asked = request({
      host: '127.0.0.1', port: this.#port, path, method: 'POST', agent: this.#agent,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    })
    asked.end(text)
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    let answer = ''
    for await (const chunk of response.setEncoding('utf8')) answer += String(chunk)
    if (response.statusCode !== 200) throw new Error(`${path} was answered ${response.statusCode}: ${answer}`)
    return JSON.parse(answer)
  }

  close(): void { this.#agent.destroy() }
}
