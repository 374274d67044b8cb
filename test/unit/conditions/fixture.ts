// A judge's input as conditions meet it, with parts replaced by the test.
import type { ConditionInput } from '../../../src/core/condition.ts'
import { type Elevation, type ElevationId, PLAIN } from '../../../src/core/elevation.ts'
import type { Principal } from '../../../src/core/principal.ts'
import type { SessionId } from '../../../src/core/session.ts'
import { duration, instant } from '../../../src/core/time.ts'
import { PLAIN_CONTEXT } from '../../support/plain.ts'

export const CALLER: Principal = { kind: 'ci', issuer: 'https://ci.example', tenant: 'acme', subject: 'build-7', client: 'runner', owner: null, actor: null }

export const ELEVATION: Elevation = {
  id: 'elv_a' as ElevationId, // a fixed id of the right shape
  profile: 'release', adds: ['deploy:write'], purposes: { ticket: 'INC-7' }, ties: [],
  params: { customers: ['41', '42'], level: 3, dry: true },
  for: duration(900_000), max: duration(900_000), startsAt: null, requestedAt: instant(0), requestedBy: 'https://ci.example|build-7', barred: [], because: '',
  ...PLAIN, state: { is: 'active', since: instant(0), until: instant(900_000) },
}

export const INPUT: ConditionInput = {
  principal: CALLER,
  claims: { repository: 'acme/shop', level: 5, groups: ['dev', 'oncall'], nested: { team: 'x' }, admin: true },
  session: 'ses_a' as SessionId, // a fixed id of the right shape
  evaluation: {
    evidence: null,
    action: { method: 'GET', upgrade: null, call: null },
    resource: { host: 'deploy.internal', path: '/v1/releases/42', segments: ['v1', 'releases', '42'], query: '?dry=1' },
    context: { protocol: 'http', source: '10.20.3.4', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: ['X-Tier', 'gold', 'Accept', 'a', 'accept', 'b'] },
  },
  params: { id: '42', name: 'a%20b' },
  elevation: null, traits: null,
}
