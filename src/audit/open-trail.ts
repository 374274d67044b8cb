// Opens the trail of one gateway from its settings, against the head that is kept elsewhere under its name. The name is made at the first start and
// stays: one that is damaged is told, never replaced, for a gateway of another name would not miss its last lines. SPEC: AUD6, AUD8, AUD11
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Settings } from '../config/settings.ts'
import type { Clock } from '../runtime/clock.ts'
import { newGatewayId } from '../runtime/id.ts'
import type { Log } from '../runtime/log.ts'
import { readSecretFile, writeSecretFile } from '../runtime/secret-file.ts'
import { SYSTEM_DISK } from './appender.ts'
import { type HeadStore, keptHead } from './head-keeper.ts'
import { Recording } from './recording.ts'
import { RESERVE_BYTES, Trail } from './trail.ts'

const NAME = /^gw_[a-z2-7]{26}$/

const isAbsent = (error: unknown): boolean => error instanceof Error && error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'ENOENT'

/** What the file holds, or null when there is none. @throws Error naming the file when it holds no name */
export async function keptGatewayName(file: string): Promise<string | null> {
  const name = await readSecretFile(file, 1_024).catch((error: unknown) => {
    if (isAbsent(error)) return null
    throw error
  })
  if (name !== null && !NAME.test(name)) throw new Error(`${file}: holds no name of a gateway: restore it (the lines of its trail have it), or remove it, and a missing end of the trail is not noticed once`)
  return name
}

/** The name of the gateway that writes beside this file, made and written where there is none. @throws Error naming the file */
export async function gatewayName(file: string): Promise<string> {
  const kept = await keptGatewayName(file)
  if (kept !== null) return kept
  const made = newGatewayId()
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeSecretFile(file, `${made}\n`)
  return made
}

/** @throws AuditDamaged, the system's error, or whatever the store throws */
export async function openTrail({ audit }: Settings, gateway: string, { store, clock, log }: { readonly store: HeadStore; readonly clock: Clock; readonly log: Log }): Promise<Trail> {
  const { file, maxBytes } = audit.trail
  return Trail.open({ file, gateway, maxBytes, reserveBytes: RESERVE_BYTES, known: await keptHead(store, gateway) }, {
    clock, disk: SYSTEM_DISK, warn: (text, cause) => log.warn({ cause: cause instanceof Error ? cause.message : null }, text),
  })
}

/** Nothing is opened before something has to be recorded. @param failed hears once of each failure of the sink */
export function openRecording({ audit }: Settings, gateway: string, { clock, log, failed }: { readonly clock: Clock; readonly log: Log; readonly failed: () => void }): Recording {
  const { file, maxBytes } = audit.recording
  const recording = new Recording({ file, gateway, maxBytes }, { now: () => clock.now(), disk: SYSTEM_DISK, warn: (text, cause) => log.error({ cause: cause instanceof Error ? cause.message : null }, text) })
  recording.onFailed = failed
  return recording
}
