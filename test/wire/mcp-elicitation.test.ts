// A refused call whose client can show a page: the gateway asks for the elevation, shows the page, and lets the call go on when somebody approved it. Purposes in
// `_meta`. With a real SDK client, and with messages by hand where one has to lie. SPEC: MCP16, MCP17
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect, endOf } from '../support/mcp/clients.ts'
import { urlOf } from '../support/mcp/gateway.ts'
import type { Answer } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { AskingStage, PAGE, type Sent } from './mcp-asking-stage.ts'

type Json = Record<string, unknown>

const SHOWS = { elicitation: { url: {} } }
const ARGS = { incident: 'inc-1', text: 'restart it twice' }

let stage: AskingStage
beforeAll(async () => { stage = await AskingStage.start() })
afterAll(() => stage.stop())

const resultOf = ({ json }: Answer): Json => (json['result'] ?? {}) as Json // as JSON-RPC has it
const errorOf = ({ json }: Answer): Json => (json['error'] ?? {}) as Json // likewise
const dataOf = (answer: Answer): Json => (errorOf(answer)['data'] ?? {}) as Json // likewise
const idOf = (url: string): string => /elv_[a-z2-7]{26}$/.exec(url)?.[0] ?? ''

/** Calls the tool that writes, for a ticket, as a client that can show pages. */
const write = (token: string, ticket: string, more: { readonly params?: Json } & Omit<Partial<Sent>, 'params'> = {}): Promise<Answer> =>
  stage.send({ token, headers: { 'x-ticket': ticket }, capabilities: SHOWS, ...more, params: { name: 'runbook_write', arguments: ARGS, ...more.params } })

type Asked = { readonly state: string; readonly url: string; readonly elevation: string }

async function asked(token: string, ticket: string): Promise<Asked> {
  const result = resultOf(await write(token, ticket))
  const question = (result['inputRequests'] as Json | undefined)?.['narrowgate'] as { readonly params: { readonly url: string } } | undefined // as the gateway writes it
  const url = question?.params.url ?? ''
  return { state: String(result['requestState']), url, elevation: idOf(url) }
}

const back = (token: string, ticket: string, requestState: string, action = 'accept'): Promise<Answer> => write(token, ticket, { params: { requestState, inputResponses: { narrowgate: { action } } } })
/** Calls that reached the server, as their parameters. */
const reached = (): readonly Json[] => stage.reached('runbook_write').map(({ params }) => params as Json) // messages, as they were let through

