// The story of the demo, step by step. Each step says what it does, does it through the public doors only, and compares what it claims with what
// happened: the first claim that does not hold ends the story.
import { setTimeout as pause } from 'node:timers/promises'
import type { BodyFor } from '../../admin/contract.ts'
import { type Answer, Feed, isJson, type Json } from './caller.ts'
import { showEvidence } from './evidence.ts'
import type { Narrator } from './narrator.ts'
import { observe, observeThat, observeWithin } from './observation.ts'
import type { SetUp } from './set-up.ts'
import { EXPORT_TEXT } from './toy-upstream.ts'

export const STEPS = [
  'Reading is allowed', 'Writing is refused, with the reason and how to ask', 'An operator opens ticket DEMO-1', 'The agent is elevated for that ticket',
  'A feed runs on the elevation, another on the baseline', 'The session is frozen', 'The session is resumed', 'The ticket ends: what stood on it is cut, mid-flight',
  'The way back is closed', 'The session\'s timeline', 'The trail is verified, and a tampered copy is found',
] as const
export type Step = (typeof STEPS)[number]

const TICKET = 'DEMO-1'
const SHOWN = { 'narrowgate-ticket': TICKET }
const PROFILE = 'refund-case'
const ORDER = '/orders/42'
const REFUND = '/orders/42/refund'
const SILENCE_MS = 400
/** For what the kernel held at the moment of the acknowledgement. */
const SETTLED_MS = 40
const WITHIN_MS = 3_000

type Running = { readonly payments: Feed; readonly orders: Feed; readonly download: { readonly text: Promise<string>; readonly arrived: () => boolean } }

const millis = (ms: number): string => `${ms.toFixed(1)} ms`
const refusal = ({ status, json }: Answer) => ({ status, reason: json['reason'] })
const numberIn = (answer: Json, name: string): number => (typeof answer[name] === 'number' ? answer[name] : Number.NaN)
const objectIn = (answer: Json, name: string): Json => (isJson(answer[name]) ? answer[name] : {})

export class Story {
  readonly #at: SetUp
  readonly #narrator: Narrator
  #steps = 0

  constructor(at: SetUp, narrator: Narrator) {
    this.#at = at
    this.#narrator = narrator
  }

  /** @throws NotObserved at the first step that was not seen as it is told */
  async play(): Promise<void> {
    await this.#reads()
    await this.#isRefused()
    await this.#opensTicket()
    const { session, elevation } = await this.#isElevated()
    const running = await this.#watches()
    await this.#freezes(session, running)
    await this.#resumes(session, running)
    const cutMs = await this.#endsTicket(running)
    await this.#staysClosed(elevation, running)
    this.#step('The session\'s timeline')
    await showEvidence(this.#at, this.#narrator, session, () => this.#step('The trail is verified, and a tampered copy is found'))
    observe('every step was told', STEPS.length, this.#steps)
    this.#narrator.paragraph(`All ${STEPS.length} steps were observed. From the operator's word to the end of the feed at the client: ${millis(cutMs)}.`)
  }

  #step(title: Step): void {
    this.#steps++
    observe('the steps come in their order', STEPS[this.#steps - 1], title)
    this.#narrator.step(this.#steps, STEPS.length, title)
  }

  #saw(text: string): void { this.#narrator.saw(text) }

  async #reads(): Promise<void> {
    this.#step('Reading is allowed')
    const { status, json } = await this.#at.agent.ask('GET', ORDER)
    observe(`GET ${ORDER} is answered`, 200, status)
    observe('the upstream sees the gateway\'s context and no credential of the caller', { authorization: false, context: true }, json['saw'])
    this.#saw(`GET ${ORDER} → 200 on the baseline scope orders:read`)
    this.#saw('the upstream saw no Authorization header, but a signed Narrowgate-Context')
  }

  async #isRefused(): Promise<void> {
    this.#step('Writing is refused, with the reason and how to ask')
    const answer = await this.#at.agent.ask('POST', REFUND)
    observe(`POST ${REFUND} is refused`, { status: 403, reason: 'elevation_required' }, refusal(answer))
    const { access_request: request, detail } = answer.json
    const { endpoint, offers } = isJson(request) ? request : {}
    observe('the refusal offers the profile', [{ profile: PROFILE, purpose: ['ticket'], approval: 'none' }], offers)
    this.#saw(`POST ${REFUND} → 403 elevation_required: ${String(detail)}`)
    this.#narrator.shows(`access_request: POST ${String(endpoint)}, offers ${JSON.stringify(offers)}`)
  }

  async #opensTicket(): Promise<void> {
    this.#step('An operator opens ticket DEMO-1')
    const early = await this.#ask()
    observe('a ticket nobody confirmed is no purpose', { status: 403, reason: 'ticket_unknown' }, refusal(early))
    this.#saw('asked for before anybody confirmed the ticket: 403 ticket_unknown')
    await this.#word({ state: 'open', reason: 'customer asks for a refund' })
    this.#saw(`narrowgate anchor open ticket ${TICKET}`)
  }

