// Who may send security events, as far as files say it: keys, certificates and what they show themselves by. SPEC: SSF1, SSF2
import type { SsfSettings } from '../../config/compile/ssf.ts'
import { EventKeys } from '../../identity/event-keys.ts'
import { type Keys, keysOfText, KeysUnavailable } from '../../identity/keys.ts'
import { EventTokens } from '../../identity/security-event-token.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { HttpClient } from '../../runtime/http-client.ts'
import { readSecretFile, SecretFileError } from '../../runtime/secret-file.ts'
import type { StreamNews } from './stream-news.ts'

export type EventSource = {
  readonly settings: SsfSettings
  readonly tokens: EventTokens
  /** What it sends as `Authorization`; null where its stream says, or where it need not send any. */
  readonly authorization: string | null
}
export type EventSources = ReadonlyMap<string, EventSource>

type SourceTools = {
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'ask'>
  readonly news: Pick<StreamNews, 'audienceOf' | 'metadataOf'>
  /** Hears that keys could not be fetched. */
  readonly notice: (source: string, error: Error) => void
}

const KEYS_FILE_MAX = 8 * 1024 * 1024

/** @throws SecretFileError */
export async function keysInFile(file: string): Promise<Keys> {
  const text = await readSecretFile(file, KEYS_FILE_MAX)
  try {
    return keysOfText(text)
  } catch (error) {
    throw new SecretFileError(file, error instanceof Error ? error.message : String(error), error)
  }
}

/** Where its metadata says, as it says it now. */
const fetched = (name: string, ca: string | null, { news, notice, ...tools }: SourceTools): Keys =>
  new EventKeys(async () => {
    const { jwksUri } = await news.metadataOf(name)
    if (jwksUri === null) throw new KeysUnavailable('its metadata names no jwks_uri')
    return jwksUri
  }, { ...tools, notice: error => notice(name, error) }, ca)

async function opened(settings: SsfSettings, tools: SourceTools): Promise<EventSource> {
  const { name, issuer, algorithms, audience, jwksFile, caFile, authorizationFile } = settings
  const [ca, authorization] = [caFile === null ? null : await readSecretFile(caFile), authorizationFile === null ? null : await readSecretFile(authorizationFile)]
  const keys = jwksFile === null ? fetched(name, ca, tools) : await keysInFile(jwksFile)
  const source = { issuer, algorithms, audience: () => (audience.length > 0 ? audience : tools.news.audienceOf(name)) }
  return { settings, authorization, tokens: new EventTokens(source, keys, tools.clock) }
}

/** @throws SecretFileError; then none is open */
export async function openSources(settings: ReadonlyMap<string, SsfSettings>, tools: SourceTools): Promise<EventSources> {
  return new Map(await Promise.all([...settings].map(async ([name, one]) => [name, await opened(one, tools)] as const)))
}
