// `elevations`: what can be added for a while, for whom, for how long, and what ends it. SPEC: CFG2, ELV1, PUR2
import { z } from 'zod'
import { PURPOSE_KINDS } from '../../core/purpose.ts'
import { condition, duration, list, named, scope } from './scalar.ts'

const ENDINGS = ['ticket.closed', 'task.ended', 'run.ended', 'run.finished', 'step.ended', 'conversation.ended', 'turn.ended', 'approval.withdrawn'] as const
export type Ending = (typeof ENDINGS)[number]

const param = z.strictObject({
  type: z.enum(['string', 'number', 'boolean', 'list']).describe('What the requester fills in'),
  max: z.int().min(0).max(1_000_000).optional().describe('Longest string, greatest number, longest list'),
  required: z.boolean().prefault(false).describe('A request without it is refused'),
})

const approval = z.strictObject({
  by: z.enum(['approver']).describe('Role of the approvers'),
  count: z.int().min(1).max(5).prefault(1).describe('How many different people'),
  within: duration({ least: '1s' }).optional().describe('A request nobody decided on expires after so long'),
  extend: z.boolean().prefault(false).describe('Whether extending needs no new approval'),
})

const profile = z.strictObject({
  title: z.string().max(200).optional().describe('What approvers read; default its name'),
  adds: list(scope()).describe('Scopes it adds'),
  eligible: condition().optional().describe('CEL over `subject`; without it everyone may ask'),
  params: z.record(z.string().regex(/^[a-z][A-Za-z0-9_]{0,63}$/, { error: 'a parameter is called like ticketId' }), param).optional().describe('What a request must fill in; conditions read `elevation.params`'),
  for: duration({ least: '1s' }).describe('Length of one use; a request may ask for less'),
  max: duration({ least: '1s' }).optional().describe('Longest length with extensions; default `for`'),
  purpose: list(z.enum(PURPOSE_KINDS), PURPOSE_KINDS.length).optional().describe('Kinds of purpose it is bound to; each request must show the same values'),
  proof: z.enum(['stated', 'claimed']).optional().describe('How the purposes must be shown: `stated` in a header, or `claimed` by the token; `turn` and `step` need it named'),
  approval: z.union([z.literal('none'), approval]).prefault('none').describe('Whose word it needs'),
  endWhen: list(z.enum(ENDINGS), ENDINGS.length).optional().describe('News that ends it early; without it, the end of every purpose that has a source'),
})

export const elevations = named(profile)
