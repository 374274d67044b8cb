// The part every command shares that asks a running gateway: its options, the token, and how the answer is shown. SPEC: ADM10
import { Command, Option } from 'commander'
import { parseDuration } from '../core/time.ts'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'
import { AdminClient, type Json } from './admin-client.ts'
import { Failure } from './exit-code.ts'
import type { Terminal } from './terminal.ts'
import { recordText } from './table-text.ts'
import { yamlText } from './yaml-text.ts'

export const DEFAULT_SERVER = 'http://127.0.0.1:9443'
export const DEFAULT_TOKEN_FILE = './narrowgate-state/admin.token'
const FORMATS = ['table', 'json', 'yaml'] as const
type Format = (typeof FORMATS)[number]

export type OutputOptions = { readonly output: Format }
export type RemoteOptions = OutputOptions & { readonly server?: string; readonly tokenFile?: string; readonly timeout: string }

export const outputOption = () => new Option('-o, --output <format>', 'how data is written').choices([...FORMATS]).default('table')

/** A command that asks the admin API. */
export const remoteCommand = (name: string, summary: string): Command =>
  new Command(name).description(summary)
    .addOption(outputOption())
    .addOption(new Option('--server <url>', `the admin listener; else $NARROWGATE_SERVER, else ${DEFAULT_SERVER}`))
    .addOption(new Option('--token-file <file>', `file with the token; else $NARROWGATE_TOKEN_FILE, else ${DEFAULT_TOKEN_FILE}`))
    .addOption(new Option('--timeout <duration>', 'longest wait for an answer').default('30s'))

function serverOf({ env, err }: Terminal, { server }: RemoteOptions): URL {
  const text = server ?? env['NARROWGATE_SERVER'] ?? DEFAULT_SERVER
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) throw new Failure('usage', `${JSON.stringify(text)} is no http or https address`)
  const own = url.hostname === 'localhost' || url.hostname === '[::1]' || url.hostname.startsWith('127.')
  if (url.protocol === 'http:' && !own) err(`warning: the token goes to ${url.host} unencrypted\n`)
  return url
}

async function tokenOf({ env }: Terminal, { tokenFile }: RemoteOptions): Promise<string> {
  try {
    return (await readSecretFile(tokenFile ?? env['NARROWGATE_TOKEN_FILE'] ?? DEFAULT_TOKEN_FILE)).trim()
  } catch (error) {
    throw error instanceof SecretFileError ? new Failure('usage', `${error.message}; name the file with the token by --token-file`) : error
  }
}

/** @throws Failure `usage` */
export async function openClient(terminal: Terminal, options: RemoteOptions, withToken = true): Promise<AdminClient> {
  const timeoutMs = parseDuration(options.timeout)
  if (timeoutMs === null || timeoutMs <= 0) throw new Failure('usage', '--timeout takes a duration such as 30s')
  return new AdminClient({ url: serverOf(terminal, options), token: withToken ? await tokenOf(terminal, options) : null, timeoutMs })
}

/** Data on stdout in the format asked for. @param table what people read; default every member */
export function show({ out }: Terminal, { output }: OutputOptions, value: Json, table: (value: Json) => string = recordText): void {
  if (output === 'json') out(`${JSON.stringify(value, null, 2)}\n`)
  else out(output === 'yaml' ? yamlText(value) : table(value))
}

export const listIn = (value: Json, name: string): readonly Json[] => {
  const list = value[name]
  return Array.isArray(list) ? (list as readonly Json[]) : [] // lists of the API hold objects
}