  async #isElevated(): Promise<{ readonly session: string; readonly elevation: string }> {
    this.#step('The agent is elevated for that ticket')
    const { agent } = this.#at
    const { status, json } = await this.#ask()
    observe('the elevation is given at once', { status: 201, state: 'active', adds: ['orders:refund', 'payments:watch'] }, { status, state: json['state'], adds: json['adds'] })
    this.#saw(`POST /.narrowgate/elevations → 201 active, adds ${String(json['adds'])}, ${numberIn(json, 'secondsLeft')} s left`)
    observe('a write that does not show the ticket is refused', { status: 403, reason: 'purpose_missing' }, refusal(await agent.ask('POST', REFUND)))
    this.#saw('the same write without the ticket: 403 purpose_missing')
    const written = await agent.ask('POST', REFUND, { headers: SHOWN })
    observe('a write that shows the ticket passes', { status: 200, refunded: true }, { status: written.status, refunded: written.json['refunded'] })
    this.#saw(`with Narrowgate-Ticket: ${TICKET} → 200 refunded`)
    const { json: own } = await agent.ask('GET', '/.narrowgate/session')
    return { session: String(own['id']), elevation: String(json['id']) }
  }

  async #watches(): Promise<Running> {
    this.#step('A feed runs on the elevation, another on the baseline')
    const payments = await this.#feed('/feeds/payments', SHOWN)
    const orders = await this.#feed('/feeds/orders')
    let arrived = false
    const text = this.#at.agent.download('/exports/orders.csv').finally(() => (arrived = true))
    text.catch(() => undefined) // awaited some steps on
    await observeWithin('both feeds bring events', WITHIN_MS, () => payments.count >= 5 && orders.count >= 5, () => ({ payments: payments.count, orders: orders.count }))
    this.#saw(`/feeds/payments with the ticket: ${payments.count} events; /feeds/orders: ${orders.count} events; a slow download beside them`)
    return { payments, orders, download: { text, arrived: () => arrived } }
  }

  async #freezes(session: string, { payments, orders }: Running): Promise<void> {
    this.#step('The session is frozen')
    const { agent, operator, upstream } = this.#at
    const answer = await operator.ask('session.freeze', { params: { id: session }, body: { reason: 'demo: a second look' }, query: {} })
    observe('the freeze is enforced on all that is open', { enforced: true, frozen: 3 }, { enforced: answer['enforced'], frozen: objectIn(answer, 'exchanges')['frozen'] })
    this.#saw(`narrowgate freeze ${session}: enforced in ${millis(numberIn(answer, 'tookMs'))}, two feeds and a download held`)
    await pause(SETTLED_MS)
    const before = { payments: payments.last, orders: orders.last, upstream: upstream.written('payments') }
    await pause(SILENCE_MS)
    observe('both feeds are silent and open', { payments: before.payments, orders: before.orders, ends: [null, null] }, { payments: payments.last, orders: orders.last, ends: [payments.end, orders.end] })
    const meanwhile = upstream.written('payments') - before.upstream
    observeThat('the upstream went on writing', meanwhile > 0, meanwhile)
    this.#saw(`${SILENCE_MS} ms of silence on both feeds, while the upstream wrote ${meanwhile} more events`)
    observe('a new request is refused', { status: 403, reason: 'frozen' }, refusal(await agent.ask('GET', ORDER)))
    this.#saw(`GET ${ORDER} → 403 frozen`)
  }

  async #resumes(session: string, { payments, orders }: Running): Promise<void> {
    this.#step('The session is resumed')
    const { operator, upstream } = this.#at
    const held = upstream.written('payments')
    await operator.ask('session.resume', { params: { id: session }, body: { reason: 'demo: looks fine' }, query: {} })
    await observeWithin('both feeds catch up with what was held', WITHIN_MS, () => payments.last > held && orders.last > held, () => ({ payments: payments.last, orders: orders.last, held }))
    this.#nothingLost(payments)
    this.#nothingLost(orders)
    this.#saw(`nothing lost: events 1 to ${payments.last} and 1 to ${orders.last} without a gap, on the same connections`)
  }

  /** @returns milliseconds from before the word was sent until the client saw its feed end */
  async #endsTicket({ payments, orders, download }: Running): Promise<number> {
    this.#step('The ticket ends: what stood on it is cut, mid-flight')
    observe('the download is still under way', false, download.arrived())
    const sent = performance.now()
    const answer = await this.#word({ state: 'ended', reason: 'refunded' })
    observe('one exchange is cut, two go on', { enforced: true, cut: 1, continued: 2 }, { enforced: answer['enforced'], cut: objectIn(answer, 'exchanges')['cut'], continued: objectIn(answer, 'exchanges')['continued'] })
    await observeWithin('the client sees its feed end', WITHIN_MS, () => payments.end !== null, () => ({ last: payments.last }))
    const { at, how } = payments.end ?? { at: Number.NaN, how: 'reset' }
    const before = orders.last
    await observeWithin('the baseline feed goes on', WITHIN_MS, () => orders.last >= before + 5, () => orders.last - before)
    this.#nothingLost(orders)
    observe('the baseline feed is open', null, orders.end)
    this.#saw(`narrowgate anchor end ticket ${TICKET}: 1 cut, 2 continue; acknowledged as enforced, tookMs ${millis(numberIn(answer, 'tookMs'))}`)
    this.#saw(`/feeds/payments ${how} at event ${payments.last}: ${millis(at - sent)} from the operator's request (its way included) to the end at the client`)
    this.#saw(`/feeds/orders goes on: event ${orders.last}, still without a gap`)
    return at - sent
  }

  async #staysClosed(elevation: string, { orders, download }: Running): Promise<void> {
    this.#step('The way back is closed')
    const { agent, operator } = this.#at
    const again = await agent.watch('/feeds/payments', SHOWN)
    observe('the reconnect is refused', { status: 403, reason: 'ticket_closed' }, again instanceof Feed ? { status: 200 } : refusal(again))
    this.#saw('the reconnect to /feeds/payments: 403 ticket_closed')
    await this.#word({ state: 'open', reason: 'opened by mistake' })
    const { state, reason } = await operator.ask('elevation.get', { params: { id: elevation }, body: {}, query: {} })
    observe('the elevation stays ended', { state: 'ended', reason: 'ticket_closed' }, { state, reason })
    observe('a write is still refused', { status: 403, reason: 'ticket_closed' }, refusal(await agent.ask('POST', REFUND, { headers: SHOWN })))
    this.#saw('the ticket was opened again: the elevation stays ended (ticket_closed), the write is refused')
    observe(`GET ${ORDER} passes as before`, 200, (await agent.ask('GET', ORDER)).status)
    this.#saw(`GET ${ORDER} → 200: the baseline was never touched`)
    observeThat('the download arrives byte for byte', (await download.text) === EXPORT_TEXT, 'another text')
    this.#nothingLost(orders)
    observe('the baseline feed is open to the end', null, orders.end)
    this.#saw(`the baseline's download, begun before the freeze, arrived whole: ${EXPORT_TEXT.length} bytes; its feed is at event ${orders.last} without a gap`)
    orders.close()
  }

  #nothingLost({ first, count, last, contiguous }: Feed): void {
    observe('event numbers are contiguous', { first: 1, count: last, contiguous: true }, { first, count, contiguous })
  }

  #ask(): Promise<Answer> {
    return this.#at.agent.ask('POST', '/.narrowgate/elevations', { body: { profile: PROFILE, purpose: { ticket: TICKET }, reason: 'refund order 42' } })
  }

  #word(body: BodyFor<'anchor.word'>): Promise<Json> {
    return this.#at.operator.ask('anchor.word', { params: { kind: 'ticket', name: TICKET }, body, query: {} })
  }

  async #feed(path: string, headers = {}): Promise<Feed> {
    const opened = await this.#at.agent.watch(path, headers)
    if (opened instanceof Feed) return opened
    observe(`${path} opens`, 200, refusal(opened))
    throw new RangeError(`${path} opened as something else`)
  }
}
