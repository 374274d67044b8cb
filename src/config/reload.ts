// What a running gateway cannot change: a reload that would is refused whole, and the old configuration stays. SPEC: CFG10
import type { ListenerSettings, Settings } from './settings.ts'

const socketsOf = (listeners: readonly ListenerSettings[]): string =>
  listeners.map(({ host, port, serves, tls }) => `${host}:${port} ${[...serves].sort().join(',')} ${tls === null ? 'http' : 'https'}`).sort().join('\n')

/** Why this reload must not be taken; null when it may. */
export function reloadRefusal(before: Settings, after: Settings): string | null {
  if (before.store.file !== after.store.file || before.store.holdStreams !== after.store.holdStreams || before.ephemeral !== after.ephemeral) return 'a reload cannot change `store`: restart the gateway'
  if (before.stateDir !== after.stateDir) return 'a reload cannot change `stateDir`: restart the gateway'
  if (socketsOf(before.listeners) !== socketsOf(after.listeners)) return 'a reload cannot change the address of a listener or what it serves: restart the gateway'
  return null
}
