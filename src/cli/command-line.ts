// One command from its words to its exit code. Whatever goes wrong ends here as one line on stderr and a number; never a stack. SPEC: ADM10
import { type Command, CommanderError } from 'commander'
import { CommandEnded, EXIT, type Exit, Failure } from './exit-code.ts'
import { buildProgram } from './program.ts'
import type { Terminal } from './terminal.ts'

const SHOWN: ReadonlySet<string> = new Set(['commander.helpDisplayed', 'commander.version'])

/** Settings of a command are not inherited by those added to it ready-made. */
function each(command: Command, configure: (command: Command) => void): void {
  configure(command)
  for (const child of command.commands) each(child, configure)
}

function ended(error: unknown, { err }: Terminal): Exit {
  if (error instanceof CommanderError) return SHOWN.has(error.code) ? 'ok' : 'usage' // commander has said why
  err(`${error instanceof Error ? error.message : String(error)}\n`)
  return error instanceof Failure ? error.exit : 'failure'
}

/** @param words without the program's name. @returns the exit code */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  const program = buildProgram(terminal)
  each(program, command => command.exitOverride().showSuggestionAfterError().configureOutput({ writeOut: terminal.out, writeErr: terminal.err, getOutHasColors: () => false, getErrHasColors: () => false }))
  try {
    await program.parseAsync([...words], { from: 'user' })
    return EXIT.ok
  } catch (error) {
    return error instanceof CommandEnded ? error.code : EXIT[ended(error, terminal)]
  }
}
