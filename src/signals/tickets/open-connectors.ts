// Connectors with what their files hold now: credentials, certificates, secrets of webhooks. No error tells what is in a file. SPEC: CFG3, TKT2
import type { ConnectorSettings } from '../../config/compile/connectors.ts'
import { readSecretFile, SecretFileError } from '../../runtime/secret-file.ts'
import { webhookSecrets } from '../../runtime/standard-webhook.ts'
import type { Access } from './source.ts'

export type OpenConnector = { readonly settings: ConnectorSettings; readonly access: Access; /** Of its webhook; empty where it has none. */ readonly secrets: readonly Uint8Array[] }
export type OpenConnectors = ReadonlyMap<string, OpenConnector>

const NO_ACCESS: Access = { authorization: null, ca: null }

async function accessOf({ poll }: ConnectorSettings): Promise<Access> {
  if (poll === null) return NO_ACCESS
  const { credential, caFile } = poll
  const text = credential === null ? null : await readSecretFile(credential.file)
  if (credential !== null && !/^[\x21-\x7e]{1,8192}$/.test(text ?? '')) throw new SecretFileError(credential.file, 'holds no credential of visible characters on one line')
  const authorization = text === null ? null : credential?.scheme === 'basic' ? `Basic ${Buffer.from(text).toString('base64')}` : `Bearer ${text}`
  return { authorization, ca: caFile === null ? null : await readSecretFile(caFile) }
}

async function secretsOf({ webhook }: ConnectorSettings): Promise<readonly Uint8Array[]> {
  if (webhook === null) return []
  const secrets = webhookSecrets(await readSecretFile(webhook.secretFile))
  if (secrets === null) throw new SecretFileError(webhook.secretFile, 'holds no secret of 24 to 512 bytes, or two in a line each, as `whsec_…` in base64 or as text')
  return secrets
}

/** Throws SecretFileError; then none is open. */
export async function openConnectors(settings: ReadonlyMap<string, ConnectorSettings>): Promise<OpenConnectors> {
  const opened = [...settings].map(async ([name, one]) => [name, { settings: one, access: await accessOf(one), secrets: await secretsOf(one) }] as const)
  return new Map(await Promise.all(opened))
}
