// The declared values become Settings: names resolved, patterns and conditions compiled, files known to be there. SPEC: CFG1, CFG3
import { routeTable } from '../../core/route.ts'
import type { Policy } from '../../core/policy.ts'
import { absolute } from '../environment.ts'
import type { Settings } from '../settings.ts'
import { adminOf } from './admin.ts'
import { brokersOf } from './brokers.ts'
import { connectorsOf } from './connectors.ts'
import type { Compilation } from './context.ts'
import { decisionsOf } from './decisions.ts'
import { listenersOf, trustedProxiesOf } from './listeners.ts'
import { newsHooksOf } from './news-hooks.ts'
import { channelsOf, publicUrlOf } from './notify.ts'
import { pdpsOf } from './pdps.ts'
import { profilesOf } from './profiles.ts'
import { providersOf } from './providers.ts'
import { purposesOf, signedPurposesOf } from './purposes.ts'
import { riskOf } from './risk.ts'
import { routesOf } from './routes.ts'
import { scoresOf } from './scores.ts'
import { sessionRules } from './sessions.ts'
import { logoutOf, ssfOf, streamsOf } from './ssf.ts'
import { storeOf, workersOf } from './store.ts'
import { transmitOf } from './transmit.ts'
import { contextOf } from './upstream-identity.ts'
import { namedUpstreams } from './upstreams.ts'
import { warn } from './warnings.ts'
import { windowsOf } from './windows.ts'

function auditOf({ config, report }: Compilation, inState: (file: string) => string): Settings['audit'] {
  const { trail, noise, recording } = config.audit
  const same = new Set([trail, noise, recording].map(({ file }) => inState(file))).size < 3
  if (same) report.error(['audit', 'noise', 'file'], 'trail, noise and recording need a file each')
  return { trail: { ...trail, file: inState(trail.file) }, noise: { ...noise, file: inState(noise.file) }, recording: { ...recording, file: inState(recording.file) } }
}

function policyOf(c: Compilation, digest: string, routes: Policy['routes'], connectors: Policy['connectors']): Policy {
  const windows = windowsOf(c)
  const purposes = purposesOf(c)
  const profiles = profilesOf(c, { purposes, windows })
  return { digest, routes, table: routeTable(routes), purposes, profiles, sessions: sessionRules(c), brokers: brokersOf(c, profiles), identities: c.config.identities, windows, connectors, risk: riskOf(c), streams: [] }
}

/** What it returns may be used only where nothing was reported as an error. */
export function compile(c: Compilation, digest: string): Settings {
  const { config } = c
  const providers = providersOf(c)
  const upstreams = namedUpstreams(c)
  const connectors = connectorsOf(c)
  const scores = scoresOf(c, connectors)
  const ssf = ssfOf(c)
  const policy: Policy = { ...policyOf(c, digest, routesOf(c, providers, upstreams), connectors), streams: streamsOf(ssf) }
  const stateDir = absolute(c.environment, config.stateDir)
  const inState = (file: string): string => (file.startsWith('/') ? file : `${stateDir}/${file}`)
  const { exchangesPerSession: _, ...limits } = config.server.limits
  const store = storeOf(c, inState)
  warn(c, policy, store, upstreams)
  return {
    digest, policy, stateDir,
    ephemeral: config.ephemeral,
    workers: workersOf(c, store.home),
    listeners: listenersOf(c),
    trustedProxies: trustedProxiesOf(c),
    dpopNonces: c.config.server.dpopNonces,
    limits,
    drain: { delay: config.server.drain.delay, timeout: config.server.drain.timeout },
    providers, upstreams, connectors,
    scores, newsHooks: newsHooksOf(c, new Set([...connectors.keys(), ...scores.keys()])),
    ssf, logout: logoutOf(c), transmit: transmitOf(c), pdps: pdpsOf(c), decisions: decisionsOf(c),
    signedPurposes: signedPurposesOf(c),
    admin: adminOf(c),
    notify: { channels: channelsOf(c), publicUrl: publicUrlOf(c) },
    store,
    context: contextOf(c),
    audit: auditOf(c, inState),
    logLevel: config.telemetry.logs.level,
  }
}
