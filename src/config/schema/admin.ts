// `admin`: who may use the admin listener. SPEC: CFG2
import { z } from 'zod'
import { filePath } from './scalar.ts'

export const admin = z.strictObject({
  auth: z.strictObject({
    tokenFile: filePath().optional().describe('Operators and the digests of their tokens, as JSON: `{"tokens": [ENTRY, …]}` with entries as `token new` prints them; without it `run` writes one operator token to `<stateDir>/admin.token`'),
  }).prefault({}).describe('How operators show who they are'),
  breakGlassTokenFile: filePath().optional().describe('Tokens for emergencies, JSON like `auth.tokenFile`; every use of one alarms'),
})
