// Callers of bench:cut: a token of a session of its own, the elevation it asks for, and streams on raw sockets that remember when their last byte came.
import { connect } from 'node:net'
import { eventually } from '../../support/redis-server.ts'
import type { TokenIssuer } from '../../support/token-issuer.ts'
import type { Operator } from './operator.ts'

const OPEN_WITHIN = 30_000
const HOST = '127.0.0.1'

/** One open exchange. `ended` is the `performance.now()` at which its last byte, or the word that no more will come, was here. */
export type OpenStream = { readonly ended: Promise<number>; readonly isOver: () => boolean; readonly close: () => void }

export type Caller = { readonly session: string; readonly ticket: string; readonly headers: string }

let made = 0

/** The id of the caller's session, as soon as the gateway that gave the elevation has heard of it itself. */
async function sessionOnce(port: number, headers: { readonly [name: string]: string }): Promise<string> {
  return eventually('the gateway knows the elevation', OPEN_WITHIN, async () => {
    const { id, scopes } = (await (await fetch(`http://127.0.0.1:${port}/.narrowgate/session`, { headers })).json()) as { readonly id: string; readonly scopes: { readonly elevated: readonly string[] } } // as the caller's own side says it
    return scopes.elevated.length > 0 ? id : null
  })
}

/** A session at this gateway that holds an elevation tied to a ticket of its own. */
export async function newCaller(port: number, issuer: TokenIssuer, operator: Operator): Promise<Caller> {
  const ticket = `BENCH-${++made}`
  await operator.says(`/v1/anchors/ticket/${ticket}`, { state: 'open' })
  const token = await issuer.sign({ sub: `agent-${made}`, jti: `bench-${made}` }, { lifetime: 7_200 })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const elevated = await fetch(`http://127.0.0.1:${port}/.narrowgate/elevations`, { method: 'POST', headers, body: JSON.stringify({ profile: 'bench', purpose: { ticket } }) })
  const said = await elevated.text()
  if (elevated.status !== 201) throw new Error(`the elevation was answered ${elevated.status}: ${said}`)
  return { session: await sessionOnce(port, headers), ticket, headers: `host: ${HOST}\r\nauthorization: Bearer ${token}\r\nnarrowgate-ticket: ${ticket}\r\n` }
}

const LAST_CHUNK = '0\r\n\r\n'
const isWholeEnd = (chunk: Buffer): boolean => chunk.length >= LAST_CHUNK.length && chunk.toString('latin1', chunk.length - LAST_CHUNK.length) === LAST_CHUNK

/** Resolves with the first bytes of the answer's body, which is chunked. @throws Error for any other answer than 200 */
export function openStream(port: number, path: string, { headers }: Caller): Promise<OpenStream> {
  const opened = Promise.withResolvers<OpenStream>()
  const ended = Promise.withResolvers<number>()
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const late = setTimeout(() => socket.destroy(new Error(`${path} did not answer`)), OPEN_WITHIN)
  let head = ''
  let isOver = false
  const over = (): void => {
    isOver = true
    ended.resolve(performance.now())
  }
  const goesOn = (chunk: Buffer): void => {
    if (isWholeEnd(chunk)) over() // the connection is kept, as a caller's pool would
  }
  const begins = (chunk: Buffer): void => {
    head += chunk.toString('latin1')
    const body = head.indexOf('\r\n\r\n') + 4
    if (body < 4 || (head.startsWith('HTTP/1.1 200') && head.length === body)) return
    clearTimeout(late)
    socket.off('data', begins).on('data', goesOn)
    if (head.startsWith('HTTP/1.1 200')) opened.resolve({ ended: ended.promise, isOver: () => isOver, close: () => socket.destroy() })
    else opened.reject(new Error(`${path} was answered ${head}`))
  }
  socket.on('data', begins).on('end', over).on('error', error => { over(); opened.reject(error) })
  socket.on('close', () => {
    clearTimeout(late)
    over()
    opened.reject(new Error(`${path}: the connection was closed`))
  })
  socket.write(`GET ${path} HTTP/1.1\r\n${headers}\r\n`)
  return opened.promise
}
