// What the bodies and queries of the admin API must look like, and the answer to a change; every field says what it is, and unknown fields are errors.
// News that only takes away is never refused for a missing or long reason. SPEC: ADM3, ADM12
import { z } from 'zod'
import { taintName } from '../config/schema/risk.ts'
import { duration, list, name, scope } from '../config/schema/scalar.ts'
import { cutOffFor, LOCK_EFFECTS, type Selector, SELECTOR_KINDS } from '../core/anchor.ts'
import type { ElevationId } from '../core/elevation.ts'
import { PURPOSE_KINDS } from '../core/purpose.ts'
import { TAINTS_MAX } from '../core/taint.ts'
import { type Instant, instant } from '../core/time.ts'
import { isCanonicalName } from '../identity/canonical-name.ts'

const NOTE_MAX = 512
export const LIST_MAX = 500

export const reason = () => z.string({ error: 'a reason is required' }).trim().min(1, { error: 'a reason is required' }).max(NOTE_MAX).describe('Why; it stands in the audit trail')
export const anyReason = () => z.string().transform(text => text.trim().slice(0, NOTE_MAX)).optional().describe('Why; `unspecified` when absent, which the answer flags as `reasonMissing`')

export const time = () => z.iso.datetime({ offset: true, error: 'expected a time such as 2027-01-31T12:00:00Z' }).transform((text): Instant => instant(Date.parse(text)))
export const span = () => duration({ least: '1s' })
export const scopes = () => z.array(scope()).max(256)
const elevationId = () => z.string().regex(/^elv_[a-z2-7]{26}$/, { error: 'expected the id of an elevation' }).transform(id => id as ElevationId) // the prefix names its kind
export const limit = () => z.string().refine(text => /^\d{1,9}$/.test(text) && Number(text) >= 1 && Number(text) <= LIST_MAX, { error: `expected a whole number from 1 to ${LIST_MAX}` }).transform(Number).optional().describe(`At most so many, up to ${LIST_MAX}; default 100`)

const oneEnd = (body: { readonly for?: unknown; readonly until?: unknown }): boolean => body.for === undefined || body.until === undefined
const ONE_END = { error: 'either `for` or `until`, not both' }

export const purposes = z.strictObject(Object.fromEntries(PURPOSE_KINDS.map(kind => [kind, z.string().min(1).max(200).optional()])) as { readonly [K in (typeof PURPOSE_KINDS)[number]]: z.ZodOptional<z.ZodString> }) // one member for each kind

const value = () => z.string().min(1).max(1024).optional()
/** Behind the issuer, where one is named; what nobody can be called would meet nobody. */
const subject = () => z.string().min(1).max(1024).refine(text => isCanonicalName(text.slice(text.indexOf('|') + 1)), { error: 'nobody has this name: it has spaces around it, letters that do not show, or is not in Unicode normal form KC' }).optional()
const workload = () => z.string().max(1024).regex(/^(?:spiffe:\/\/|pod\/)[\x21-\x7e]+$/, { error: 'expected a SPIFFE id, or pod/<uid>' })
const tool = () => z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/[\x21-\x7e]{1,256}$/, { error: 'expected the route, a slash and the tool, such as runbooks/write' }).optional()
const namesOneThing = (chosen: { readonly issuedBefore?: unknown; readonly subject?: unknown }): boolean =>
  Object.keys(chosen).length === (chosen.issuedBefore !== undefined && chosen.subject !== undefined ? 2 : 1)
