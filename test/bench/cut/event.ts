// One security event pushed to one gateway, an event stream and a WebSocket of its subject open at the other: from the gateway's 202 to the last byte of each at
// its caller. Below 0 an end was here before the answer was read.
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { newCaller } from './caller.ts'
import type { Scene } from './change.ts'
import type { OpenStream } from './open-stream.ts'
import type { Operator } from './operator.ts'
import { openerOf, pathOf } from './protocols.ts'
import { TRANSMITTER } from './site.ts'

const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

/** Milliseconds from the answer. */
export type Pushed = { readonly sse: number; readonly websocket: number }

export class Transmitter {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #scene: Scene
  #told = 0

  constructor(scene: Scene) {
    this.#scene = scene
  }

  /** @returns the `performance.now()` of the answer. @throws Error for any other than 202 */
  async tells(subject: string): Promise<number> {
    const { site: { issuer, transmitterWord }, here: { ports } } = this.#scene
    const claims = { sub: undefined, exp: undefined, client_id: undefined, jti: `event-${++this.#told}`, sub_id: { format: 'iss_sub', iss: issuer.issuer, sub: subject }, events: { [REVOKED]: { event_timestamp: Math.floor(Date.now() / 1000) } } }
    const set = await issuer.sign(claims, { header: { typ: 'secevent+jwt' } })
    const headers = { 'content-type': 'application/secevent+jwt', accept: 'application/json', authorization: transmitterWord, 'content-length': Buffer.byteLength(set) }
    const asked = request({ host: '127.0.0.1', port: ports.news, path: `/ssf/events/${TRANSMITTER}`, method: 'POST', agent: this.#agent, headers })
    asked.end(set)
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    const answeredAt = performance.now()
    let said = ''
    for await (const chunk of response.setEncoding('utf8')) said += String(chunk)
    if (response.statusCode !== 202) throw new Error(`the event was answered ${response.statusCode}: ${said}`)
    return answeredAt
  }

  close(): void { this.#agent.destroy() }
}

export async function measurePushed({ site, there }: Scene, operator: Operator, transmitter: Transmitter): Promise<Pushed> {
  const caller = await newCaller(there.ports.main, site.issuer, operator)
  const streams: OpenStream[] = []
  try {
    for (const protocol of ['http1', 'websocket'] as const) streams.push(await openerOf(protocol, there.ports, caller, 1)(pathOf(protocol, 20)))
    const answeredAt = await transmitter.tells(caller.subject)
    const [sse = NaN, websocket = NaN] = (await Promise.all(streams.map(stream => stream.ended))).map(at => at - answeredAt)
    return { sse, websocket }
  } finally {
    for (const stream of streams) stream.close()
  }
}
