// What follows from news from outside, as it is written wherever news is mapped. SPEC: CFG2, OUT3
import { z } from 'zod'
import { MEANS } from '../../core/step-up.ts'
import { duration, list, scope } from './scalar.ts'

export const SIGNAL_ACTS = ['terminate', 'freeze', 'narrow', 'shorten', 'endElevations', 'reproof', 'claims', 'risk', 'notify'] as const
export type SignalAct = (typeof SIGNAL_ACTS)[number]

export const acts = z.strictObject({
  do: z.array(z.enum(SIGNAL_ACTS), { error: 'expected a list' }).max(SIGNAL_ACTS.length).describe('What follows for each session that is meant, in the order of this reference; an empty list is nothing'),
  freezeFor: duration({ least: '1s', most: '365d' }).optional().describe('With `freeze`: without it as long as sessions are frozen'),
  narrowTo: list(scope(), 64).optional().describe('With `narrow`: what is left; default the baseline'),
  shortenTo: duration({ least: '1s', most: '30d' }).optional().describe('With `shorten`: what is left of the session at most; default 5m'),
  scopes: list(scope(), 64).optional().describe('With `endElevations`: those that add one of these; default all'),
  by: list(z.enum(MEANS), MEANS.length).optional().describe('With `reproof`: by what a session may go on; default as in `risk.stepUp`'),
  points: z.number({ error: 'expected a number of points' }).min(0).max(1_000).optional().describe('With `risk`: points of its principal, in the place of the earlier ones of the same source'),
})
