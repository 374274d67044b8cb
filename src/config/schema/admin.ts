// `admin`: who may use the admin listener. SPEC: CFG2
import { z } from 'zod'
import { filePath } from './scalar.ts'

export const admin = z.strictObject({
  auth: z.strictObject({
    tokenFile: filePath().optional().describe('Operators and the digests of their tokens; without it `run` writes one operator token to `<stateDir>/admin.token`'),
  }).prefault({}).describe('How operators show who they are'),
  breakGlassTokenFile: filePath().optional().describe('A token that always works; every use of it alarms'),
})
