// The fields of an answer as node:http2 takes them. Fields of one connection have no place in it (RFC 9113 §8.2.2). SPEC: WIRE6, WIRE16
import type { OutgoingHttpHeaders } from 'node:http2'

const OF_CONNECTION: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings'])

/** The head of an answer of gRPC that is its end too: there alone a head says the status. */
export const isTrailersOnly = (lines: readonly string[]): boolean => lines.some((name, i) => i % 2 === 0 && name === 'grpc-status')

/** Names and values in turn, the status first. */
export function linesOf(status: number, headers: readonly string[]): string[] {
  const lines = [':status', String(status)]
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase()
    if (!OF_CONNECTION.has(name)) lines.push(name, headers[i + 1] ?? '')
  }
  return lines
}

/** As node:http2 takes interim heads and trailers: one member a name. */
export function fields(flat: readonly string[]): OutgoingHttpHeaders {
  const found = new Map<string, string[]>()
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] ?? '').toLowerCase()
    if (OF_CONNECTION.has(name) || name.startsWith(':')) continue
    const values = found.get(name)
    if (values === undefined) found.set(name, [flat[i + 1] ?? ''])
    else values.push(flat[i + 1] ?? '')
  }
  return Object.fromEntries(found)
}
