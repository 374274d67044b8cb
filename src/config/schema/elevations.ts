// `elevations`: what can be added for a while, for whom, for how long, and what ends it. SPEC: CFG2, ELV1, PUR2
import { z } from 'zod'
import { PROOFS, PURPOSE_KINDS } from '../../core/purpose.ts'
import { condition, duration, list, name, named, scope, size } from './scalar.ts'

const ENDINGS = ['ticket.closed', 'task.ended', 'run.ended', 'run.finished', 'step.ended', 'conversation.ended', 'turn.ended', 'window.closed', 'approval.withdrawn'] as const
export type Ending = (typeof ENDINGS)[number]

const paramName = () => z.string().regex(/^[a-z][A-Za-z0-9_]{0,63}$/, { error: 'a parameter is called like ticketId' })

const param = z.strictObject({
  type: z.enum(['string', 'number', 'boolean', 'list']).describe('What the requester fills in'),
  max: z.int().min(0).max(1_000_000).optional().describe('Longest string, greatest number, longest list'),
  required: z.boolean().prefault(false).describe('A request without it is refused'),
})

const stage = z.strictObject({
  by: z.enum(['approver', 'operator', 'admin']).prefault('approver').describe('Role of the approvers'),
  count: z.int().min(1).max(5).prefault(1).describe('How many different people'),
  who: condition().optional().describe('CEL over `identity`, what the approver’s credential says; asked again when the elevation starts'),
})

const approval = z.strictObject({
  ...stage.shape,
  stages: list(stage, 4).optional().describe('Several groups, one after the other, in place of `by`, `count` and `who`'),
  mode: z.enum(['ask', 'breakGlass']).prefault('ask').describe('`breakGlass`: at once, loudly, and looked at afterwards'),
  reviewWithin: duration({ least: '1m', most: '30d' }).optional().describe('With `breakGlass`: how soon somebody must have looked at it; default 24h'),
  onMissed: z.enum(['alarm', 'lock']).prefault('alarm').describe('With `breakGlass`: what a missed review does: `lock` refuses the caller until an operator lifts it'),
  autoWhen: condition().optional().describe('CEL over `subject`, `ticket`, `purpose` and `params`: where it holds nobody is asked'),
  within: duration({ least: '1s' }).optional().describe('A request nobody decided on expires after so long'),
  extend: z.union([z.boolean(), z.strictObject({ once: duration({ least: '1s' }).describe('At most so much') })]).prefault(false).describe('Whether extending needs no new approval: always, or once'),
  notify: list(name(), 8).optional().describe('Channels that are told of requests and decisions'),
})

const sum = z.strictObject({
  field: z.string().regex(/^(\/[^/]{1,128}){1,8}$/, { error: 'expected a JSON pointer such as /amount' }).describe('A number in the inspected body, by JSON pointer'),
  max: z.string().regex(/^\d{1,15}(\.\d{1,8})?$/, { error: 'expected a decimal number as text, such as "100000.00"' }).describe('What all of them may come to'),
  scale: z.int().min(0).max(8).prefault(2).describe('Digits behind the point; a number with more is refused'),
})

const limits = z.strictObject({
  uses: z.int().min(1).max(1_000_000_000).optional().describe('Requests in all'),
  perMinute: z.int().min(1).max(1_000_000).optional().describe('Requests in each minute of the clock'),
  bytes: size(1).optional().describe('Bytes of bodies, both ways together'),
  sum: sum.optional().describe('The sum of a number in the bodies; needs `inspect: json` on the rules'),
})

const afterEnd = z.strictObject({
  profile: name().describe('What is given; without approval and without purposes of its own kind that ended'),
  uses: z.int().min(1).max(1_000).prefault(1).describe('Requests in all'),
  for: duration({ least: '1s', most: '1h' }).describe('For how long'),
})

const profile = z.strictObject({
  title: z.string().max(200).optional().describe('What approvers read; default its name'),
  adds: list(scope()).describe('Scopes it adds'),
  eligible: condition().optional().describe('CEL over `subject`; without it everyone may ask'),
  require: condition().optional().describe('CEL over `subject`, `ticket`, `purpose` and `params` that must hold at the request and as long as it lasts'),
  params: z.record(paramName(), param).optional().describe('What a request must fill in; conditions read `elevation.params`'),
  for: duration({ least: '1s' }).describe('Length of one use; a request may ask for less'),
  max: duration({ least: '1s' }).optional().describe('Longest length with extensions; default `for`'),
  tooLong: z.enum(['refuse', 'clamp']).prefault('refuse').describe('What a length beyond `max` becomes: refused, or `max`'),
  within: list(name(), 8).optional().describe('Windows all of which must be open; it waits for them, and ends when one closes'),
  purpose: list(z.enum(PURPOSE_KINDS), PURPOSE_KINDS.length).optional().describe('Kinds of purpose it is bound to; each request must show the same values'),
  proof: z.enum(PROOFS).optional().describe('The least that purposes must be shown by: `stated` in a header, `claimed` by the token, or `signed` by an orchestrator; default `signed` for `turn` and `step`, otherwise `stated`'),
  limits: limits.optional().describe('What it may be used for in all, exactly and on all gateways together; without approval counted for the caller and its purposes or window, else for each elevation'),
  cooldown: duration({ least: '1s', most: '30d' }).optional().describe('Pause behind its end before the caller may ask again'),
  several: z.boolean().prefault(true).describe('Whether a session may hold two of it for the same purposes; otherwise the later one takes the place of the earlier'),
  holds: z.string().regex(/^(params|purpose)\.[A-Za-z][A-Za-z0-9_]{0,63}$/, { error: 'expected params.<name> or purpose.<kind>' }).optional().describe('A parameter or purpose whose value nobody else may hold meanwhile, in any session'),
  approval: z.union([z.literal('none'), approval]).prefault('none').describe('Whose word it needs'),
  endWhen: list(z.union([z.enum(ENDINGS), z.templateLiteral(['risk.', name()], { error: `expected one of ${ENDINGS.join(', ')}, or risk.<level>` })]), ENDINGS.length + 1).optional().describe('News that ends it early, `risk.<level>` too; without it, the end of every purpose that has a source. Windows, withdrawn approvals and the end of the session always end it'),
  afterEnd: afterEnd.optional().describe('A short elevation behind an end that nobody asked for, to put things in order; never behind a revocation'),
  recording: z.enum(['off', 'required']).prefault('off').describe('`required`: every byte it carries is recorded first, and it ends when that fails'),
  warn: duration({ least: '1s', most: '1d' }).prefault('60s').describe('How long before its end its caller is told'),
})

export const elevations = named(profile)
