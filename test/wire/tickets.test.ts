// Tickets as callers feel them: asked for when somebody needs one, told of by webhooks, silent for too long; over real sockets, with a ticket system
// that the test speaks for. SPEC: TKT1-TKT5, ELV6, SIG4
import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { deliver, TicketSource, WEBHOOK_SECRET } from '../support/ticket-source.ts'
import { TapUpstream, until } from './support.ts'

const TOKEN = 'the-credential-of-the-gateway'
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

type Stage = { readonly gate: TestGateway; readonly source: TicketSource; readonly upstream: TapUpstream; readonly token: string; readonly hooks: number }
type Options = { readonly connector?: string; readonly tenanted?: boolean; readonly signature?: string; readonly at?: boolean; readonly webhook?: boolean; readonly poller?: boolean; readonly start?: Partial<GatewayPlan> }

const issue = (id: string, state = 'approved', more: { readonly [name: string]: unknown } = {}): unknown => ({ key: id, status: state, env: 'prod', customer: 'one', ...more })

function planOf(source: TicketSource, upstream: TapUpstream, { connector = '', tenanted = false, signature, at = false, webhook = true, poller = true }: Options): GatewayPlan {
  const map = `{ id: body.key, closed: 'body.status in ["closed", "rejected"]', state: body.status, environment: body.env${tenanted ? ', tenant: body.customer' : ''}${at ? ', at: string(body.changed)' : ''} }`
  return {
    routes: '',
    config: ({ directory, issuer }) => {
      writeFileSync(join(directory, 'secret'), WEBHOOK_SECRET, { mode: 0o600 })
      writeFileSync(join(directory, 'itsm-token'), TOKEN, { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: hooks, address: "127.0.0.1:0", serves: [signals] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person, claims: { tenant: customer } }
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
purposes: { ticket: { header: narrowgate-ticket, source: itsm } }
${poller ? `tickets: { itsm: { url: "${source.origin}/issue/{id}${tenanted ? '?of={tenant}' : ''}", tokenFile: ${directory}/itsm-token, poll: 1s, timeout: 1s, map: ${map}${connector === '' ? '' : `, ${connector}`} } }` : ''}
${webhook ? `signals: { webhooks: [{ name: itsm, secretFile: ${directory}/secret, map: ${map}${signature === undefined ? '' : `, signature: ${signature}`} }] }` : ''}
elevations:
  change: { adds: [extra:use], for: 10m, purpose: [ticket], require: 'ticket.state == "approved" && ticket.environment == "prod"' }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    rules:
      - { allow: { paths: ["/*/base"] }, scope: base:use }
      - { allow: { paths: ["/*/extra"] }, scope: extra:use }
`
    },
  }
}

async function stage(options: Options = {}): Promise<Stage> {
  const source = await TicketSource.start()
  const upstream = await TapUpstream.start()
  const gate = await TestGateway.start({ ...planOf(source, upstream, options), ...options.start })
  closing.push(() => source.close(), () => upstream.close(), () => gate.stop())
  return { gate, source, upstream, token: await gate.token({ sub: 'ann', customer: 'one' }), hooks: hooksOf(gate) }
}

const hooksOf = ({ gateway }: TestGateway): number => gateway.front.bound.get('hooks')?.address.port ?? 0

const ask = ({ gate, token }: Pick<Stage, 'gate' | 'token'>, ticket: string, asking = token): Promise<Answer> =>
  gate.ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${asking}`, 'content-type': 'application/json' }, JSON.stringify({ profile: 'change', purpose: { ticket } }))

async function granted(on: Stage, ticket: string): Promise<string> {
  const answer = await ask(on, ticket)
  expect(answer.status, answer.text).toBe(201)
  return String(answer.json['id'])
}

const reasonOf = ({ status, json }: Answer): unknown => (status < 300 ? status : json['reason'])

let calls = 0
/** What a request of the caller for this ticket comes to: 200, or the reason. */
async function useOf({ gate, upstream, token }: Pick<Stage, 'gate' | 'upstream' | 'token'>, ticket: string, place = 'extra'): Promise<unknown> {
  const path = `/u${++calls}/${place}`
  let over = false
  const answer = gate.ask('GET', path, { authorization: `Bearer ${token}`, 'narrowgate-ticket': ticket }).finally(() => (over = true))
  await until(() => over || upstream.taps.has(path), `an outcome of ${path}`)
  upstream.taps.get(path)?.answer.end('ok')
  return reasonOf(await answer)
}

/** An event stream of the caller, open from end to end. */
async function stream({ gate, upstream, token }: Stage, ticket: string, place = 'extra') {
  const path = `/s${++calls}/${place}`
  const client = await RawClient.connect(gate.target)
  closing.push(async () => client.close())
  client.push(request('GET', path, { authorization: `Bearer ${token}`, 'narrowgate-ticket': ticket }))
  const tap = await upstream.tap(path)
  tap.beginEvents()
  expect((await client.head()).status).toBe(200)
  let endedAt = 0
  void client.response('GET', 60_000).then(() => (endedAt = performance.now()), () => (endedAt = performance.now())) // it ends whole, or with its connection
  const moves = async (): Promise<void> => {
    tap.emit()
    await until(() => client.bodyBytes === tap.sent, 'an event to arrive')
  }
  await moves()
  return { client, tap, moves, endedAt: () => endedAt }
}

const factsOf = async (gate: TestGateway): Promise<readonly { readonly what: string; readonly [name: string]: unknown }[]> =>
  (await gate.trail()).flatMap(line => (line['kind'] === 'fact' ? [line['fact'] as { readonly what: string }] : []))

/** Settled behind the cut. */
const endOf = (gate: TestGateway, elevation: string): Promise<unknown> =>
  eventually('the end on record', 5_000, async () => (await factsOf(gate)).find(({ what, elevation: id }) => what === 'elevation.ended' && id === elevation)?.['reason'] ?? null)

describe('asked for when it is needed', () => {
  test('[TKT1] a ticket that its source does not know gives nothing, one that it knows does, and only in its own spelling', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    on.source.tickets.set('/issue/chg-5', issue('CHG-5'))
    expect(reasonOf(await ask(on, 'CHG-404'))).toBe('ticket_unknown')
    expect(reasonOf(await ask(on, 'chg-5'))).toBe('ticket_unknown')
    await granted(on, 'CHG-5')
    expect(await useOf(on, 'CHG-5')).toBe(200)
    expect(await useOf(on, 'CHG-6')).toBe('purpose_mismatch')
    expect(on.source.asked.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true)
  })

  test('[TKT1] an id cannot name another place, and a source that fails confirms nothing', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/a', issue('a/../CHG-5'))
    expect(reasonOf(await ask(on, 'a/../CHG-5'))).toBe('ticket_unknown')
    expect(on.source.asked.map(({ path }) => path)).toEqual(['/issue/a%2F..%2FCHG-5'])
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    on.source.down = true
    expect(reasonOf(await ask(on, 'CHG-5'))).toBe('ticket_unknown')
  })

  test('[TKT1] many who ask at once are one question to the source', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const [begun, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    on.source.beforeAnswer = () => {
      begun.resolve()
      return answer.promise
    }
    const asks = Array.from({ length: 10 }, () => ask(on, 'CHG-5'))
    await begun.promise
    answer.resolve()
    expect((await Promise.all(asks)).map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 201))
    expect(on.source.asked).toHaveLength(1)
  })

  test('[TKT3] what the profile requires of it is asked of the ticket: another state or environment gives nothing', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-1', issue('CHG-1', 'draft'))
    on.source.tickets.set('/issue/CHG-2', issue('CHG-2', 'approved', { env: 'staging' }))
    on.source.tickets.set('/issue/CHG-3', issue('CHG-3', 'approved', { env: undefined }))
    on.source.tickets.set('/issue/CHG-4', issue('CHG-4', 'closed'))
    expect(reasonOf(await ask(on, 'CHG-1'))).toBe('ticket_changed')
    expect(reasonOf(await ask(on, 'CHG-2'))).toBe('ticket_changed')
    expect(reasonOf(await ask(on, 'CHG-3'))).toBe('ticket_changed')
    expect(reasonOf(await ask(on, 'CHG-4'))).toBe('ticket_closed')
  })

  test('[TKT1] a ticket of another customer is unknown here, whoever asks for it', async () => {
    const on = await stage({ tenanted: true })
    on.source.tickets.set('/issue/CHG-5?of=one', issue('CHG-5'))
    on.source.tickets.set('/issue/CHG-5?of=two', issue('CHG-5'))
    await granted(on, 'CHG-5')
    const other = await on.gate.token({ sub: 'bob', customer: 'two' })
    expect(reasonOf(await ask(on, 'CHG-5', other))).toBe('ticket_unknown')
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed', { customer: 'two' }))).toBe(204)
    expect(await useOf(on, 'CHG-5')).toBe(200)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))).toBe(204)
    expect(await useOf(on, 'CHG-5')).toBe('ticket_closed')
  })
})

