// One session and the policy around it, with parts replaced by the test.
import { NOT_BOUND } from '../../../src/core/binding.ts'
import { type Elevation, type ElevationId, PLAIN } from '../../../src/core/elevation.ts'
import type { Policy, Profile } from '../../../src/core/policy.ts'
import { routeTable } from '../../../src/core/route.ts'
import { LIVE, NO_CAP, type Session, type SessionId, type SessionKey } from '../../../src/core/session.ts'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import { NO_RISK, PLAIN_PROFILE } from '../../support/plain.ts'

export const NOW = instant(1_800_000_000_000)
export const at = (seconds: number): Instant => instant(NOW + seconds * 1_000)

/** Live for an hour, without elevations. Ids are words of the test. */
export const SESSION: Session = {
  record: 'session', key: 'key_1' as SessionKey, id: 'ses_1' as SessionId, epoch: 'e1', version: 1, bindings: NOT_BOUND, aliases: [], overlay: [], demand: null, brokered: null, drifts: [], openedAt: NOW, endsAt: at(3_600), cap: NO_CAP, barred: [], frozen: null, elevations: [], stepUps: [], taints: [], state: LIVE, notBefore: null, // words of the test
  principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: 'agent', client: 'app', owner: null, actor: null },
  credential: { id: 'cred_1', keyId: null, issuedAt: NOW, expiresAt: at(3_600) },
}

/** Active from NOW for ten minutes, unless `changes` say otherwise. */
export const elevation = (id: string, changes: Partial<Elevation> = {}): Elevation => ({
  id: id as ElevationId, profile: 'fix', adds: ['db:write'], purposes: {}, ties: [], params: {}, for: duration(600_000), max: duration(600_000), startsAt: null, requestedAt: NOW, requestedBy: 'https://idp.test|agent', // a word of the test
  barred: [], because: '', ...PLAIN, state: { is: 'active', since: NOW, until: at(600) }, ...changes,
})

export const profile = (name: string, adds: readonly string[]): Profile =>
  ({ ...PLAIN_PROFILE, name, title: name, adds, for: duration(600_000), max: duration(600_000) })

export const policyOf = (...profiles: readonly Profile[]): Policy => ({
  digest: 'd', routes: [], table: routeTable([]), profiles: new Map(profiles.map(each => [each.name, each])), purposes: new Map(), brokers: new Map(), identities: [], windows: new Map(), streams: [], connectors: new Map(), risk: NO_RISK,
  sessions: { key: [], aliases: {}, credentialEnd: 'cut', bind: { key: 'required', workload: 'required', device: 'required', source: 'off', tenant: 'required' }, idle: duration(600_000), max: duration(3_600_000), frozenFor: duration(900_000), baseline: [], exchangesPerSession: 10 },
})

/** An approver's word on the first revision of a request, as it was asked. */
export const AS_ASKED = { revision: 0, shown: 'seen', stage: 0, claims: {}, startsAt: null, adds: null, for: null, uses: null, params: null } as const
