// What the HTTP/1.1 connections of one listener have in common. SPEC: WIRE14
import type { Socket } from 'node:net'
import type { LimitSettings } from '../../config/settings.ts'
import type { Reason } from '../../core/reason.ts'
import type { CertificateRead } from '../../identity/certificate/client-certificate.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Arrival } from '../arrival.ts'
import type { Http1Connection } from './http1-connection.ts'
import type { RequestLimits } from './request-parser.ts'

/** Who calls on a connection, and the TCP socket under it. */
export type Http1Caller = { readonly raw: Socket; readonly peer: string; readonly serverName: string | null; readonly certificate: CertificateRead | null }

/** What these connections tell their listener, and what it knows of a socket. */
export type Http1Owner = {
  readonly limits: LimitSettings
  readonly clock: Clock
  readonly secure: boolean
  readonly onRequest: (arrival: Arrival) => void
  readonly onFault: (reason: Reason, source: string) => void
  readonly onPipelined: (source: string) => void
  readonly callerOf: (socket: Socket) => Http1Caller
}

/** What all connections of a listener have in common. */
export type Http1Room = {
  readonly owner: Http1Owner
  readonly parsing: RequestLimits
  /** Lines of an answer on a connection that goes on. */
  readonly keepAlive: string
  readonly onGone: (connection: Http1Connection) => void
}