describe('told of', () => {
  test('[TKT2, TKT3, ELV6] a message that it was closed cuts what is open on it, and nothing else', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const elevation = await granted(on, 'CHG-5')
    const [extra, base] = [await stream(on, 'CHG-5'), await stream(on, 'CHG-5', 'base')]
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5', 'closed'))
    const sentAt = performance.now()
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))).toBe(204)
    await until(() => extra.endedAt() > 0, 'the cut')
    expect(extra.endedAt() - sentAt).toBeLessThan(1_000)
    await base.moves()
    expect(await useOf(on, 'CHG-5')).toBe('ticket_closed')
    expect(await endOf(on.gate, elevation)).toBe('ticket_closed')
    const ended = (await factsOf(on.gate)).find(({ what }) => what === 'anchor.ended')
    expect(ended).toMatchObject({ by: 'webhook:itsm', name: 'itsm//CHG-5', matter: { is: 'ticket', source: 'itsm', facts: { state: 'closed', environment: 'prod' } } })
  })

  test('[TKT3] moved to another environment it ends what stands on it', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const elevation = await granted(on, 'CHG-5')
    const extra = await stream(on, 'CHG-5')
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'approved', { env: 'staging' }))).toBe(204)
    await until(() => extra.endedAt() > 0, 'the cut')
    expect(await endOf(on.gate, elevation)).toBe('ticket_changed')
    expect(await useOf(on, 'CHG-5')).toBe('ticket_changed')
  })

  test('[TKT3, SIG4] opened again it revives nothing, and gives anew only what is asked anew', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    await granted(on, 'CHG-5')
    expect(await useOf(on, 'CHG-5')).toBe(200)
    await deliver(on.hooks, 'itsm', issue('CHG-5', 'rejected'))
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'))).toBe(204)
    expect((await factsOf(on.gate)).map(({ what }) => what).filter(what => what.startsWith('anchor.'))).toEqual(['anchor.opened', 'anchor.ended', 'anchor.opened'])
    expect(await useOf(on, 'CHG-5')).toBe('ticket_closed')
    await granted(on, 'CHG-5')
    expect(await useOf(on, 'CHG-5')).toBe(200)
  })

  test('[TKT3, SIG4] opened again before what stood on it was written down as ended, it revives nothing either', async () => {
    const wrapStore = (store: SessionStore): SessionStore => new Proxy(store, {
      get(target, name) {
        const value: unknown = name === 'tiedTo' ? async () => [] : Reflect.get(target, name, target) // nobody is found who stands on it
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const on = await stage({ poller: false, start: { wrapStore } })
    await deliver(on.hooks, 'itsm', issue('CHG-5'))
    await granted(on, 'CHG-5')
    expect(await useOf(on, 'CHG-5')).toBe(200)
    await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'))).toBe(204)
    expect(await useOf(on, 'CHG-5')).toBe('ticket_closed')
  })

  test('[TKT2] where the source can be asked, a message alone opens no ticket, and opens none again', async () => {
    const on = await stage()
    expect(await deliver(on.hooks, 'itsm', issue('CHG-7'))).toBe(204)
    expect(reasonOf(await ask(on, 'CHG-7'))).toBe('ticket_unknown')
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    await granted(on, 'CHG-5')
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5', 'closed'))
    await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'))).toBe(204)
    expect(reasonOf(await ask(on, 'CHG-5'))).toBe('ticket_closed')
  })

  test('[TKT2] a message counts only as it was signed, by its secret and in time', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    await granted(on, 'CHG-5')
    const closed = issue('CHG-5', 'closed')
    const late = Date.now() - 5 * 60_000 - 2_000
    expect(await deliver(on.hooks, 'itsm', closed, { secret: 'another secret of somebody else' })).toBe(401)
    expect(await deliver(on.hooks, 'itsm', closed, { headers: {} })).toBe(401)
    expect(await deliver(on.hooks, 'itsm', closed, { at: late })).toBe(401)
    expect(await deliver(on.hooks, 'itsm', closed, { at: Date.now() + 5 * 60_000 + 5_000 })).toBe(401)
    expect(await deliver(on.hooks, 'other', closed)).toBe(404)
    expect(await deliver(on.hooks, 'itsm', closed, { body: '{"key":' })).toBe(400)
    expect(await deliver(on.hooks, 'itsm', { status: 'closed' })).toBe(400)
    expect(await deliver(on.hooks, 'itsm', { ...(closed as object), long: 'x'.repeat(300 * 1024) })).toBe(413)
    expect(await useOf(on, 'CHG-5')).toBe(200)
    const metrics = (await on.gate.ops('/metrics')).text
    expect(metrics).toMatch(/narrowgate_hooks_received_total\{source="itsm",outcome="unsigned"\} 4/)
    expect(metrics).toMatch(/narrowgate_hooks_received_total\{source="",outcome="unknown"\} 1/)
  })

  test('[TKT2, SIG5] the same message twice is one: an opening that is said again opens nothing', async () => {
    const on = await stage({ poller: false })
    const opening = { id: 'msg_opening', at: Date.now() }
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'), opening)).toBe(204)
    await granted(on, 'CHG-5')
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'), { id: 'msg_closing' })).toBe(204)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'), opening)).toBe(200)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'), { ...opening, at: Date.now() })).toBe(200)
    expect(reasonOf(await ask(on, 'CHG-5'))).toBe('ticket_closed')
  })

  test('[TKT2] where messages tell when it happened, an older one opens nothing', async () => {
    const on = await stage({ poller: false, at: true })
    const now = Date.now()
    await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed', { changed: now }))
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'approved', { changed: now - 1_000 }))).toBe(204)
    expect(reasonOf(await ask(on, 'CHG-5'))).toBe('ticket_closed')
    await deliver(on.hooks, 'itsm', issue('CHG-5', 'approved', { changed: now + 1_000 }))
    await granted(on, 'CHG-5')
  })

  test('[TKT2] a signature over the body alone counts for messages of now, once', async () => {
    const on = await stage({ poller: false, at: true, signature: '{ header: x-hub-signature-256, prefix: "sha256=" }' })
    const send = (message: unknown, secret = WEBHOOK_SECRET): Promise<number> => deliver(on.hooks, 'itsm', message, { headers: { 'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(JSON.stringify(message)).digest('hex')}` } })
    const now = Date.now()
    const opening = issue('CHG-5', 'approved', { changed: now })
    expect(await send(issue('CHG-5', 'approved', { changed: now - 400_000 }))).toBe(401)
    expect(await send(opening, 'another secret of somebody else')).toBe(401)
    expect(await send(opening)).toBe(204)
    await granted(on, 'CHG-5')
    expect(await send(issue('CHG-5', 'closed', { changed: now }))).toBe(204)
    expect(await send(opening)).toBe(200)
    expect(reasonOf(await ask(on, 'CHG-5'))).toBe('ticket_closed')
  })

  test('[TKT2] a listener of messages serves nothing else', async () => {
    const on = await stage()
    for (const path of ['/', '/hooks', '/hooks/itsm/more', '/readyz', '/v1/sessions']) {
      const answer = await fetch(`http://127.0.0.1:${on.hooks}${path}`)
      expect([path, answer.status]).toEqual([path, 404])
    }
    expect((await fetch(`http://127.0.0.1:${on.hooks}/hooks/itsm`)).status).toBe(405)
  })
})

describe('asked again', () => {
  test('[TKT3] while something stands on it its source is asked again and again, and its end cuts', async () => {
    const on = await stage({ webhook: false })
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const elevation = await granted(on, 'CHG-5')
    const extra = await stream(on, 'CHG-5')
    await until(() => on.source.asked.some(({ status }) => status === 304), 'a question with the entity tag')
    await extra.moves()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5', 'rejected'))
    await until(() => extra.endedAt() > 0, 'the cut')
    expect(await endOf(on.gate, elevation)).toBe('ticket_closed')
  })

  test('[TKT1] one that is there no more, or is another one now, has ended', async () => {
    const on = await stage({ webhook: false })
    for (const id of ['CHG-5', 'CHG-6']) on.source.tickets.set(`/issue/${id}`, issue(id))
    const [gone, other] = [await granted(on, 'CHG-5'), await granted(on, 'CHG-6')]
    on.source.tickets.delete('/issue/CHG-5')
    on.source.tickets.set('/issue/CHG-6', issue('CHG-60'))
    await until(() => on.gate.parts.mirror.size > 0 && [...on.gate.parts.mirror.all()].every(({ record }) => record.elevations.every(({ state }) => state.is === 'ended')), 'both ends')
    expect([await endOf(on.gate, gone), await endOf(on.gate, other)]).toEqual(['ticket_closed', 'ticket_closed'])
  })

  test('[TKT1, TKT3] an answer that a message overtook opens nothing', async () => {
    const on = await stage()
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const [begun, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    on.source.beforeAnswer = () => {
      begun.resolve()
      on.source.beforeAnswer = async () => {}
      return answer.promise
    }
    const asked = ask(on, 'CHG-5')
    await begun.promise
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5', 'closed'))
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))).toBe(204)
    answer.resolve() // with what it was when it was asked
    expect(reasonOf(await asked)).toBe('ticket_closed')
    expect((await factsOf(on.gate)).filter(({ what }) => what === 'anchor.opened')).toEqual([])
    expect(on.source.asked).toHaveLength(2)
  })
})

