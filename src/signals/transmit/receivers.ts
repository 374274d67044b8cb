// Who may have a stream, as their files say: known by the one bearer token that is theirs, or by either of two while it is replaced. SPEC: TRM1, TRM4
import type { IncomingMessage } from 'node:http'
import type { ReceiverSettings, TransmitSettings } from '../../config/compile/transmit.ts'
import { isSameSecret } from '../../runtime/same-secret.ts'
import { readSecretFile, SecretFileError } from '../../runtime/secret-file.ts'

export type OpenReceiver = { readonly settings: ReceiverSettings; readonly tokens: readonly string[]; /** PEM; null trusts the system's. */ readonly ca: string | null }
export type OpenReceivers = ReadonlyMap<string, OpenReceiver>

const TOKENS_MAX = 2
const TOKEN = /^[\x21-\x7e]{24,4096}$/
const BEARER = /^Bearer +([\x21-\x7e]{1,4096})$/i

async function tokensIn(file: string): Promise<readonly string[]> {
  const lines = (await readSecretFile(file)).split(/\r?\n/)
  if (lines.length > TOKENS_MAX || !lines.every(line => TOKEN.test(line))) throw new SecretFileError(file, 'does not hold a token of 24 visible characters or more, or two of them in two lines')
  return lines
}

/** @throws SecretFileError where a file is not what it must be */
export async function openReceivers(settings: TransmitSettings | null): Promise<OpenReceivers> {
  const open = new Map<string, OpenReceiver>()
  for (const receiver of settings?.receivers.values() ?? []) {
    const tokens = await tokensIn(receiver.tokenFile)
    const other = [...open.values()].find(known => known.tokens.some(token => tokens.includes(token)))
    if (other !== undefined) throw new SecretFileError(receiver.tokenFile, `'${receiver.name}' and '${other.settings.name}' have the same token`)
    open.set(receiver.name, { settings: receiver, tokens, ca: receiver.caFile === null ? null : await readSecretFile(receiver.caFile) })
  }
  return open
}

/** null for nobody. Every token is compared, whichever it is. */
export function shownBy({ headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>, open: OpenReceivers): OpenReceiver | null {
  const [shown = '', other] = headersDistinct['authorization'] ?? []
  const [, token] = BEARER.exec(shown) ?? []
  if (token === undefined || other !== undefined) return null
  const found = [...open.values()].filter(({ tokens }) => tokens.filter(known => isSameSecret(token, known)).length > 0)
  return found[0] ?? null
}
