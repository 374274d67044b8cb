// `notify`: where people are told about elevations. SPEC: CFG2, NOT1
import { z } from 'zod'
import { filePath, named } from './scalar.ts'

const webhook = z.strictObject({
  url: z.string().max(2048).describe('Where notices are posted, an https URL'),
  secretFile: filePath().describe('File with the secret that signs them: `whsec_…` in base64 or text, 24 bytes at least; two lines while it is replaced'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
})

const slack = z.strictObject({
  urlFile: filePath().describe('File with the address of an incoming webhook'),
  buttons: z.literal('link').prefault('link').describe('What a button does: it opens the console, where people show who they are'),
})

export const notify = named(z.strictObject({
  webhook: webhook.optional().describe('Standard Webhooks messages, signed (exactly one of `webhook` and `slack`)'),
  slack: slack.optional().describe('Messages in Slack'),
}), 64)
