// run: a gateway until SIGTERM or SIGINT, in this process or in workers of their own; SIGHUP reloads. store init and accept-loss: the word of
// whoever installs it. SPEC: ADM10, ADM20, CFG10
import { Command } from 'commander'
import type { ConfigSource } from '../../config/source.ts'
import { formatProblem } from '../../config/problem.ts'
import type { Settings } from '../../config/settings.ts'
import { WorkerLink } from '../../workers/link.ts'
import { settingsOfWorker } from '../../workers/worker-settings.ts'
import { EXIT, type Exit, Failure } from '../exit-code.ts'
import type { Terminal } from '../terminal.ts'
import { type FileOptions, loadOrFail } from './configuration.ts'

type Loaded = { readonly settings: Settings; readonly source: ConfigSource }

const CONFIG = ['-c, --config <file>', 'the configuration'] as const

type Signals = {
  /** The first signal that ends the process. A second one ends it at once. */
  readonly stopped: Promise<string>
  /** From now on SIGHUP reloads, and one that came before does it now. */
  readonly reloads: (reload: () => void) => void
  readonly release: () => void
}

/** Listens from here on: a signal that comes before the gateway is open is remembered and kills nothing. */
function listenForSignals({ onSignal, err, quit }: Terminal): Signals {
  const { promise, resolve } = Promise.withResolvers<string>()
  let stops = 0
  const stop = (name: string) => (): void => {
    stops++
    if (stops === 1) return resolve(name)
    err(`${name} again: stopped before everything was drained\n`)
    quit(EXIT.failure)
  }
  let early = false
  let onReload = (): void => { early = true }
  const reloads = (reload: () => void): void => {
    onReload = reload
    if (early) reload()
  }
  const releases = [onSignal('SIGTERM', stop('SIGTERM')), onSignal('SIGINT', stop('SIGINT')), onSignal('SIGHUP', () => onReload())]
  return { stopped: promise, reloads, release: () => releases.forEach(release => release()) }
}

/** How long opening may still take when it was told to stop: a store that is not there does not keep a process from ending. */
const OPEN_WITHIN = 5_000

function quitUnlessOpen({ err, quit }: Terminal, opening: Promise<unknown>, stopped: Promise<string>): void {
  let waiting = true
  opening.finally(() => { waiting = false }).catch(() => undefined) // told to whoever opens
  void stopped.then(name => setTimeout(() => {
    if (!waiting) return
    err(`${name}: stopped before the gateway was open\n`)
    quit(EXIT.ok)
  }, OPEN_WITHIN).unref())
}

/** @param link null in a process of its own */
async function serve(terminal: Terminal, { settings, source }: Loaded, { stopped, reloads }: Pick<Signals, 'stopped' | 'reloads'>, link: WorkerLink | null): Promise<void> {
  const { openGateway } = await import('../../gateway.ts')
  const options = { settings: link === null ? settings : settingsOfWorker(settings, link.seat), source, seat: link?.seat ?? null }
  const opening = openGateway(options)
  quitUnlessOpen(terminal, opening, stopped)
  const gateway = await opening
  reloads(() => void gateway.reload('SIGHUP')) // what is wrong with it is logged there
  link?.ready({ metrics: gateway.parts.metrics, open: () => gateway.parts.inflight.size })
  await gateway.close(await stopped)
}

async function runWorker(terminal: Terminal, file: string, link: WorkerLink): Promise<void> {
  const deaf = (['SIGTERM', 'SIGINT', 'SIGHUP'] as const).map(name => terminal.onSignal(name, () => undefined)) // the primary passes them on
  try {
    const loaded = await loadOrFail({ ...terminal, err: () => undefined }, file) // the primary has told the warnings
    await serve(terminal, loaded, { stopped: link.stopped, reloads: reload => link.reloads(reload) }, link)
  } finally {
    link.release()
    for (const hear of deaf) hear()
  }
}

