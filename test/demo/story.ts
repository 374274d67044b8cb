// The agents' story, step by step: an agent written with the SDK sees its tools change, is refused, asks, is approved, works, and is cut when its ticket closes.
// Each step says what it does, does it through the public doors only, and compares what it claims with what happened; the first that does not hold ends it.
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { InsufficientScopeError, SdkHttpError } from '@modelcontextprotocol/client'
import type { Narrator } from '../../src/cli/demo/narrator.ts'
import { observe, observeThat, observeWithin } from '../../src/cli/demo/observation.ts'
import { INCIDENT, type SetUp, TICKET_META } from './set-up.ts'

export const STEPS = [
  'The agent sees the tools it may use', 'Writing is refused, with the reason and how to ask', 'The agent asks, in its own language', 'Somebody on call approves, and the list changes',
  'The agent works, for this incident and no other', 'A long call runs on the elevation', 'The ticket closes: the call is cut, mid-flight', 'The way back is closed', 'The trail names the tools, and nothing secret was said',
] as const

const PROFILE = 'write-runbook'
const SHOWN = { [TICKET_META]: INCIDENT }
const WITHIN_MS = 5_000
const OWN = ['elevation_status', 'release_elevation', 'request_elevation']

type Json = { readonly [member: string]: unknown }
const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null
const member = (of: unknown, name: string): unknown => (isJson(of) ? of[name] : undefined)

