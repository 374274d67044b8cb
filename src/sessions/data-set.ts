// The data set of one gateway: opened from its settings, installed by whoever sets the gateway up, accepted again after a loss.
// Never used by two processes at once. SPEC: STO8
import type { Settings } from '../config/settings.ts'
import { type Clock, SystemClock } from '../runtime/clock.ts'
import { acceptLoss as liftBirth, installStore } from './birth.ts'
import { type EmbeddedStore, openEmbeddedStore } from './embedded-store.ts'
import { Ledger } from './ledger.ts'
import { Mirror } from './mirror.ts'
import type { SessionStore } from './store.ts'

/** @throws StoreFault when the store is in use or damaged */
export const openStore = ({ store, ephemeral }: Settings, clock: Clock): EmbeddedStore => openEmbeddedStore({ file: store.file, clock, ephemeral })

/** A value that lives with the data set, made at its first use. */
export async function keptOr(store: SessionStore, name: string, make: () => string | Promise<string>): Promise<string> {
  const kept = await store.kept(name)
  if (kept !== null) return kept
  const made = await make()
  await store.keep(name, made)
  return made
}

/** What the data set of a gateway that is not running keeps under a name, or null. @throws StoreFault when the store is in use or damaged */
export async function readKept(settings: Settings, name: string): Promise<string | null> {
  const store = openStore(settings, new SystemClock())
  try {
    return await store.kept(name)
  } finally {
    await store.close()
  }
}

/** `store init`: the first installation. @throws StoreFault when the store is in use or damaged */
export async function initStore(settings: Settings): Promise<'installed' | 'exists'> {
  const store = openStore(settings, new SystemClock())
  try {
    return await installStore(store)
  } finally {
    await store.close()
  }
}

/** `store accept-loss`: credentials from before the data set's birth may be used again. */
export async function acceptLoss(settings: Settings, by: string, reason: string): Promise<'accepted' | 'nothing'> {
  const clock = new SystemClock()
  const store = openStore(settings, clock)
  try {
    return await liftBirth(store, new Ledger(store, new Mirror(store, settings.policy, 1), clock), by, reason)
  } finally {
    await store.close()
  }
}
