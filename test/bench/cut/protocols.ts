// The protocols of bench:cut: how each opens an exchange of one session, and what it asks for.
import type { Caller } from './caller.ts'
import { openHttp1 } from './http1-stream.ts'
import { Http2Streams } from './http2-streams.ts'
import type { OpenStream } from './open-stream.ts'
import type { Ports } from './site.ts'
import { openWebSocket } from './websocket-stream.ts'

export const PROTOCOLS = ['http1', 'websocket', 'http2'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export type Opener = (path: string) => Promise<OpenStream>

/** Below the 128 streams that the gateway allows on one connection. */
const STREAMS_EACH = 100
/** Connections of a crowd, at least. */
const SHARED = 20

/** Streams of so many HTTP/2 connections, in turn; HTTP/1.1 and WebSockets have one each. */
export const connectionsFor = (exchanges: number): number => Math.max(SHARED, Math.ceil(exchanges / STREAMS_EACH))

/** @param connections of HTTP/2; they are made when they are first needed */
export function openerOf(protocol: Protocol, { main, http2 }: Ports, caller: Caller, connections: number): Opener {
  if (protocol === 'http1') return path => openHttp1(main, path, caller)
  if (protocol === 'websocket') return path => openWebSocket(main, path, caller)
  const made: Http2Streams[] = []
  let turn = 0
  return path => {
    const at = turn++ % connections
    const streams = (made[at] ??= new Http2Streams(http2, caller))
    return streams.open(path)
  }
}

/** What a single one asks for: over HTTP/2 a download, because a cut ends it with RST_STREAM; an event stream may end whole. */
const ONE: Readonly<Record<Protocol, string>> = { http1: '/sse', websocket: '/ws', http2: '/download' }
const OTHER: Readonly<Record<Protocol, string>> = { http1: '/download', websocket: '/ws', http2: '/sse' }

/** A piece every so many milliseconds. */
export const pathOf = (protocol: Protocol, every: number): string => `${ONE[protocol]}?every=${every}`
export const pathsOf = (protocol: Protocol, many: number): readonly string[] => Array.from({ length: many }, (_, i) => `${(i % 2 === 0 ? ONE : OTHER)[protocol]}?every=100`)