describe('a page to decide on', () => {
  test('[MCP16] a real client is shown it, and the very call goes on when it is approved', async () => {
    const [ticket, before] = [await stage.ticket('INC-100'), reached().length]
    const pages: string[] = []
    const caller = await connect.modern(urlOf(stage.gate), {
      token: await stage.gate.token(), headers: { 'x-ticket': ticket },
      visit: async url => {
        pages.push(url)
        expect(await stage.approve(idOf(url))).toBe(200)
        return 'accept'
      },
    })
    try {
      expect(await caller.call('runbook_write', ARGS)).toMatchObject({ content: [{ type: 'text', text: 'written' }] })
      expect(await caller.call('runbook_write', { ...ARGS, text: 'once more' })).toMatchObject({ content: [{ type: 'text', text: 'written' }] })
    } finally {
      await caller.close()
    }
    expect(pages).toEqual([PAGE.replace('{elevation}', idOf(pages[0] ?? ''))])
    const calls = reached().slice(before)
    expect(calls.map(params => Object.keys(params).sort())).toEqual([['_meta', 'arguments', 'name'], ['_meta', 'arguments', 'name']])
  })

  test('[MCP16] the question, as 2026-07-28 has it, and a refusal on record; what an approver sees names the call', async () => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-101')]
    const answer = await write(token, ticket)
    expect([answer.status, answer.headers['content-type'], answer.headers['www-authenticate']]).toEqual([200, 'application/json', undefined])
    const { resultType, inputRequests, requestState, ...rest } = resultOf(answer)
    expect([resultType, requestState, rest]).toEqual(['input_required', expect.stringMatching(/^narrowgate\.[\w-]{100,500}$/), {}])
    const [elevation] = await stage.elevations(token)
    expect(inputRequests).toEqual({ narrowgate: { method: 'elicitation/create', params: { mode: 'url', message: expect.stringContaining('runbook_write'), url: PAGE.replace('{elevation}', String(elevation?.['id'])) } } })
    expect(elevation).toMatchObject({ profile: 'writing', state: 'requested', purpose: { ticket } })
    const { json } = await stage.gate.admin('GET', `/v1/elevations/${String(elevation?.['id'])}`)
    expect(JSON.stringify(json)).toMatch(/tools\/call runbook_write, arguments sha256:[\w-]{43}/)
    expect((await stage.gate.trail()).filter(line => line['kind'] === 'request.refused' && line['reason'] === 'elevation_required').at(-1)).toMatchObject({ purposes: { ticket }, mcp: { name: 'runbook_write' } })
  })

  test('[MCP16] more calls for the same are one request, and one that comes back approved goes on by itself', async () => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-102')]
    const [one, other] = await Promise.all([asked(token, ticket), asked(token, ticket)])
    expect(other.elevation).toBe(one.elevation)
    expect(await stage.elevations(token)).toHaveLength(1)
    const waiting = back(token, ticket, one.state)
    expect(await stage.approve(one.elevation)).toBe(200)
    expect(resultOf(await waiting)).toMatchObject({ content: [{ text: 'written' }] })
    expect(reached().at(-1)).not.toHaveProperty('requestState')
  })

  test('[MCP16] while nobody has decided it is asked to come back, and its person is not shown the page again', async () => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-103')]
    const { state, elevation, url } = await asked(token, ticket)
    const streams = await Promise.all(Array.from({ length: 8 }, async () => { // whoever waits takes one of these places, so that this one does not wait
      const client = await RawClient.connect(stage.gate.target)
      client.push(request('GET', '/.narrowgate/events', { authorization: `Bearer ${token}` }))
      await client.head()
      return client
    }))
    const again = resultOf(await back(token, ticket, state))
    expect([again['resultType'], again['inputRequests'], typeof again['requestState']]).toEqual(['input_required', undefined, 'string'])
    const unsaid = resultOf(await write(token, ticket, { params: { requestState: state } }))
    expect(unsaid['inputRequests']).toMatchObject({ narrowgate: { params: { url } } })
    for (const stream of streams) stream.close()
    expect(await stage.approve(elevation)).toBe(200)
    expect(resultOf(await back(token, ticket, String(again['requestState'])))).toMatchObject({ content: [{ text: 'written' }] })
  })

  test.each([
    ['denied', (elevation: string) => stage.deny(elevation), 'denied'],
    ['its ticket closed', async () => stage.ticket('INC-104', 'ended'), ''],
  ])('[MCP16] one that was %s is refused, and says so', async (_, decide, says) => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-104')]
    const { state, elevation } = await asked(token, ticket)
    const waiting = back(token, ticket, state)
    await decide(elevation)
    const answer = await waiting
    expect([answer.status, dataOf(answer)['reason']]).toEqual([403, expect.any(String)])
    expect(errorOf(answer)['message']).toContain(says)
  })

  test.each(['decline', 'cancel'])('[MCP16] whoever says %s is taken at their word', async action => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-105')]
    const { state, elevation } = await asked(token, ticket)
    const answer = await back(token, ticket, state, action)
    expect([answer.status, errorOf(answer)['message'], dataOf(answer)['reason']]).toEqual([403, expect.stringContaining('declined'), 'elevation_required'])
    expect((await stage.elevations(token)).find(({ id }) => id === elevation)).toMatchObject({ state: action === 'decline' ? 'withdrawn' : 'requested' })
  })

  test('[MCP16] a way back counts for its session, its call, and as the gateway wrote it; nothing else of that name goes anywhere', async () => {
    const [token, ticket, other] = [await stage.gate.token(), await stage.ticket('INC-106'), await stage.gate.token({ sub: 'mallory' })]
    const { state, elevation } = await asked(token, ticket)
    expect(await stage.approve(elevation)).toBe(200)
    const before = reached().length
    const changed = `${state.slice(0, 40)}${state[40] === 'a' ? 'b' : 'a'}${state.slice(41)}`
    const lies: readonly Answer[] = [
      await back(other, ticket, state),
      await write(token, ticket, { params: { arguments: { ...ARGS, text: 'rm -rf' }, requestState: state } }),
      await write(token, ticket, { params: { name: 'runbook_delete', arguments: ARGS, requestState: state } }),
      ...(await Promise.all([changed, state.slice(0, -4), `${state}AAAA`, 'narrowgate.', `${state}.x`, `narrowgate.${'a'.repeat(2_000)}`].map(each => back(token, ticket, each)))),
    ]
    for (const [at, answer] of lies.entries()) expect([at, answer.status, errorOf(answer)['code'], errorOf(answer)['message']]).toEqual([at, 400, -32_602, expect.stringContaining('requestState')])
    expect(reached().length).toBe(before)
    expect(resultOf(await back(token, ticket, state))).toMatchObject({ content: [{ text: 'written' }] })
  })

  test('[MCP16] what a server keeps in it is its own, and is passed as it is', async () => {
    const token = await stage.gate.token()
    await stage.send({ token, params: { name: 'runbook_read', arguments: { incident: 'inc-1' }, requestState: 'of-the-server', inputResponses: { confirm: { action: 'accept', content: { confirmed: true } } } } })
    expect(stage.reached('runbook_read').at(-1)?.['params']).toMatchObject({ requestState: 'of-the-server', inputResponses: { confirm: { action: 'accept', content: { confirmed: true } } } })
    const ticket = await stage.ticket('INC-107')
    expect((await write(token, ticket, { params: { requestState: 'of-the-server' } })).status).toBe(403) // its way would be lost
    expect(await stage.elevations(token)).toEqual([])
  })

  test.each([
    ['cannot show pages', 'runbook_write', {}], ['can only show forms', 'runbook_write', { elicitation: { form: {} } }], ['says it oddly', 'runbook_write', { elicitation: { url: true } }],
    ['has to choose', 'big', SHOWS], ['would be given it at once', 'work', SHOWS], ['has to fill something in', 'quick', SHOWS],
  ])('[MCP16] a caller that %s is refused, and nothing is asked for it', async (_, name, capabilities) => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-108')]
    const answer = await stage.send({ token, headers: { 'x-ticket': ticket }, capabilities, params: { name, arguments: {} } })
    expect([answer.status, dataOf(answer)]).toMatchObject([403, { reason: 'elevation_required', access_request: { tool: 'request_elevation' } }])
    expect(errorOf(answer)['code']).not.toBe(-32_042)
    expect(await stage.elevations(token)).toEqual([])
  })

  test('[MCP16] without the purpose it is for nothing is asked', async () => {
    const token = await stage.gate.token()
    const answer = await stage.send({ token, capabilities: SHOWS, params: { name: 'runbook_write', arguments: ARGS } })
    expect([answer.status, dataOf(answer)['reason']]).toEqual([403, 'elevation_required'])
    expect(await stage.elevations(token)).toEqual([])
  })

  test('[MCP16] a client of old is refused plainly', async () => {
    const legacy = await AskingStage.start('legacy')
    try {
      const ticket = await legacy.ticket('INC-109')
      const caller = await legacy.mcp.caller({}, { headers: { 'x-ticket': ticket }, visit: async () => 'accept' })
      const end = JSON.stringify(await endOf(caller.call('runbook_write', ARGS)))
      expect(end).toContain('elevation_required')
      expect(end).not.toContain('32042')
    } finally {
      await legacy.stop()
    }
  })
})

