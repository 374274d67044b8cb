// Questions as other proxies ask them, sent to a listener that serves `decisions`: header by header as nginx, Traefik and Envoy write them by their
// documentation. For tests only.
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { TestGateway } from '../support/gateway.ts'

export const PROXIES = ['nginx', 'traefik', 'envoy'] as const
export type Proxy = (typeof PROXIES)[number]

/** Names and values in turn. */
export type Lines = readonly string[]

/** The caller's request that a proxy asks about. */
export type Asked = { readonly method?: string; readonly path: string; readonly host?: string; readonly address?: string; readonly scheme?: string; /** What else the caller sent. */ readonly lines?: Lines }

export type Question = { readonly method: string; readonly target: string; readonly lines: Lines }

export type Told = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly challenges: readonly string[]; readonly reason: string; readonly detail: string }

export const CALLER = '203.0.113.7'
export const SECRET = 'a-secret-of-thirty-two-characters-or-more'
export const TOKEN: Lines = ['Narrowgate-Forward-Token', SECRET]

const HERE = ['Host', 'gate.internal:9445']

export function questionOf(proxy: Proxy, { method = 'GET', path, host = 'api.test', address = CALLER, scheme = 'http', lines = [] }: Asked): Question {
  switch (proxy) {
    case 'nginx':
      return { method: 'GET', target: '/forward-auth/nginx', lines: [...HERE, 'X-Original-Method', method, 'X-Original-URL', `${scheme}://${host}${path}`, 'X-Forwarded-For', address, 'X-Real-IP', address, ...TOKEN, ...lines] }
    case 'traefik':
      return {
        method: 'GET', target: '/forward-auth/traefik',
        lines: [
          ...HERE, 'User-Agent', 'curl/8', ...lines, 'X-Forwarded-For', address, 'X-Forwarded-Host', host, 'X-Forwarded-Method', method, 'X-Forwarded-Port', '443',
          'X-Forwarded-Proto', scheme, 'X-Forwarded-Server', 'traefik', 'X-Forwarded-Uri', path, 'X-Real-Ip', address, ...TOKEN, 'Accept-Encoding', 'gzip',
        ],
      }
    case 'envoy':
      return {
        method, target: `/forward-auth/envoy${path}`,
        lines: ['host', host, 'content-length', '0', ...lines, 'x-forwarded-proto', scheme, 'x-real-ip', address, ...TOKEN, 'x-envoy-internal', 'true', 'x-forwarded-for', '10.0.0.9', 'x-envoy-expected-rq-timeout-ms', '2000'],
      }
  }
}

/** The question with this header in place of its own; every line of it away where there is no value. */
export const having = ({ lines, ...question }: Question, name: string, ...values: readonly string[]): Question => ({
  ...question, lines: [...lines.filter((_, i) => (lines[i - (i % 2)] ?? '').toLowerCase() !== name.toLowerCase()), ...values.flatMap(value => [name, value])],
})

export async function sendTo(gate: TestGateway, { method, target, lines }: Question, { from = '127.0.0.1', body = '' } = {}): Promise<Told> {
  const port = gate.gateway.front.bound.get('ask')?.address.port
  const sent = request({ host: '127.0.0.1', port, method, path: target, headers: [...lines], setHost: false, agent: false, localAddress: from })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer) // no encoding is set
  const text = Buffer.concat(chunks).toString('utf8')
  const json = (text.startsWith('{') ? JSON.parse(text) : {}) as { readonly reason?: string; readonly detail?: string } // as problems are
  const { rawHeaders, headers, statusCode = 0 } = response
  return { status: statusCode, headers, challenges: rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'www-authenticate'), reason: json.reason ?? '', detail: json.detail ?? '' }
}

export const ask = (gate: TestGateway, proxy: Proxy, asked: Asked): Promise<Told> => sendTo(gate, questionOf(proxy, asked))

export const bearer = (token: string): Lines => ['Authorization', `Bearer ${token}`]
