// A worker as a process of its own. The primary accepts and hands each connection to the next worker that took its last one, round robin: port 0 is one
// port for all, an address in use is noticed, long connections are spread evenly, and a death or a hang costs one offered connection per listener.
// With SO_REUSEPORT each worker has a queue that dies with it, or fills behind it while it hangs; a hash places long connections; a second gateway
// may share the port unnoticed. A shared handle without round robin gives most connections to whoever woke last. SPEC: ADM20
import cluster from 'node:cluster'
import type { Child, Ears } from './fleet.ts'
import type { Seat, ToPrimary } from './messages.ts'

export const SEAT = 'NARROWGATE_WORKER'
export const ALONE = 'NARROWGATE_WORKER_ALONE'

/** Runs this very program again, with its words. Its end is told once. */
export function forkWorker({ index, alone }: Seat, ears: Ears): Child {
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({ serialization: 'advanced' })
  const worker = cluster.fork({ [SEAT]: String(index), [ALONE]: alone ? '1' : '' })
  const ended = Promise.withResolvers<readonly [code: number | null, signal: string | null]>()
  worker.on('message', (message: ToPrimary) => ears.said(message)) // our own program says nothing else
  worker.once('exit', (code: number | null, signal: string | null) => ended.resolve([code, signal]))
  worker.on('error', () => { if (worker.process.pid === undefined) ended.resolve([null, null]) }) // the system could not start it
  void ended.promise.then(([code, signal]) => ears.ended(code, signal))
  return {
    pid: worker.process.pid ?? 0,
    say: message => { if (worker.isConnected()) worker.send(message, () => undefined) }, // lost on one that ends meanwhile: its end is told
    kill: () => void worker.process.kill('SIGKILL'),
  }
}
