// What became of a session while a tool of the gateway's own was at work counts before anything is given.
import { expect, test } from 'vitest'
import type { Reason } from '../../../../../src/core/reason.ts'
import type { Ask } from '../../../../../src/proxy/ask.ts'
import { type Message, plainCall } from '../../../../../src/proxy/mcp/message.ts'
import { OwnCalls } from '../../../../../src/proxy/mcp/asking/own-calls.ts'
import type { Known } from '../../../../../src/proxy/self-service/callers.ts'
import type { OwnSide } from '../../../../../src/proxy/self-service/own-side.ts'
import { NOW, SESSION } from '../../../core/world.ts'

const MESSAGE: Message = { era: 'legacy', version: '', is: 'request', id: 1, method: 'tools/call', params: new Map(), value: new Map(), call: { ...plainCall('protocol', 'tools/call'), name: 'request_elevation', args: new Map([['profile', 'fix']]) }, own: 'request_elevation' }
const KNOWN = { live: { record: SESSION }, verified: { principal: SESSION.principal }, life: SESSION.id } as unknown as Known // what is asked of it
const ASK = { refused: (_: string, reason: Reason) => ({ reason }) } as unknown as Ask // likewise

test('[MCP15, ADM1] a session that was frozen while its purposes were read is given nothing, and that is on record', async () => {
  let standing: Reason | null = null
  let wanted = 0
  const told: unknown[] = []
  const side = {
    callers: { now: NOW, standing: () => standing },
    asking: {
      shown: async () => {
        standing = 'frozen'
        return { purposes: {} }
      },
      wanted: async () => {
        wanted++
        return { status: 201, body: {} }
      },
    },
  } as unknown as OwnSide // likewise
  const calls = new OwnCalls({ refused: (refused: unknown) => told.push(refused), risk: { uncounted: () => ({ before: 0, after: 0, level: null }) } } as unknown as ConstructorParameters<typeof OwnCalls>[0], side)
  expect(await calls.result(ASK, KNOWN, MESSAGE, 'request_elevation')).toMatchObject({ isError: true, structuredContent: { reason: 'frozen', next: expect.any(String) } })
  expect([wanted, told]).toEqual([0, [{ reason: 'frozen' }]])
})