/** What a refused call was told: the data of its error. */
function refusalIn(error: unknown): Json {
  const body = error instanceof SdkHttpError ? error.data['text'] : undefined
  const told: unknown = typeof body === 'string' ? JSON.parse(body) : error
  const data = member(member(told, 'error') ?? told, 'data')
  return isJson(data) ? data : { reason: String(error) }
}

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
    await this.#sees()
    await this.#isRefused()
    const elevation = await this.#asks()
    await this.#isApproved(elevation)
    await this.#works()
    const rehearsal = await this.#rehearses()
    const cutMs = await this.#ticketCloses(rehearsal)
    await this.#staysClosed(elevation)
    await this.#isOnRecord()
    observe('every step was told', STEPS.length, this.#steps)
    this.#narrator.paragraph(`All ${STEPS.length} steps were observed. From the operator's word to the error at the agent: ${cutMs.toFixed(1)} ms.`)
  }

  #step(): void { this.#narrator.step(++this.#steps, STEPS.length, STEPS[this.#steps - 1] ?? '') }
  #saw(text: string): void { this.#narrator.saw(text) }

  async #tools(): Promise<readonly string[]> {
    const { tools } = await this.#at.agent.listTools(undefined, { cacheMode: 'refresh' })
    return tools.map(({ name }) => name).toSorted()
  }

  async #call(name: string, args: Json): Promise<{ readonly text: string; readonly data: unknown; readonly failed: boolean }> {
    const { content, structuredContent, isError } = await this.#at.agent.callTool({ name, arguments: { ...args }, _meta: SHOWN })
    const [first] = content
    return { text: first?.type === 'text' ? first.text : '', data: structuredContent, failed: isError === true }
  }

  async #refused(name: string, args: Json): Promise<Json> {
    return this.#call(name, args).then(({ text }) => ({ reason: `it passed: ${text}` }), refusalIn)
  }

  async #word(state: 'open' | 'ended', reason: string): Promise<void> {
    await this.#at.operator.ask('anchor.word', { params: { kind: 'ticket', name: INCIDENT }, body: { state, reason }, query: {} })
  }

  async #sees(): Promise<void> {
    this.#step()
    observe('the list holds what the baseline carries, and how to ask for more', [...OWN, 'runbook_read'].toSorted(), await this.#tools())
    this.#saw('tools/list: runbook_read, and the three by which it may ask; what it may not do now is not in it')
    const { text } = await this.#call('runbook_read', { incident: INCIDENT })
    observeThat('reading is let', text.length > 0, text)
    const last = this.#at.server.received.at(-1)
    observe('the server gets the gateway\'s context and no credential of the agent', { authorization: false, context: true }, { authorization: last?.headers.authorization !== undefined, context: last?.headers['narrowgate-context'] !== undefined })
    this.#saw('runbook_read is let; its server saw no Authorization, but a signed Narrowgate-Context')
  }

  async #isRefused(): Promise<void> {
    this.#step()
    const calls = this.#at.server.runbooks.calls.length
    const error = await this.#call('runbook_write', { incident: INCIDENT, text: 'Restart everything.' }).catch((thrown: unknown) => thrown)
    observe('the call is refused, and the challenge says what is missing', 'runbook.write', error instanceof InsufficientScopeError ? error.requiredScope : error)
    observe('nothing of it came to the server', calls, this.#at.server.runbooks.calls.length)
    this.#saw(`runbook_write, called all the same: ${String(error)}`)
    const asking = (await this.#at.agent.listTools(undefined, { cacheMode: 'refresh' })).tools.find(({ name }) => name === 'request_elevation')
    observeThat('the tool to ask with names the profile and whose word it needs', asking?.description?.includes(PROFILE) === true, asking)
    this.#narrator.shows(asking?.description ?? '')
  }

  async #asks(): Promise<string> {
    this.#step()
    await this.#word('open', 'the queue is stuck')
    this.#saw(`narrowgate anchor open ticket ${INCIDENT}`)
    const { data, failed, text } = await this.#call('request_elevation', { profile: PROFILE, purpose: { ticket: INCIDENT }, reason: 'the runbook is out of date' })
    observe('it is taken, and waits for a person', { failed: false, state: 'requested' }, { failed, state: member(data, 'state') ?? text })
    this.#saw(`request_elevation → ${String(member(data, 'id'))}, requested`)
    observeThat('asking alone opens nothing', String((await this.#refused('runbook_write', { incident: INCIDENT, text: 'x' }))['reason']).startsWith('InsufficientScope'), INCIDENT)
    return String(member(data, 'id'))
  }

  async #isApproved(elevation: string): Promise<void> {
    this.#step()
    const { oncall, lists } = this.#at
    const before = lists.length
    const card = await oncall.ask('elevation.get', { params: { id: elevation }, body: {}, query: {} })
    const waiting = this.#call('elevation_status', { id: elevation, wait: 20 })
    await oncall.ask('elevation.approve', { params: { id: elevation }, body: { shown: String(card['shown']), reason: 'go ahead' }, query: {} })
    observe('the agent, which waited, is told', 'active', member((await waiting).data, 'state'))
    this.#saw('elevation_status, which waited for it → active')
    await observeWithin('the list of tools changes by itself', WITHIN_MS, () => lists.slice(before).some(names => names.includes('runbook_write')), () => lists)
    this.#saw('notifications/tools/list_changed: runbook_write and runbook_rehearse are there now')
  }

  async #works(): Promise<void> {
    this.#step()
    const { runbooks } = this.#at.server
    observe('the runbook is written', 'written', (await this.#call('runbook_write', { incident: INCIDENT, text: 'Drain, then restart.' })).text)
    observe('its server has it', 'Drain, then restart.', runbooks.texts.get(INCIDENT))
    this.#saw(`runbook_write for ${INCIDENT} → written`)
    observe('another incident\'s is not', 'condition_false', (await this.#refused('runbook_write', { incident: 'INC-43', text: 'x' }))['reason'])
    this.#saw('runbook_write for INC-43: condition_false; the elevation is for INC-42 alone')
  }

  async #rehearses(): Promise<Rehearsal> {
    this.#step()
    const rehearsal = new Rehearsal(this.#at)
    await observeWithin('it tells how far it is', WITHIN_MS, () => rehearsal.steps > 3, () => rehearsal.steps)
    this.#saw(`runbook_rehearse runs; ${rehearsal.steps} notifications of its progress so far`)
    return rehearsal
  }

  async #ticketCloses(rehearsal: Rehearsal): Promise<number> {
    this.#step()
    const { lists, server } = this.#at
    const before = lists.length
    const closed = performance.now()
    await this.#word('ended', 'the queue runs again')
    const steps = rehearsal.steps
    await observeWithin('the call is cut', WITHIN_MS, () => rehearsal.endedAt > 0, () => `${rehearsal.steps} steps, and no end`)
    const told = await rehearsal.ended
    observe('the pending call gets an error of its own', 'ticket_closed', refusalIn(told)['reason'])
    this.#saw(`runbook_rehearse: ${String(refusalIn(told)['reason'])}, ${(rehearsal.endedAt - closed).toFixed(1)} ms after the operator's word`)
    observe('no step came behind the answer to the operator', steps, rehearsal.steps)
    const work = await server.runbooks.work(INCIDENT)
    await observeWithin('its server is told to stop', WITHIN_MS, () => work.cancelledAt > 0, () => work.cancelledAt)
    this.#saw(`its server saw the cancellation ${(work.cancelledAt - closed).toFixed(1)} ms after it`)
    await observeWithin('the list of tools changes back', WITHIN_MS, () => lists.slice(before).some(names => !names.includes('runbook_write')), () => lists)
    this.#saw('notifications/tools/list_changed: runbook_write is gone')
    return rehearsal.endedAt - closed
  }

  async #staysClosed(elevation: string): Promise<void> {
    this.#step()
    const reason = (await this.#refused('runbook_write', { incident: INCIDENT, text: 'x' }))['reason']
    observe('writing is refused, and says why', 'ticket_closed', reason)
    this.#saw(`runbook_write: ${String(reason)}`)
    observe('the elevation is over', 'ended', member((await this.#call('elevation_status', { id: elevation })).data, 'state'))
    await this.#word('open', 'by mistake')
    observeThat('a ticket that opens again revives nothing', (await this.#refused('runbook_write', { incident: INCIDENT, text: 'x' }))['reason'] !== undefined && !(await this.#tools()).includes('runbook_write'), await this.#tools())
    this.#saw('the ticket opens again: what ended by it stays ended')
    observe('what the baseline carries lives on, on the same connection', 'Drain, then restart.', (await this.#call('runbook_read', { incident: INCIDENT })).text)
    this.#saw('runbook_read is let, as it was all the time')
  }

  async #isOnRecord(): Promise<void> {
    this.#step()
    const { gateway, stateDir, urls, answered, server } = this.#at
    const words = server.received.flatMap(({ headers }) => headers['narrowgate-context'] ?? [])
    const secrets = [...this.#at.secrets, ...words.flat()]
    gateway.parts.trail.flushNow()
    const trail = await readFile(join(stateDir, basename(gateway.parts.settings().audit.trail.file)), 'utf8')
    const lines: readonly Json[] = trail.trimEnd().split('\n').map(line => JSON.parse(line) as Json) // its own records
    const writes = lines.filter(line => line['kind'] === 'exchange.opened' && member(line['mcp'], 'name') === 'runbook_write')
    observeThat('the write is on record with its tool and the digest of its arguments', writes.length === 1 && /^[\w-]{43}$/.test(String(member(writes[0]?.['mcp'], 'arguments'))), writes)
    const cuts = lines.filter(line => line['kind'] === 'exchange.cut')
    observe('so is the one cut, with its reason', ['ticket_closed'], cuts.map(line => line['reason']))
    this.#saw(`${lines.length} lines; the cut: ticket_closed, ${String(cuts[0]?.['latencyMs'])} ms after the word was accepted`)
    const metrics = await (await fetch(`${urls.ops}/metrics`)).text()
    const emitted = { trail, metrics, answers: answered.join('\n') }
    observeThat('what was answered is there to be looked through', emitted.answers.includes('list_changed') && words.length > 0, emitted.answers.length)
    for (const [where, text] of Object.entries(emitted)) observe(`no credential stands in the ${where}`, 0, secrets.filter(secret => text.includes(secret)).length)
    this.#saw(`none of ${new Set(secrets).size} credentials and signed words in the trail, the metrics, or ${answered.length / 2} answers`)
  }
}

/** The long call. */
class Rehearsal {
  steps = 0
  /** `performance.now()`. */
  endedAt = 0
  /** Why it ended. */
  readonly ended: Promise<unknown>

  constructor({ agent }: SetUp) {
    const call = agent.callTool({ name: 'runbook_rehearse', arguments: { incident: INCIDENT, text: 'Drain, then restart.' }, _meta: SHOWN }, { onprogress: () => void this.steps++ })
    this.ended = call.then(result => result, (error: unknown) => error).finally(() => (this.endedAt = performance.now()))
  }
}
