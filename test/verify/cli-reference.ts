// docs/cli.md, made from the tree of commands in src/cli/program.ts. Written by `npx vitest run --project verify -u`, diffed by CI.
import type { Argument, Command, Option } from 'commander'
import { EXIT, EXIT_SAYS, type Exit } from '../../src/cli/exit-code.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { DEFAULT_SERVER, DEFAULT_TOKEN_FILE } from '../../src/cli/remote.ts'

const OPENING = `# Command line

\`narrowgate <command>\`; in a checkout \`npm run narrowgate -- <command>\`. Made from \`src/cli/program.ts\`; do not edit.

Commands that ask a running gateway take \`--server\` (else \`$NARROWGATE_SERVER\`, else \`${DEFAULT_SERVER}\`), \`--token-file\` (else
\`$NARROWGATE_TOKEN_FILE\`, else \`${DEFAULT_TOKEN_FILE}\`) and \`--timeout\`. Data goes to stdout as \`-o table\`, \`json\` or \`yaml\`, talk to stderr; there are no colours, with or without
\`NO_COLOR\`. Verbs on a selector instead of a session id are locks: \`freeze subject=https://idp.example|agent-7\`; \`resume\`, \`widen\` and \`unlock\` lift them.
`

const SHARED: ReadonlySet<string> = new Set(['--server', '--token-file', '--timeout', '--output'])

function leaves(command: Command, above: readonly string[]): readonly { readonly words: string; readonly command: Command }[] {
  const own = [...above, command.name()]
  return command.commands.length === 0 ? [{ words: own.join(' '), command }] : command.commands.flatMap(child => leaves(child, own))
}

const argumentText = (argument: Argument): string => `<${argument.name()}>`
const cell = (text: string): string => text.replaceAll('|', '\\|')

function optionText({ flags, description, mandatory, defaultValue }: Option): string {
  const plain = typeof defaultValue === 'string' || (Array.isArray(defaultValue) && defaultValue.length > 0)
  return `- \`${flags}\`${mandatory ? ' (required)' : ''}: ${description}${plain ? `; default \`${String(defaultValue)}\`` : ''}\n`
}

function commandText(words: string, command: Command): string {
  const usage = [words, ...command.registeredArguments.map(argumentText)].join(' ')
  const own = command.options.filter(({ long }) => !SHARED.has(long ?? ''))
  const asks = command.options.some(({ long }) => long === '--server') ? '' : ' Needs no running gateway.'
  const details = [...command.registeredArguments.flatMap(argument => (argument.description === '' ? [] : [`- \`<${argument.name()}>\`: ${argument.description}\n`])), ...own.map(optionText)]
  return `### ${usage}\n\n${command.description()}.${asks}\n${details.length === 0 ? '' : `\n${details.join('')}`}`
}

export function cliReference(): string {
  const program = buildProgram({ out: () => {}, err: () => {}, env: {}, quit: () => {}, onSignal: () => () => {}, demo: async () => true })
  const commands = program.commands.flatMap(command => leaves(command, []))
  const exits = (Object.keys(EXIT) as readonly Exit[]).map(exit => `| ${EXIT[exit]} | ${EXIT_SAYS[exit]} |\n`) // keys of the closed list
  const rows = commands.map(({ words, command }) => `| \`${words}\` | ${cell(command.description())} |\n`)
  return `${OPENING}\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n${exits.join('')}\n## Commands\n\n| command | it does |\n| --- | --- |\n${rows.join('')}\n${commands.map(({ words, command }) => commandText(words, command)).join('\n')}`
}
