// A caller's exchange over HTTP/1.1 on a raw socket of its own.
import { connect } from 'node:net'
import { type Caller, HOST } from './caller.ts'
import { Opening, type OpenStream } from './open-stream.ts'

const LAST_CHUNK = '0\r\n\r\n'
const isWholeEnd = (chunk: Buffer): boolean => chunk.length >= LAST_CHUNK.length && chunk.toString('latin1', chunk.length - LAST_CHUNK.length) === LAST_CHUNK

/** The head of a request, without the empty line. */
export const headOf = (path: string, { fields }: Caller): string => `GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}`

/** Resolves with the first bytes of the answer's body, which is chunked. @throws Error for any other answer than 200 */
export function openHttp1(port: number, path: string, caller: Caller): Promise<OpenStream> {
  const socket = connect({ port, host: HOST, noDelay: true })
  const opening = new Opening(path, () => socket.destroy())
  let head = ''
  const goesOn = (chunk: Buffer): void => {
    if (isWholeEnd(chunk)) opening.over() // the connection is kept, as a caller's pool would
  }
  const begins = (chunk: Buffer): void => {
    head += chunk.toString('latin1')
    const body = head.indexOf('\r\n\r\n') + 4
    if (body < 4 || (head.startsWith('HTTP/1.1 200') && head.length === body)) return
    socket.off('data', begins).on('data', goesOn)
    if (head.startsWith('HTTP/1.1 200')) opening.begun()
    else opening.broken(`was answered ${head}`)
  }
  socket.on('data', begins).on('end', () => opening.over()).on('error', () => opening.over()).on('close', () => opening.over())
  socket.write(`${headOf(path, caller)}\r\n`)
  return opening.opened
}
