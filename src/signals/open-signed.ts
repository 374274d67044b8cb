// Webhooks with the secrets that their messages are signed with, as their files hold them. SPEC: TKT2, RSK9, OUT9
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'
import { webhookSecrets } from '../runtime/standard-webhook.ts'

export type OpenSigned<S> = ReadonlyMap<string, { readonly settings: S; readonly secrets: readonly Uint8Array[] }>

/** Throws SecretFileError; then none is open. */
export async function openSigned<S extends { readonly secretFile: string }>(settings: ReadonlyMap<string, S>): Promise<OpenSigned<S>> {
  const opened = [...settings].map(async ([name, one]) => {
    const secrets = webhookSecrets(await readSecretFile(one.secretFile))
    if (secrets === null) throw new SecretFileError(one.secretFile, 'holds no secret of 24 to 512 bytes, or two in a line each, as `whsec_…` in base64 or as text')
    return [name, { settings: one, secrets }] as const
  })
  return new Map(await Promise.all(opened))
}
