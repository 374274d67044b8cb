// The hygiene of a request head: what a protocol's parser lets through and a gateway must not. Rejects, never repairs.
// SPEC: WIRE3-WIRE6, WIRE15, WIRE16, WIRE22
import type { Arrival } from '../arrival.ts'
import { isNominable, type Name, nameOf } from './header-names.ts'

/** Versions of HTTP that callers may speak. */
export type Version = '1.0' | '1.1' | '2'

export type Head = {
  readonly version: Version
  readonly authority: string
  /** null when there is none; the scheme is still in it. */
  readonly authorization: string | null
  /** Bytes of the body; null where only its end tells. */
  readonly contentLength: number | null
  /** Protocol asked for by `Connection: upgrade` or by an extended CONNECT, lower case. */
  readonly upgrade: string | null
  readonly nominated: ReadonlySet<string>
  /** The caller takes trailers: `TE: trailers`, without which gRPC does not answer. */
  readonly trailers: boolean
  /** Who it came through, all lines; null where nobody says so. */
  readonly via: string | null
  readonly maxForwards: string | null
  /** It was, or may have been, sent ahead of a handshake's end, and can be a replay (RFC 8470). */
  readonly earlyData: boolean
  readonly origin: string | null
  /** `Access-Control-Request-Method`. */
  readonly asksForMethod: string | null
}

type Headed = Pick<Arrival, 'version' | 'headers' | 'connects' | 'complete'>

const NONE: ReadonlySet<string> = new Set()

function tokens(list: string): string[] {
  return list.split(',').map(token => token.trim().toLowerCase()).filter(token => token !== '')
}

class Reading implements Head {
  readonly version: Version
  authority = ''
  authorization: string | null = null
  contentLength: number | null = 0
  upgrade: string | null = null
  nominated: ReadonlySet<string> = NONE
  trailers = false
  via: string | null = null
  maxForwards: string | null = null
  earlyData = false
  origin: string | null = null
  asksForMethod: string | null = null
  #te: string | null = null
  #length: string | null = null
  #coding: string | null = null
  #upgrade: string | null = null
  #seen: string[] = []

  constructor(version: Version) {
    this.version = version
  }

  /** One header; returns what is wrong with it. */
  take(spelling: string, value: string): string | null {
    const name = nameOf(spelling)
    if (!name.valid) return 'a header name is no name'
    if (name.alias) return `header ${name.lower} is an alias of a header of the gateway`
    if (this.version === '2' && (name.ofConnection || spelling !== name.lower)) return `header ${name.lower} has no place in HTTP/2`
    if (name.single) {
      if (this.#seen.includes(name.lower)) return `header ${name.lower} stands twice`
      this.#seen.push(name.lower)
    }
    return name.telling ? this.#note(name, value) : null
  }

  #note({ lower }: Name, value: string): string | null {
    switch (lower) {
      case 'host': this.authority = value; break
      case 'authorization': this.authorization = value; break
      case 'transfer-encoding': this.#coding = value; break
      case 'content-length': this.#length = value; break
      case 'upgrade': this.#upgrade = value.trim().toLowerCase(); break
      case 'connection': return this.#nominate(value)
      case 'te': this.#te = this.#te === null ? value : `${this.#te},${value}`; break
      case 'via': this.via = this.via === null ? value : `${this.via}, ${value}`; break
      case 'max-forwards': this.maxForwards = value; break
      case 'early-data': this.earlyData = true; break
      case 'origin': this.origin = value; break
      case 'access-control-request-method': this.asksForMethod = value; break
      default:
    }
    return null
  }

  #nominate(value: string): string | null {
    if (value === 'keep-alive' || value === 'close') return null // they stay here anyway
    const names = tokens(value)
    if (!names.every(isNominable)) return 'Connection names a header that may not be removed'
    this.nominated = new Set([...this.nominated, ...names])
    return null
  }

  /** What the headers say together; returns what is wrong with it. */
  conclude({ connects, complete }: Headed): string | null {
    if (this.authority === '') return 'no Host header'
    const length = framing(this.#coding, this.#length, this.version, complete)
    if (typeof length === 'string') return length
    this.contentLength = length
    if (connects !== null) this.upgrade = connects.toLowerCase()
    else if (this.nominated.has('upgrade')) this.upgrade = this.#upgrade ?? ''
    return this.#te === null ? null : this.#concludeTrailers(tokens(this.#te))
  }

  #concludeTrailers(codings: readonly string[]): string | null {
    const asked = codings.includes('trailers')
    if (this.version === '2' && !(asked && codings.length === 1)) return 'TE is something other than trailers'
    this.trailers = asked && (this.version === '2' || this.nominated.has('te'))
    return null
  }
}

/** Bytes of the body, null where only its end tells, or what is wrong. */
function framing(coding: string | null, length: string | null, version: Version, complete: boolean): number | null | string {
  if (coding !== null) {
    if (length !== null) return 'Transfer-Encoding and Content-Length together'
    if (version !== '1.1') return 'Transfer-Encoding before HTTP/1.1'
    return coding.toLowerCase() === 'chunked' ? null : 'a Transfer-Encoding other than chunked'
  }
  if (length === null) return version === '2' && !complete ? null : 0
  return /^\d{1,15}$/.test(length) ? Number(length) : 'Content-Length is not a number'
}

/** @returns the head, or one sentence on what is malformed */
export function readHead(arrival: Headed): Head | string {
  const { headers, version } = arrival
  if (version !== '1.1' && version !== '2' && version !== '1.0') return 'a version of HTTP that nobody speaks'
  const reading = new Reading(version)
  for (let i = 0; i < headers.length; i += 2) {
    const fault = reading.take(headers[i] ?? '', headers[i + 1] ?? '')
    if (fault !== null) return fault
  }
  return reading.conclude(arrival) ?? reading
}

/** The one value of a header, null when absent, `false` when it stands more than once. */
export function onlyValue(headers: readonly string[], name: string): string | null | false {
  let found: string | null = null
  for (let i = 0; i < headers.length; i += 2) {
    const key = headers[i] ?? ''
    if (key.length !== name.length || (key !== name && key.toLowerCase() !== name)) continue
    if (found !== null) return false
    found = headers[i + 1] ?? ''
  }
  return found
}
