// A receiver of notices on loopback: answers as told, and keeps what it was sent. A notifier towards it, with a pace for tests.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { duration, instant } from '../../../src/core/time.ts'
import type { Channel, ChannelKind } from '../../../src/notify/channel.ts'
import type { Notice } from '../../../src/notify/notice.ts'
import { Notifier } from '../../../src/notify/notifier.ts'
import type { Pace } from '../../../src/notify/pace.ts'
import { WebhookChannel } from '../../../src/notify/standard-webhook.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'

export const SECRET = Buffer.from('a secret of more than 24 bytes')
export const QUICK: Pace = { timeout: duration(2_000), attempts: 3, first: duration(5), longest: duration(20), asked: duration(150), stop: duration(200), waiting: 5 }

export type Received = { readonly path: string; readonly headers: IncomingMessage['headers']; readonly rawHeaders: readonly string[]; readonly body: string; readonly at: number }
/** Answers request `n` from 0; one that does nothing leaves it without an answer. */
export type Answering = (response: ServerResponse, n: number, received: Received) => void

export class Receiver {
  readonly #server: Server
  readonly #client = new HttpClient()
  readonly got: Received[] = []
  readonly counted: string[] = []
  readonly logged: string[] = []
  readonly #told = (fields: object, text: string): void => void this.logged.push(JSON.stringify({ ...fields, text }))
  readonly tools = {
    http: this.#client, clock: new SystemClock(), log: { debug: this.#told, info: this.#told, warn: this.#told, error: this.#told },
    count: (kind: ChannelKind, outcome: string): void => void this.counted.push(`${kind} ${outcome}`),
  }

  private constructor(answering: Answering) {
    const listener: RequestListener = (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        const { url = '', headers, rawHeaders } = request
        const received = { path: url, headers, rawHeaders, body: Buffer.concat(chunks).toString(), at: performance.now() }
        answering(response, this.got.push(received) - 1, received)
      })
    }
    this.#server = createServer(listener)
  }

  static async start(answering: Answering): Promise<Receiver> {
    const receiver = new Receiver(answering)
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    return receiver
  }

  url(path = '/hook'): URL {
    const { port } = this.#server.address() as AddressInfo // a TCP listener's
    return new URL(path, `http://127.0.0.1:${port}`)
  }

  webhook(path?: string): Channel {
    return new WebhookChannel(this.url(path), null, [SECRET])
  }

  notifier(channel: Channel = this.webhook(), pace: Partial<Pace> = {}): Notifier {
    return new Notifier({ channels: new Map([['oncall', channel]]), ...this.tools }, { ...QUICK, ...pace })
  }

  /** Of what it was sent, in order. */
  ids(): readonly unknown[] {
    return this.got.map(({ headers }) => headers['webhook-id'])
  }

  texts(): readonly unknown[] {
    return this.got.map(({ body }) => (JSON.parse(body) as { readonly data: { readonly text: string } }).data.text) // as the channel writes it
  }

  async close(): Promise<void> {
    await this.#client.close()
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

export const notice = (id: string, more: Partial<Notice> = {}): Notice => ({
  id, event: 'elevation.requested', at: instant(1_790_000_000_000), text: `notice ${id}`, link: 'https://gate.example/console/elevations/elv_1', data: { profile: 'release' }, ...more,
})
