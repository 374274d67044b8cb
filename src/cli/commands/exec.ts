// exec: an elevation that lives exactly as long as a command. What the command is told stands in its environment; its input, output and exit code are its own.
// SPEC: ADM24, ELV15
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { type Command, Option } from 'commander'
import type { Json } from '../admin-client.ts'
import { type AskOptions, askedFor, asking, callerCommand, openCaller, spanOf } from '../caller.ts'
import { CommandEnded } from '../exit-code.ts'
import { HeldElevation } from '../held-elevation.ts'
import type { Terminal } from '../terminal.ts'

type ExecOptions = AskOptions & { readonly elevate: string; readonly wait: string; readonly onEnd: 'continue' | 'terminate' }

const NOT_FOUND = 127
const NOT_STARTED = 126
const SIGNALLED = 128

const FORWARDED = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const

const environment = (env: Terminal['env'], { id, purposes }: HeldElevation): NodeJS.ProcessEnv => ({
  ...env, NARROWGATE_ELEVATION: id, ...Object.fromEntries(Object.entries(purposes).map(([kind, value]) => [`NARROWGATE_${kind.toUpperCase()}`, String(value)])),
})

/** The exit code of whoever ran it, as shells tell it. */
function ended(child: ChildProcess): Promise<number> {
  return new Promise(resolve => {
    child.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ENOENT' ? NOT_FOUND : NOT_STARTED))
    child.once('exit', (code, signal) => resolve(code ?? SIGNALLED + (signal === null ? 0 : constants.signals[signal])))
  })
}

/** A terminal sends its interrupt to both already. */
function forwarding({ onSignal }: Terminal, child: ChildProcess): () => void {
  const stops = FORWARDED.map(signal => onSignal(signal, () => { if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal) }))
  return () => { for (const stop of stops) stop() }
}

/** Until there is a command to be told, a signal takes the request back. */
async function untilStarted(terminal: Terminal, held: HeldElevation, within: number): Promise<void> {
  const interrupted = Promise.withResolvers<never>()
  const stops = FORWARDED.map(signal => terminal.onSignal(signal, () => interrupted.reject(new CommandEnded(SIGNALLED + constants.signals[signal]))))
  try {
    await Promise.race([held.started(within), interrupted.promise])
  } catch (error) {
    await held.giveBack()
    throw error
  } finally {
    for (const stop of stops) stop()
  }
}

const waitsText = ({ id, state, startsAt }: Json): string =>
  state === 'scheduled' ? `narrowgate: the elevation ${String(id)} starts at ${String(startsAt)}\n` : `narrowgate: the elevation ${String(id)} waits for an approval\n`

async function run(terminal: Terminal, { elevate, wait, onEnd, ...options }: ExecOptions, command: string, words: readonly string[]): Promise<number> {
  const { err, env } = terminal
  const within = spanOf('--wait', wait)
  let child: ChildProcess | null = null
  const held = await HeldElevation.ask(await openCaller(terminal, options), askedFor(elevate, options), {
    waits: elevation => err(waitsText(elevation)),
    expiring: (seconds, why) => err(`narrowgate: the elevation ends in ${seconds} s: ${why}\n`),
    ended: reason => {
      if (child === null) return // whoever waits for its start is told otherwise
      err(`narrowgate: the elevation has ended: ${reason}${onEnd === 'terminate' ? '; the command is told to end' : '; the command goes on without it'}\n`)
      if (onEnd === 'terminate') child.kill('SIGTERM')
    },
  })
  await untilStarted(terminal, held, within)
  child = spawn(command, words, { stdio: 'inherit', env: environment(env, held) })
  const stop = forwarding(terminal, child)
  if (held.isOver) child.kill('SIGTERM') // it ended as it began
  const code = await ended(child)
  stop()
  child = null
  if (code === NOT_FOUND || code === NOT_STARTED) err(`narrowgate: ${command} could not be run, or says that it could not\n`)
  if (!(await held.giveBack())) err('narrowgate: the elevation could not be given back; it ends within seconds by itself\n')
  return code
}

export const execCommand = (terminal: Terminal): Command =>
  asking(callerCommand('exec', 'run a command under an elevation that lives exactly as long as it').requiredOption('--elevate <profile>', 'name of the profile'))
    .option('--wait <duration>', 'longest wait for approvals, or for its start', '10m')
    .addOption(new Option('--on-end <what>', 'what happens to the command when the elevation ends before it').choices(['continue', 'terminate']).default('continue'))
    .argument('<command>', 'the command, behind --').argument('[words...]', 'its arguments')
    .action(async (command: string, words: readonly string[], options: ExecOptions) => {
      const code = await run(terminal, options, command, words)
      if (code !== 0) throw new CommandEnded(code)
    })
