// The hygiene of a request head: what node:http lets through and a gateway must not. Rejects, never repairs. SPEC: WIRE3-WIRE6
import type { IncomingMessage } from 'node:http'
import { isDropped, isNominable, isSingle } from './header-names.ts'

export type Head = {
  readonly authority: string
  /** null when there is none; the scheme is still in it. */
  readonly authorization: string | null
  /** Bytes of the body; null when chunked. */
  readonly contentLength: number | null
  /** Protocol asked for by `Connection: upgrade`, lower case. */
  readonly upgrade: string | null
  readonly nominated: ReadonlySet<string>
}

const NONE: ReadonlySet<string> = new Set()

/** A name whose underscores an upstream may read as dashes of a header that is ours or that authenticates. */
const isAlias = (name: string): boolean => {
  const dashed = name.replaceAll('_', '-')
  return isDropped(dashed) || isSingle(dashed)
}

function nominations(value: string): Set<string> | null {
  const names = new Set(value.split(',').map(token => token.trim().toLowerCase()).filter(token => token !== ''))
  for (const name of names) if (!isNominable(name)) return null
  return names
}

class Reading {
  authority: string | null = null
  authorization: string | null = null
  transferEncoding: string | null = null
  contentLength: string | null = null
  upgrade: string | null = null
  nominated: Set<string> | null = null
  readonly seen = new Set<string>()

  /** One header; returns what is wrong with it. */
  take(name: string, value: string): string | null {
    if (name.includes('_') && isAlias(name)) return `header ${name} is an alias of a header of the gateway`
    if (isSingle(name)) {
      if (this.seen.has(name)) return `header ${name} stands twice`
      this.seen.add(name)
    }
    switch (name) {
      case 'host': this.authority = value; break
      case 'authorization': this.authorization = value; break
      case 'transfer-encoding': this.transferEncoding = value; break
      case 'content-length': this.contentLength = value; break
      case 'upgrade': this.upgrade = value.trim().toLowerCase(); break
      case 'connection': return this.#nominate(value)
      default:
    }
    return null
  }

  #nominate(value: string): string | null {
    const names = nominations(value)
    if (names === null) return 'Connection names a header that may not be removed'
    this.nominated = this.nominated === null ? names : new Set([...this.nominated, ...names])
    return null
  }
}

function framing({ transferEncoding, contentLength }: Reading, version: string): number | null | string {
  if (transferEncoding !== null) {
    if (contentLength !== null) return 'Transfer-Encoding and Content-Length together'
    if (version !== '1.1') return 'Transfer-Encoding before HTTP/1.1'
    return transferEncoding.toLowerCase() === 'chunked' ? null : 'a Transfer-Encoding other than chunked'
  }
  if (contentLength === null) return 0
  return /^\d{1,15}$/.test(contentLength) ? Number(contentLength) : 'Content-Length is not a number'
}

/** @returns the head, or one sentence on what is malformed */
export function readHead(request: IncomingMessage): Head | string {
  const { rawHeaders, httpVersion } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'not HTTP/1.0 or HTTP/1.1'
  const reading = new Reading()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const fault = reading.take((rawHeaders[i] ?? '').toLowerCase(), rawHeaders[i + 1] ?? '')
    if (fault !== null) return fault
  }
  if (reading.authority === null || reading.authority === '') return 'no Host header'
  const contentLength = framing(reading, httpVersion)
  if (typeof contentLength === 'string') return contentLength
  const upgrade = reading.nominated?.has('upgrade') === true ? (reading.upgrade ?? '') : null
  return { authority: reading.authority, authorization: reading.authorization, contentLength, upgrade, nominated: reading.nominated ?? NONE }
}

/** The one value of a header, null when absent, `false` when it stands more than once. */
export function onlyValue(rawHeaders: readonly string[], name: string): string | null | false {
  let found: string | null = null
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const key = rawHeaders[i] ?? ''
    if (key.length !== name.length || key.toLowerCase() !== name) continue
    if (found !== null) return false
    found = rawHeaders[i + 1] ?? ''
  }
  return found
}
