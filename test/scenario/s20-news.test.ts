// S20, the news itself: the service provider's system says at A, by a signed message, that the change has closed, and nobody else says so: whoever asks it is told that the
// change is open. What somebody else says, or it of another change, closes nothing. Played once on each setting.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Delivery } from '../support/ticket-source.ts'
import { until } from '../wire/support.ts'
import { upgrade, WebSocketCaller } from '../wire/websocket-callers.ts'
import { refusedBeside, timesIn } from './brokers.ts'
import { both, type Caller, elevatedAt, SETTINGS, type Setting, speaks, through } from './callers.ts'
import { BOUND } from './duties.ts'
import { tells } from './news.ts'
import { Psa } from './psa.ts'
import { bearer, factsIn, type Line, tokenFor } from './stage.ts'

const HOST = { host: 'firewalls.internal', 'narrowgate-ticket': 'CHG-88' }
const CLOSED = '403 ticket_closed'
const HOUR = 3_600_000

type AtWork = { readonly eve: Caller; readonly elevation: string; readonly console: WebSocketCaller }

describe.each(SETTINGS)('S20 %s', (_, raise) => {
  let setting: Setting
  let psa: Psa
  let lines: readonly Line[] = []
  let beside: readonly Line[] = []
  let own: AtWork
  const seen = { nobody: [] as number[], ofOthers: [] as number[], lived: false, before: [] as readonly string[], status: 0, cutAfter: 0, behind: [] as readonly number[], after: [] as readonly string[], again: [] as number[], reopened: [] as readonly string[], other: [] as readonly unknown[] }

  /** The engineer at a console of this customer's firewall on B, for its CHG-88. */
  async function atWork(customer: string): Promise<AtWork> {
    const eve: Caller = { leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'eve', { sid: customer, customer, manager: 'max', device_id: 'laptop' }), HOST) }
    const elevation = await elevatedAt(setting.a, eve, { profile: 'change', purpose: { ticket: 'CHG-88' } })
    const console = await upgrade(setting.b, `/v1/${customer}/console`, eve.headers)
    if (!(console instanceof WebSocketCaller)) throw new Error(`no console: ${console.status} ${String(console.reason)}`)
    await until(() => console.messages.length > 3, 'the console to be under way')
    return { eve, elevation, console }
  }

  const rules = ({ eve }: AtWork, customer = 'c1'): Promise<readonly string[]> => through(setting, eve, 'GET', `/v1/${customer}/rules`)
  const says = (status: string, { company = 'c1', number = 'CHG-88', name = 'psa', ...delivery }: Delivery & { readonly company?: string; readonly number?: string; readonly name?: string } = {}): Promise<number> =>
    tells(setting.a, name, { company, number, status, type: 'change' }, delivery)
  const livesOn = async ({ console }: AtWork): Promise<boolean> => {
    const at = performance.now()
    await until(() => console.overAt > 0 || timesIn(console.messages.join('')).some(time => time > at), 'the console to speak, or to be over')
    return console.overAt === 0
  }

  async function theChangeCloses(): Promise<void> {
    seen.status = await says('closed', { id: 'msg_88' })
    const at = performance.now()
    await own.console.over()
    seen.cutAfter = own.console.overAt - at
    seen.behind = timesIn(own.console.messages.join('')).filter(time => time > at)
    seen.after = await rules(own)
  }

  beforeAll(async () => {
    psa = await Psa.start()
    for (const customer of ['c1', 'c2']) psa.has(customer, 'CHG-88', 'open')
    setting = await raise('s20.yaml', { adapt: psa.stands })
    for (const customer of ['c1', 'c2']) setting.a.upstream.plays.set(`/v1/${customer}/rules`, '/ok')
    speaks(setting.a)
    own = await atWork('c1')
    const another = await atWork('c2')
    seen.nobody = [await says('closed', { headers: {} }), await says('closed', { secret: 'somebody else\'s secret, as long' }), await says('closed', { at: Date.now() - HOUR }), await says('closed', { at: Date.now() + HOUR }), await says('closed', { name: 'itsm' })]
    seen.ofOthers = [await says('closed', { company: 'c3' }), await says('closed', { number: 'CHG-8' }), await says('working')]
    ;[seen.lived, seen.before] = [await livesOn(own), await rules(own)]
    await theChangeCloses()
    seen.again = [await says('closed', { id: 'msg_88' }), await says('open')]
    seen.reopened = await rules(own)
    seen.other = [await livesOn(another), await rules(another, 'c2')]
    lines = await setting.trail()
    beside = await refusedBeside(setting.a)
    another.console.close()
  }, 60_000)
  afterAll(async () => {
    await setting.stop()
    await psa.close()
  })

  test('[S20.d] the closing arrives at A as a signed message, and with its answer the console on B is over and C1\'s firewall closed through both', () => {
    expect([seen.status, own.console.closed, seen.behind, seen.after]).toEqual([204, { code: 1008, reason: 'ticket_closed' }, [], both(CLOSED)])
    expect(seen.cutAfter).toBeLessThan(BOUND)
  })

  test('[S20.d] what nobody signed, somebody else signed, or was signed at another time closes nothing, nor what is said of another change, customer or state', () => {
    expect([seen.nobody, seen.ofOthers]).toEqual([[401, 401, 401, 401, 404], [204, 204, 204]])
    expect([seen.lived, seen.before, seen.other]).toEqual([true, both('200'), [true, both('200')]])
    expect(beside.filter(({ path }) => path === '/hooks/psa').map(({ fault }) => fault)).toEqual(['webhook_header_missing', 'webhook_signature_wrong', 'webhook_timestamp_old', 'webhook_timestamp_early'])
  })

  test('[S20.d] the same message again does nothing, and what is said later revives nothing', () => {
    expect([seen.again, seen.reopened]).toEqual([[200, 204], both(CLOSED)])
    expect(factsIn(lines, 'anchor.ended').filter(({ name }) => name === 'psa/c1/CHG-88')).toHaveLength(1)
  })

  test('[S20.d] the log has whose word it was, and that the elevation ended and the console was cut because of it', () => {
    const [told] = factsIn(lines, 'anchor.ended').filter(({ name }) => name === 'psa/c1/CHG-88')
    expect(told).toMatchObject({ by: 'webhook:psa', because: expect.stringMatching(/^sig_hook_/), matter: { source: 'psa', facts: { state: 'closed' } } })
    const because = told?.['because']
    expect(factsIn(lines, 'elevation.ended').filter(({ elevation }) => elevation === own.elevation)).toMatchObject([{ reason: 'ticket_closed', cause: because }])
    expect(lines.filter(({ kind, grant }) => kind === 'exchange.cut' && grant === own.elevation)).toMatchObject([{ gateway: setting.b.parts.gateway, reason: 'ticket_closed', because }])
  })
})
