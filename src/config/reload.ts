// What a running gateway cannot change: a reload that would is refused whole, and the old configuration stays. SPEC: CFG10
import type { ListenerSettings, Settings } from './settings.ts'

const socketsOf = (listeners: readonly ListenerSettings[]): string =>
  listeners.map(({ name, host, port, serves, tls, protocols, proxyProtocol, forwardedCertificates }) => {
    const certificates = `${tls?.clients == null ? 'unasked' : 'asked'} ${forwardedCertificates ?? 'untold'}` // Node asks clients, or does not, from the start on
    return `${name} ${host}:${port} ${[...serves].sort().join(',')} ${tls === null ? 'http' : 'https'} ${protocols.join(',')} ${proxyProtocol ? 'proxied' : 'direct'} ${certificates}`
  }).sort().join('\n')

const LIMITS = ['headerBytes', 'headers', 'headersTimeout', 'idleTimeout', 'connections', 'streamsPerConnection', 'mirroredSessions'] as const

/** What is taken at the start alone: how a refusal calls it, and its values. */
const FIXED: readonly (readonly [name: string, of: (settings: Settings) => unknown])[] = [
  ['`stateDir`', ({ stateDir }) => stateDir],
  ['`store`', ({ store, ephemeral }) => [store.home, store.lease, store.macKeyFiles, ephemeral]],
  ['`server.workers`', ({ workers }) => workers],
  ['the name or address of a listener, what it serves, what it speaks or whether certificates are shown to it', ({ listeners }) => socketsOf(listeners)],
  ...LIMITS.map(limit => [`\`server.limits.${limit}\``, ({ limits }: Settings) => limits[limit]] as const),
  ['`context`', ({ context }) => context],
  ['`audit`', ({ audit }) => audit],
]

/** Why this reload must not be taken; null when it may. */
export function reloadRefusal(before: Settings, after: Settings): string | null {
  const changed = FIXED.find(([, of]) => JSON.stringify(of(before)) !== JSON.stringify(of(after)))
  return changed === undefined ? null : `a reload cannot change ${changed[0]}: restart the gateway`
}