const exitOf = (code: number): Exit => (Object.keys(EXIT) as Exit[]).find(name => EXIT[name] === code) ?? 'failure' // keys of that table

/** @param held gets the way to end all of them at once */
async function runWorkers({ settings, source }: Loaded, { stopped, reloads }: Signals, held: (kill: () => void) => void): Promise<void> {
  const [{ Fleet }, { forkWorker }, { PrimaryMetrics }, { openLog }] = await Promise.all([import('../../workers/fleet.ts'), import('../../workers/fork.ts'), import('../../runtime/metrics.ts'), import('../../runtime/log.ts')])
  const refusal = (): string | null => {
    const loaded = source.reload()
    return loaded.ok ? null : loaded.problems.map(formatProblem).join('\n')
  }
  const fleet = new Fleet(settings.workers, { fork: forkWorker, log: openLog(settings.logLevel), metrics: new PrimaryMetrics(), refusal })
  held(() => fleet.kill())
  fleet.start()
  reloads(() => fleet.reload())
  void stopped.then(name => fleet.stop(name))
  const code = await fleet.over
  if (code !== 0) throw new Failure(exitOf(code), `a worker ended with ${code}`)
}

async function run(terminal: Terminal, file: string): Promise<void> {
  const link = WorkerLink.open(terminal.env)
  if (link !== null) return runWorker(terminal, file, link)
  let kill = (): void => undefined
  const quit = (exit: number): void => {
    kill()
    terminal.quit(exit)
  }
  const signals = listenForSignals({ ...terminal, quit })
  try {
    const loaded = await loadOrFail(terminal, file)
    if (loaded.settings.workers === 1) await serve(terminal, loaded, signals, null)
    else await runWorkers(loaded, signals, all => { kill = all })
  } finally {
    signals.release()
  }
}

export const runCommand = (terminal: Terminal): Command =>
  new Command('run').description('run a gateway; SIGHUP reloads, SIGTERM drains').requiredOption(...CONFIG).action(({ config }: FileOptions) => run(terminal, config))

function storeInit(terminal: Terminal): Command {
  return new Command('init').description('first installation: a new data set accepts credentials that were issued before it').requiredOption(...CONFIG).action(async ({ config }: FileOptions) => {
    const { settings } = await loadOrFail(terminal, config)
    const { initStore } = await import('../../sessions/data-set.ts')
    if ((await initStore(settings)) === 'exists') throw new Failure('conflict', 'the data set is in use already; after a loss it is `store accept-loss`')
    terminal.err('the store is ready\n')
  })
}

function storeAcceptLoss(terminal: Terminal): Command {
  return new Command('accept-loss').description('after the store was lost: credentials from before may be used again, also ones that had been revoked').requiredOption(...CONFIG).requiredOption('--reason <text>', 'why; it stands in the audit trail')
    .option('--by <name>', 'who says so', 'operator').action(async ({ config, reason, by }: FileOptions & { readonly reason: string; readonly by: string }) => {
      const { settings } = await loadOrFail(terminal, config)
      const { acceptLoss } = await import('../../sessions/data-set.ts')
      if ((await acceptLoss(settings, by, reason)) === 'nothing') throw new Failure('conflict', 'no loss waits to be accepted: credentials from before are not refused')
      terminal.err('credentials from before the loss may be used again\n')
    })
}

export const storeCommand = (store: Command, terminal: Terminal): Command =>
  store.description('the session store of this machine; the gateway must not run').addCommand(storeInit(terminal)).addCommand(storeAcceptLoss(terminal))

export const demoCommand = (terminal: Terminal): Command =>
  new Command('demo').description('play the story in the terminal: gateway, upstream and issuer on loopback').option('--stay', 'leave the set-up running').action(async ({ stay }: { readonly stay?: boolean }) => {
    if (!(await terminal.demo({ stay: stay === true }))) throw new Failure('failure', 'a step was not observed')
  })