describe('not heard of', () => {
  const silent = async (onStale: string) => {
    const on = await stage({ webhook: false, connector: `staleAfter: 2s, onStale: ${onStale}` })
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const elevation = await granted(on, 'CHG-5')
    const extra = await stream(on, 'CHG-5')
    on.source.down = true
    return { on, elevation, extra, downAt: performance.now() }
  }

  test('[TKT4] it ends what stands on it', async () => {
    const { on, elevation, extra, downAt } = await silent('end')
    await until(() => extra.endedAt() > 0, 'the cut')
    expect(extra.endedAt() - downAt).toBeLessThan(2_500)
    expect(extra.endedAt() - downAt).toBeGreaterThan(900)
    expect(await useOf(on, 'CHG-5')).toBe('ticket_stale')
    await until(() => [...on.gate.parts.mirror.all()].every(({ record }) => record.elevations.every(({ state }) => state.is === 'ended')), 'the end on record')
    expect(await endOf(on.gate, elevation)).toBe('ticket_stale')
    on.source.down = false
    expect(await useOf(on, 'CHG-5')).toBe('ticket_stale')
  })

  test('[TKT4] it holds what stands on it until it is heard of again', async () => {
    const { on, extra } = await silent('freeze')
    await until(() => on.gate.parts.inflight.size === 1 && [...on.gate.parts.inflight.all()].every(({ state }) => state === 'frozen'), 'the freeze')
    expect(await useOf(on, 'CHG-5')).toBe('ticket_unheard')
    const held = extra.client.bodyBytes
    extra.tap.emit()
    on.source.down = false
    await until(() => extra.client.bodyBytes === extra.tap.sent, 'what was held')
    expect(extra.tap.sent).toBeGreaterThan(held)
    expect(await useOf(on, 'CHG-5')).toBe(200)
  })

  test('[TKT4] it keeps what stands on it', async () => {
    const { on, extra, downAt } = await silent('keep')
    await until(() => performance.now() - downAt > 2_600, 'more than staleAfter')
    await extra.moves()
    expect(await useOf(on, 'CHG-5')).toBe(200)
  })

  test('[TKT4] heard of in time it goes on, however long', async () => {
    const on = await stage({ webhook: false, connector: 'staleAfter: 2s, onStale: end' })
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    await granted(on, 'CHG-5')
    const extra = await stream(on, 'CHG-5')
    const from = performance.now()
    await until(() => performance.now() - from > 4_500, 'more than twice staleAfter')
    await extra.moves()
    expect(await useOf(on, 'CHG-5')).toBe(200)
  })
})

