// The part every command shares that asks a gateway as one of its callers: its options, its token, and what is asked for. SPEC: ADM24
import { Command, Option } from 'commander'
import { parseDuration } from '../core/time.ts'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'
import type { Json } from './admin-client.ts'
import { CallerClient } from './caller-client.ts'
import { collected, pair, paramOf, purposesOf } from './commands/elevations.ts'
import { Failure } from './exit-code.ts'
import type { Terminal } from './terminal.ts'

export type CallerOptions = { readonly url?: string; readonly tokenFile?: string; readonly timeout: string }
export type AskOptions = CallerOptions & { readonly ticket?: string; readonly purpose: readonly string[]; readonly param: readonly string[]; readonly for?: string; readonly reason?: string }

/** A command that asks as a caller. */
export const callerCommand = (name: string, summary: string): Command =>
  new Command(name).description(summary)
    .addOption(new Option('--url <url>', 'the gateway as callers reach it, such as https://api.example.com; else $NARROWGATE_URL'))
    .addOption(new Option('--token-file <file>', 'file with the caller\'s own token, read again whenever it is needed; else the token in $NARROWGATE_TOKEN'))
    .addOption(new Option('--timeout <duration>', 'longest wait for an answer').default('30s'))

/** What an elevation is asked for with. */
export const asking = (command: Command): Command =>
  command.option('--ticket <id>', 'the same as --purpose ticket=ID')
    .option('--purpose <kind=value>', 'what it is for, such as task=T-7; may be repeated', collected, [])
    .option('--param <name=value>', 'what the profile asks to be filled in; may be repeated', collected, [])
    .option('--for <duration>', 'how long; default as the profile says').option('--reason <text>', 'why; it stands in the audit trail')

export function askedFor(profile: string, { ticket, purpose, param, for: span, reason }: AskOptions): Json {
  const purposes = purposesOf([...(ticket === undefined ? [] : [`ticket=${ticket}`]), ...purpose])
  return {
    profile, purpose: purposes, params: Object.fromEntries(param.map(pair).map(([name, value]) => [name, paramOf(value)])),
    ...(span === undefined ? {} : { for: span }), ...(reason === undefined ? {} : { reason }),
  }
}

/** @throws Failure `usage` */
export function spanOf(name: string, text: string): number {
  const parsed = parseDuration(text)
  if (parsed === null || parsed <= 0) throw new Failure('usage', `${name} takes a duration such as 30s`)
  return parsed
}

function urlOf({ env, err }: Terminal, { url }: CallerOptions): URL {
  const text = url ?? env['NARROWGATE_URL'] ?? ''
  const parsed = URL.canParse(text) ? new URL(text) : null
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) throw new Failure('usage', text === '' ? 'name the gateway with --url or $NARROWGATE_URL' : `${JSON.stringify(text)} is no http or https address`)
  const own = parsed.hostname === 'localhost' || parsed.hostname === '[::1]' || parsed.hostname.startsWith('127.')
  if (parsed.protocol === 'http:' && !own) err(`warning: the token goes to ${parsed.host} unencrypted\n`)
  return parsed
}

async function tokenOf({ env }: Terminal, { tokenFile }: CallerOptions): Promise<string> {
  const stated = env['NARROWGATE_TOKEN']
  if (tokenFile === undefined && stated === undefined) throw new Failure('usage', 'name the file with the token by --token-file, or set $NARROWGATE_TOKEN')
  try {
    const token = (tokenFile === undefined ? (stated ?? '') : await readSecretFile(tokenFile)).trim()
    if (!/^[\x21-\x7e]+$/.test(token)) throw new Failure('usage', 'the token is not one line of visible characters')
    return token
  } catch (error) {
    throw error instanceof SecretFileError ? new Failure('usage', error.message) : error
  }
}

/** @throws Failure `usage` */
export async function openCaller(terminal: Terminal, options: CallerOptions): Promise<CallerClient> {
  await tokenOf(terminal, options)
  return new CallerClient({ url: urlOf(terminal, options), token: () => tokenOf(terminal, options), timeoutMs: spanOf('--timeout', options.timeout) })
}
