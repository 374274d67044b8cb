// Every operation with its route. The compiler lists what a new operation must answer. SPEC: ADM18
import { told } from '../answer.ts'
import type { OperationName } from '../contract.ts'
import { livez, metrics, readyz } from '../health.ts'
import { ANCHOR_HANDLERS } from './anchors.ts'
import { BROKERED_HANDLERS } from './brokered.ts'
import { CONFIGURATION_HANDLERS } from './configuration.ts'
import { ELEVATION_HANDLERS } from './elevations.ts'
import type { Handlers } from './handler.ts'
import { explained } from './explain.ts'
import { LOCK_HANDLERS } from './locks.ts'
import { PRINCIPAL_HANDLERS } from './principals.ts'
import { REPORT_HANDLERS } from './reports.ts'
import { REVIEW_HANDLERS } from './reviews.ts'
import { SESSION_HANDLERS } from './sessions.ts'
import { SIGNAL_HANDLERS } from './signals.ts'
import { STEP_UP_HANDLERS } from './step-ups.ts'
import { TOOL_HANDLERS } from './tools.ts'
import { WINDOW_HANDLERS } from './windows.ts'

export const HANDLERS: Handlers<OperationName> = {
  ...SESSION_HANDLERS, ...PRINCIPAL_HANDLERS, ...BROKERED_HANDLERS, ...ELEVATION_HANDLERS, ...LOCK_HANDLERS, ...SIGNAL_HANDLERS, ...ANCHOR_HANDLERS, ...WINDOW_HANDLERS, ...REVIEW_HANDLERS, ...STEP_UP_HANDLERS, ...TOOL_HANDLERS, ...REPORT_HANDLERS, ...CONFIGURATION_HANDLERS,
  'explain': explained,
  'event.watch': ({ streams }) => streams.answer(),
  'audit.checkpoint': ({ room }) => told({ ...room.head(), path: room.trailFile }),
  'health.live': () => livez(),
  'health.ready': ({ room }) => readyz(room),
  'health.metrics': ({ room }) => metrics(room),
}
