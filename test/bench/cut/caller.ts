// Callers of bench:cut: a token of a session of its own and the elevation it asks for.
import type { Field } from '../../support/http2-frames.ts'
import { eventually } from '../../support/redis-server.ts'
import type { TokenIssuer } from '../../support/token-issuer.ts'
import type { Operator } from './operator.ts'

const KNOWN_WITHIN = 30_000

/** Where everything is, and the name that the route of the gateways has. */
export const HOST = '127.0.0.1'

/** `fields`: what each of its requests says beside the host. */
export type Caller = { readonly session: string; readonly subject: string; readonly ticket: string; readonly fields: readonly Field[] }

let made = 0

/** The id of the caller's session, as soon as the gateway that gave the elevation has heard of it itself. */
async function sessionOnce(port: number, headers: { readonly [name: string]: string }): Promise<string> {
  return eventually('the gateway knows the elevation', KNOWN_WITHIN, async () => {
    const { id, scopes } = (await (await fetch(`http://127.0.0.1:${port}/.narrowgate/session`, { headers })).json()) as { readonly id: string; readonly scopes: { readonly elevated: readonly string[] } } // as the caller's own side says it
    return scopes.elevated.length > 0 ? id : null
  })
}

/** A session at this gateway that holds an elevation tied to a ticket of its own. */
export async function newCaller(port: number, issuer: TokenIssuer, operator: Operator): Promise<Caller> {
  const ticket = `BENCH-${++made}`
  await operator.says(`/v1/anchors/ticket/${ticket}`, { state: 'open' })
  const subject = `agent-${made}`
  const token = await issuer.sign({ sub: subject, jti: `bench-${made}` }, { lifetime: 7_200 })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const elevated = await fetch(`http://127.0.0.1:${port}/.narrowgate/elevations`, { method: 'POST', headers, body: JSON.stringify({ profile: 'bench', purpose: { ticket } }) })
  const said = await elevated.text()
  if (elevated.status !== 201) throw new Error(`the elevation was answered ${elevated.status}: ${said}`)
  return { session: await sessionOnce(port, headers), subject, ticket, fields: [['authorization', `Bearer ${token}`], ['narrowgate-ticket', ticket]] }
}
