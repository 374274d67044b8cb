// S2: an incident agent writes the runbook of one incident, which somebody on call approved for exactly what they were shown. It writes another one, the incident is
// resolved, the approver withdraws. The story is played once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asked, both, type Caller, SETTINGS, type Setting, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { told, useSecrets } from './news.ts'
import { approve, asHolder } from './operators.ts'
import { APPROVER, bearer, factsIn, type Headers, type Line, loadsAsItStands, OpenStream, OWNER, outcome, tokenFor } from './stage.ts'

const HOST = { host: 'runbooks.internal' }
const WRITE = '/runbooks/write'
const EDITOR = '/runbooks/session'
const entry = (incident: string): object => ({ incident, text: 'drain the queue' })
const INC = { company: 'acme', type: 'incident' }
const GONE = both('403 elevation_required')

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s02.yaml'))

describe.each(SETTINGS)('S2 %s', (_, raise) => {
  let setting: Setting
  let tickets = 42
  const seen = {
    refusal: {} as Line, offers: {} as Line, passed: [] as readonly string[], other: [] as readonly string[], mixed: '', self: [] as number[], edited: [] as unknown[], single: [] as readonly string[], race: [] as string[], twice: 0, shown: '', approval: {} as Line,
    withdrawn: {} as Line, afterWithdrawal: [] as readonly string[], cut: false, baseline: [] as readonly string[], kept: {} as Line, dispatch: {} as Line, unapproved: '',
  }

  async function agent(name: string, ticket: string): Promise<Caller> {
    return { leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'sre-bot', { sid: name, owner: 'https://login.example|omar' }), { ...HOST, 'narrowgate-ticket': ticket }) }
  }

  const ticketOf = ({ headers }: Caller): string => String(headers['narrowgate-ticket'])
  const opens = (ticket: string): Promise<void> => told(setting.a, 'itsm', { ...INC, number: ticket, state: 'open' })

  /** A caller with an incident of its own. */
  async function onCall(name: string): Promise<Caller> {
    const ticket = `INC-${tickets++}`
    await opens(ticket)
    return agent(name, ticket)
  }

  async function asks(caller: Caller, profile = 'incident-runbook'): Promise<string> {
    const { status, json } = await asked(setting.a, caller, 'POST', '/.narrowgate/elevations', { profile, purpose: { ticket: ticketOf(caller) }, reason: 'the queue is stuck' })
    if (status !== 202) throw new Error(`not taken: ${status} ${JSON.stringify(json)}`)
    return String(json['id'])
  }

  async function given(caller: Caller, profile?: string): Promise<string> {
    const id = await asks(caller, profile)
    await approve(setting.a, id)
    return id
  }

  const writes = (caller: Caller, incident = ticketOf(caller)): Promise<readonly string[]> => through(setting, caller, 'POST', WRITE, entry(incident))
  const shownOf = async (id: string): Promise<string> => String((await setting.a.admin('GET', `/v1/elevations/${id}`)).json['shown'])

  /** Who asks may not approve, by whatever name; and the refusal says how to ask. */
  async function refusedAndAsked(): Promise<void> {
    const caller = await onCall('asking')
    seen.refusal = (await asked(setting.a, caller, 'POST', WRITE, entry(ticketOf(caller)))).json
    seen.offers = seen.refusal['access_request'] as Line // problem+json with what can be asked for
    const id = await asks(caller)
    seen.unapproved = (await writes(caller))[0] ?? ''
    const shown = await shownOf(id)
    const token = String(caller.headers['authorization']).slice('Bearer '.length)
    seen.self = [(await asHolder(setting.a, token, `/v1/elevations/${id}/approve`, { shown })).status, (await asHolder(setting.a, OWNER, `/v1/elevations/${id}/approve`, { shown })).status]
    const edited = [await asHolder(setting.a, APPROVER, `/v1/elevations/${id}/approve`, { shown: `${shown.slice(0, -2)}xx` })]
    await approve(setting.a, id)
    edited.push(await asHolder(setting.a, APPROVER, `/v1/elevations/${id}/approve`, { shown: await shownOf(id), for: '30m' }), await asHolder(setting.b, APPROVER, `/v1/elevations/${id}/approve`, { shown, for: '20m' }))
    seen.edited = edited.map(({ status }) => status)
    seen.shown = shown
    seen.approval = (await setting.a.admin('GET', `/v1/elevations/${id}`)).json
    seen.passed = await writes(caller)
    seen.other = await writes(caller, 'INC-43000')
    const open = await OpenStream.open(setting.b, EDITOR, caller.headers)
    seen.withdrawn = (await asHolder(setting.a, APPROVER, `/v1/elevations/${id}/revoke`)).json
    setting.a.upstream.feed('own').emit('behind')
    await open.cut().catch(() => null) // by a reset, or at an event's end
    seen.cut = !open.text.includes('behind')
    seen.afterWithdrawal = await writes(caller)
  }

  /** One approval, one write: also where two are sent at once, to both gateways. */
  async function onceOnly(): Promise<void> {
    const caller = await onCall('once')
    await given(caller, 'one-write')
    seen.single = await writes(caller)
    const racing = await onCall('racing')
    await given(racing, 'one-write')
    const { a, b } = setting
    seen.race = (await Promise.all([a, b, a, b].map(gate => asked(gate, racing, 'POST', WRITE, entry(ticketOf(racing)))))).map(outcome)
  }

  const duties = new Duties({
    carried: { method: 'POST', path: WRITE, body: entry('INC-42') }, stream: EDITOR, rest: '/runbooks', before: '403 elevation_required', after: '403 ticket_closed', reason: 'ticket_closed',
    caller: async (_setting, name) => {
      await opens('INC-42')
      return agent(name, 'INC-42')
    },
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'reader'), HOST) as Headers }, path: '/runbooks/live' }),
    give: (_setting, caller) => given(caller),
    end: ({ a }) => told(a, 'itsm', { ...INC, number: 'INC-42', state: 'resolved' }),
    revive: ({ a }) => told(a, 'itsm', { ...INC, number: 'INC-42', state: 'open' }),
  })

  beforeAll(async () => {
    setting = await raise('s02.yaml', { adapt: useSecrets })
    setting.a.upstream.plays.set(WRITE, '/ok').set(EDITOR, '/sse/own').set('/runbooks', '/ok')
    tickets = 43
    await refusedAndAsked()
    await onceOnly()
    await duties.play(setting, async caller => { seen.baseline = await through(setting, caller, 'GET', '/runbooks') })
  }, 60_000)
  afterAll(() => setting.stop())

  test('[S2.a] the write is refused, says what could open it and how to ask, and has an id', () => {
    expect(seen.refusal).toMatchObject({ status: 403, reason: 'elevation_required', evaluation_id: expect.stringMatching(/^eval_/) })
    expect(seen.offers).toMatchObject({ endpoint: '/.narrowgate/elevations', offers: [{ profile: 'incident-runbook', purpose: ['ticket'], approval: 'required' }, { profile: 'one-write', purpose: ['ticket'], approval: 'required' }] })
  })

  test('[S2.b, S2.m] somebody on call who did not ask approves it for the incident, and stands in the log', () => {
    expect([seen.unapproved, seen.approval['state']]).toEqual(['403 elevation_required', 'active'])
    const approved = factsIn(duties.lines, 'elevation.approved')
    expect(approved.length).toBeGreaterThanOrEqual(4)
    for (const fact of approved) expect(fact).toMatchObject({ approver: 'https://login.example|ann', claims: expect.anything() })
  })

  test('[S2.c] the write passes where the incident in its body is the one it was approved for', () => expect(seen.passed).toEqual(both('200')))
  test('[S2.d] the runbook of another incident is refused at once', () => expect(seen.other).toEqual(both('403 condition_false')))

  test('[S2.e] the incident is resolved: every further write is refused', () => {
    expect(duties.after).toEqual(both('403 ticket_closed'))
    expect(duties.cutAfter).toBeLessThan(BOUND)
    expect(duties.rest).toEqual(both('200'))
  })

  test('[S2.f] the approver withdraws: every further write is refused before that is answered, and what is open is cut', () => {
    expect(seen.withdrawn).toMatchObject({ enforced: true, exchanges: { cut: 1 } })
    expect([seen.afterWithdrawal, seen.cut]).toEqual([GONE, true])
  })

  test('[S2.j] the agent\'s own credential does not approve, nor does its owner', () => expect(seen.self).toEqual([401, 403]))
  test('[S2.k] an approval of something else than is asked, or another word behind it, is refused', () => expect(seen.edited).toEqual([409, 409, 409]))

  test('[S2.l] the second use of a single-use approval is refused, also where both are sent at once', () => {
    expect(seen.single).toEqual(['200', '403 limit_reached'])
    expect(seen.race.toSorted((x, y) => (x < y ? -1 : 1))).toEqual(['200', ...Array.from({ length: 3 }, () => '403 limit_reached')])
  })

  test('[S2.n] what the approver was shown is in the log, as a digest', () => {
    expect(seen.shown).toMatch(/^[\w-]{43}$/)
    expect(factsIn(duties.lines, 'elevation.approved').map(({ shown }) => shown)).toContain(seen.shown)
  })

  test('[S2.o] the outcome of the look at dispatch is on record: the grant with its elevation, or the reason, with the digest of what was to be written', () => {
    const dispatched = duties.lines.filter(({ kind, session, path }) => kind === 'exchange.opened' && session === duties.session && path === WRITE)
    expect(dispatched.length).toBeGreaterThanOrEqual(2)
    for (const line of dispatched) expect(line).toMatchObject({ decision: 'permit', grant: duties.elevation, elevation: { id: duties.elevation, profile: 'incident-runbook' }, purposes: { ticket: 'INC-42' }, bodyDigest: expect.stringMatching(/^[\w-]{43}$/) })
    const refused = duties.lines.filter(({ kind, reason, path }) => kind === 'request.refused' && reason === 'condition_false' && path === WRITE)
    expect(refused).toHaveLength(2)
    for (const { bodyDigest } of refused) expect(bodyDigest).toMatch(/^[\w-]{43}$/)
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S2.p', risk: 'S2.q', digest: 'S2.r', life: 'S2.s', exchanges: 'S2.t', verify: 'S2.u', replay: 'S2.v', reconnect: 'S2.w', revive: 'S2.x', across: 'S2.y', upstream: 'S2.aa', shared: 'S2.ab',
  })) test(`[${id}] ${says}`, prove)

  test('[S2.z] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