describe('another configuration', () => {
  test('[TKT4, CFG10] a connector that is taken out of it tells nothing any more: what stands on its tickets is held until it is back', async () => {
    const on = await stage({ webhook: false })
    on.source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    await granted(on, 'CHG-5')
    expect(await useOf(on, 'CHG-5')).toBe(200)
    const written = readFileSync(on.gate.configFile, 'utf8')
    writeFileSync(on.gate.configFile, written.replaceAll(/\bitsm\b(?=:| \})/g, 'other'))
    expect((await on.gate.gateway.reload('test')).ok).toBe(true)
    expect(await useOf(on, 'CHG-5')).toBe('ticket_unheard')
    expect(reasonOf(await ask(on, 'CHG-5'))).toBe(201)
    writeFileSync(on.gate.configFile, written)
    expect((await on.gate.gateway.reload('test')).ok).toBe(true)
    expect(await useOf(on, 'CHG-5')).toBe(200)
  })

  test('[TKT2, CFG10] another secret of a webhook counts from the reload on, and the old one no more', async () => {
    const on = await stage({ poller: false })
    writeFileSync(join(on.gate.directory, 'secret'), 'another secret of the ticket system', { mode: 0o600 })
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5'))).toBe(204)
    writeFileSync(on.gate.configFile, `${readFileSync(on.gate.configFile, 'utf8')}\n# again\n`)
    expect((await on.gate.gateway.reload('test')).ok).toBe(true)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))).toBe(401)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'), { secret: 'another secret of the ticket system' })).toBe(204)
  })
})

