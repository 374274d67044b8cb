// Who may ask whether a request is let through: proxies at listed addresses, by a secret, or both; of everybody else nothing is judged. SPEC: FWA1
import type { ForwardAuthSettings } from '../../config/compile/forward-auth.ts'
import type { Settings } from '../../config/settings.ts'
import { sha256 } from '../../runtime/id.ts'
import { readSecretFile, SecretFileError } from '../../runtime/secret-file.ts'
import { onlyValue } from '../http/head.ts'
import { isListed, plainAddress } from '../trusted.ts'

/** Where a proxy shows its secret. */
export const TOKEN_HEADER = 'narrowgate-forward-token'
const TOKEN_LEAST = 32

/** What is wrong with who asks, in a word that nobody is told. */
export type AskerFault = 'forward_peer' | 'forward_token'

/** Digest of the secret; null where none is asked for. @throws SecretFileError */
export async function forwardTokenOf({ decisions }: Settings): Promise<string | null> {
  const file = decisions?.forwardAuth?.tokenFile ?? null
  if (file === null) return null
  const secret = await readSecretFile(file)
  if (!/^[!-~]+$/.test(secret) || secret.length < TOKEN_LEAST) throw new SecretFileError(file, `is not a secret of ${TOKEN_LEAST} or more visible characters`)
  return sha256(secret)
}

/** @param token digest of the secret. @param address of the peer. @param headers names and values in turn. @returns null where it may ask */
export function askerFault({ peers, tokenFile }: ForwardAuthSettings, token: string | null, address: string, headers: readonly string[]): AskerFault | null {
  if (peers !== null && !isListed(peers, plainAddress(address))) return 'forward_peer'
  if (tokenFile === null) return peers === null ? 'forward_peer' : null
  const shown = onlyValue(headers, TOKEN_HEADER)
  return typeof shown === 'string' && token !== null && sha256(shown) === token ? null : 'forward_token'
}
