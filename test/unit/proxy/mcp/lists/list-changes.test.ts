// What a stream is told when a list would be another one: once, for the kinds it asked for, whatever changed.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChangeSieve, kindsAskedFor, type ListedKind } from '../../../../../src/proxy/mcp/lists/list-changes.ts'
import { instant } from '../../../../../src/core/time.ts'
import { plainCall } from '../../../../../src/proxy/mcp/message.ts'
import { NOW } from '../../../core/world.ts'
import { asked, policyOf, Stage, tells } from '../stage.ts'

let stage: Stage
beforeEach(async () => { stage = await Stage.open() })
afterEach(() => stage.close())

function begun(kinds: readonly ListedKind[] = ['tools', 'prompts', 'resources']): () => readonly string[] {
  const sieve = new ChangeSieve(() => stage.route, stage.supposing, kinds)
  sieve.begin()
  return () => sieve.changed().map(({ method }) => method)
}

test('[MCP13] the beginning of an elevation and its end by time are told once each, for every kind it touches', async () => {
  const told = begun()
  expect(told()).toEqual([])
  await stage.elevate()
  expect(told()).toEqual(['notifications/tools/list_changed', 'notifications/resources/list_changed'])
  expect(told(), 'once').toEqual([])
  stage.world.clock.pass(600_000)
  expect(told()).toEqual(['notifications/tools/list_changed', 'notifications/resources/list_changed'])
})

test('[MCP13] a change that comes between two looks and is gone again is none', async () => {
  const told = begun()
  await stage.lock({ kind: 'subject', value: 'a' })
  await stage.lift({ kind: 'subject', value: 'a' })
  expect(told()).toEqual([])
})

test('[MCP13, MCP14] locks on tools of the route are told, others are not', async () => {
  const told = begun()
  await stage.lock({ kind: 'tool', value: 'other/read_a' })
  expect(told()).toEqual([])
  await stage.lock({ kind: 'tool', value: 'runbooks/read_a' })
  expect(told()).toEqual(['notifications/tools/list_changed'])
  await stage.lock({ kind: 'definition', value: 'runbooks/read_a' }, 'freeze')
  expect(told()).toEqual(['notifications/tools/list_changed'])
  await stage.lift({ kind: 'tool', value: 'runbooks/read_a' })
  expect(told()).toEqual(['notifications/tools/list_changed'])
})

test('[MCP13] what carries lists, or tells of them, is looked at again when time changes what they hold; a call is not', async () => {
  const ends = () => [plainCall('protocol', 'subscriptions/listen'), { ...plainCall('tool', 'tools/call'), name: 'read_a' }].map(call => Number(stage.supposing.until(call)) - NOW)
  const [whole = 0] = ends()
  expect(ends()).toEqual([whole, whole])
  await stage.elevate()
  expect(ends(), 'an elevation ends').toEqual([600_000, whole])
  await stage.lock({ kind: 'tool', value: 'runbooks/search' }, 'deny', instant(NOW + 5_000))
  await stage.lock({ kind: 'tool', value: 'other/search' }, 'deny', instant(NOW + 1_000))
  expect(ends(), 'a lock lifts').toEqual([5_000, whole])
})

test('[MCP13] only kinds that were asked for', async () => {
  const told = begun(['resources'])
  await stage.elevate()
  expect(told()).toEqual(['notifications/resources/list_changed'])
  expect(kindsAskedFor(asked('subscriptions/listen', { notifications: { toolsListChanged: true, promptsListChanged: false, resourceSubscriptions: ['file:///x'] } }))).toEqual(['tools'])
  for (const filter of [{}, { notifications: 'x' }, { notifications: [] }, { notifications: { toolsListChanged: 1 } }]) expect(kindsAskedFor(asked('subscriptions/listen', filter))).toEqual([])
  expect(kindsAskedFor(asked('stream', {}, { is: 'stream', era: 'legacy' })), 'the older protocol asks for all').toEqual(['tools', 'prompts', 'resources'])
})

test('[MCP13] a rule whose condition asks for the tool is looked at for each of its names', async () => {
  const other = await Stage.open(policyOf('{}', `
      - allow: { tools: [a, b, "c_*"] }
        scope: db:write
        if: mcp.tool == "b"`))
  const sieve = new ChangeSieve(() => other.route, other.supposing, ['tools'])
  sieve.begin()
  await other.elevate()
  expect(sieve.changed().map(({ method }) => method)).toEqual(['notifications/tools/list_changed'])
  await other.close()
})

test('[MCP13] the acknowledgement of a subscription grants what the gateway tells, whatever the server does', () => {
  const sieve = new ChangeSieve(() => stage.route, stage.supposing, ['tools'])
  const passed = sieve.pass(tells('notifications/subscriptions/acknowledged', { _meta: { x: 1 }, notifications: { resourceSubscriptions: ['file:///x'] } }))
  expect(passed.value).toEqual({ jsonrpc: '2.0', method: 'notifications/subscriptions/acknowledged', params: { _meta: { x: 1 }, notifications: { resourceSubscriptions: ['file:///x'], toolsListChanged: true } } })
  const other = tells('notifications/progress')
  expect(sieve.pass(other)).toBe(other)
})