describe('notes', () => {
  const NOTE = (origin: string): string => `note: { url: "${origin}/issue/{id}/comment", method: PUT, body: '{"comment": {"text": "{text}"}, "profile": "{profile}", "who": "{subject}", "what": "{id} {elevation}"}' }`

  test('[TKT5] a ticket hears when an elevation begins and ends for it, also from a source that fails at first', async () => {
    const source = await TicketSource.start()
    const upstream = await TapUpstream.start()
    const gate = await TestGateway.start(planOf(source, upstream, { connector: NOTE(source.origin) }))
    closing.push(() => source.close(), () => upstream.close(), () => gate.stop())
    const on: Stage = { gate, source, upstream, token: await gate.token({ sub: 'ann "a"', customer: 'one' }), hooks: hooksOf(gate) }
    source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    source.refuseNotes = 1
    const elevation = await granted(on, 'CHG-5')
    await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))
    await until(() => source.notes.length === 2, 'both notes', 10_000)
    const [ended, began] = source.notes
    expect(began).toMatchObject({ method: 'PUT', path: '/issue/CHG-5/comment', body: { profile: 'change', who: `${on.gate.issuer.issuer}|ann "a"`, what: `CHG-5 ${elevation}`, comment: { text: expect.stringContaining('began for') } } })
    expect(ended?.body).toMatchObject({ comment: { text: expect.stringMatching(/ended at .*: ticket_closed/) } })
    expect(new Set(source.notes.map(({ key }) => key)).size).toBe(2)
  })
})