describe('purposes in `_meta`', () => {
  const meta = (ticket: unknown) => ({ 'acme/ticket': ticket, 'narrowgate/idempotencyKey': 'k', 'acme/other': 1 })

  test('[MCP17] one counts like a header, is on record, and stays here with what else is ours', async () => {
    const [token, ticket] = [await stage.gate.token(), await stage.ticket('INC-200')]
    expect((await stage.call(token, 'request_elevation', { profile: 'writing' }, { meta: meta(ticket) })).told).toMatchObject({ state: 'requested', purpose: { ticket } })
    const [elevation] = await stage.elevations(token)
    await stage.approve(String(elevation?.['id']))
    expect(resultOf(await stage.send({ token, meta: meta(ticket), params: { name: 'runbook_write', arguments: ARGS } }))).toMatchObject({ content: [{ text: 'written' }] })
    const passed = reached().at(-1)?.['_meta'] as Json // as the client wrote it, but for what is ours
    expect(Object.keys(passed).filter(name => !name.startsWith('io.modelcontextprotocol/'))).toEqual(['acme/other'])
    expect((await stage.gate.trail()).filter(line => line['kind'] === 'exchange.opened').at(-1)).toMatchObject({ purposes: { ticket }, grant: elevation?.['id'] })
    const another = await stage.send({ token, meta: meta(await stage.ticket('INC-201')), params: { name: 'runbook_write', arguments: ARGS } })
    expect(dataOf(another)).toMatchObject({ reason: 'purpose_mismatch' })
  })

  test.each([
    ['not what the header says', 'INC-200', { 'x-ticket': 'INC-201' }, 400], ['what the header says too', 'INC-200', { 'x-ticket': 'INC-200' }, 200], ['no name', { id: 'INC-200' }, {}, 400], ['two words', 'INC 200', {}, 400],
    ['nothing', '', {}, 400], ['too long', 'a'.repeat(201), {}, 400], ['null', null, {}, 400], ['a whole number', 7, {}, 200], ['a fraction', 7.5, {}, 400],
  ])('[MCP17] one that is %s', async (_, value, headers, status) => {
    const token = await stage.gate.token()
    const answer = await stage.send({ token, meta: meta(value), headers, params: { name: 'runbook_read', arguments: { incident: 'inc-1' } } })
    expect(answer.status).toBe(status)
  })
})

