// The head of an HTTP/2 request as the rest of the proxy reads one: pseudo fields taken apart, the authority in front as `host`, cookie crumbs one
// line. What nghttp2 lets through and has no one reading is rejected, never repaired. SPEC: WIRE3, WIRE16

export type StreamHead = {
  readonly method: string
  readonly path: string
  /** `:protocol` of an extended CONNECT (RFC 8441). */
  readonly protocol: string | null
  /** Names and values in turn, `host` first. */
  readonly headers: readonly string[]
  readonly expectation: string | null
  readonly contentType: string
  /** Characters of names and values. */
  readonly size: number
}

const CRUMBS = 64

class Reading {
  method = ''
  path = ''
  scheme = ''
  protocol: string | null = null
  contentType = ''
  expectation: string | null = null
  size = 0
  readonly headers: string[] = ['host', '']
  #authority: string | null = null
  #host: string | null = null
  #cookie = 0
  #crumbs = 0

  /** One field; returns what is wrong with it. */
  take(name: string, value: string): string | null {
    this.size += name.length + value.length
    if (name.startsWith(':')) return this.#pseudo(name, value)
    switch (name) {
      case 'host':
        if (this.#host !== null) return 'header host stands twice'
        this.#host = value
        return null
      case 'cookie': return this.#crumb(value)
      case 'content-type': this.contentType = value; break
      case 'expect': this.expectation = value; break
      default:
    }
    this.headers.push(name, value)
    return null
  }

  #pseudo(name: string, value: string): string | null {
    switch (name) {
      case ':method': this.method = value; return null
      case ':path': this.path = value; return null
      case ':scheme': this.scheme = value; return null
      case ':authority': this.#authority = value; return null
      case ':protocol': this.protocol = value; return null
      default: return 'an unknown pseudo header'
    }
  }

  #crumb(value: string): string | null {
    if (this.#cookie === 0) this.#cookie = this.headers.push('cookie', value) - 1
    else this.headers[this.#cookie] += `; ${value}`
    return ++this.#crumbs > CRUMBS ? 'more cookie crumbs than the limit' : null
  }

  conclude(secure: boolean): string | null {
    const authority = this.#authority ?? this.#host ?? ''
    if (authority === '') return 'neither :authority nor Host'
    if (this.#host !== null && this.#host !== authority) return ':authority and Host differ'
    this.headers[1] = authority
    if (!/^[A-Z][A-Z-]{0,31}$/.test(this.method)) return ':method is no method'
    if (this.method === 'CONNECT' && this.protocol === null) return null // it names no path, and is refused for what it is
    if (!this.path.startsWith('/')) return ':path does not begin with a slash'
    if (this.scheme !== 'https' && (secure || this.scheme !== 'http')) return ':scheme does not fit the connection'
    return null
  }
}

/** @param raw names and values in turn, as node:http2 gives them. @returns the head, or one sentence on what is malformed */
export function readStreamHead(raw: readonly string[], secure: boolean): StreamHead | string {
  const reading = new Reading()
  for (let i = 0; i < raw.length; i += 2) {
    const fault = reading.take(raw[i] ?? '', raw[i + 1] ?? '')
    if (fault !== null) return fault
  }
  return reading.conclude(secure) ?? reading
}
