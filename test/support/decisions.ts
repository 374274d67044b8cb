// Gateways that decide for others, and somebody who asks them. For tests only.
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import type { RecordingUpstream } from './recording-upstream.ts'
import type { TestGateway } from './gateway.ts'
import type { Certificate } from './tls.ts'
import type { TokenIssuer } from './token-issuer.ts'

type Made = { readonly directory: string; readonly upstream: RecordingUpstream; readonly issuer: TokenIssuer }

/** What those who ask show, by their names. */
export const tokenOf = (pep: string): string => `${pep}-`.padEnd(40, 'x')

/** The sections that a test of decisions replaces in an example. */
type Example = { stateDir?: string; telemetry?: object; server: { listeners: { name: string; address: string; tls?: { certFile: string; keyFile: string; clients?: { caFile: string } } }[] }; readonly authn: { readonly [name: string]: { readonly jwt?: object } }; readonly routes: { upstream: string }[]; readonly decisions: { readonly peps: { readonly name: string; tokenFile?: string }[] } }

/** An example of config/examples as it stands, with addresses, keys and files of its own. */
export function exampleWith(name: string, { directory, upstream }: Omit<Made, 'issuer'>, tls: { readonly server: Certificate; readonly clientsCaFile: string } | null = null): string {
  const example = parse(readFileSync(new URL(`../../config/examples/${name}`, import.meta.url), 'utf8')) as Example // our own file
  example.stateDir = join(directory, 'state')
  example.telemetry = { logs: { level: 'silent' } }
  for (const listener of example.server.listeners) {
    listener.address = '127.0.0.1:0'
    if (listener.tls !== undefined && tls !== null) listener.tls = { certFile: tls.server.certFile, keyFile: tls.server.keyFile, clients: { caFile: tls.clientsCaFile } }
  }
  for (const { jwt } of Object.values(example.authn)) Object.assign(jwt ?? {}, { jwksFile: join(directory, 'jwks.json') })
  for (const route of example.routes) route.upstream = upstream.origin
  for (const pep of example.decisions.peps) if (pep.tokenFile !== undefined) pep.tokenFile = tokenFile(directory, pep.name)
  return stringify(example)
}

/** With the token of `tokenOf`. */
export function tokenFile(directory: string, pep: string): string {
  const file = join(directory, `pep-${pep}`)
  writeFileSync(file, `${tokenOf(pep)}\n`, { mode: 0o600 })
  return file
}

export type Answered = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly text: string; readonly json: unknown }

/** A request to the listener `decisions` as it is written here. */
export async function send(gate: TestGateway, path: string, { body = '', tls = null, ...options }: RequestOptions & { readonly body?: string | Buffer; readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string } | null } = {}): Promise<Answered> {
  const { port } = gate.gateway.front.bound.get('decisions')?.address ?? { port: 0 }
  const sent = (tls === null ? plainRequest : tlsRequest)({ host: '127.0.0.1', port, method: 'POST', path, agent: false, ...options, ...tls })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  return { status: response.statusCode ?? 0, headers: response.headers, text, json: text === '' ? null : JSON.parse(text) }
}

/** Somebody who may ask. */
export const asker = (gate: TestGateway, pep: string, prefix = '') => ({
  post: (path: string, body: unknown, headers: { readonly [name: string]: string } = {}): Promise<Answered> =>
    send(gate, prefix + path, { headers: { authorization: `Bearer ${tokenOf(pep)}`, 'content-type': 'application/json', ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) }),
})
