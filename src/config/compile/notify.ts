// `notify`: channels by name, who names one that is not there, and where their links lead. SPEC: CFG3, NOT1
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

export type ChannelSettings =
  | { readonly is: 'webhook'; readonly url: string; readonly secretFile: string; readonly caFile: string | null }
  | { readonly is: 'slack'; readonly urlFile: string }

type Written = Compilation['config']['notify'][string]

/** The https URL that is written there, or an http one of this machine; empty where it is none, which is reported. */
function secureUrl({ report }: Compilation, path: Path, text: string): string {
  const url = httpUrl(text)
  if (url === null || text.includes('#')) report.error(path, 'expected an https URL without credentials and fragment')
  else if (url.protocol === 'http:' && !isLoopbackUrl(url)) report.error(path, 'what is told there must not be read on the way', 'write https:// instead of http://')
  else return url.href
  return ''
}

function channel(c: Compilation, path: Path, { webhook, slack }: Written): ChannelSettings | null {
  if (webhook !== undefined && slack === undefined) {
    const at = [...path, 'webhook']
    return { is: 'webhook', url: secureUrl(c, [...at, 'url'], webhook.url), secretFile: existing(c, [...at, 'secretFile'], webhook.secretFile), caFile: existingOrNone(c, [...at, 'caFile'], webhook.caFile) }
  }
  if (slack !== undefined && webhook === undefined) return { is: 'slack', urlFile: existing(c, [...path, 'slack', 'urlFile'], slack.urlFile) }
  c.report.errorAtKey(path, 'a channel is exactly one of `webhook` and `slack`')
  return null
}

export function channelsOf(c: Compilation): ReadonlyMap<string, ChannelSettings> {
  const channels = Object.entries(c.config.notify).map(([name, written]) => [name, channel(c, ['notify', name], written)] as const)
  return new Map(channels.flatMap(([name, made]) => (made === null ? [] : [[name, made] as const])))
}

/** Each of the names, written as a list at `path`, must be one of `notify`. @returns each once */
export function channelsNamed({ config, report }: Compilation, path: Path, names: readonly string[]): readonly string[] {
  names.forEach((name, i) => {
    if (!Object.hasOwn(config.notify, name)) report.error([...path, i], `there is no channel '${name}'`, didYouMean(name, Object.keys(config.notify)) ?? 'name one of `notify`')
  })
  return [...new Set(names)]
}

/** Where people reach the admin listener, without a slash at its end; null where nobody said. */
export function publicUrlOf(c: Compilation): string | null {
  const { publicUrl } = c.config.admin
  if (publicUrl === undefined) return null
  if (publicUrl.includes('?')) c.report.error(['admin', 'publicUrl'], 'links are made from it, so it has no query')
  return secureUrl(c, ['admin', 'publicUrl'], publicUrl).replace(/\/+$/, '')
}