const DOWN: ReadonlySet<string | symbol> = new Set(['commit', 'commitRestrictive', 'load'])

describe('the store', () => {
  test('[TKT2, ENF9] while it is down an end is in force all the same, and everything else is for the sender to say again', async () => {
    let down = false
    const wrapStore = (store: SessionStore): SessionStore => new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...given: unknown[]): unknown => (down && DOWN.has(name) ? Promise.reject(new Error('the store is down')) : Reflect.apply(value, target, given))
      },
    })
    const on = await stage({ poller: false, start: { wrapStore } })
    await deliver(on.hooks, 'itsm', issue('CHG-5'))
    await deliver(on.hooks, 'itsm', issue('CHG-6'))
    await granted(on, 'CHG-5')
    const extra = await stream(on, 'CHG-5')
    down = true
    expect(await deliver(on.hooks, 'itsm', issue('CHG-6', 'approved', { env: 'staging' }), { id: 'msg_later' })).toBe(503)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-5', 'closed'))).toBe(202)
    await until(() => extra.endedAt() > 0, 'the cut')
    down = false
    await until(() => on.gate.parts.ledger.owed === 0, 'the store to have it', 20_000)
    expect(await deliver(on.hooks, 'itsm', issue('CHG-6', 'approved', { env: 'staging' }), { id: 'msg_later' })).toBe(204)
    expect(reasonOf(await ask(on, 'CHG-6'))).toBe('ticket_changed')
    expect(await useOf(on, 'CHG-5')).toBe('ticket_closed')
  }, 30_000)

  test('[TKT1, TKT3] what was granted for a ticket outlives a restart, and so does its end', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ng-tickets-'))
    closing.push(async () => rmSync(directory, { recursive: true, force: true }))
    const source = await TicketSource.start()
    const upstream = await TapUpstream.start()
    source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    source.tickets.set('/issue/CHG-6', issue('CHG-6'))
    const plan = { ...planOf(source, upstream, { webhook: false }), directory }
    const first = await TestGateway.start(plan)
    const token = await first.token({ sub: 'ann', customer: 'one' })
    const on: Stage = { gate: first, source, upstream, token, hooks: 0 }
    await granted(on, 'CHG-5')
    const other = await granted(on, 'CHG-6')
    await first.stop()
    source.tickets.set('/issue/CHG-6', issue('CHG-6', 'closed'))
    const again = await TestGateway.start({ ...plan, issuer: first.issuer })
    closing.push(() => source.close(), () => upstream.close(), () => again.stop())
    const after = { gate: again, upstream, token }
    expect(await useOf(after, 'CHG-5')).toBe(200)
    await until(() => source.asked.filter(({ path }) => path === '/issue/CHG-6').length > 1 && [...again.parts.mirror.all()].some(({ record }) => record.elevations.some(({ state }) => state.is === 'ended')), 'the end')
    expect(await endOf(again, other)).toBe('ticket_closed')
    expect(await useOf(after, 'CHG-6')).not.toBe(200)
    expect(await useOf(after, 'CHG-5')).toBe(200)
  })

  test('[TKT2, TKT3, ENF9] a message to one gateway cuts what is open on the other, before it is answered', async () => {
    const server = await RedisServer.start()
    const source = await TicketSource.start()
    const upstream = await TapUpstream.start()
    source.tickets.set('/issue/CHG-5', issue('CHG-5'))
    const { a, b, stop } = await TestGateway.pair(server, planOf(source, upstream, {}))
    closing.push(() => server.dispose(), () => source.close(), () => upstream.close(), stop)
    const token = await a.token({ sub: 'ann', customer: 'one' })
    const on = (gate: TestGateway): Stage => ({ gate, source, upstream, token, hooks: hooksOf(gate) })
    await granted(on(a), 'CHG-5')
    const extra = await stream(on(b), 'CHG-5')
    expect(await deliver(hooksOf(a), 'itsm', issue('CHG-5', 'closed'), { id: 'msg_end' })).toBe(204)
    const sent = extra.tap.sent
    extra.tap.emit()
    await until(() => extra.endedAt() > 0, 'the cut')
    expect(extra.client.bodyBytes).toBeLessThanOrEqual(sent)
    expect(await useOf(on(b), 'CHG-5')).toBe('ticket_closed')
    expect(await useOf(on(a), 'CHG-5')).toBe('ticket_closed')
    expect(await deliver(hooksOf(b), 'itsm', issue('CHG-5', 'closed'), { id: 'msg_end' })).toBe(200)
  }, 30_000)
})

