import { expect, test } from 'vitest'
import { compileCondition, compileValue } from '../../../src/conditions/compile.ts'
import type { Call } from '../../../src/core/call.ts'
import { INPUT } from './fixture.ts'

const CALL: Call = { kind: 'tool', method: 'tasks/get', name: 'export', args: 'forgotten', digest: 'd', under: 'baseline' }
const asked = { ...INPUT, evaluation: { ...INPUT.evaluation, action: { method: 'POST', upgrade: null, call: CALL } } }

test.each(['mcp.args.name == "a"', 'has(mcp.args.name)', '!has(mcp.args.name)', 'size(mcp.args) == 0', '!("name" in mcp.args)'])('[MCP11] %s says nothing of arguments that nobody knows any more', source => {
  const compiled = compileCondition(source, new Set())
  if (!compiled.ok) throw new Error(compiled.faults.map(({ message }) => message).join())
  expect(compiled.condition.readsArguments).toBe(true)
  expect(compiled.condition.test(asked)).toBe('error')
})

test('[MCP11] what does not read them is asked as ever, and a value made of them is none', () => {
  const compiled = compileCondition('mcp.tool == "export" && mcp.method == "tasks/get"', new Set())
  const value = compileValue('mcp.args', new Set())
  if (!compiled.ok || !value.ok) throw new Error('it compiles')
  expect([compiled.condition.test(asked), value.condition.read(asked).is]).toEqual(['true', 'error'])
})
