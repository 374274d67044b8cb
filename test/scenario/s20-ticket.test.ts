// S20, its ticket: an engineer has thirty minutes on one customer's firewall for one change, with a console open; the change closes. The story is played once on each
// setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectHttp2 } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { extendedConnect, WebSocketCaller } from '../wire/websocket-callers.ts'
import { asked, both, type Caller, elevatedAt, SETTINGS, type Setting, takesUpgrades, through, upgraded } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { Psa } from './psa.ts'
import { bearer, factsIn, type Headers, type Line, tokenFor } from './stage.ts'

const HOST = { host: 'firewalls.internal', 'narrowgate-ticket': 'CHG-88' }
const RULES = '/v1/c1/rules'
const CONSOLE = '/v1/c1/console'
const CLOSED = '403 ticket_closed'

describe.each(SETTINGS)('S20 %s', (_, raise) => {
  let setting: Setting
  let psa: Psa
  const seen = { minutes: 0, opened: '', closedAfter: 0, again: [] as readonly string[], other: [] as readonly string[], reopened: [] as readonly string[] }

  const engineer = async (name: string, customer = 'c1'): Promise<Caller> =>
    ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'eve', { sid: name, customer, manager: 'max', device_id: 'laptop' }), HOST) })

  /** A console over HTTP/2 on B, open when the change closes. */
  async function withAConsole(caller: Caller): Promise<() => Promise<void>> {
    const { json } = await asked(setting.a, caller, 'GET', '/.narrowgate/session')
    const [{ until: end } = { until: '' }] = json['elevations'] as readonly { readonly until: string }[] // the contract's shape
    seen.minutes = (Date.parse(end) - Date.now()) / 60_000
    const session = await connectHttp2(setting.b)
    const socket = await extendedConnect(session, CONSOLE, caller.headers)
    seen.opened = socket instanceof WebSocketCaller ? 'open' : `${socket.status} ${String(socket.reason)}`
    seen.other = [...(await through(setting, caller, 'GET', '/v1/c2/rules')), await upgraded(setting.b, caller, '/v1/c2/console')]
    return async () => {
      const at = performance.now()
      if (socket instanceof WebSocketCaller) await socket.over()
      seen.closedAfter = performance.now() - at
      session.destroy()
    }
  }

  let ends: () => Promise<void> = async () => {}
  const duties = new Duties({
    carried: { method: 'GET', path: `${RULES}?page=1` }, stream: `${RULES}/live`, rest: '/v1/c1/status', before: '403 elevation_required', after: CLOSED, reason: 'ticket_closed', tenant: 'c1',
    caller: (_setting, name) => engineer(name),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'ruth', { customer: 'c1', device_id: 'desk' }), HOST) as Headers }, path: '/v1/c1/status/live' }),
    give: ({ a }, caller) => elevatedAt(a, caller, { profile: 'change', purpose: { ticket: 'CHG-88' }, reason: 'as agreed' }),
    end: async ({ a }) => {
      await psa.becomes(a, 'c1', 'CHG-88', 'closed')
      await ends()
    },
    revive: ({ a }) => psa.becomes(a, 'c1', 'CHG-88', 'open'),
  })

  beforeAll(async () => {
    psa = await Psa.start()
    psa.has('c1', 'CHG-88', 'open')
    setting = await raise('s20.yaml', { adapt: psa.stands })
    setting.a.upstream.plays.set(RULES, '/ok').set('/v1/c1/status', '/ok')
    takesUpgrades(setting.a)
    await duties.play(setting, async caller => { ends = await withAConsole(caller) })
    await until(() => psa.notes.length >= 2, 'notes of the begin and the end')
  }, 60_000)
  afterAll(async () => {
    await setting.stop()
    await psa.close()
  })

  test('[S20.a] the engineer has thirty minutes on C1\'s firewall by console, tied to CHG-88 of C1', () => {
    expect(seen.minutes).toBeGreaterThan(29)
    expect(seen.minutes).toBeLessThanOrEqual(30)
    expect(seen.opened).toBe('open')
    expect(duties.facts[0]).toMatchObject({ what: 'elevation.requested', elevation: { purposes: { ticket: 'CHG-88' }, ties: [{ anchor: { kind: 'ticket', name: 'psa/c1/CHG-88' } }] } })
  })

  test('[S20.c] the change closes: the console is cut within T', () => {
    expect(seen.closedAfter).toBeLessThan(BOUND)
    const cut = duties.lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === duties.session)
    expect(cut.length).toBe(3)
    for (const line of cut) expect(line).toMatchObject({ reason: 'ticket_closed' })
  })

  test('[S20.e] reconnecting is refused, whether to the console or to the rules', () => expect(duties.after).toEqual(both(CLOSED)))

  test('[S20.f] C2 is out of reach all the while, of its console too', () => expect(seen.other).toEqual([...both('403 binding_broken'), '403 binding_broken']))

  test('[S20.h] each change of the ticket is in the log with its source', () => {
    const told = duties.lines.filter(({ kind, fact }) => kind === 'fact' && String((fact as Line)['what']).startsWith('anchor.') && (fact as Line)['name'] === 'psa/c1/CHG-88').map(({ fact }) => fact as Line) // a fact line has one
    expect(told.map(({ what }) => what)).toEqual(expect.arrayContaining(['anchor.opened', 'anchor.ended']))
    for (const { matter, by } of told) expect([(matter as Line)['source'], typeof by]).toEqual(['psa', 'string'])
    expect(factsIn(duties.lines, 'anchor.ended').map(({ matter }) => ((matter as Line)['facts'] as Line)['state'])).toContain('closed')
  })

  test('[S20.i] the change got a note when the work on it began, and when it ended', () => {
    const [begun, ended] = psa.notes
    for (const [path] of [begun ?? [''], ended ?? ['']]) expect(path).toBe('/v1/companies/c1/changes/CHG-88/notes')
    expect(String(begun?.[1])).toContain(duties.elevation)
    expect(String(ended?.[1])).toContain('ticket_closed')
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S20.j', risk: 'S20.k', digest: 'S20.l', life: 'S20.m', exchanges: 'S20.n', verify: 'S20.o', replay: 'S20.p', reconnect: 'S20.q', revive: 'S20.r', across: 'S20.s', upstream: 'S20.u', shared: 'S20.v',
  })) test(`[${id}] ${says}`, prove)

  test('[S20.g] opening the change again revives nothing', () => expect(duties.after).toEqual(both(CLOSED)))
  test('[S20.t] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
