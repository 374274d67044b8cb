// `store`: where sessions are kept. SPEC: CFG2, STO1
import { z } from 'zod'
import { duration } from './scalar.ts'

export const store = z.strictObject({
  embedded: z.strictObject({
    file: z.string().min(1).prefault('narrowgate.db').describe('A file in `stateDir`, or `:memory:`, which needs `ephemeral: true`'),
  }).prefault({}).describe('A database of this process alone'),
  hold: z.strictObject({
    streams: duration().prefault('30s').describe('How long open exchanges wait for a store that does not answer'),
  }).prefault({}).describe('Patience'),
})
