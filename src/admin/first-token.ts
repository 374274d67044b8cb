// The token of a gateway without `admin.auth`: one operator on this machine, kept in `<stateDir>/admin.token` and used again at the next start.
// Writes through the port it is given: the file is for its owner only. SPEC: ADM11
import { sha256 } from '../runtime/id.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import type { Role } from './roles.ts'
import { TOKEN, type TokenEntry } from './token-file.ts'

/** `nga_` and 256 random bits. */
export const newToken = (): string => `nga_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`

/** The entry of a token file that knows this token. */
export const entryFor = (token: string, name: string, roles: readonly Role[], identity: string): TokenEntry => ({ name, sha256: sha256(token), roles, identity, expires: null })

/** @param write creates or replaces a file with mode 0600 */
export async function firstToken(file: string, write: (file: string, text: string) => Promise<void>): Promise<TokenEntry> {
  const kept = await readSecretFile(file).catch(() => null) // absent or unreadable: a new one takes its place
  const token = kept !== null && TOKEN.test(kept) ? kept : newToken()
  if (token !== kept) await write(file, `${token}\n`)
  return entryFor(token, 'local', ['operator'], 'local|operator')
}
