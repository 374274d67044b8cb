// Opens everything one configuration names, before anything of it is used: a reload that fails here changed nothing. SPEC: CFG1, CFG10
import { headerOf } from '../core/policy.ts'
import type { Settings } from '../config/settings.ts'
import type { Route } from '../core/route.ts'
import { openSignedPurposes } from '../identity/signed-purpose.ts'
import { Upstream, type UpstreamWitness } from '../upstream/upstream.ts'
import { forwardTokenOf } from './forward-auth/askers.ts'
import { dashed } from './http/header-names.ts'
import type { World } from './room.ts'
import { Resources } from './self-service/protected-resource.ts'

/** An upstream that did not change keeps its connections; one with files is opened anew, they may have changed. */
async function upstreamsOf(settings: Settings, before: World | null, witness: UpstreamWitness): Promise<ReadonlyMap<string, Upstream>> {
  const upstreams = new Map<string, Upstream>()
  for (const [name, wanted] of settings.upstreams) {
    const known = before?.upstreams.get(name)
    const same = known !== undefined && wanted.tls?.caFile == null && wanted.tls?.certFile == null && wanted.inject === null && wanted.signature?.key.is !== 'file' && JSON.stringify(known.settings) === JSON.stringify(wanted)
    upstreams.set(name, same ? known : await Upstream.open(wanted, witness))
  }
  return upstreams
}

/** Ours alone, towards an upstream that believes them. */
const SIGNATURES = ['signature', 'signature-input']

function keptOn(route: Route, settings: Settings): ReadonlySet<string> {
  const kept = new Set<string>()
  for (const provider of settings.providers.values()) if (provider.is === 'apiKey') kept.add(dashed(provider.header))
  for (const source of settings.policy.purposes.values()) {
    const header = headerOf(source)
    if (header !== null) kept.add(dashed(header))
  }
  const upstream = settings.upstreams.get(route.upstream)
  const shown = upstream?.inject ?? upstream?.brokered ?? null
  if (shown !== null) kept.add(dashed(shown.header))
  if (settings.upstreams.get(route.upstream)?.signature != null) for (const name of SIGNATURES) kept.add(name)
  return kept
}

/** @throws when a file cannot be read that an upstream, a signed purpose or forward authentication names */
export async function openWorld(settings: Settings, before: World | null, witness: UpstreamWitness): Promise<World> {
  const signedPurposes = await openSignedPurposes(settings)
  const forwardToken = await forwardTokenOf(settings)
  const upstreams = await upstreamsOf(settings, before, witness)
  return { settings, upstreams, signedPurposes, keptHeaders: new Map(settings.policy.routes.map(route => [route, keptOn(route, settings)])), resources: new Resources(settings), forwardToken }
}

/** Upstreams of the world before that the new one does not use. */
export function closeUnused(before: World, now: World): void {
  const used = new Set(now.upstreams.values())
  for (const upstream of before.upstreams.values()) if (!used.has(upstream)) upstream.close()
}
