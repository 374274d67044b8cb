// The files a configuration names, opened as a start would open them: `validate` must not pass what `run` refuses. Nothing is kept, written or
// asked of the network. SPEC: CFG3
import type { Settings } from '../config/settings.ts'
import { plainYaml } from '../config/plain-yaml.ts'
import { openDoors } from '../front.ts'
import { buildProviders, type ProviderTools } from '../identity/provider.ts'
import { openSignedPurposes } from '../identity/signed-purpose.ts'
import { secretFileOf } from '../enforcement/brokered/source.ts'
import { SystemClock } from '../runtime/clock.ts'
import { openLog } from '../runtime/log.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import { readContextKey } from '../upstream/context-key.ts'
import { readSecrets } from '../upstream/upstream.ts'

const nothing = (): Promise<never> => Promise.reject(new Error('nothing is fetched'))
const TOOLS: ProviderTools = { clock: new SystemClock(), http: { getJson: nothing, post: nothing }, findSession: () => Promise.resolve(null), parseYaml: plainYaml, notice: () => {} }

/** What is wrong with them, one sentence for each that names the file; empty where a start would take them all. */
export async function fileProblems(settings: Settings): Promise<readonly string[]> {
  const { providers, signedPurposes, listeners, upstreams, context, admin: { tokenFile, breakGlassTokenFile, oidc } } = settings
  const ports = { ...TOOLS, log: openLog('silent') }
  const nobody = { tokenFile: null, breakGlassTokenFile: null, oidc: null, mtls: null }
  const tries: readonly (() => Promise<unknown>)[] = [
    ...[...providers].map(provider => () => buildProviders(new Map([provider]), TOOLS)),
    ...[...signedPurposes].map(signed => () => openSignedPurposes({ ...settings, signedPurposes: new Map([signed]) })),
    ...listeners.map(listener => () => openDoors({ ...settings, listeners: [listener], admin: nobody }, null, ports)),
    ...[{ tokenFile }, { breakGlassTokenFile }, { oidc }].map(way => () => openDoors({ ...settings, listeners: [], admin: { ...nobody, ...way } }, null, ports)),
    ...[...upstreams.values()].map(upstream => () => readSecrets(upstream)),
    ...[...upstreams.values()].flatMap(({ brokered }) => (brokered === null ? [] : [brokered.caFile ?? [], secretFileOf(brokered) ?? []].flat())).map(file => () => readSecretFile(file)),
    ...[context.keyFile, context.previousKeyFile].filter(file => file !== null).map(file => () => readContextKey(file)),
  ]
  const problems: string[] = []
  for (const open of tries) await open().catch((error: unknown) => problems.push(error instanceof Error ? error.message : String(error)))
  return problems
}