const selector = z.strictObject({
  subject: subject().describe('`issuer|subject`, or a bare subject of any issuer; as it is known, so in small letters where its provider folds'), session: value().describe('Id of a session'), elevation: value().describe('Id of an elevation'), tenant: value().describe('A tenant'),
  credential: value().describe('Digest of a credential'), keyId: value().describe('`issuer|kid` of the key that signed, or a bare `kid` of any issuer'), device: value().describe('A device'),
  workload: workload().optional().describe('A SPIFFE id, or `pod/<uid>`'), alias: value().describe('What others call it, as sessions show it: `<kind>:<digest>`'), parent: value().describe('Id of a session: those delegated from it'), issuer: value().describe('An issuer'), route: value().describe('Name of a route'), tool: tool().describe('`route/tool`: calls of one tool of an MCP route'), definition: tool().describe('`route/tool`: as the gateway itself locks a tool that is not what was accepted'), profile: value().describe('Name of a profile'),
  issuedBefore: time().optional().describe('Credentials issued at or before it: everybody\'s, or with `subject` beside it those of one'), all: z.literal(true).optional().describe('Everybody'),
}).refine(namesOneThing, { error: 'a selector names exactly one thing, or `issuedBefore` and the `subject` it is for' }).transform((chosen): Selector => {
  if (chosen.issuedBefore !== undefined) return cutOffFor({ before: chosen.issuedBefore, subject: chosen.subject ?? null })
  for (const kind of SELECTOR_KINDS) if (chosen[kind] !== undefined) return { kind, value: kind === 'all' ? '' : String(chosen[kind]) }
  return { kind: 'all', value: '' } // never reached: one of them is there
})

export const nothing = z.strictObject({})
export const justified = z.strictObject({ reason: reason() })
export const restrictive = z.strictObject({ reason: anyReason() })

export const sessionQuery = z.strictObject({ limit: limit(), state: z.enum(['live', 'lapsed', 'revoked', 'any']).optional().describe('Default `live`') })
export const elevationQuery = z.strictObject({
  limit: limit(), state: z.enum(['requested', 'scheduled', 'active', 'suspended', 'ended', 'denied', 'withdrawn', 'expired']).optional().describe('Only those that are so; default those that are not over'),
  session: z.string().max(64).optional().describe('Only those of this session'),
})
export const reportQuery = z.strictObject({ since: span().optional().describe('Looks back so long, such as `30d`; default `7d`') })
export const liftQuery = z.strictObject({ reason: z.string().trim().min(1).max(NOTE_MAX).optional().describe('Why, where the request has no body') })
export const liftBody = z.strictObject({ reason: reason().optional() })

export const narrowBody = z.strictObject({
  to: scopes().optional().describe('Caps the whole session to these scopes'), elevations: z.array(elevationId()).min(1).max(64).optional().describe('Suspends these and bars their profiles'), reason: anyReason(),
})
export const freezeBody = z.strictObject({
  for: span().optional().describe('How long until the freeze becomes a revocation; default `sessions.frozenFor`'), until: time().optional().describe('The same as an instant'), reason: anyReason(),
}).refine(oneEnd, ONE_END)
export const shortenBody = z.strictObject({ endsAt: time().optional().describe('The new end'), for: span().optional().describe('The new end, counted from now'), reason: anyReason() })
  .refine(body => (body.endsAt === undefined) !== (body.for === undefined), { error: 'either `endsAt` or `for`' })

export const clearTaintsBody = z.strictObject({ names: z.array(taintName()).min(1).max(TAINTS_MAX).optional().describe('Only these; default all of the session’s own. What its principal touched is cleared there'), reason: reason() })

export const requestBody = z.strictObject({
  session: z.string().max(64).describe('Id of the session it is for'), profile: name().describe('Name of the profile'), for: span().optional().describe('How long; default the profile\'s `for`'),
  purpose: purposes.optional().describe('Values by kind, such as `{"ticket":"INC-42"}`'),
  params: z.record(z.string().max(64), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])).optional().describe('What the profile asks to be filled in'),
  reason: reason(), startAt: time().optional().describe('When it begins; default now'), dryRun: z.boolean().optional().describe('Only answer what it would be'),
})
export const approveBody = z.strictObject({
  adds: list(scope()).optional().describe('Fewer scopes than asked for'), for: span().optional().describe('Less time than asked for'),
  uses: z.int().min(1).max(1_000_000_000).optional().describe('Fewer uses than asked for'), params: z.record(z.string().max(64), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])).optional().describe('Parameters with less in them: shorter lists, smaller numbers'),
  shown: z.string({ error: 'the `shown` of the request as it was read is required' }).max(64).describe('The `shown` of the request as it was read, a digest: the approval is for exactly that, and refused where it has changed'), reason: reason(),
})
export const extendBody = z.strictObject({ for: span().describe('How much longer'), reason: reason() })

