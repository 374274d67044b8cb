// The whole file, declared once: validation, types, JSON Schema and the reference come from here. SPEC: CFG2
import { z } from 'zod'
import { admin } from './admin.ts'
import { authn } from './authn.ts'
import { elevations } from './elevations.ts'
import { notify } from './notify.ts'
import { audit, context, telemetry } from './outputs.ts'
import { risk } from './risk.ts'
import { routes } from './routes.ts'
import { server } from './server.ts'
import { brokers, identities, purposes, sessions } from './sessions.ts'
import { store } from './store.ts'
import { decisions, pdps } from './decisions.ts'
import { signals } from './signals.ts'
import { tickets } from './tickets.ts'
import { upstreams } from './upstreams.ts'
import { windows } from './windows.ts'

export const document = z.strictObject({
  version: z.literal(1, { error: 'this version reads `version: 1`' }).describe('Version of this form'),
  stateDir: z.string().min(1).prefault('./narrowgate-state').describe('Directory for everything that must survive; relative to the working directory'),
  ephemeral: z.boolean().prefault(false).describe('Nothing needs to survive: sessions may be kept in memory'),
  server: server.prefault({}).describe('Where it listens, and its limits'),
  admin: admin.prefault({}).describe('Operators'),
  store: store.prefault({}).describe('Where sessions are kept'),
  authn: authn.prefault({}).describe('Whose credentials count, by provider name'),
  sessions: sessions.prefault({}).describe('What a session is, and what it may do at rest'),
  purposes: purposes.prefault({}).describe('Where requests show what they are for, by kind'),
  brokers: brokers.prefault({}).describe('Who may open sessions for others, for one task (`POST /v1/sessions`); their tokens count where a provider with `sessionToken` is named'),
  identities: identities.prefault([]).describe('Sets of `issuer|subject` that are one person: nobody of a set approves another’s request'),
  upstreams: upstreams.prefault({}).describe('What can be reached, by name'),
  routes: routes.describe('Which requests are known'),
  elevations: elevations.prefault({}).describe('What can be added for a while, by profile name'),
  windows: windows.prefault({}).describe('When something may be open, by name: days and times of a time zone, less exceptions'),
  risk: risk.prefault({}).describe('How far callers are trusted by what they do, and what follows'),
  tickets: tickets.prefault({}).describe('Where tickets are asked about, by connector name'),
  signals: signals.prefault({}).describe('News from outside'),
  pdps: pdps.prefault({}).describe('Policy decision points that routes ask (AuthZEN 1.0), by name'),
  decisions: decisions.prefault({}).describe('Decisions for others: AuthZEN 1.0, and forward authentication for other proxies'),
  notify: notify.prefault({}).describe('Where people are told about elevations, by channel name'),
  context: context.prefault({}).describe('What upstreams are told about the caller'),
  audit: audit.prefault({}).describe('What is put on record'),
  telemetry: telemetry.prefault({}).describe('What is told about the gateway itself'),
})

export type Config = z.output<typeof document>
