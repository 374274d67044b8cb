// What receivers may ask for, as SSF 1.0 and RFC 8936 write it down. Members that are not known are ignored, as they say; others are what they must be. SPEC: TRM4, TRM5
import { z } from 'zod'
import { STREAM_STATUSES } from '../../core/anchor.ts'
import { ITEMS_AT_ONCE } from '../../sessions/items.ts'
import { subjectSchema } from './subjects.ts'

const id = z.string().min(1).max(256)
const types = z.array(z.string().min(1).max(2048)).max(100)

const delivery = z.object({
  method: z.string(), endpoint_url: z.string().max(2048).optional(),
  authorization_header: z.string().regex(/^[\x20-\x7e]{1,4096}$/).optional(),
})
export type DeliveryAsked = z.infer<typeof delivery>

export const configuration = z.object({ events_requested: types.optional(), delivery: delivery.optional(), description: z.string().max(1024).optional() })
export type ConfigurationAsked = z.infer<typeof configuration>

export const ofStream = z.object({ stream_id: id })
export const status = z.object({ stream_id: id, status: z.enum(STREAM_STATUSES), reason: z.string().max(1024).optional() })
export const verification = z.object({ stream_id: id, state: z.string().max(1024).optional() })
export const choosing = z.object({ stream_id: id, subject: subjectSchema })

/** RFC 8936 §2.4. */
export const poll = z.object({
  maxEvents: z.int().min(0).optional(), returnImmediately: z.boolean().optional(),
  ack: z.array(id).max(ITEMS_AT_ONCE).optional(),
  setErrs: z.record(id, z.object({ err: z.string().max(256), description: z.string().max(4096).optional() })).refine(faults => Object.keys(faults).length <= ITEMS_AT_ONCE).optional(),
})
export type PollAsked = z.infer<typeof poll>
