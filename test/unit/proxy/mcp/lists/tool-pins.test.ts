// Definitions compared while a list passes: what is hidden in that turn, what is told behind it, in which order, and what a store that fails leaves.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { definitionLock, PINS_MAX, pinOf, pinsIn, pinsRef } from '../../../../../src/core/tools.ts'
import { ToolPins } from '../../../../../src/proxy/mcp/lists/tool-pins.ts'
import { Metrics } from '../../../../../src/runtime/metrics.ts'
import { Intake } from '../../../../../src/signals/intake.ts'
import { policyOf, Stage } from '../stage.ts'

let stage: Stage
let metrics: Metrics
let logged: string[]
let pins: ToolPins

async function staged(mcp: string): Promise<void> {
  await stage?.close()
  stage = await Stage.open(policyOf(mcp))
  metrics = new Metrics()
  logged = []
  const { mirror, ledger, store, clock } = stage.world
  const hear = (_: object, text: string): void => void logged.push(text)
  pins = new ToolPins({ mirror, ledger, intake: new Intake(ledger, store, clock, () => undefined), metrics, log: { debug: hear, info: hear, warn: hear, error: hear } })
}
beforeEach(() => staged('{ onChange: hide }'))
afterEach(() => stage.close())

const take = (...tools: readonly (readonly [tool: string, digest: string])[]): readonly string[] => [...pins.take(stage.route, stage.mcp, tools.map(([tool, digest]) => ({ tool, digest })))]
const lockOn = (tool: string) => stage.world.mirror.lock(definitionLock('runbooks', tool))
const pinned = (tool: string) => { const pin = pinOf(pinsIn(stage.world.mirror.anchors.known(pinsRef('runbooks'))?.matter ?? null), tool); return pin === null ? null : [pin.accepted, pin.changed] }
const counted = async (text: string): Promise<boolean> => (await metrics.text()).includes(text)

test('[MCP14] the first list is accepted, and a list that says the same tells nothing', async () => {
  expect(take(['a', '1'], ['b', '2'])).toEqual([])
  await pins.settled()
  const { version } = stage.world.mirror.anchors.known(pinsRef('runbooks')) ?? { version: 0 }
  expect(take(['b', '2'], ['a', '1'])).toEqual([])
  await pins.settled()
  expect([pinned('a'), pinned('b'), stage.world.mirror.anchors.known(pinsRef('runbooks'))?.version]).toEqual([['1', null], ['2', null], version])
})

test('[MCP14] what changed is hidden in that very turn, then locked everywhere and on record, once', async () => {
  take(['a', '1'], ['b', '1'])
  await pins.settled()
  expect(take(['a', '2'], ['b', '1'])).toEqual(['a'])
  expect(take(['a', '2']), 'while it is told').toEqual(['a'])
  await pins.settled()
  expect([lockOn('a'), lockOn('b')]).toMatchObject([{ effect: 'deny', reason: 'tool_changed', by: 'mcp', until: null }, null])
  take(['a', '2'])
  await pins.settled()
  expect([pinned('a'), logged.length, await counted('narrowgate_tool_changes_total{route="runbooks"} 1')]).toEqual([['1', '2'], 1, true])
})

test('[MCP14] a change that is seen while another list is being told is told behind it', async () => {
  take(['a', '1'])
  expect(take(['a', '2'], ['b', '1']), 'the first one counts before it is on record').toEqual(['a'])
  await pins.settled()
  expect([pinned('a'), pinned('b'), lockOn('a')?.effect]).toEqual([['1', '2'], ['1', null], 'deny'])
})

test.each([['alarm', [], null], ['freeze', ['a'], 'freeze'], ['off', [], null]])('[MCP14] `onChange: %s` hides %j and locks %j', async (mode, hidden, effect) => {
  await staged(`{ onChange: ${mode} }`)
  take(['a', '1'])
  await pins.settled()
  expect(take(['a', '2'])).toEqual(hidden)
  await pins.settled()
  expect([lockOn('a')?.effect ?? null, pinned('a')]).toEqual([effect, mode === 'off' ? null : ['1', '2']])
})

test('[MCP14] a lock that is missing is set again at the next list', async () => {
  take(['a', '1'])
  await pins.settled()
  take(['a', '2'])
  await pins.settled()
  await stage.lift(definitionLock('runbooks', 'a'))
  expect([take(['a', '2']), lockOn('a')]).toEqual([['a'], null])
  await pins.settled()
  expect(lockOn('a')?.effect).toBe('deny')
})

test('[MCP14] a store that fails takes no pins: nothing is accepted by that, and the next list tells it', async () => {
  stage.world.valve.onCommit = () => { throw new Error('gone') }
  expect(take(['a', '1'])).toEqual([])
  await pins.settled()
  expect([pinned('a'), logged.length]).toEqual([null, 1])
  stage.world.valve.onCommit = () => {}
  take(['a', '1'])
  await pins.settled()
  expect(pinned('a')).toEqual(['1', null])
})

test('[MCP14] tools beyond so many are not shown where changes are hidden, and that is counted', async () => {
  const many = Array.from({ length: PINS_MAX + 2 }, (_, i) => [`t${i}`, 'x'] as const)
  expect(take(...many)).toEqual([`t${PINS_MAX}`, `t${PINS_MAX + 1}`])
  await pins.settled()
  expect([pinned(`t${PINS_MAX - 1}`), pinned(`t${PINS_MAX}`), take(['t0', 'x'], ['new', 'x']), await counted('narrowgate_limit_reached_total{limit="pinned_tools"} 2')]).toEqual([['x', null], null, ['new'], true])
})

test('[MCP14] a list waits for what is known of its route where it is not known here', async () => {
  const { mirror } = stage.world
  expect(mirror.anchors.isKnown(pinsRef('runbooks')), 'of a configured route from the start').toBe(true)
  await pins.know(stage.route)
  const other = { ...stage.route, name: 'later' }
  expect(mirror.anchors.isKnown(pinsRef('later'))).toBe(false)
  await pins.know(other)
  expect(mirror.anchors.isKnown(pinsRef('later'))).toBe(true)
  stage.world.valve.onLoad = () => { throw new Error('gone') }
  await expect(pins.know({ ...stage.route, name: 'gone' }), 'what may have been accepted is not guessed').rejects.toThrow('gone')
})
