// What is listened to while the store is not there yet: probes alone, on the listeners that serve nothing else. Alive and not ready, with the reason.
// Never serves a caller or an operator; makes way for the real listeners on the same addresses. SPEC: ADM16, ADM19
import { healthHandler, healthServices } from './admin/health.ts'
import { ControlListener } from './admin/listener.ts'
import type { ListenerSettings, Settings } from './config/settings.ts'
import { bindProblem } from './front.ts'
import { readCertificate } from './proxy/certificate.ts'
import type { Clock } from './runtime/clock.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import { type DataSet, openStore } from './sessions/data-set.ts'
import type { Seat } from './workers/messages.ts'

export type WaitingRoom = {
  /** What is missing, in words for people. Logged when it changes. */
  readonly says: (reason: string) => void
  /** From its end on the addresses are free. */
  readonly close: () => Promise<void>
}

const forProbes = (listener: ListenerSettings): boolean => listener.serves.includes('health') && healthServices(listener).length === listener.serves.length

/** @throws Error naming the listener that cannot be opened; those that were are closed again */
export async function waitingRoom({ listeners }: Settings, log: Log): Promise<WaitingRoom> {
  let missing = 'not reached yet'
  const room = { ready: () => ({ ok: false, checks: { gateway: 'starting', store: missing } }), metrics: null, log }
  const opened: ControlListener[] = []
  const close = async (): Promise<void> => {
    for (const listener of opened.splice(0)) listener.close()
  }
  for (const settings of listeners.filter(forProbes)) await open(settings).catch(async (error: unknown) => { await close(); throw error })
  return { says, close }

  async function open(settings: ListenerSettings): Promise<void> {
    const { host, port } = settings
    const listener = new ControlListener({ host, port, tls: await readCertificate(settings), handler: healthHandler(room, healthServices(settings)) })
    opened.push(listener)
    await listener.listen().catch((error: unknown) => { throw bindProblem(settings, error) })
  }

  function says(reason: string): void {
    if (reason !== missing) log.warn({ reason }, 'waiting for the store')
    missing = reason
  }
}

/** The store as soon as it can be reached; meanwhile probes are told what is missing. */
export async function reached({ settings, clock, seat }: { readonly settings: Settings; readonly clock: Clock; readonly seat: Seat | null }, metrics: Metrics, log: Log, configuration: () => string): Promise<{ readonly store: DataSet; readonly clock: Clock }> {
  const alone = settings.store.home.is === 'redis' && seat?.alone !== false // beside others that are ready, one that is not stays silent
  let waiting = alone ? await waitingRoom(settings, log) : null
  let last = ''
  const says = (text: string): void => {
    waiting?.says(text)
    if (waiting === null && text !== last) log.warn({ store: text }, 'the store')
    last = text
  }
  try {
    return await openStore(settings, { clock, metrics: metrics.store, configuration, observes: false, says })
  } finally {
    await waiting?.close()
    waiting = null
  }
}
