// Which sieves the answer to a message passes, and that a stream knows what its session might do when it began.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Message } from '../../../../../src/proxy/mcp/message.ts'
import type { JsonObject, ServerMessage } from '../../../../../src/proxy/mcp/sieve.ts'
import { Sieving } from '../../../../../src/proxy/mcp/lists/sieving.ts'
import { openLog } from '../../../../../src/runtime/log.ts'
import { Metrics } from '../../../../../src/runtime/metrics.ts'
import { Intake } from '../../../../../src/signals/intake.ts'
import { answer, asked, policyOf, resultOf, Stage, tells } from '../stage.ts'

let stage: Stage
let sieving: Sieving
let metrics: Metrics
beforeEach(async () => {
  stage = await Stage.open(policyOf('{ offerElevation: { prefix: ng_ }, onChange: hide }'))
  metrics = new Metrics()
  const { mirror, ledger, store, clock } = stage.world
  sieving = new Sieving({ keeper: stage.keeper, mirror, ledger, intake: new Intake(ledger, store, clock, () => undefined), metrics, log: openLog('silent') })
})
afterEach(() => stage.close())

const of = (message: Message) => sieving.of(stage.route, stage.mcp, message, () => stage.exchange)
const through = (message: Message, told: ServerMessage): ServerMessage | null => of(message).sieves.reduce<ServerMessage | null>((passed, sieve) => (passed === null ? null : sieve.pass(passed)), told)

test('[MCP13] whatever changes behind the beginning of a stream is told, of either protocol', async () => {
  const [listen, stream, list] = [of(asked('subscriptions/listen', { notifications: { toolsListChanged: true } })), of(asked('stream', {}, { is: 'stream', era: 'legacy' })), of(asked('tools/list'))]
  for (const { begins } of [listen, stream, list]) begins()
  await stage.lock({ kind: 'tool', value: 'runbooks/read_a' })
  expect([listen, stream, list].map(({ sieves }) => sieves.flatMap(sieve => sieve.changed()).map(({ method }) => method))).toEqual([['notifications/tools/list_changed'], ['notifications/tools/list_changed'], []])
})

test('[MCP12, MCP15] a list of tools holds the gateway’s own ones under their prefix; a server’s of that name is dropped and counted', async () => {
  const listed = resultOf(through(asked('tools/list'), answer({ tools: [{ name: 'ng_request_elevation' }, { name: 'request_elevation' }, { name: 'read_a' }] })))['tools'] as readonly JsonObject[] // as the sieve made it
  expect(listed.map(({ name }) => name)).toEqual(['read_a', 'ng_request_elevation', 'ng_elevation_status', 'ng_release_elevation'])
  expect(await metrics.text()).toContain('narrowgate_mcp_dropped_total{route="runbooks",what="own"} 1')
})

test('[MCP12, MCP19] every answer and every message passes what is meant for it', () => {
  expect(resultOf(through(asked('resources/read'), answer({ contents: [], ttlMs: 9e9, cacheScope: 'public' })))).toMatchObject({ cacheScope: 'private' })
  expect(resultOf(through(asked('resources/read', {}, { era: 'legacy' }), answer({ contents: [], cacheScope: 'public' })))).toEqual({ contents: [], cacheScope: 'public' })
  expect(through(asked('initialize', {}, { era: 'legacy' }), answer({ protocolVersion: '2020-01-01' }))?.value['error']).toBeDefined()
  for (const message of [asked('tools/list'), asked('tools/call'), asked('initialize'), asked('stream', {}, { is: 'stream' })]) expect(through(message, tells('notifications/resources/updated', { uri: 'file:///secrets/a' }))).toBeNull()
})
