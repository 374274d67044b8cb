// S15: an agent that works on tickets asks for a secret, on one gateway and on two. A challenge names what is missing; one that somebody answers lets it read that
// secret once, one that somebody denies ends its session. The story is played once on each; each clause is asserted on what was seen of it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WEBHOOK_SECRET } from '../support/ticket-source.ts'
import { asked, both, type Caller, elevatedAt, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { asHolder } from './operators.ts'
import { type Adapted, APPROVER, bearer, factsIn, type Headers, type Line, loadsAsItStands, outcome, OWNER, tokenFor, word } from './stage.ts'

const TICKET = '/tickets/7'
const COMMENTS = `${TICKET}/comments`
const QUEUE = '/queue/live'
const SECRET = '/secrets/db'
const ASKED = '401 step_up_required'
const REVOKED = '401 credential_revoked'
/** The arguments of its tools are looked at where they are called by MCP. */
const OF_MCP = ''
const ON_CALL = 'https://login.example|ann'

const reach = (example: Adapted, directory: string): void => {
  const { webhook } = example['notify'].oncall
  Object.assign(webhook, { url: 'https://127.0.0.1:9/', secretFile: join(directory, 'hook') }) // nobody listens there
  writeFileSync(webhook.secretFile, WEBHOOK_SECRET, { mode: 0o600 })
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s15.yaml'))

describe.each(SETTINGS)('S15 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    tickets: [] as (readonly string[])[], challenge: {} as Line, head: '', ids: [] as unknown[], refused: [] as (readonly string[])[], words: [] as number[], still: [] as readonly string[], answered: 0, others: [] as unknown[],
    once: [] as readonly string[], spent: [] as readonly string[], dispatched: [] as number[], session: '', after: [] as (readonly string[])[], denied: {} as Line, deniedId: '', late: 0,
  }

  const agent = async (sid: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'triage-bot', { sid, owner: 'omar' }), { host: 'tickets.internal', 'narrowgate-task': sid }) })
  const atVault = ({ leaf, headers }: Caller): Caller => ({ leaf, headers: { ...headers, host: 'vault.internal' } })
  const stepUpIn = ({ json }: { readonly json: Line }): Line => json['step_up'] as Line // a challenge has one
  const reads = (): number => setting.a.upstream.requests.filter(({ path }) => path === SECRET).length

  async function begins(name: string): Promise<Caller> {
    await word(setting.a, `/v1/anchors/task/${name}`, { state: 'open', tenant: 'acme' })
    return agent(name)
  }

  /** It asks for a secret of which somebody on call says yes, in the end. */
  async function somebodyAnswers(): Promise<void> {
    const { a, b } = setting
    const caller = await begins('answered')
    const vault = atVault(caller)
    seen.session = await sessionAt(a, caller)
    await elevatedAt(a, caller, { profile: 'triage', purpose: { task: 'answered' } })
    seen.tickets = [await through(setting, caller, 'GET', TICKET), await through(setting, caller, 'POST', COMMENTS, { text: 'on it' })]
    const { headers, json, status } = await a.ask('GET', SECRET, vault.headers)
    Object.assign(seen, { challenge: json, head: String(headers['www-authenticate']) })
    const { id } = stepUpIn({ json })
    const again = [await asked(a, vault, 'GET', SECRET), await asked(b, vault, 'GET', SECRET)]
    seen.ids = [id, ...again.map(said => stepUpIn(said)['id'])]
    seen.refused = [[outcome({ status, json }), ...again.map(outcome)]]
    const approves = async (gate: Setting['a'], token: string): Promise<number> => (await asHolder(gate, token, `/v1/step-ups/${String(id)}/approve`)).status
    seen.words = [await approves(b, OWNER), await approves(b, b.adminToken)]
    seen.still = await through(setting, vault, 'GET', SECRET)
    seen.answered = await approves(b, APPROVER)
    const before = reads()
    seen.others = [await told(a, vault, 'GET', '/secrets/other'), await told(b, vault, 'GET', '/secrets/other'), await told(b, vault, 'GET', `${SECRET}?version=1`)]
    seen.once = (await Promise.all([a, b, a, b].map(gate => told(gate, vault, 'GET', SECRET)))).toSorted()
    seen.dispatched = [before, reads()]
    seen.spent = await through(setting, vault, 'GET', SECRET)
    seen.after = [await through(setting, caller, 'POST', COMMENTS, { text: 'done' })]
  }

  let vault: Caller = { leaf: null, headers: {} }
  const duties = new Duties({
    carried: { method: 'POST', path: `${COMMENTS}?notify=no`, body: { text: 'looking' } }, stream: QUEUE, rest: TICKET, before: '403 elevation_required', after: REVOKED, reason: 'session_ended', cut: 'step_up_denied',
    caller: (_setting, name) => begins(name),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'other-bot'), { host: 'tickets.internal' }) as Headers }, path: '/tickets/beside' }),
    give: ({ a }, caller, name) => elevatedAt(a, caller, { profile: 'triage', purpose: { task: name } }),
    end: async ({ a }) => {
      seen.deniedId = String(stepUpIn(await asked(a, vault, 'GET', SECRET))['id'])
      seen.denied = (await asHolder(a, APPROVER, `/v1/step-ups/${seen.deniedId}/deny`)).json
    },
    revive: async ({ a, b }) => {
      seen.late = (await asHolder(b, APPROVER, `/v1/step-ups/${seen.deniedId}/approve`)).status
      await word(a, '/v1/anchors/task/first', { state: 'ended', tenant: 'acme' })
      await word(a, '/v1/anchors/task/first', { state: 'open', tenant: 'acme' })
    },
  })

  beforeAll(async () => {
    setting = await raise('s15.yaml', { adapt: reach })
    setting.a.upstream.plays.set(TICKET, '/ok').set(COMMENTS, '/ok').set(SECRET, '/ok').set('/secrets/other', '/ok')
    await somebodyAnswers()
    await duties.play(setting, async caller => { vault = atVault(caller) })
  }, 60_000)
  afterAll(() => setting.stop())

  /** What happened to a step-up, in order. */
  const tellsOf = (id: unknown): readonly Line[] => duties.lines.flatMap(({ kind, fact }) => {
    const { what, stepUp } = (kind === 'fact' ? fact : {}) as Line // a fact line has one
    return String(what).startsWith('stepUp.') && (stepUp === id || (stepUp as Line)['id'] === id) ? [fact as Line] : []
  })
  const secretsAsked = (session: string, kind: string): readonly Line[] => duties.lines.filter(line => line['kind'] === kind && line['session'] === session && line['path'] === SECRET)

  test('[S15.b] it reads and writes tickets; the secret is answered by a challenge that names whose word is needed, until when, and where to ask for it', () => {
    expect(seen.tickets).toEqual([both('200'), both('200')])
    expect(seen.head).toMatch(/^Bearer realm="narrowgate", error="insufficient_user_authentication"/)
    expect(seen.challenge).toMatchObject({ status: 401, reason: 'step_up_required', session: seen.session })
    const { id, by, all, expires_at: until, endpoint } = stepUpIn({ json: seen.challenge })
    expect([by, all, endpoint]).toEqual([['approval'], false, `/.narrowgate/step-ups/${String(id)}`])
    const [question = {}] = tellsOf(id)
    expect(Date.parse(String(until)) - Number((question['stepUp'] as Line)['askedAt'])).toBe(120_000)
  })

  test('[S15.e] until it is satisfied the secret is refused through both, with the same challenge; the word of its owner, or of somebody in another role, satisfies nothing', () => {
    expect(seen.refused).toEqual([[ASKED, ASKED, ASKED]])
    expect(new Set(seen.ids).size).toBe(1)
    expect([seen.words, seen.still]).toEqual([[403, 403], both(ASKED)])
    expect(seen.dispatched[0]).toBe(0)
  })

  test('[S15.f] satisfied through B, it covers that one secret, once, through both together: neither another one, nor another version of it, nor a second time', () => {
    expect(seen.answered).toBe(200)
    expect(seen.others).toEqual([ASKED, ASKED, ASKED])
    expect([seen.once, seen.dispatched]).toEqual([['200', ASKED, ASKED, ASKED], [0, 1]])
    expect([seen.spent, seen.after]).toEqual([both(ASKED), [both('200')]])
    const [carried, ...more] = secretsAsked(seen.session, 'exchange.opened')
    expect(more).toEqual([])
    expect(tellsOf(seen.ids[0]).filter(({ what }) => what === 'stepUp.used')).toMatchObject([{ exchange: carried?.['exchange'] }])
  })

  test('[S15.d] somebody on call says no on A: the session is terminated and its ticket streams are cut, on both; a later yes is too late', () => {
    expect(seen.denied).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
    expect(duties.cutAfter).toBeLessThan(BOUND)
    expect([duties.after, duties.rest, seen.late]).toEqual([both(REVOKED), both(REVOKED), 409])
    expect(factsIn(duties.lines, 'session.revoked').filter(({ reason }) => reason === 'step_up_denied')).toHaveLength(1)
  })

  test('[S15.h] the challenge is on record: each refusal of the secret, and what was asked for, of whom, why and until when', () => {
    const refused = secretsAsked(seen.session, 'request.refused').filter(({ queryDigest }) => queryDigest === null)
    expect(refused.map(({ reason }) => reason)).toEqual(Array.from({ length: 10 }, () => 'step_up_required'))
    const [question, ...later] = tellsOf(seen.ids[0])
    expect(question).toMatchObject({ what: 'stepUp.asked', stepUp: { by: ['approval'], role: 'approver', because: 'vault#1', covers: { rule: 'vault#1', request: { method: 'GET', host: 'vault.internal', path: SECRET, query: null } }, onTimeout: 'terminate', onDeny: 'terminate' } })
    expect(later.map(({ what }) => what)).toEqual(['stepUp.answered', 'stepUp.satisfied', 'stepUp.used'])
  })

  test('[S15.i] the log names who answered, with yes and with no', () => {
    const saidOf = (id: unknown, what: string): Line | undefined => tellsOf(id).find(fact => fact['what'] === what)
    expect(saidOf(seen.ids[0], 'stepUp.answered')).toMatchObject({ by: ON_CALL, given: { means: 'approval', by: ON_CALL, proof: expect.stringMatching(/^[\w-]{43}$/) } })
    expect(saidOf(seen.deniedId, 'stepUp.denied')).toMatchObject({ by: ON_CALL, denier: ON_CALL })
    expect(duties.lines.filter(({ kind, action }) => kind === 'admin.changed' && String(action).startsWith('stepUp.')).map(({ who, action, target }) => [who, action, target]))
      .toEqual(expect.arrayContaining([[ON_CALL, 'stepUp.approve', seen.ids[0]], [ON_CALL, 'stepUp.deny', seen.deniedId]]))
  })

  test('[S15.l] tickets alone add nothing; the step from them to the vault does, and the level is reached by it', () => {
    const own = duties.lines.filter(({ kind, session }) => (kind === 'exchange.opened' || kind === 'request.refused') && session === seen.session)
    const [first, ...others] = own.filter(({ path }) => path === SECRET).map(({ risk }) => risk as Line) // every record has one
    expect(first).toMatchObject({ before: 0, after: 35, level: 'pivoted' })
    expect(others.every(({ after }) => Number(after) > 30)).toBe(true)
    expect(own.slice(0, own.findIndex(({ path }) => path === SECRET)).every(({ risk }) => (risk as Line)['after'] === 0)).toBe(true)
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S15.k', risk: 'S15.l', digest: OF_MCP, life: 'S15.n', exchanges: 'S15.o', verify: 'S15.p', replay: 'S15.q', reconnect: 'S15.r', revive: 'S15.s', across: 'S15.t', upstream: 'S15.v', shared: 'S15.w',
  })) if (id !== OF_MCP) test(`[${id}] ${says}`, prove)

  test('[S15.u] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
