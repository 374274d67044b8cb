// `sessions`, `purposes`, `identities`: what makes a session, what a request shows it is for, and who is the same person. SPEC: CFG2, SES2, PUR1
import { z } from 'zod'
import { PURPOSE_KINDS } from '../../core/purpose.ts'
import { condition, duration, headerName, list, scope } from './scalar.ts'

export const sessions = z.strictObject({
  key: list(z.string().regex(/^claims\..{1,256}$/, { error: 'expected a claim, written claims.<name>' }), 8).optional()
    .describe('Claims that tell the lives of one principal apart, after issuer, tenant, subject and client; default `sid`, then key, then `jti`'),
  credentialEnd: z.enum(['cut', 'ignore']).prefault('cut').describe('What the end of the newest credential does to open exchanges'),
  idle: duration({ least: '1s' }).prefault('10m').describe('A session ends after so long without a byte'),
  max: duration({ least: '1s' }).prefault('8h').describe('Longest life of a session'),
  frozenFor: duration({ least: '1s' }).prefault('15m').describe('A frozen session ends after so long'),
  baseline: z.array(z.strictObject({
    when: condition().optional().describe('CEL over `subject`; without it the entry is for everyone'),
    scopes: list(scope()).describe('What they may do without elevation'),
  }), { error: 'expected a list' }).max(256).prefault([]).describe('What sessions may do without elevation: the union of all entries that hold'),
})

const purpose = z.strictObject({
  header: headerName().optional().describe('A request header (proof `stated`)'),
  claim: z.string().min(1).optional().describe('A claim of the token (proof `claimed`)'),
  source: z.enum(['manual']).optional().describe('Where news of its end comes from: `manual` takes an operator’s word'),
})

export const purposes = z.partialRecord(z.enum(PURPOSE_KINDS), purpose)

export const identities = z.array(list(z.string().regex(/^[^|]+\|.+$/, { error: 'expected issuer|subject' }), 32), { error: 'expected a list of lists' }).max(10_000)
