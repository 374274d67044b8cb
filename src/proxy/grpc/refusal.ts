// A Reason as gRPC tells it: status, message, and details in google.rpc.Status with an ErrorInfo, so that a client finds the word in it.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; google/rpc/{status,error_details}.proto. SPEC: WIRE17, WIRE9
import { type Reason, REASONS } from '../../core/reason.ts'
import type { RefusalText } from '../refusal.ts'

const UNKNOWN = 2
const DEADLINE_EXCEEDED = 4
const RESOURCE_EXHAUSTED = 8
const INTERNAL = 13
const UNAUTHENTICATED = 16
/** By the HTTP status of the reason. What is refused for good is never UNAVAILABLE: clients send that again by themselves. */
const CODES: { readonly [status: number]: number } = {
  400: INTERNAL, 401: UNAUTHENTICATED, 403: 7, 404: 12, 405: 12, 408: DEADLINE_EXCEEDED, 409: 9, 413: RESOURCE_EXHAUSTED, 417: INTERNAL, 421: 14, 425: 14, 429: RESOURCE_EXHAUSTED, 431: RESOURCE_EXHAUSTED,
  500: INTERNAL, 501: 12, 502: 14, 503: 14, 504: 14, 508: INTERNAL,
}
const OTHERWISE: { readonly [R in Reason]?: number } = { revoked: UNAUTHENTICATED, limit_reached: RESOURCE_EXHAUSTED, upstream_malformed: INTERNAL }

export const grpcCode = (reason: Reason): number => OTHERWISE[reason] ?? CODES[REASONS[reason].status] ?? UNKNOWN

// ---- the few fields of protobuf that are needed: varints and texts

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return [...bytes, rest]
}

const bytesField = (field: number, bytes: Buffer): Buffer => Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(bytes.length)]), bytes])
const textField = (field: number, text: string): Buffer => bytesField(field, Buffer.from(text))
const entry = (key: string, value: string): Buffer => bytesField(3, Buffer.concat([textField(1, key), textField(2, value)]))

function details(reason: Reason, message: string, text: RefusalText | null): string {
  const told = text === null ? [] : [entry('evaluation_id', text.evaluation), ...(text.session === null ? [] : [entry('session', text.session)])]
  const access = text === null || text.access === null ? [] : [entry('access_request', JSON.stringify(text.access))]
  const stepUp = text === null || text.stepUp === null ? [] : [entry('step_up', JSON.stringify(text.stepUp))]
  const info = Buffer.concat([textField(1, reason), textField(2, 'narrowgate'), ...told, ...access, ...stepUp])
  const any = Buffer.concat([textField(1, 'type.googleapis.com/google.rpc.ErrorInfo'), bytesField(2, info)])
  const status = Buffer.concat([Buffer.from([8, ...varint(grpcCode(reason))]), textField(2, message), bytesField(3, any)])
  return status.toString('base64').replace(/=+$/, '')
}

/** Percent-encoded as the protocol wants it: everything but printable ASCII, and `%` itself. */
const encoded = (message: string): string => message.replace(/[^\x20-\x24\x26-\x7e]/gu, char => encodeURIComponent(char))

/** Names and values in turn: of a trailers-only answer (behind status and content type), or of the trailers that end a call. */
export function grpcTrailers(reason: Reason, text: RefusalText | null): readonly string[] {
  const message = text?.detail ?? REASONS[reason].says
  return ['grpc-status', String(grpcCode(reason)), 'grpc-message', encoded(message), 'grpc-status-details-bin', details(reason, message, text)]
}
