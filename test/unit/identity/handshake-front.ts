// A listener for what a handshake proves of a client's certificate, and clients of it.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type SecureVersion, type Server, type TLSSocket } from 'node:tls'
import { expect } from 'vitest'
import { type Instant, instant } from '../../../src/core/time.ts'
import { type ClientAuthorities, presentedBy, proveClient, readAuthority } from '../../../src/identity/certificate/authority.ts'
import type { CertificateRead } from '../../../src/identity/certificate/client-certificate.ts'
import { type Authority, type Certificate, type ClientAuthority, type Leaf, testAuthority } from '../../support/tls.ts'

type Met = { readonly presented: CertificateRead | null; readonly reused: boolean; readonly socket: TLSSocket }
export type TrustDomains = Parameters<typeof readAuthority>[1]['trustDomains']
type Call = { readonly leaf?: Certificate | null; readonly version?: SecureVersion; readonly session?: Buffer }

export const VERSIONS: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3']
const now = (): Instant => instant(Date.now())

const servers = new Set<Server>()
const sockets = new Set<TLSSocket>()
/** After each test. */
export async function closeFronts(): Promise<void> {
  for (const socket of sockets) socket.destroy()
  await Promise.all([...servers].map(server => new Promise(resolve => server.close(resolve))))
  sockets.clear()
  servers.clear()
}

/** A listener that tells what each connection presented and says one octet. */
export class Front {
  readonly server: Server
  readonly #ca: string
  readonly #met: Met[] = []

  private constructor({ ca, server: { cert, key } }: Authority, clients: ClientAuthorities) {
    this.#ca = ca
    this.server = createServer({ cert, key, minVersion: 'TLSv1.2', ...clients.options }, socket => {
      sockets.add(socket)
      socket.on('error', () => {})
      proveClient(socket, clients)
      this.#met.push({ presented: presentedBy(socket, now()), reused: socket.isSessionReused(), socket })
      socket.write('.')
    })
    servers.add(this.server)
  }

  static async open(caFile: string | null, crlFile: string | null = null, trustDomains: TrustDomains = []): Promise<Front> {
    const front = new Front(await testAuthority(), await readAuthority('public', { caFile, crlFile, trustDomains }))
    front.server.listen(0, '127.0.0.1')
    await once(front.server, 'listening')
    return front
  }

  /** What came of one connection, and the session to resume it with. */
  async call({ leaf: shown = null, version = 'TLSv1.3', session }: Call): Promise<Met & { readonly session: Buffer }> {
    const { port } = this.server.address() as AddressInfo // it listens on a port
    const client = connect({
      port, host: '127.0.0.1', servername: 'localhost', ca: this.#ca, minVersion: version, maxVersion: version,
      ...(shown === null ? {} : { cert: shown.cert, key: shown.key }), ...(session === undefined ? {} : { session }),
    })
    sockets.add(client)
    const ticket = session === undefined ? once(client, 'session') : Promise.resolve([session])
    const [[data], [kept]] = await Promise.all([once(client, 'data'), ticket])
    expect(String(data)).toBe('.')
    const met = this.#met.pop() ?? expect.unreachable('nobody was met')
    client.destroy()
    return { ...met, session: kept as Buffer } // what the event carries
  }
}

export const faultOf = ({ presented }: Met): string => (presented === null ? 'none' : presented.is === 'refused' ? presented.fault : 'shown')
export const withChain = (of: Leaf, ...above: readonly ClientAuthority[]): Certificate => ({ ...of, cert: [of.cert, ...above.map(({ cert }) => cert.cert)].join('') })
