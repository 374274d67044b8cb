// validate and schema on this machine; config validate and reload at a running gateway. SPEC: ADM10, CFG2
import { Command } from 'commander'
import type { Loaded } from '../../config/load.ts'
import type { ConfigSource } from '../../config/source.ts'
import { aboutFile, formatProblem, type Problem } from '../../config/problem.ts'
import type { Settings } from '../../config/settings.ts'
import { OPERATIONS } from '../../admin/contract.ts'
import { exitOfStatus, Failure } from '../exit-code.ts'
import type { Json } from '../admin-client.ts'
import { listIn, openClient, outputOption, type OutputOptions, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import { cellText } from '../table-text.ts'
import type { Terminal } from '../terminal.ts'

export type FileOptions = { readonly config: string }

/** Settings of a file, with its warnings told. @throws Failure `configuration` with every problem */
export async function loadOrFail({ err }: Terminal, file: string): Promise<{ readonly settings: Settings; readonly source: ConfigSource; readonly warnings: readonly Problem[] }> {
  const { ConfigSource: Source } = await import('../../config/source.ts')
  const source = new Source(file)
  const loaded: Loaded = source.load()
  if (!loaded.ok) throw new Failure('configuration', loaded.problems.map(formatProblem).join('\n'))
  for (const warning of loaded.warnings) err(`warning: ${formatProblem(warning)}\n`)
  return { settings: loaded.settings, source, warnings: loaded.warnings }
}

export function validateCommand(terminal: Terminal): Command {
  return new Command('validate').description('check a configuration file and the files it names; every problem is listed').requiredOption('-c, --config <file>', 'the configuration').option('--strict', 'warnings count as errors').addOption(outputOption())
    .action(async ({ config, strict, ...options }: FileOptions & OutputOptions & { readonly strict?: boolean }) => {
      const { settings, warnings } = await loadOrFail(terminal, config)
      const { fileProblems } = await import('../named-files.ts')
      const problems = await fileProblems(settings)
      if (problems.length > 0) throw new Failure('configuration', problems.map(problem => formatProblem(aboutFile(config, problem))).join('\n'))
      if (strict === true && warnings.length > 0) throw new Failure('configuration', `${warnings.length} warnings, and --strict was asked for`)
      show(terminal, options, { ok: true, file: config, digest: settings.digest, warnings: warnings.map(({ message, line, column }) => ({ line, column, message })) }, () => `${config} is valid\n`)
    })
}

export function schemaCommand({ out }: Terminal): Command {
  return new Command('schema').description('the JSON Schema of the configuration, for editors').action(async () => {
    const { jsonSchema } = await import('../../config/json-schema.ts')
    out(`${JSON.stringify(jsonSchema(), null, 2)}\n`)
  })
}

const problemsText = (problems: readonly Json[]): string => problems.map(problem => `${typeof problem['text'] === 'string' ? problem['text'] : cellText(problem)}\n`).join('')

function remoteValidate(terminal: Terminal): Command {
  return remoteCommand('validate', 'have the running gateway check a file, with its environment').requiredOption('-c, --config <file>', 'the configuration').action(async ({ config, ...options }: FileOptions & RemoteOptions) => {
    const { readSecretFile } = await import('../../runtime/secret-file.ts')
    const text = await readSecretFile(config, 1024 * 1024)
    const client = await openClient(terminal, options)
    const { status, json } = await client.send(OPERATIONS['config.validate'], OPERATIONS['config.validate'].path, text)
    if (status >= 400) throw new Failure(exitOfStatus(status), cellText(json['detail']))
    show(terminal, options, json, value => (value['ok'] === true ? `${config} is valid\n` : ''))
    terminal.err(problemsText([...listIn(json, 'problems'), ...listIn(json, 'warnings')]))
    if (json['ok'] !== true) throw new Failure('configuration', `${config} is not valid`)
  })
}

function remoteReload(terminal: Terminal): Command {
  return remoteCommand('reload', 'have the running gateway read its file again: swapped whole, or not at all').option('--reason <text>', 'why; it stands in the audit trail').action(async (options: RemoteOptions & { readonly reason?: string }) => {
    const client = await openClient(terminal, options)
    const { status, json } = await client.send(OPERATIONS['config.reload'], OPERATIONS['config.reload'].path, JSON.stringify(options.reason === undefined ? {} : { reason: options.reason }))
    if (status >= 400) {
      terminal.err(problemsText(listIn(json, 'problems')))
      throw new Failure(exitOfStatus(status), cellText(json['detail']))
    }
    show(terminal, options, json, value => `configuration ${cellText(value['digest'])} runs\n`)
    terminal.err(problemsText(listIn(json, 'warnings')))
  })
}

export const configCommand = (config: Command, terminal: Terminal): Command =>
  config.description('the configuration of a running gateway').addCommand(remoteValidate(terminal)).addCommand(remoteReload(terminal))
