// What the body of an operator's news must look like: whom it means, what follows, and since when. Unknown fields are errors. SPEC: ADM12, OUT9
import { z } from 'zod'
import { acts, SIGNAL_ACTS } from '../config/schema/acts.ts'
import { name } from '../config/schema/scalar.ts'
import { SAID_BY_CREDENTIALS } from './contract-brokered.ts'
import { anyReason, time } from './contract-schemas.ts'

const CLAIMS_MAX = 32
const text = (says: string) => z.string().min(1).max(512).optional().describe(says)
const CLAIM_BYTES_MAX = 4_096

const subject = z.strictObject({
  issuer: text('Whose subject, address, session, group or token that is; a bare `subject` may do without'), subject: text('A subject'), email: text('An address of `issuer`'), phone: text('A telephone number of `issuer`'),
  account: text('An account of `issuer`'), uri: text('A URI of `issuer`'), did: text('A decentralized identifier of `issuer`'), session: text('Id of a session, ours or as `issuer` calls it'), device: text('A device'), workload: text('A SPIFFE id, or `pod/<uid>`'),
  tenant: text('A tenant'), application: text('A client; only beside something else'), group: text('A group of `issuer`'), orgUnit: text('A part of an organisation of `issuer`'), credential: text('`jti` of a token of `issuer`'),
})

const { do: _, ...terms } = acts.shape

export const newsBody = z.strictObject({
  type: name().prefault('operator').describe('What happened, such as `session-revoked`; default `operator`'),
  subject: subject.describe('Whom it means: everything that is named has to fit, save that several names of a user are any of them'),
  do: z.array(z.enum(SIGNAL_ACTS).exclude(['notify']), { error: 'expected a list' }).min(1, { error: 'nothing follows' }).max(SIGNAL_ACTS.length).describe('What follows for each session that is meant'),
  ...terms,
  claims: z.record(z.string().min(1).max(256), z.unknown()).refine(claims => Object.keys(claims).length <= CLAIMS_MAX && JSON.stringify(claims).length <= CLAIM_BYTES_MAX, { error: 'too much' })
    .refine(claims => !Object.keys(claims).some(claim => SAID_BY_CREDENTIALS.has(claim)), { error: 'what a credential says of itself and of a sign-in no other word changes' }).optional().describe('With `claims`: what they say now; null takes one away'),
  at: time().optional().describe('When it happened: what was issued later is none of it; default now'),
  most: z.int().min(1).max(1_000_000).optional().describe('Where it means more sessions none ends, and all are held; default 500'),
  reason: anyReason(),
})
