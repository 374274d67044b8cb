// S7: CI migrates a database only if change, environment, repository and commit match and it is the hour for it; the change is rejected in the middle of the migration.
// The story is played once on each setting; each clause is asserted on what was seen of it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TicketSource } from '../support/ticket-source.ts'
import { asked, both, type Caller, sessionAt, SETTINGS, type Setting, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { told, useSecrets } from './news.ts'
import { type Adapted, bearer, factsIn, type Headers, type Line, loadsAsItStands, tokenFor } from './stage.ts'

const HOST = { host: 'db.internal' }
const MIGRATE = '/db/migrate'
const LOG = '/db/migrate/log'
const BODY = { env: 'prod', steps: 3 }
const BUILD = { repository: 'acme/shop', sha: '9f1c', environment: 'prod' }
const change = (number: string, state = 'approved', more: object = {}): object => ({ number, state, type: 'change', environment: 'prod', repository: 'acme/shop', commit: '9f1c', ...more })

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s07.yaml'))

describe.each(SETTINGS)('S7 %s', (_, raise) => {
  let setting: Setting
  let source: TicketSource
  const seen = {
    staging: [] as unknown[], commit: [] as unknown[], unapproved: [] as unknown[], unknown: [] as unknown[], rest: [] as readonly string[], emergency: 0, emergencyPasses: [] as readonly string[], reviews: [] as Line[], override: 0, asked: 0,
  }

  const job = async (name: string, claims: object = {}, ticket = 'CHG-5'): Promise<Caller> =>
    ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'ci-job', { sid: name, ...BUILD, ...claims }), { ...HOST, 'narrowgate-ticket': ticket }) })

  /** What the ticket system has, and tells. */
  async function becomes(number: string, state: string): Promise<void> {
    source.tickets.set(`/api/changes/${number}`, change(number, state))
    await told(setting.a, 'itsm', change(number, state))
  }

  async function asks(caller: Caller, profile = 'migrate', ticket: string | null = String(caller.headers['narrowgate-ticket'])): Promise<readonly [status: number, reason: unknown, id: string]> {
    const { status, json } = await asked(setting.a, caller, 'POST', '/.narrowgate/elevations', { profile, ...(ticket === null ? {} : { purpose: { ticket } }), reason: 'build 881' })
    return [status, json['reason'] ?? null, String(json['id'])]
  }

  const migrates = (caller: Caller, body: object = BODY): Promise<readonly string[]> => through(setting, caller, 'POST', MIGRATE, body)

  async function thoseThatDoNotMatch(): Promise<void> {
    const staging = await job('staging', { environment: 'staging' })
    seen.staging = [(await asks(staging)).slice(0, 2), ...(await migrates(staging)), ...(await migrates(staging, { env: 'staging' }))]
    seen.commit = (await asks(await job('commit', { sha: 'e000' }))).slice(0, 2)
    const waiting = await job('waiting', {}, 'CHG-6')
    seen.unapproved = (await asks(waiting)).slice(0, 2)
    seen.override = (await setting.a.admin('POST', '/v1/elevations', { session: await sessionAt(setting.a, waiting), profile: 'migrate', purpose: { ticket: 'CHG-6' }, reason: 'let it through' })).status
    seen.unknown = (await asks(await job('unknown', {}, 'CHG-unknown'))).slice(0, 2)
    seen.rest = await through(setting, { ...waiting, headers: { ...waiting.headers, host: 'builds.internal' } }, 'GET', '/builds/1')
  }

  /** Nobody overrides it, but whoever is on duty takes it at once, and somebody looks at it afterwards. */
  async function inAnEmergency(): Promise<void> {
    const caller = await job('emergency')
    const [status] = await asks(caller, 'migrate-now', null)
    seen.emergency = status
    seen.emergencyPasses = await migrates(caller)
    seen.reviews = (await setting.b.admin('GET', '/v1/reviews')).json['reviews'] as Line[] // the contract's shape
  }

  const duties = new Duties({
    carried: { method: 'POST', path: MIGRATE, body: BODY }, stream: LOG, rest: null, before: '403 elevation_required', after: '403 ticket_changed', reason: 'ticket_changed',
    caller: (_setting, name) => job(name),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'builder'), { host: 'builds.internal' }) as Headers }, path: '/builds/live' }),
    give: async (_setting, caller) => {
      const [status, reason, id] = await asks(caller)
      if (status !== 201) throw new Error(`not given: ${status} ${String(reason)}`)
      return id
    },
    end: () => becomes('CHG-5', 'rejected'),
    revive: () => becomes('CHG-5', 'approved'),
  })

  beforeAll(async () => {
    source = await TicketSource.start()
    source.tickets.set('/api/changes/CHG-5', change('CHG-5')).set('/api/changes/CHG-6', change('CHG-6', 'requested'))
    setting = await raise('s07.yaml', { adapt: (example: Adapted, directory: string) => {
      useSecrets(example, directory)
      const { itsm } = example['tickets']
      itsm.url = `${source.origin}/api/changes/{id}`
      itsm.tokenFile = join(directory, 'itsm-token')
      writeFileSync(itsm.tokenFile, 'the-gateway', { mode: 0o600 })
    } })
    setting.a.upstream.plays.set(LOG, '/sse/own').set(MIGRATE, '/ok').set('/builds/1', '/ok')
    await thoseThatDoNotMatch()
    await inAnEmergency()
    await duties.play(setting)
    seen.asked = source.asked.filter(({ path, authorization }) => path === '/api/changes/CHG-5' && authorization === 'Bearer the-gateway').length
  }, 60_000)
  afterAll(async () => {
    await setting.stop()
    await source.close()
  })

  test('[S7.a] the migration passes under an approved change for production, in its hours, for this repository and commit', () => {
    const uses = duties.lines.filter(({ kind, session, path }) => kind === 'exchange.opened' && session === duties.session && path === MIGRATE)
    expect(uses.length).toBeGreaterThanOrEqual(2)
    for (const line of uses) expect(line).toMatchObject({ elevation: { profile: 'migrate', schedules: [expect.stringMatching(/^change-hours@/)] }, purposes: { ticket: 'CHG-5' } })
    expect(seen.asked).toBeGreaterThan(0)
  })

  test('[S7.b] the change is rejected in the middle of the migration: what is open is cut within T', () => {
    expect(duties.cutAfter).toBeLessThan(BOUND)
    const cuts = duties.lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === duties.session)
    expect(cuts).toMatchObject(cuts.map(() => ({ reason: 'ticket_changed', because: expect.stringMatching(/^sig_/) })))
  })

  test('[S7.c] a token of staging gets nothing on production, whatever its body says', () => expect(seen.staging).toEqual([[403, 'ticket_changed'], ...both('403 elevation_required'), ...both('403 elevation_required')]))
  test('[S7.d] another commit than the change names is refused', () => expect(seen.commit).toEqual([403, 'ticket_changed']))

  test('[S7.e] a change that is not approved, or that nobody knows, is refused, and no operator overrides that; an emergency is taken at once and has to be looked at', () => {
    expect([seen.unapproved, seen.unknown, seen.override]).toEqual([[403, 'ticket_changed'], [403, 'ticket_unknown'], 403])
    expect([seen.emergency, seen.emergencyPasses, seen.rest]).toEqual([201, both('200'), both('200')])
    expect(seen.reviews).toMatchObject([{ profile: 'migrate-now', verdict: 'pending' }])
  })

  test('[S7.f] going on behind the rejection is refused', () => expect(duties.after).toEqual(both('403 ticket_changed')))

  test('[S7.g] what was checked is in the log with its source and when that said so, and so is every change of it', () => {
    const [requested = {}] = duties.facts
    expect(requested).toMatchObject({ what: 'elevation.requested', elevation: { ticket: { kind: 'ticket', name: 'itsm//CHG-5' }, checked: { facts: { state: 'approved', type: 'change', environment: 'prod', repository: 'acme/shop', commit: '9f1c' }, source: 'itsm' } } })
    const { requestedAt, checked } = requested['elevation'] as { readonly requestedAt: number; readonly checked: { readonly seenAt: number } } // an elevation's
    expect(requestedAt - checked.seenAt).toBeLessThan(120_000)
    const states = factsIn(duties.lines, 'anchor.told').filter(({ name }) => name === 'itsm//CHG-5').map(({ matter }) => ((matter as Line)['facts'] as Line)['state'])
    expect(states).toContain('rejected')
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S7.h', risk: 'S7.i', digest: 'S7.j', life: 'S7.k', exchanges: 'S7.l', verify: 'S7.m', replay: 'S7.n', reconnect: 'S7.o', revive: 'S7.p', across: 'S7.q', upstream: 'S7.s', shared: 'S7.t',
  })) test(`[${id}] ${says}`, prove)

  test('[S7.r] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
