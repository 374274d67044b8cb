// Opens the trail of one gateway from its settings, against the head that is kept elsewhere. SPEC: AUD6, AUD8
import type { Settings } from '../config/settings.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { SYSTEM_DISK } from './appender.ts'
import { type HeadStore, keptHead } from './head-keeper.ts'
import { RESERVE_BYTES, Trail } from './trail.ts'

/** @throws AuditDamaged, the system's error, or whatever the store throws */
export async function openTrail({ audit }: Settings, gateway: string, { store, clock, log }: { readonly store: HeadStore; readonly clock: Clock; readonly log: Log }): Promise<Trail> {
  const { file, maxBytes } = audit.trail
  return Trail.open({ file, gateway, maxBytes, reserveBytes: RESERVE_BYTES, known: await keptHead(store) }, {
    clock, disk: SYSTEM_DISK, warn: (text, cause) => log.warn({ cause: cause instanceof Error ? cause.message : null }, text),
  })
}
