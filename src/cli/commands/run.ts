// run: a gateway in this process until SIGTERM or SIGINT; SIGHUP reloads. store init and accept-loss: the word of whoever installs it. SPEC: ADM10, CFG10
import { Command } from 'commander'
import { EXIT, Failure } from '../exit-code.ts'
import type { Terminal } from '../terminal.ts'
import { type FileOptions, loadOrFail } from './configuration.ts'

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

async function run(terminal: Terminal, file: string): Promise<void> {
  const { stopped, reloads, release } = listenForSignals(terminal)
  try {
    const { settings, source } = await loadOrFail(terminal, file)
    const { openGateway } = await import('../../gateway.ts')
    const gateway = await openGateway({ settings, source })
    reloads(() => void gateway.reload('SIGHUP')) // what is wrong with it is logged there
    await gateway.close(await stopped)
  } finally {
    release()
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
