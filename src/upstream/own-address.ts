// Whether a connection made for an upstream ended at one of the gateway's own listeners, whatever name led there: no route is a way to operators' doors,
// and no request goes in circles. In doubt it did. SPEC: WIRE12, ADM15
import type { Socket } from 'node:net'

/** Where a listener is bound. */
export type Listening = { readonly address: string; readonly port: number }
export type Ended = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>

/** IPv4 as it is, also where a socket for both writes it into IPv6. */
const plain = (address: string): string => address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '')
const EVERYWHERE: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** This machine answers itself from the address that was called, or on its loopback. */
const isHere = (remote: string, local: string): boolean => remote === local || remote === '::1' || remote.startsWith('127.')

export function endsAt(listening: Iterable<Listening>, { remoteAddress, remotePort, localAddress }: Ended): boolean {
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined) return true
  const [remote, local] = [plain(remoteAddress), plain(localAddress)]
  for (const { address, port } of listening) {
    if (port === remotePort && (EVERYWHERE.has(address) ? isHere(remote, local) : plain(address) === remote)) return true
  }
  return false
}
