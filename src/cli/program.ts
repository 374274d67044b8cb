// Every command, in the order of the help. docs/cli.md is made from this tree. SPEC: ADM10
import { Command } from 'commander'
import { auditCommand } from './commands/audit.ts'
import { configCommand, schemaCommand, validateCommand } from './commands/configuration.ts'
import { approveCommand, reviewCommand } from './commands/deciding.ts'
import { anchorCommand, elevationCommands } from './commands/elevations.ts'
import { execCommand } from './commands/exec.ts'
import { describeCommand, getCommand, watchCommand } from './commands/get.ts'
import { healthCommand, versionCommand } from './commands/health.ts'
import { reportCommand } from './commands/report.ts'
import { demoCommand, runCommand, storeCommand } from './commands/run.ts'
import { selfCommand } from './commands/self.ts'
import { completeCommand, sessionCommand } from './commands/sessions.ts'
import { tokenCommand } from './commands/token.ts'
import { acceptToolCommand } from './commands/tools.ts'
import { clearCommand, explainCommand, scoreCommand } from './commands/trust.ts'
import { verbCommands } from './commands/verbs.ts'
import { windowCommand } from './commands/windows.ts'
import type { Terminal } from './terminal.ts'

export function buildProgram(terminal: Terminal): Command {
  const group = (name: string, build: (command: Command, terminal: Terminal) => Command): Command => build(new Command(name), terminal)
  const commands: readonly Command[] = [
    runCommand(terminal), validateCommand(terminal), demoCommand(terminal), group('token', tokenCommand), group('store', storeCommand),
    group('get', getCommand), group('describe', describeCommand), watchCommand(terminal), explainCommand(terminal), group('clear', clearCommand), scoreCommand(terminal),
    group('session', sessionCommand), completeCommand(terminal), ...elevationCommands(terminal), approveCommand(terminal), reviewCommand(terminal), ...verbCommands(terminal), group('anchor', anchorCommand), execCommand(terminal), group('self', selfCommand), group('window', windowCommand), acceptToolCommand(terminal),
    group('config', configCommand), group('audit', auditCommand), group('report', reportCommand), schemaCommand(terminal), healthCommand(terminal), versionCommand(terminal),
  ]
  const program = new Command('narrowgate').description('A gateway that narrows, freezes and cuts live sessions.')
  for (const command of commands) program.addCommand(command)
  return program
}
