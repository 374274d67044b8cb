// Somebody who tells the gateways of a scenario, by pushed security event tokens, that somebody is trusted less. For tests only.
import type { GatewayPair, TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'
import type { TokenClaims, TokenIssuer } from '../support/token-issuer.ts'
import { type Line, OF_TRANSMITTERS } from './stage.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'

export type Pushed = { readonly status: number; /** Of a refusal (RFC 8935 §2.3). */ readonly err: string }

export const issSub = (iss: string, sub: string): Line => ({ format: 'iss_sub', iss, sub })

/** What a test makes otherwise. */
export type Otherwise = { readonly claims?: TokenClaims; readonly header?: TokenClaims; readonly authorization?: string | null }

export class Transmitter {
  readonly #keys: TokenIssuer
  readonly #name: string
  readonly #claims: TokenClaims

  /** @param name as configured */
  constructor(keys: TokenIssuer, name: string, iss: string, aud: string) {
    this.#keys = keys
    this.#name = name
    this.#claims = { iss, aud }
  }

  /** One event, as of now, as it is sent. */
  sign(type: string, subject: Line, details: Line = {}, { claims = {}, header = {} }: Otherwise = {}): Promise<string> {
    const events = { [CAEP + type]: { event_timestamp: Math.floor(Date.now() / 1000), ...details } }
    return this.#keys.sign({ ...this.#claims, sub: undefined, client_id: undefined, exp: undefined, jti: crypto.randomUUID(), sub_id: subject, events, ...claims }, { header: { typ: 'secevent+jwt', ...header } })
  }

  /** Sends it to this gateway. */
  async push({ gateway }: TestGateway, token: string, { authorization = OF_TRANSMITTERS }: Otherwise = {}): Promise<Pushed> {
    const port = gateway.front.bound.get('news')?.address.port
    const answer = await fetch(`http://127.0.0.1:${port}/ssf/events/${this.#name}`, {
      method: 'POST', body: token, headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json', ...(authorization === null ? {} : { authorization }) },
    })
    const text = await answer.text()
    return { status: answer.status, err: text === '' ? '' : String((JSON.parse(text) as Line)['err']) } // RFC 8935 §2.4: an object
  }

  /** The same, where anything but 202 is a fault. When it was answered, as `performance.now()`. */
  async tells(gate: TestGateway, type: string, subject: Line, details: Line = {}, otherwise: Otherwise = {}): Promise<number> {
    const { status, err } = await this.push(gate, await this.sign(type, subject, details, otherwise), otherwise)
    const at = performance.now()
    if (status !== 202) throw new Error(`${type} was answered by ${status} ${err}`)
    return at
  }
}

/** What the log says of one event from outside: as it was taken, and what became of it. */
export function outsideNews(lines: readonly Line[], jti: string): { readonly taken: readonly Line[]; readonly done: readonly Line[] } {
  const told = lines.flatMap(({ kind, fact }) => {
    const { matter } = (kind === 'fact' ? fact : {}) as Line // a fact line has one
    const { is, event } = (matter ?? {}) as Line // an anchor's, where there is one
    return is === 'event' && (event as Line)['jti'] === jti ? [fact as Line] : [] // such a matter has one
  })
  return { taken: told.filter(({ what }) => what === 'anchor.opened'), done: told.filter(({ what }) => what === 'anchor.ended') }
}

/** Told at A, and done with: what there is of it to see can be looked at. The `jti` of it. */
export async function hasTold(transmitter: Transmitter, { a, trail }: Pick<GatewayPair, 'a' | 'trail'>, type: string, subject: Line, details: Line = {}): Promise<string> {
  const jti = crypto.randomUUID()
  await transmitter.tells(a, type, subject, details, { claims: { jti } })
  await eventually(`${type} ${jti} is done with`, 10_000, async () => (outsideNews(await trail(), jti).done.length > 0 ? true : null))
  return jti
}