describe('purposes signed in `_meta`', () => {
  let [directory, talks] = ['', 0]
  let orchestrator: TokenIssuer
  let signed: AskingStage
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ng-signed-'))
    orchestrator = await TokenIssuer.create({ algorithm: 'ES256' })
    const jwksFile = join(directory, 'orchestrator.json')
    await orchestrator.writeJwks(jwksFile)
    signed = await AskingStage.start('modern', { more: `purposes: { turn: { signed: { header: x-turn, meta: acme/turn, jwksFile: "${jwksFile}", within: talk } } }`, elevations: 'turning: { adds: [runbooks:write], for: 10m, purpose: [turn] }' })
  })
  afterAll(async () => {
    await signed.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  const turnOf = (talk: string) => (turn: number): Promise<string> => orchestrator.sign({ iss: undefined, aud: undefined, client_id: undefined, sub: 'alice', talk, turn }, { header: { typ: undefined } })
  const writing = (token: string, turn: string | null, headers: Record<string, string> = {}) => signed.send({ token, headers, meta: turn === null ? {} : { 'acme/turn': turn }, params: { name: 'runbook_write', arguments: ARGS } })

  test('[MCP17, PUR5] a turn that an orchestrator signed counts there, ends where the next begins, and stays here', async () => {
    const token = await signed.gate.token({ sub: 'alice' })
    const turn = turnOf(`t-${++talks}`)
    const [first, second] = [await turn(1), await turn(2)]
    expect((await signed.call(token, 'request_elevation', { profile: 'turning' }, { meta: { 'acme/turn': first } })).told).toMatchObject({ state: 'active', purpose: { turn: '1' } })
    expect(resultOf(await writing(token, first))).toMatchObject({ content: [{ text: 'written' }] })
    expect(resultOf(await writing(token, null, { 'x-turn': first }))).toMatchObject({ content: [{ text: 'written' }] })
    expect(resultOf(await writing(token, first, { 'x-turn': first }))).toMatchObject({ content: [{ text: 'written' }] })
    expect(JSON.stringify(signed.mcp.peer.received)).not.toContain(first)
    expect((await writing(token, first, { 'x-turn': second })).status).toBe(400)
    expect((await writing(token, second)).status).toBe(403)
    expect(dataOf(await writing(token, first))).toMatchObject({ reason: 'purpose_over' })
  })

  test.each([['no signature', 'x'], ['a number', 7], ['not its own', null]])('[MCP17, PUR5] %s is refused', async (_, turn) => {
    const token = await signed.gate.token({ sub: 'alice' })
    const other = await orchestrator.sign({ iss: undefined, aud: undefined, client_id: undefined, sub: 'mallory', talk: 't', turn: 1 }, { header: { typ: undefined } })
    const answer = await signed.send({ token, meta: { 'acme/turn': turn ?? other }, params: { name: 'runbook_write', arguments: ARGS } })
    expect(answer.status).toBe(turn === null ? 403 : 400)
  })
})
