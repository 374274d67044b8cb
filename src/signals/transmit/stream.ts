// A stream as its receiver set it up, and what its configuration looks like to it. A secret of its goes nowhere but back to itself, in what is pushed.
// SPEC: TRM4
import { z } from 'zod'
import type { ReceiverSettings, TransmitSettings } from '../../config/compile/transmit.ts'
import type { ToldEvent } from '../../config/schema/signals.ts'
import { STREAM_STATUSES, type StreamStatus } from '../../core/anchor.ts'
import { type Instant, instant } from '../../core/time.ts'
import { typeOf } from './told.ts'

export const PUSH = 'urn:ietf:rfc:8935'
export const POLL = 'urn:ietf:rfc:8936'

/** Seconds between two verifications. */
export const VERIFICATION_INTERVAL = 10

export type Stream = {
  readonly id: string
  readonly status: StreamStatus
  readonly reason: string | null
  /** Paused by us and not by its receiver: it is told so when it goes on. */
  readonly held: boolean
  /** null: it polls. */
  readonly push: { readonly endpoint: string; readonly authorization: string | null } | null
  /** Types; null is all there are. */
  readonly requested: readonly string[] | null
  readonly description: string | null
  /** When it last asked for a verification; 0 before the first. */
  readonly verifiedAt: Instant
  /** Counts changes of whom it wants to hear of; 0 is of everybody. */
  readonly choice: number
}

const at = z.int().min(0).transform(instant)
const stored: z.ZodType<Stream> = z.strictObject({
  id: z.string(), status: z.enum(STREAM_STATUSES), reason: z.string().nullable(), held: z.boolean(), push: z.strictObject({ endpoint: z.string(), authorization: z.string().nullable() }).nullable(),
  requested: z.array(z.string()).nullable(), description: z.string().nullable(), verifiedAt: at, choice: z.int().min(0),
})

/** As it was kept; null where nothing is, or nothing that was written here. */
export function streamIn(text: string | null): Stream | null {
  try {
    return text === null || text === '' ? null : stored.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** What waits for it. */
export const queueOf = (receiver: string, { id }: Stream): string => `ssf/${receiver}/${id}`

const typesOf = ({ issuer }: TransmitSettings, { events }: ReceiverSettings): readonly string[] => events.map(event => typeOf(issuer, event))

export const isDelivered = ({ issuer }: TransmitSettings, { events }: ReceiverSettings, { requested }: Stream, event: ToldEvent): boolean =>
  events.includes(event) && (requested === null || requested.includes(typeOf(issuer, event)))

/** Where this issuer's endpoints are. */
export const baseOf = ({ issuer }: Pick<TransmitSettings, 'issuer'>): string => `${new URL(issuer).origin}/ssf`

/** SSF 1.0 §8.1.1. */
export function viewOf(settings: TransmitSettings, receiver: ReceiverSettings, stream: Stream): { readonly [member: string]: unknown } {
  const supported = typesOf(settings, receiver)
  const { id, push, requested, description } = stream
  return {
    stream_id: id, iss: settings.issuer, aud: receiver.audience, events_supported: supported, events_requested: requested ?? supported,
    events_delivered: supported.filter(type => requested === null || requested.includes(type)),
    delivery: push === null ? { method: POLL, endpoint_url: `${baseOf(settings)}/poll/${id}` } : { method: PUSH, endpoint_url: push.endpoint },
    min_verification_interval: VERIFICATION_INTERVAL, inactivity_timeout: Math.floor(settings.inactivityTimeout / 1000), ...(description === null ? {} : { description }),
  }
}

export const statusOf = ({ id, status, reason }: Stream) => ({ stream_id: id, status, ...(reason === null ? {} : { reason }) })
