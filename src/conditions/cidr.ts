// IPv4 and IPv6 blocks: parsed once where they are written, matched against addresses as sockets report them.
// An IPv4-mapped IPv6 address counts as its IPv4 address. SPEC: DEC5
/** 4 or 16 bytes. */
type Bytes = readonly number[]

export type Cidr = { readonly network: Bytes; readonly bits: number }

function ipv4(text: string): Bytes | null {
  const bytes: number[] = []
  let value = -1
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 46
    if (code === 46) {
      if (value < 0 || bytes.push(value) > 4) return null
      value = -1
    } else if (code < 48 || code > 57 || value === 0) return null
    else value = (value < 0 ? 0 : value * 10) + code - 48
    if (value > 255) return null
  }
  return bytes.length === 4 ? bytes : null
}

/** Groups of one side of `::`, an IPv4 tail included; null where one is malformed. */
function groups(text: string): readonly number[] | null {
  if (text === '') return []
  const found: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    const tail = i === parts.length - 1 && part.includes('.') ? ipv4(part) : null
    if (tail !== null) for (let k = 0; k < 4; k += 2) found.push((tail[k] ?? 0) * 256 + (tail[k + 1] ?? 0))
    else if (/^[0-9a-f]{1,4}$/i.test(part)) found.push(Number.parseInt(part, 16))
    else return null
  }
  return found
}

function ipv6(text: string): Bytes | null {
  const sides = text.split('::')
  const head = groups(sides[0] ?? '')
  const tail = sides.length === 2 ? groups(sides[1] ?? '') : []
  if (sides.length > 2 || head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (sides.length === 2 ? missing < 1 : missing !== 0) return null
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail].flatMap(group => [group >> 8, group & 255])
}

const isMapped = (bytes: Bytes): boolean => bytes.length === 16 && bytes[10] === 255 && bytes[11] === 255 && bytes.slice(0, 10).every(byte => byte === 0)

/** The bytes of an address without a port; null where it is none. A zone (`%eth0`) is dropped. */
export function addressBytes(text: string): Bytes | null {
  if (text.length > 64) return null
  const plain = text.split('%', 1)[0] ?? ''
  const bytes = plain.includes(':') ? ipv6(plain) : ipv4(plain)
  return bytes !== null && isMapped(bytes) ? bytes.slice(12) : bytes
}

function covers(network: Bytes, bits: number, address: Bytes): boolean {
  if (network.length !== address.length) return false
  for (let i = 0; i * 8 < bits; i++) {
    const mask = bits - i * 8 >= 8 ? 255 : (255 << (8 - (bits - i * 8))) & 255
    if (((network[i] ?? 0) & mask) !== ((address[i] ?? 0) & mask)) return false
  }
  return true
}

/** `10.0.0.0/8`, `2001:db8::/32`, or one address; null where it is malformed or has bits set behind the prefix. */
export function parseCidr(text: string): Cidr | null {
  const [address, prefix, ...rest] = text.split('/')
  if (address === undefined || rest.length > 0 || address.includes('%')) return null
  const network = addressBytes(address)
  if (network === null) return null
  if (prefix === undefined) return { network, bits: network.length * 8 }
  const written = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
  const bits = address.includes(':') && network.length === 4 ? written - 96 : written
  if (bits < 0 || bits > network.length * 8) return null
  const cleared = network.every((byte, i) => {
    const kept = Math.min(8, Math.max(0, bits - i * 8))
    return (byte & (255 >> kept)) === 0
  })
  return cleared ? { network, bits } : null
}

/** Is this address of the block? An address that cannot be read is of none. */
export function inCidr(block: Cidr, address: string): boolean {
  const bytes = addressBytes(address)
  return bytes !== null && covers(block.network, block.bits, bytes)
}
