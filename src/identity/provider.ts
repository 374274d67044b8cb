// Builds a provider from its settings, reading the files they name. A file that is missing or wrong is an error of the configuration;
// a place on the network is not asked before the first credential. SPEC: SES13, SES14
import type { ApiKeySettings, JwtSettings, ProviderSettings } from '../config/settings.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpClient } from '../runtime/http-client.ts'
import { sha256 } from '../runtime/id.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import { ApiKeyProvider } from './api-key.ts'
import { apiKeysOf } from './api-key-file.ts'
import type { Provider } from './credential.ts'
import { DiscoveredKeys } from './discovery.ts'
import { JwtProvider } from './jwt.ts'
import { type Keys, keysOfText, type KeyTools, RemoteKeys } from './keys.ts'

/** Longest key set or key list read, in bytes. */
const FILE_MAX = 8 * 1024 * 1024

export type ProviderTools = {
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'getJson'>
  /** YAML 1.2 or JSON; throws on anything else. */
  readonly parseYaml: (text: string) => unknown
  /** Hears that keys could not be fetched. */
  readonly notice: (provider: string, error: Error) => void
}

/** `message` begins with the provider and the file. */
class ProviderFileError extends Error {
  readonly provider: string
  readonly file: string

  constructor(provider: string, file: string, cause: unknown) {
    super(`authn.${provider}: ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'ProviderFileError'
    this.provider = provider
    this.file = file
  }
}

function parseFile<T>(provider: string, file: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new ProviderFileError(provider, file, error)
  }
}

const fingerprintOf = (settings: ProviderSettings, content: string): string => sha256(JSON.stringify([settings, sha256(content)]))

async function jwtProvider(settings: JwtSettings, tools: ProviderTools): Promise<Provider> {
  const keyTools: KeyTools = { clock: tools.clock, http: tools.http, notice: error => tools.notice(settings.name, error) }
  const { keys: source, name } = settings
  let content = ''
  let keys: Keys
  if (source.is === 'file') {
    content = await readSecretFile(source.file, FILE_MAX)
    keys = parseFile(name, source.file, () => keysOfText(content))
  } else keys = source.is === 'uri' ? new RemoteKeys(new URL(source.uri), keyTools) : new DiscoveredKeys(settings.issuer, keyTools)
  return new JwtProvider(settings, keys, tools.clock, fingerprintOf(settings, content))
}

async function apiKeyProvider(settings: ApiKeySettings, tools: ProviderTools): Promise<Provider> {
  const { name, keysFile } = settings
  const content = await readSecretFile(keysFile, FILE_MAX)
  const keys = parseFile(name, keysFile, () => apiKeysOf(tools.parseYaml(content)))
  return new ApiKeyProvider(settings, keys, tools.clock, fingerprintOf(settings, content))
}

/** All providers of a configuration. Throws ProviderFileError or SecretFileError. */
export async function buildProviders(all: ReadonlyMap<string, ProviderSettings>, tools: ProviderTools): Promise<ReadonlyMap<string, Provider>> {
  const providers = new Map<string, Provider>()
  for (const [name, settings] of all) providers.set(name, settings.is === 'jwt' ? await jwtProvider(settings, tools) : await apiKeyProvider(settings, tools))
  return providers
}
