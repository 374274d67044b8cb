// Bodies callers send, parsed at the edge. SPEC: ADM1
import { z } from 'zod'
import { PURPOSE_KINDS, type Purposes } from '../../core/purpose.ts'
import { type Duration, type Instant, instant, parseDuration } from '../../core/time.ts'

const span = z.string().max(32).transform((text, context): Duration => {
  const parsed = parseDuration(text)
  if (parsed !== null && parsed > 0) return parsed
  context.addIssue({ code: 'custom', message: 'expected a duration like 15m' })
  return z.NEVER
})

const moment = z.iso.datetime({ offset: true }).transform((text): Instant => instant(Date.parse(text)))
const purpose = z.partialRecord(z.enum(PURPOSE_KINDS), z.string().max(200)).transform(value => value as Purposes) // the enum's keys are purpose kinds

export const elevationAsk = z.strictObject({
  profile: z.string().min(1).max(128),
  for: span.optional(),
  purpose: purpose.optional(),
  params: z.record(z.string().max(64), z.unknown()).optional(),
  reason: z.string().max(512).optional(),
  startAt: moment.optional(),
  dryRun: z.boolean().optional(),
  hold: z.boolean().optional(),
})

/** What is asked for. */
export type Wanted = z.output<typeof elevationAsk>

/** As a tool takes it: now, and for as long as its time lasts. */
export const toolAsk = elevationAsk.omit({ startAt: true, dryRun: true, hold: true })

export const statusAsk = z.strictObject({ id: z.string().regex(/^elv_[a-z2-7]{26}$/, 'expected the id of an elevation').optional(), wait: z.number().min(0).max(30).optional() })
export const releaseAsk = z.strictObject({ id: z.string().regex(/^elv_[a-z2-7]{26}$/, 'expected the id of an elevation'), reason: z.string().max(512).optional() })

export const extensionAsk = z.strictObject({ for: span, reason: z.string().max(512).optional() })
export const noteAsk = z.strictObject({ reason: z.string().max(512).optional() })

/** The parsed body, or one sentence on what is wrong with it. */
export function parsed<S extends z.ZodType>(schema: S, text: string): { readonly value: z.output<S> } | { readonly fault: string } {
  let json: unknown
  try {
    json = text === '' ? {} : JSON.parse(text)
  } catch {
    return { fault: 'the body is not JSON' }
  }
  const result = schema.safeParse(json)
  if (result.success) return { value: result.data }
  const [first] = result.error.issues
  return { fault: first === undefined ? 'the body is malformed' : `${first.path.join('.') || 'body'}: ${first.message}` }
}
