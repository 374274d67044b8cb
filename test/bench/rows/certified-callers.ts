// Callers with client certificates. wrk has none, so an nginx on the load generator's core stands between: plain HTTP in, TLS 1.3 with the certificate out,
// over connections that are kept. It is load, not part of any row.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { ClientAuthority, testAuthority } from '../../support/tls.ts'
import { LOAD_CORE, type Workbench } from '../workbench.ts'

export const CALLER_NAME = 'pipeline-1'

type Files = { readonly certFile: string; readonly keyFile: string }
export type Certificates = {
  readonly server: Files
  /** Of who issued the server's certificate. */
  readonly ca: { readonly file: string; readonly text: string }
  readonly client: Files
  /** Of the authority whose client certificates count. */
  readonly clientCaFile: string
}

export async function makeCertificates(): Promise<Certificates> {
  const { server, caFile, ca } = await testAuthority()
  const authority = await ClientAuthority.create('Bench callers')
  const client = await authority.issue({ subject: `/CN=${CALLER_NAME}` })
  return { server, ca: { file: caFile, text: ca }, client, clientCaFile: authority.cert.certFile }
}

async function isThere(origin: string): Promise<boolean> {
  const response = await fetch(`${origin}/`, { headers: { connection: 'close' }, signal: AbortSignal.timeout(2_000) })
  await response.body?.cancel()
  return true
}

/** The origin at which plain requests become requests of the caller to this port. */
export async function startCallers(bench: Workbench, name: string, port: number, { ca, client }: Certificates): Promise<string> {
  const address = `127.0.0.1:${await bench.port()}`
  const values = { LISTEN: address, PROXY: `127.0.0.1:${port}`, CERT: client.certFile, KEY: client.keyFile, CA: ca.file }
  const started = bench.startNginx(`${name}-callers`, LOAD_CORE, 'certified-callers.conf', values)
  await bench.ready(started, () => isThere(`http://${address}`))
  return `http://${address}`
}

/** The status for somebody who shows no certificate and asks for the same. */
export async function statusForStranger(port: number, { ca }: Certificates, headers: { readonly [name: string]: string }): Promise<number> {
  const sent = request({ host: '127.0.0.1', port, path: '/', headers: { ...headers, host: '127.0.0.1' }, ca: ca.text, servername: 'localhost', agent: false, timeout: 2_000 })
  sent.once('timeout', () => sent.destroy(new Error('no answer in time'))).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  response.resume()
  return response.statusCode ?? 0
}
