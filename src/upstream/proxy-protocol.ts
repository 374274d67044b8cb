// The header of the PROXY protocol, version 2, in its binary form: tells an upstream whose connection ours carries on.
// https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt §2.2. SPEC: WIRE23
import { addressBytes } from '../conditions/cidr.ts'

/** An address in text and a port. */
type Endpoint = { readonly address: string; readonly port: number }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const [VERSION_LOCAL, VERSION_PROXY] = [0x20, 0x21]
const [UNSPECIFIED, TCP_OVER_IPV4, TCP_OVER_IPV6] = [0x00, 0x11, 0x21]
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]

function header(version: number, family: number, addresses: Buffer): Buffer {
  const start = Buffer.from([version, family, addresses.length >> 8, addresses.length & 255])
  return Buffer.concat([SIGNATURE, start, addresses])
}

const ports = (source: number, destination: number): readonly number[] => [source >> 8, source & 255, destination >> 8, destination & 255]
const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port <= 65_535
const widened = (bytes: readonly number[]): readonly number[] => (bytes.length === 4 ? [...MAPPED, ...bytes] : bytes)

/** For a connection the gateway makes for itself, such as a health check. */
export const localProxyHeader = (): Buffer => header(VERSION_LOCAL, UNSPECIFIED, Buffer.alloc(0))

/** For a connection on behalf of `source`, which came in at `destination`; null where one of them is no address. */
export function proxyHeader(source: Endpoint, destination: Endpoint): Buffer | null {
  const from = addressBytes(source.address)
  const to = addressBytes(destination.address)
  if (from === null || to === null || !isPort(source.port) || !isPort(destination.port)) return null
  const behind = ports(source.port, destination.port)
  if (from.length === 4 && to.length === 4) return header(VERSION_PROXY, TCP_OVER_IPV4, Buffer.from([...from, ...to, ...behind]))
  return header(VERSION_PROXY, TCP_OVER_IPV6, Buffer.from([...widened(from), ...widened(to), ...behind]))
}
