// Builds a provider from its settings, reading the files they name. A file that is missing or wrong is an error of the configuration;
// a place on the network is not asked before the first credential. SPEC: SES13, SES14
import type { ApiKeySettings, IntrospectionSettings, JwtSettings, JwtSvidSettings, KeySource, KubernetesSettings, MtlsSettings, ProviderSettings } from '../config/settings.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpClient } from '../runtime/http-client.ts'
import { sha256 } from '../runtime/id.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import { ApiKeyProvider } from './api-key.ts'
import { apiKeysOf } from './api-key-file.ts'
import type { AnyProvider, Provider } from './credential.ts'
import { type FindSession, SessionTokenProvider } from './session-token.ts'
import { DiscoveredKeys } from './discovery.ts'
import { IntrospectionProvider } from './introspection.ts'
import { JwtProvider } from './jwt.ts'
import { JwtSvidProvider } from './jwt-svid.ts'
import { everyKey, type Keys, type KeySelection, keysOfText, type KeyTools, RemoteKeys, svidKeys } from './keys.ts'
import { KubernetesProvider } from './kubernetes.ts'
import { MtlsProvider } from './mtls.ts'
import { TokenReview } from './token-review.ts'

/** Longest key set or key list read, in bytes. */
const FILE_MAX = 8 * 1024 * 1024

export type ProviderTools = {
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'getJson' | 'post'>
  /** Where tokens of sessions are looked up. */
  readonly findSession: FindSession
  /** YAML 1.2 or JSON; throws on anything else. */
  readonly parseYaml: (text: string) => unknown
  /** Hears that keys could not be fetched, or that a place asked about a credential did not answer. */
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

const toolsOf = (name: string, { clock, http, notice }: ProviderTools) => ({ clock, http, notice: (error: Error) => notice(name, error) })

type KeysRead = { readonly keys: Keys; /** Of the file they are in, empty where they are fetched. */ readonly content: string }

async function keysAt(source: KeySource, settings: JwtSettings | JwtSvidSettings | KubernetesSettings, tools: ProviderTools, selection: KeySelection = everyKey): Promise<KeysRead> {
  const { name, issuer } = settings
  if (source.is === 'file') {
    const content = await readSecretFile(source.file, FILE_MAX)
    return { keys: parseFile(name, source.file, () => keysOfText(content, selection)), content }
  }
  const { http } = tools
  const keyTools: KeyTools = { ...toolsOf(name, tools), http: { getJson: async (url, limits) => selection(await http.getJson(url, limits)) } }
  return { keys: source.is === 'uri' ? new RemoteKeys(new URL(source.uri), keyTools) : new DiscoveredKeys(issuer ?? '', keyTools), content: '' } // only those with an issuer are discovered
}

async function jwtProvider(settings: JwtSettings, tools: ProviderTools): Promise<Provider> {
  const { keys, content } = await keysAt(settings.keys, settings, tools)
  return new JwtProvider(settings, keys, tools.clock, fingerprintOf(settings, content))
}

async function jwtSvidProvider(settings: JwtSvidSettings, tools: ProviderTools): Promise<Provider> {
  const { keys, content } = await keysAt(settings.keys, settings, tools, svidKeys)
  return new JwtSvidProvider(settings, keys, tools.clock, fingerprintOf(settings, content))
}

const textOrNone = async (file: string | null): Promise<string | null> => (file === null ? null : readSecretFile(file, FILE_MAX))

async function kubernetesProvider(settings: KubernetesSettings, tools: ProviderTools): Promise<Provider> {
  const { keys, content } = await keysAt(settings.keys, settings, tools)
  const { name, review } = settings
  const ca = await textOrNone(review?.caFile ?? null)
  await textOrNone(review?.tokenFile ?? null) // it must be there; it is read anew for every review
  const asked = review === null ? null : new TokenReview(review, ca, toolsOf(name, tools))
  return new KubernetesProvider(settings, { keys, review: asked }, tools.clock, fingerprintOf(settings, JSON.stringify([content, ca])))
}

async function introspectionProvider(settings: IntrospectionSettings, tools: ProviderTools): Promise<Provider> {
  const files = { ca: await textOrNone(settings.caFile), secret: await readSecretFile(settings.clientSecretFile) }
  return new IntrospectionProvider(settings, files, toolsOf(settings.name, tools), fingerprintOf(settings, JSON.stringify(files)))
}

async function apiKeyProvider(settings: ApiKeySettings, tools: ProviderTools): Promise<Provider> {
  const { name, keysFile } = settings
  const content = await readSecretFile(keysFile, FILE_MAX)
  const keys = parseFile(name, keysFile, () => apiKeysOf(tools.parseYaml(content)))
  return new ApiKeyProvider(settings, keys, tools.clock, fingerprintOf(settings, content))
}

const mtlsProvider = (settings: MtlsSettings): AnyProvider => new MtlsProvider(settings, fingerprintOf(settings, ''))

async function providerOf(settings: ProviderSettings, tools: ProviderTools): Promise<AnyProvider> {
  switch (settings.is) {
    case 'jwt': return jwtProvider(settings, tools)
    case 'apiKey': return apiKeyProvider(settings, tools)
    case 'introspection': return introspectionProvider(settings, tools)
    case 'jwtSvid': return jwtSvidProvider(settings, tools)
    case 'kubernetes': return kubernetesProvider(settings, tools)
    case 'mtls': return mtlsProvider(settings)
    case 'sessionToken': return new SessionTokenProvider(settings, fingerprintOf(settings, ''), tools.findSession)
  }
}

/** All providers of a configuration. Throws ProviderFileError or SecretFileError. */
export async function buildProviders(all: ReadonlyMap<string, ProviderSettings>, tools: ProviderTools): Promise<ReadonlyMap<string, AnyProvider>> {
  const providers = new Map<string, AnyProvider>()
  for (const [name, settings] of all) providers.set(name, await providerOf(settings, tools))
  return providers
}
