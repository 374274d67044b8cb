// `context`, `audit`, `telemetry`: what leaves the gateway about its work. SPEC: CFG2, AUD1
import { z } from 'zod'
import { duration, filePath, size } from './scalar.ts'

export const context = z.strictObject({
  keyFile: filePath().optional().describe('Ed25519 key (PEM) that signs what upstreams are told; without it one is made and kept with the state. Read again when it changes: the new key is published at once and signs five minutes later'),
  previousKeyFile: filePath().optional().describe('Another one that is published and never signs, beside `keyFile`: the one before, or the one that comes'),
  rotate: z.union([z.literal(false), duration({ least: '1h' })]).optional().describe('Age at which the key kept with the state makes way for a new one; `false` keeps it. Default `30d`; not with `keyFile`'),
  issuer: z.string().min(1).prefault('narrowgate').describe('Its `iss` claim'),
})

export const audit = z.strictObject({
  trail: z.strictObject({
    file: filePath().prefault('trail.jsonl').describe('Everything about known sessions; relative to `stateDir`'),
    fsync: z.boolean().prefault(false).describe('Elevated requests wait until their record is on disk'),
    maxBytes: size(4096).prefault('1GiB').describe('Size at which a file is rotated'),
  }).prefault({}).describe('The trail'),
  noise: z.strictObject({
    file: filePath().prefault('noise.jsonl').describe('Refusals without a session; relative to `stateDir`'),
    maxBytes: size(4096).prefault('256MiB').describe('Size at which it starts anew'),
  }).prefault({}).describe('The noise'),
  recording: z.strictObject({
    file: filePath().prefault('recording.jsonl').describe('Every byte of what profiles with `recording: required` carry; relative to `stateDir`'),
    maxBytes: size(1024 * 1024).prefault('1GiB').describe('Size at which a file is rotated'),
  }).prefault({}).describe('The recording'),
})

export const telemetry = z.strictObject({
  logs: z.strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).prefault('info').describe('Least level that is written'),
  }).prefault({}).describe('Logs'),
})
