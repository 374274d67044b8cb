// Channels from their settings, with what their secret files hold now. No error tells what is in a file. SPEC: NOT1, CFG3
import type { ChannelSettings } from '../config/compile/notify.ts'
import { httpUrl, isLoopbackUrl } from '../config/compile/url.ts'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'
import { webhookSecrets } from '../runtime/standard-webhook.ts'
import type { Channel, Channels } from './channel.ts'
import { SlackChannel } from './slack.ts'
import { WebhookChannel } from './standard-webhook.ts'

type Of<K extends ChannelSettings['is']> = Extract<ChannelSettings, { readonly is: K }>

async function webhook({ url, secretFile, caFile }: Of<'webhook'>): Promise<Channel> {
  const secrets = webhookSecrets(await readSecretFile(secretFile))
  if (secrets === null) throw new SecretFileError(secretFile, 'holds no secret of 24 to 512 bytes, or two in a line each, as `whsec_…` in base64 or as text')
  return new WebhookChannel(new URL(url), caFile === null ? null : await readSecretFile(caFile), secrets)
}

async function slack({ urlFile }: Of<'slack'>): Promise<Channel> {
  const url = httpUrl(await readSecretFile(urlFile))
  if (url === null || (url.protocol === 'http:' && !isLoopbackUrl(url))) throw new SecretFileError(urlFile, 'holds no https URL')
  return new SlackChannel(url)
}

/** Throws SecretFileError; then none is open. */
export async function openChannels(settings: ReadonlyMap<string, ChannelSettings>): Promise<Channels> {
  const open = [...settings].map(async ([name, one]) => [name, await (one.is === 'webhook' ? webhook(one) : slack(one))] as const)
  return new Map(await Promise.all(open))
}