export const lockBody = z.strictObject({
  selector: selector.describe(`Whom it meets: exactly one of ${SELECTOR_KINDS.join(', ')}; \`issuedBefore\` may have a \`subject\` beside it`),
  effect: z.enum(LOCK_EFFECTS).optional().describe('`deny` (default) cuts, `freeze` holds, `baseline` takes the elevations'), for: span().optional().describe('Lifts by itself after so long; default never'),
  until: time().optional().describe('The same as an instant'), reason: anyReason(),
  dryRun: z.boolean().optional().describe('Sets nothing: tells how many live sessions and open exchanges the lock would meet now, and how many gateways said so'),
}).refine(oneEnd, ONE_END)

export const anchorBody = z.strictObject({
  state: z.enum(['open', 'ended']).describe('The word'), tenant: z.string().max(200).optional().describe('Tenant it belongs to; default none'), reason: anyReason(),
})

export const overrideBody = z.strictObject({
  from: time().optional().describe('From when on it is open; default the beginning of what is open now, else now'),
  until: z.union([z.literal('now'), time()]).describe('Until when; `now` closes what is open. Whatever of the calendar this meets counts as from here to there instead'),
  reason: reason(),
})

export const stepUpQuery = z.strictObject({ limit: limit(), state: z.enum(['pending', 'satisfied', 'denied', 'expired', 'any']).optional().describe('Default `pending`') })

export const reviewQuery = z.strictObject({ limit: limit(), verdict: z.enum(['pending', 'missed', 'accepted', 'rejected']).optional().describe('Only those that are so; default those that wait, and those that were missed') })
export const reviewBody = z.strictObject({ verdict: z.enum(['accepted', 'rejected']).describe('`rejected` also ends the elevation where it still runs'), reason: reason() })

const count = () => z.int().min(0)
const tally = z.strictObject({ continued: count(), regranted: count(), narrowed: count(), frozen: count(), cut: count() })
/** What a change answers, with 200, or with 202 where the store did not take it. */
export const enforcedAnswer = z.strictObject({
  version: count().nullable().describe('Of the record that changed; null when there is none'), enforced: z.boolean().describe('No gateway admits or relays anything any more that the new state refuses, but for `laterOn`'),
  durable: z.boolean().describe('The store has it; false with 202: it is in force from memory and written as soon as the store takes it'),
  gateways: z.strictObject({ total: count(), acknowledged: count(), expired: count() }).describe('`expired` did not answer and acts on nothing older: its lease has run out'),
  exchanges: tally.describe('What became of what was open of those it concerns, on all gateways that said so'), exchangesUnknown: count().describe('Gateways that could not say'),
  laterOn: z.array(z.strictObject({ route: z.string(), withinMs: count() })).describe('Routes with `staleness`: a gateway that did not hear of the change stops there only so many milliseconds after it'),
  tookMs: z.number().describe('From the call to the answer'), reasonMissing: z.literal(true).optional().describe('No reason was given'),
  journaled: z.boolean().optional().describe('Only with 202: it is on this gateway\'s disk and survives its end'),
  othersFailClosedAt: z.iso.datetime().optional().describe('Only with 202 and a shared store: from then on no other gateway acts on older knowledge, unless the store answers that one; `enforced` is false'),
  unusedMs: count().optional().describe('Only of `complete`: what was left of the session\'s time, also in the trail'),
})
export type EnforcedAnswer = z.output<typeof enforcedAnswer>

export const toolQuery = z.strictObject({ limit: limit(), route: z.string().max(64).optional().describe('Only those of this route'), state: z.enum(['accepted', 'changed']).optional().describe('Only those that are so; default all') })
export const acceptBody = z.strictObject({
  digest: z.string({ error: 'the digest of the definition is required' }).regex(/^sha256:[A-Za-z0-9_-]{43}$/, { error: 'expected `sha256:` and 43 characters of base64url, as `GET /v1/tools` shows it' }).describe('Of the definition that was read: the acceptance is for exactly that, and refused where another one was seen since'),
  reason: reason(),
})
