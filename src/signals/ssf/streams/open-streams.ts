// Streams with what their files hold now: tokens, secrets, certificates. No error tells what is in a file. SPEC: SSF1, SSF8
import type { SsfSettings } from '../../../config/compile/ssf.ts'
import { readSecretFile, SecretFileError } from '../../../runtime/secret-file.ts'
import { type OpenAccess, tokenIn } from './access.ts'
import { safeUrl } from './metadata.ts'

/** `authorization`: what the transmitter sends on push; null where one is made, or nothing is pushed. */
export type OpenStream = { readonly settings: SsfSettings; readonly access: OpenAccess; readonly ca: string | null; readonly authorization: string | null }
export type OpenStreams = ReadonlyMap<string, OpenStream>

const SECRET = /^[\x20-\x7e]{1,8192}$/

async function accessOf({ access }: SsfSettings): Promise<OpenAccess> {
  if (access.is === 'none') return access
  if (access.is === 'token') return { is: 'token', file: access.file, token: await tokenIn(access.file) }
  const { tokenUrl: text, clientId, clientSecretFile, scope } = access
  const [clientSecret, tokenUrl] = [await readSecretFile(clientSecretFile), safeUrl(text)]
  if (!SECRET.test(clientSecret) || tokenUrl === null) throw new SecretFileError(clientSecretFile, 'holds no secret of visible characters on one line')
  return { is: 'oauth', tokenUrl, clientId, clientSecret, scope }
}

async function opened(settings: SsfSettings): Promise<OpenStream> {
  const { caFile, authorizationFile: file } = settings
  const authorization = file === null ? null : await readSecretFile(file)
  if (file !== null && !SECRET.test(authorization ?? '')) throw new SecretFileError(file, 'holds no header of visible characters on one line')
  return { settings, access: await accessOf(settings), ca: caFile === null ? null : await readSecretFile(caFile), authorization }
}

/** Throws SecretFileError; then none is open. */
export async function openStreams(settings: ReadonlyMap<string, SsfSettings>): Promise<OpenStreams> {
  return new Map(await Promise.all([...settings].map(async ([name, one]) => [name, await opened(one)] as const)))
}
