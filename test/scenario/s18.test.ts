// S18: automation reused off schedule. Here the attestations of the nightly job, at its time: a fresh one of the same workload goes on with its session and what that
// holds, another workload's has no part in it, whatever its credential is. At other times: s18-schedule.test.ts, s18-calendar.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ClientAuthority } from '../support/tls.ts'
import { asked, both, type Caller, driftsKept, driftsOf, elevatedAt, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { HOST, nightBegins, Nightly, NIGHTLY, OTHER } from './nightly.ts'
import { bearer, loadsAsItStands, tokenFor } from './stage.ts'

const MINUTE = 60_000
const ASK = { profile: 'nightly' }

let job: Nightly
beforeAll(async () => { job = await Nightly.make() })

/** @param ago when it was issued, in minutes */
const projected = (uid: string, ago: number, account = 'svc-nightly'): Promise<Caller> => job.projected(uid, Date.now() - ago * MINUTE, account)

const baselineOf = (setting: Setting, caller: Caller): Promise<readonly string[]> => through(setting, caller, 'GET', '/reports/last')
const toolsOf = (setting: Setting, caller: Caller): Promise<readonly string[]> => through(setting, caller, 'POST', '/tools/compact')

/** Has a session in which the tools were opened through A. Its id. */
async function elevated(setting: Setting, caller: Caller): Promise<string> {
  expect(await baselineOf(setting, caller)).toEqual(both('200'))
  expect(await toolsOf(setting, caller)).toEqual(both('403 elevation_required'))
  await elevatedAt(setting.a, caller, ASK)
  expect(await toolsOf(setting, caller)).toEqual(both('200'))
  return sessionAt(setting.a, caller)
}

/** What is fresh goes on with that session and what it holds, on B first. */
async function goesOn(setting: Setting, fresh: Caller, session: string): Promise<void> {
  expect([await sessionAt(setting.b, fresh), await sessionAt(setting.a, fresh)]).toEqual([session, session])
  expect(await baselineOf(setting, fresh)).toEqual(both('200'))
  expect(await toolsOf(setting, fresh)).toEqual(both('200'))
}

/** It has a session of its own, and nothing of that one. */
async function hasNothing(setting: Setting, other: Caller, session: string): Promise<void> {
  const own = await sessionAt(setting.b, other)
  expect(own).toMatch(/^ses_/)
  expect(own).not.toBe(session)
  expect(await sessionAt(setting.a, other)).toBe(own)
  expect(await baselineOf(setting, other)).toEqual(both('200'))
  expect(await toolsOf(setting, other)).toEqual(both('403 elevation_required'))
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s18.yaml'))

describe.each(SETTINGS)('%s', (_, raised) => {
  let setting: Setting
  beforeAll(async () => {
    setting = await raised('s18.yaml', job.staging)
    await nightBegins(setting, await projected('pod-0', 0))
  }, 30_000)
  afterAll(() => setting.stop())

  test('[S18.c] a rotated SVID goes on with the session of its workload; another workload\'s has nothing of it', async () => {
    const session = await elevated(setting, await job.certified(NIGHTLY, 10))
    await goesOn(setting, await job.certified(NIGHTLY, 1), session)
    const other = await job.certified(OTHER, 1)
    await hasNothing(setting, other, session)
    expect((await asked(setting.b, other, 'POST', '/.narrowgate/elevations', ASK)).json).toMatchObject({ status: 403 })
    expect(await toolsOf(setting, other)).toEqual(both('403 elevation_required'))
  })

  test('[S18.c] an SVID of the workload\'s name from another authority, or of another trust domain, is none', async () => {
    const requests = setting.a.upstream.requests.length
    const strange = await ClientAuthority.create('Acme mesh')
    for (const caller of [await job.certified(NIGHTLY, 1, strange), await job.certified(NIGHTLY.replace('acme.example', 'acme.test'), 1), await job.certified(NIGHTLY.replace('/jobs/', '/JOBS/'), 1)]) {
      expect(await baselineOf(setting, caller)).toEqual(both('401 credential_invalid'))
      expect(await toolsOf(setting, caller)).toEqual(both('401 credential_invalid'))
    }
    expect(setting.a.upstream.requests).toHaveLength(requests)
  })

  test('[S18.c] a new projected token of the pod goes on with its session; one of another pod of the same account, or of another account, has nothing of it', async () => {
    const session = await elevated(setting, await projected('pod-1', 10))
    await goesOn(setting, await projected('pod-1', 0), session)
    await hasNothing(setting, await projected('pod-2', 0), session)
    await hasNothing(setting, await projected('pod-1', 0, 'svc-report'), session)
  })

  test('[S18.c] a scheduler\'s token goes on over the rotated SVID of its workload, and renewed; over another workload\'s, or none, the very token is refused', async () => {
    const night = async (issuedIn: number) => bearer(await tokenFor(setting.a.issuer, 'svc-nightly', { sid: 'night-1' }, issuedIn), HOST)
    const [headers, leaf] = [await night(-MINUTE), await job.svid(NIGHTLY, 10)]
    const session = await elevated(setting, { leaf, headers })
    const rotated = await job.svid(NIGHTLY, 1)
    await goesOn(setting, { leaf: rotated, headers }, session)
    const requests = setting.a.upstream.requests.length
    for (const [i, other] of [await job.svid(OTHER, 1), null].entries()) {
      expect(await baselineOf(setting, { leaf: other, headers })).toEqual(both('403 binding_broken'))
      expect(await toolsOf(setting, { leaf: other, headers })).toEqual(both('403 binding_broken'))
      expect(await through(setting, { leaf: other, headers }, 'POST', '/.narrowgate/elevations', ASK)).toEqual(both('403 binding_broken'))
      await driftsKept(setting.a, session, i + 1)
    }
    expect(setting.a.upstream.requests).toHaveLength(requests)
    await goesOn(setting, { leaf: rotated, headers: await night(0) }, session)
    const lines = await setting.trail()
    expect(driftsOf(lines, session)).toEqual([{ binding: 'workload', shown: OTHER }, { binding: 'workload', shown: '' }])
    const refused = lines.filter(({ kind, reason, session: of }) => kind === 'request.refused' && reason === 'binding_broken' && of === session)
    expect(refused).toHaveLength(12)
    for (const line of refused.slice(0, 2)) expect(line).toMatchObject({ subject: expect.stringMatching(/\|svc-nightly$/), source: '127.0.0.1', drift: { binding: 'workload', shown: OTHER }, proved: { workload: OTHER } })
  })
})
