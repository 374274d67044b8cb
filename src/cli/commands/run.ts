// run: a gateway in this process until SIGTERM or SIGINT; SIGHUP reloads. store init and accept-loss: the word of whoever installs it. SPEC: ADM10, CFG10
import { Command } from 'commander'
import { Failure } from '../exit-code.ts'
import type { Terminal } from '../terminal.ts'
import { type FileOptions, loadOrFail } from './configuration.ts'

const CONFIG = ['-c, --config <file>', 'the configuration'] as const

/** Settles at the first signal that ends the process; a second one while draining gives up. */
function untilStopped({ onSignal }: Terminal): { readonly stopped: Promise<string>; readonly insisted: Promise<never>; readonly release: () => void } {
  const stopped = Promise.withResolvers<string>()
  const insisted = Promise.withResolvers<never>()
  insisted.promise.catch(() => undefined)
  let signals = 0
  const stop = (name: string) => (): void => {
    signals++
    if (signals === 1) stopped.resolve(name)
    else insisted.reject(new Failure('failure', 'stopped before everything was drained'))
  }
  const releases = [onSignal('SIGTERM', stop('SIGTERM')), onSignal('SIGINT', stop('SIGINT'))]
  return { stopped: stopped.promise, insisted: insisted.promise, release: () => releases.forEach(release => release()) }
}

async function run(terminal: Terminal, file: string): Promise<void> {
  const { settings, source } = await loadOrFail(terminal, file)
  const { openGateway } = await import('../../gateway.ts')
  const gateway = await openGateway({ settings, source })
  const { stopped, insisted, release } = untilStopped(terminal)
  const ignore = terminal.onSignal('SIGHUP', () => void gateway.reload('SIGHUP')) // what is wrong with it is logged there
  try {
    const reason = await stopped
    await Promise.race([gateway.close(reason), insisted])
  } finally {
    ignore()
    release()
  }
}

export const runCommand = (terminal: Terminal): Command =>
  new Command('run').description('run a gateway; SIGHUP reloads, SIGTERM drains').requiredOption(...CONFIG).action(({ config }: FileOptions) => run(terminal, config))

function storeInit(terminal: Terminal): Command {
  return new Command('init').description('first installation: a new data set accepts credentials that were issued before it').requiredOption(...CONFIG).action(async ({ config }: FileOptions) => {
    const { settings } = await loadOrFail(terminal, config)
    const { initStore } = await import('../../gateway.ts')
    if ((await initStore(settings)) === 'exists') throw new Failure('conflict', 'the data set is in use already; after a loss it is `store accept-loss`')
    terminal.err('the store is ready\n')
  })
}

function storeAcceptLoss(terminal: Terminal): Command {
  return new Command('accept-loss').description('after the store was lost: credentials from before may be used again, also ones that had been revoked').requiredOption(...CONFIG).requiredOption('--reason <text>', 'why; it stands in the audit trail')
    .option('--by <name>', 'who says so', 'operator').action(async ({ config, reason, by }: FileOptions & { readonly reason: string; readonly by: string }) => {
      const { settings } = await loadOrFail(terminal, config)
      const { acceptLoss } = await import('../../gateway.ts')
      await acceptLoss(settings, by, reason)
      terminal.err('credentials from before the loss may be used again\n')
    })
}

export const storeCommand = (store: Command, terminal: Terminal): Command =>
  store.description('the session store of this machine; the gateway must not run').addCommand(storeInit(terminal)).addCommand(storeAcceptLoss(terminal))

export const demoCommand = (terminal: Terminal): Command =>
  new Command('demo').description('play the story in the terminal: gateway, upstream and issuer on loopback').option('--stay', 'leave the set-up running').action(async ({ stay }: { readonly stay?: boolean }) => {
    if (!(await terminal.demo({ stay: stay === true }))) throw new Failure('failure', 'a step was not observed')
  })