test('[TKT2, PUR3] a run is told of by messages alone: what stands on it ends with it', async () => {
  const upstream = await TapUpstream.start()
  const gate = await TestGateway.start({
    routes: '',
    config: ({ directory, issuer }) => {
      writeFileSync(join(directory, 'secret'), WEBHOOK_SECRET, { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: hooks, address: "127.0.0.1:0", serves: [signals] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: ci }
telemetry: { logs: { level: silent } }
purposes: { run: { header: narrowgate-run, source: pipelines } }
signals:
  webhooks:
    - { name: pipelines, kind: run, secretFile: ${directory}/secret, map: { id: string(body.run), closed: 'body.event == "pipeline.completed"' } }
elevations:
  deploy: { adds: [extra:use], for: 30m, purpose: [run], endWhen: [run.ended] }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    rules: [{ allow: {}, scope: extra:use }]
`
    },
  })
  closing.push(() => upstream.close(), () => gate.stop())
  const authorization = `Bearer ${await gate.token()}`
  const deploy = (run: string): Promise<Answer> => gate.ask('POST', '/.narrowgate/elevations', { authorization, 'content-type': 'application/json' }, JSON.stringify({ profile: 'deploy', purpose: { run } }))
  expect((await deploy('7712')).status).toBe(403)
  expect(await deliver(hooksOf(gate), 'pipelines', { event: 'release.started', run: 7712 })).toBe(204)
  expect((await deploy('7712')).status).toBe(201)
  const client = await RawClient.connect(gate.target)
  closing.push(async () => client.close())
  client.push(request('GET', '/secret', { authorization, 'narrowgate-run': '7712' }))
  const tap = await upstream.tap('/secret')
  tap.begin(null)
  tap.send()
  expect((await client.head()).status).toBe(200)
  await until(() => client.bodyBytes === tap.sent, 'the first half')
  expect(await deliver(hooksOf(gate), 'pipelines', { event: 'pipeline.completed', run: 7712 })).toBe(204)
  expect(await client.ended).toBe('reset')
  expect(reasonOf(await gate.ask('GET', '/secret', { authorization, 'narrowgate-run': '7712' }))).toBe('purpose_over')
})
