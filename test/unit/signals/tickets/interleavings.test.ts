// Answers of a source and messages about the same ticket, in any order and at any speed, over a real store: what ended stays so until somebody who was
// asked later says otherwise.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ConnectorSettings, MessageMap, PollSettings } from '../../../../src/config/compile/connectors.ts'
import { type Compiled, compileMessageTest, compileMessageText } from '../../../../src/conditions/compile.ts'
import { type Anchor, anchorOf } from '../../../../src/core/anchor.ts'
import type { SignalId } from '../../../../src/core/signal.ts'
import { duration, instant } from '../../../../src/core/time.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import type { HttpAnswer } from '../../../../src/runtime/http-client.ts'
import { openEmbeddedStore } from '../../../../src/sessions/embedded-store.ts'
import { Ledger } from '../../../../src/sessions/ledger.ts'
import { Mirror } from '../../../../src/sessions/mirror.ts'
import { Intake } from '../../../../src/signals/intake.ts'
import { Connector } from '../../../../src/signals/tickets/connector.ts'
import { mapped } from '../../../../src/signals/tickets/mapping.ts'
import { type Ports, takeMessage } from '../../../../src/signals/tickets/news.ts'
import { TicketSource } from '../../../../src/signals/tickets/source.ts'
import { policyOf } from '../../core/world.ts'

function compiled<T>(made: Compiled<T>): T {
  if (!made.ok) throw new Error('does not compile')
  return made.condition
}
const MAP: MessageMap = { id: compiled(compileMessageText('body.key')), tenant: null, at: null, closed: compiled(compileMessageTest('body.closed == true')), facts: new Map([['turn', compiled(compileMessageText('string(body.turn)'))]]) }
const POLL: PollSettings = { url: 'https://itsm.example/{id}', caFile: null, credential: null, headers: {}, timeout: duration(1_000), every: duration(60_000), map: MAP }
const SETTINGS: ConnectorSettings & { readonly poll: PollSettings } = { name: 'itsm', kind: 'ticket', tenanted: false, staleAfter: null, onStale: 'keep', poll: POLL, webhook: null, note: null }
const REF = anchorOf('itsm', 'ticket', '', 'T-1')

/** `toggle`: the ticket is closed or opened at its source. `look`: two gateways ask, each with its own connector; `answer`: the oldest question is answered with what was so when it was asked. */
const STEPS = ['toggle', 'look', 'look elsewhere', 'answer', 'message', 'wait'] as const

async function world() {
  const clock = new SystemClock()
  const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  const mirror = new Mirror(store, policyOf(), 10)
  await mirror.start()
  const ledger = new Ledger(store, mirror, clock)
  const ports: Ports = {
    intake: new Intake(ledger, store, clock, () => {}),
    load: async ref => {
      const found = await store.load(ref)
      return found?.record === 'anchor' ? found : null
    },
  }
  return { clock, ledger, ports, close: () => ledger.settled().then(() => store.close()) }
}

async function run(steps: readonly (typeof STEPS)[number][]): Promise<void> {
  const { clock, ledger, ports, close } = await world()
  let [turn, closed, endedAt] = [0, false, -1]
  const wrong: string[] = []
  ledger.onCommitted = (record, facts) => {
    for (const fact of facts) {
      if (fact.what === 'anchor.ended') endedAt = turn
      if (fact.what === 'anchor.opened' && record.record === 'anchor' && record.matter?.is === 'ticket' && Number(record.matter.facts['turn']) < endedAt) wrong.push(`opened by what was so at ${record.matter.facts['turn']}, but ended at ${endedAt}`)
    }
  }
  const waiting: (() => void)[] = []
  const http = {
    ask: (): Promise<HttpAnswer> => {
      const text = JSON.stringify({ key: 'T-1', closed, turn })
      return new Promise(resolve => waiting.push(() => resolve({ status: 200, etag: null, type: null, text })))
    },
  }
  const connectors = [0, 1].map(() => new Connector(SETTINGS, new TicketSource(POLL, { authorization: null, ca: null }, http), { ...ports, clock, count: () => {}, failed: () => {} }))
  const looks: Promise<Anchor | null>[] = []
  const look = (which: number): void => void looks.push(connectors[which]?.look(REF) ?? Promise.resolve(null))
  for (const step of steps) {
    turn++
    if (step === 'toggle') closed = !closed
    if (step === 'look') look(0)
    if (step === 'look elsewhere') look(1)
    if (step === 'answer') waiting.shift()?.()
    if (step === 'wait') await new Promise(resolve => setImmediate(resolve))
    if (step !== 'message') continue
    const read = mapped(MAP, { key: 'T-1', closed, turn })
    if (read.is === 'ticket') await takeMessage(ports, { ref: REF, ticket: read.ticket, map: MAP, source: 'itsm', now: clock.now(), opens: false }, { by: 'webhook:itsm', id: `sig_${turn}` as SignalId }) // a test word
  }
  let over = false
  void Promise.all(looks).then(() => (over = true))
  while (!over) {
    turn++
    waiting.shift()?.()
    await new Promise(resolve => setImmediate(resolve))
  }
  const last = connectors[0]?.look(REF)
  await new Promise(resolve => setImmediate(resolve))
  waiting.shift()?.()
  expect(wrong).toEqual([])
  expect((await last)?.state).toBe(closed ? 'ended' : 'open')
  await close()
}

test('[TKT1, TKT2, TKT3, SIG4] in any order of answers and messages nothing that ended is opened by what was so before, and in the end all is as its source has it', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 30 }), run), { numRuns: 200 })
}, 60_000)

test('[TKT2, SIG5] of two messages that say the same in the same instant each leaves its mark', async () => {
  const { clock, ports, close } = await world()
  const now = clock.now()
  const take = async (id: string, closed: boolean) => {
    const read = mapped(MAP, { key: 'T-1', closed, turn: 1 })
    if (read.is === 'fault') throw new Error(read.of)
    return (await takeMessage(ports, { ref: REF, ticket: read.ticket, map: MAP, source: 'itsm', now, opens: true }, { by: 'webhook:itsm', id: id as SignalId })).is // a test word
  }
  expect([await take('sig_a', false), await take('sig_b', false), await take('sig_c', true)]).toEqual(['taken', 'taken', 'taken'])
  expect([await take('sig_a', false), await take('sig_b', false), await take('sig_c', true)]).toEqual(['again', 'again', 'again'])
  expect((await ports.load(REF))?.state).toBe('ended')
  await close()
})

test('[TKT3, TKT4] whoever asks for tickets one after the other takes no room from asking again for what stands on one', async () => {
  const { clock, ports, close } = await world()
  const asked: string[] = []
  const answering: (() => void)[] = []
  const http = { ask: ({ pathname }: URL): Promise<HttpAnswer> => {
    asked.push(pathname)
    return new Promise(resolve => answering.push(() => resolve({ status: 404, etag: null, type: null, text: '' })))
  } }
  const connector = new Connector(SETTINGS, new TicketSource(POLL, { authorization: null, ca: null }, http), { ...ports, clock, count: () => {}, failed: () => {} })
  const looks = Array.from({ length: 200 }, (_, i) => connector.look(anchorOf('itsm', 'ticket', '', `X-${i}`)))
  connector.again({ record: 'anchor', ...REF, version: 1, state: 'open', generation: instant(0), since: instant(0), note: '', matter: null })
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  expect([asked.length, asked.at(-1)]).toEqual([65, '/T-1'])
  for (const answer of answering) answer()
  await Promise.all(looks)
  await ports.load(REF)
  await close()
})
