// What the bodies and queries about trust must look like: principals, their scores, and explaining a decision. Unknown fields are errors.
// SPEC: ADM12, EXP1, EXP3
import { z } from 'zod'
import { name } from '../config/schema/scalar.ts'
import { taintName } from '../config/schema/risk.ts'
import { SCORE_MAX } from '../core/risk.ts'
import { limit, purposes, reason } from './contract-schemas.ts'

const HEADERS_MAX = 32

export const principalQuery = z.strictObject({
  limit: limit(), level: name().optional().describe('Only those that stand at this level'),
  subject: z.string().min(1).max(1024).optional().describe('Only this subject, `issuer|subject` or a bare one of any issuer; then also without points'),
})

export const clearBody = z.strictObject({
  risk: z.boolean().optional().describe('Score and level go back to none, and strikes are forgotten'),
  taints: z.union([z.literal('all'), z.array(taintName()).min(1).max(32)]).optional().describe('Those of the principal: `all`, or some by name; those of one session are cleared there'),
  reason: reason(),
}).refine(({ risk, taints }) => risk === true || taints !== undefined, { error: '`risk`, `taints` or both' })

export const scoreBody = z.strictObject({
  name: name().describe('What it is called among the contributions'), points: z.number({ error: 'expected a number of points' }).min(0).max(SCORE_MAX).describe('How many; 0 takes the earlier ones of that name away'), reason: reason(),
})

export const explainBody = z.strictObject({
  session: z.string().max(64).describe('Id of the session that would ask'), method: z.string().regex(/^[A-Z][A-Z-]{0,31}$/, { error: 'expected a method in upper case, such as GET' }).describe('The method'),
  url: z.string().min(1).max(16_384).describe('Scheme, host and path as the caller sees them, such as `https://api.example.com/v1/things?x=1`'),
  purposes: purposes.optional().describe('Values by kind that it would show; those of a brokered session are its own'), upgrade: z.string().regex(/^[a-z0-9-]{1,64}$/).optional().describe('The protocol it would upgrade to, such as `websocket`'),
  mcp: z.strictObject({
    method: z.string().min(1).max(128).describe('Method of the message, such as `tools/call`'), name: z.string().max(4096).optional().describe('The tool or prompt, or the URI of the resource'),
    args: z.record(z.string().max(256), z.unknown()).optional().describe('What it is called with; left out, conditions on arguments are not judged'),
  }).optional().describe('On routes of MCP: the message it would carry, by POST'),
  source: z.union([z.ipv4(), z.ipv6()]).optional().describe('Where it would come from; default unknown'),
  headers: z.record(z.string().regex(/^[a-z0-9-]{1,64}$/), z.string().max(1024)).refine(headers => Object.keys(headers).length <= HEADERS_MAX, { error: `must not have more than ${HEADERS_MAX} entries` }).optional().describe('What conditions read'),
})
