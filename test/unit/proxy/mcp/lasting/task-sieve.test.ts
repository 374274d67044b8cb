import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Call } from '../../../../../src/core/call.ts'
import type { Message } from '../../../../../src/proxy/mcp/message.ts'
import type { OpenedTask } from '../../../../../src/proxy/mcp/lasting/opened.ts'
import { serverMessageOf } from '../../../../../src/proxy/mcp/relay/server-message.ts'
import type { JsonObject, ServerMessage } from '../../../../../src/proxy/mcp/sieve.ts'
import { type TaskDesk, TaskSieve } from '../../../../../src/proxy/mcp/lasting/task-sieve.ts'

const RELATED = 'io.modelcontextprotocol/related-task'
const CALL: Call = { kind: 'tool', method: 'tools/call', name: 'export', args: new Map(), digest: null }
const messageOf = (method: string): Message => ({ era: 'legacy', version: '2025-11-25', is: 'request', id: 1, method, params: new Map(), value: new Map(), call: { ...CALL, method }, own: null })
const told = (value: object): ServerMessage => {
  const all = { jsonrpc: '2.0', ...value }
  return serverMessageOf(all, Buffer.from(JSON.stringify(all))) ?? expect.fail('no message')
}

/** A desk that keeps what it was told; it knows the task `known`. */
class Desk implements TaskDesk {
  readonly heard: string[] = []
  readonly room: boolean

  constructor(room = true) {
    this.room = room
  }

  handleFor({ id, tool }: Parameters<TaskDesk['handleFor']>[0]): string | null { return id.includes(' ') ? null : `${tool}/${id}` }
  holds(id: string, handle: string, ttl: number | null): boolean {
    this.heard.push(`holds ${id} ${handle} ${ttl}`)
    return this.room
  }

  known(id: string): string | null { return id === 'known' ? 'export/known' : null }
  settled(id: string): void { this.heard.push(`settled ${id}`) }
  unheard(id: string): void { this.heard.push(`unheard ${id}`) }
  refusal(): JsonObject { return { jsonrpc: '2.0', id: 1, error: { code: 40_300 } } }
}

const ABOUT: OpenedTask = { handle: 'export/t', origin: { id: 't', tool: 'export', args: new Map(), digest: null, grant: 'baseline' } }
const NAMED = new Map([['t', 'export/t']])
const ofCall = (desk = new Desk(), method = 'tools/call') => ({ desk, sieve: new TaskSieve(messageOf(method), null, new Map(), desk) })
const ofTask = (method: string, desk = new Desk()) => ({ desk, sieve: new TaskSieve(messageOf(method), ABOUT, NAMED, desk) })
const answer = (result: object) => told({ id: 1, result })

describe('the answer to a call', () => {
  test.each([
    ['modern', { resultType: 'task', taskId: 't', status: 'working', ttlMs: 5 }, { resultType: 'task', taskId: 'export/t', status: 'working', ttlMs: 5 }],
    ['legacy', { task: { taskId: 't', status: 'working', ttl: 5 } }, { task: { taskId: 'export/t', status: 'working', ttl: 5 } }],
  ])('[MCP11] that is a task is told by its handle, and held before it is told: %s', (_, result, passed) => {
    const { desk, sieve } = ofCall()
    expect(sieve.pass(answer(result))?.value).toEqual({ jsonrpc: '2.0', id: 1, result: passed })
    expect(desk.heard).toEqual(['holds t export/t 5'])
  })

  test('[MCP11] that is a task and may be held no more is refused, and its server told once', () => {
    const { desk, sieve } = ofCall(new Desk(false))
    const message = answer({ resultType: 'task', taskId: 't', status: 'working' })
    for (let asked = 0; asked < 2; asked++) expect(sieve.pass(message)?.value).toEqual({ jsonrpc: '2.0', id: 1, error: { code: 40_300 } })
    expect(desk.heard.filter(each => each.startsWith('unheard'))).toEqual(['unheard t'])
  })

  test('[MCP11] that is no task stays as it is, byte by byte; a task where no tool was called, or without a name that can be told, is dropped', () => {
    const plain = answer({ content: [] })
    expect(ofCall().sieve.pass(plain)).toBe(plain)
    const task = answer({ resultType: 'task', taskId: 't', status: 'working' })
    expect(ofCall(new Desk(), 'prompts/get').sieve.pass(task)).toBeNull()
    expect(ofCall().sieve.pass(answer({ resultType: 'task', status: 'working' }))).toBeNull()
    expect(ofCall().sieve.pass(answer({ resultType: 'task', taskId: 'a b', status: 'working' }))).toBeNull()
  })

  test('[MCP11] of a call that was cut, and that became a task: the server is told to stop', () => {
    const { desk, sieve } = ofCall()
    sieve.unsaid(answer({ task: { taskId: 't', status: 'working' } }))
    sieve.unsaid(answer({ content: [] }))
    sieve.unsaid(told({ method: 'notifications/progress', params: { progress: 1 } }))
    expect(desk.heard).toEqual(['unheard t'])
  })
})

describe('the answer to a request about a task', () => {
  test.each([['working', 'holds t export/t null'], ['input_required', 'holds t export/t null'], ['completed', 'settled t'], ['failed', 'settled t'], ['cancelled', 'settled t']])('[MCP11] with the status %s', (status, heard) => {
    const { desk, sieve } = ofTask('tasks/get')
    expect(sieve.pass(answer({ taskId: 't', status, ttl: null }))?.value['result']).toEqual({ taskId: 'export/t', status, ttl: null })
    expect(desk.heard).toEqual([heard])
  })

  test('[MCP11] a result and its task, and what its server does not know, are the end of it', () => {
    const { desk, sieve } = ofTask('tasks/result')
    expect(sieve.pass(answer({ content: [], _meta: { [RELATED]: { taskId: 't' }, other: 1 } }))?.value['result']).toEqual({ content: [], _meta: { [RELATED]: { taskId: 'export/t' }, other: 1 } })
    const unknown = ofTask('tasks/get', desk)
    expect(unknown.sieve.pass(told({ id: 1, error: { code: -32_602, message: 'no such task' } }))).not.toBeNull()
    expect(desk.heard).toEqual(['settled t', 'settled t'])
  })

  test('[MCP11] that is about another task is dropped', () => {
    expect(ofTask('tasks/get').sieve.pass(answer({ taskId: 'other', status: 'working' }))).toBeNull()
  })
})

describe('what a server says besides', () => {
  test('[MCP11] of tasks that the caller may hear of by their handles, and of no others', () => {
    const { desk, sieve } = ofCall()
    for (const method of ['notifications/tasks', 'notifications/tasks/status']) {
      expect(sieve.pass(told({ method, params: { taskId: 'known', status: 'working' } }))?.value['params']).toEqual({ taskId: 'export/known', status: 'working' })
      for (const params of [{ taskId: 'other' }, { taskId: 7 }, {}]) expect(sieve.pass(told({ method, params }))).toBeNull()
    }
    expect(desk.heard).toEqual([])
    sieve.pass(told({ method: 'notifications/tasks', params: { taskId: 'known', status: 'failed' } }))
    expect(desk.heard).toEqual(['settled known'])
  })

  test('[MCP11] a message that belongs to a task says its handle; one of a task of others is dropped, and an answer loses that word', () => {
    const { sieve } = ofCall()
    const of = (taskId: unknown) => ({ _meta: { [RELATED]: { taskId } }, a: 1 })
    expect(sieve.pass(told({ id: 9, method: 'elicitation/create', params: of('known') }))?.value['params']).toEqual(of('export/known'))
    expect(sieve.pass(told({ id: 9, method: 'elicitation/create', params: of('other') }))).toBeNull()
    expect(sieve.pass(told({ method: 'notifications/progress', params: of('other') }))).toBeNull()
    expect(sieve.pass(answer(of('other')))?.value['result']).toEqual({ _meta: {}, a: 1 })
  })

  test('[MCP11] an acknowledgement names what the subscription named', () => {
    const sieve = new TaskSieve({ ...messageOf('subscriptions/listen'), era: 'modern' }, null, NAMED, new Desk())
    expect(sieve.pass(told({ method: 'notifications/subscriptions/acknowledged', params: { notifications: { taskIds: ['t', 'other'], toolsListChanged: true } } }))?.value['params']).toEqual({ notifications: { taskIds: ['export/t'], toolsListChanged: true } })
  })

  test('[MCP11] no list of tasks is offered', () => {
    const { sieve } = ofCall(new Desk(), 'initialize')
    expect(sieve.pass(answer({ capabilities: { tasks: { list: {}, cancel: {} }, tools: {} } }))?.value['result']).toEqual({ capabilities: { tasks: { cancel: {} }, tools: {} } })
    const plain = answer({ capabilities: { tools: {} } })
    expect(sieve.pass(plain)).toBe(plain)
  })

  test('[MCP11] whatever it says, nothing is thrown, and what says nothing of tasks stays as it is', () => {
    fc.assert(fc.property(fc.dictionary(fc.constantFrom('result', 'task', 'taskId', 'status', '_meta', 'notifications', 'taskIds', RELATED), fc.jsonValue()), fc.constantFrom('notifications/tasks', 'notifications/subscriptions/acknowledged', 'notifications/message'), (value, method) => {
      for (const { sieve } of [ofCall(), ofTask('tasks/get')]) {
        sieve.pass(answer(value))
        sieve.pass(told({ method, params: value }))
      }
    }))
  })
})
