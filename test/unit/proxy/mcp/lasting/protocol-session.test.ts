import { describe, expect, test } from 'vitest'
import type { ResponseHead } from '../../../../../src/proxy/http/response-head.ts'
import { Handles } from '../../../../../src/proxy/mcp/lasting/handles.ts'
import type { Opened } from '../../../../../src/proxy/mcp/lasting/opened.ts'
import { renamedDown, renamedUp } from '../../../../../src/proxy/mcp/lasting/protocol-session.ts'

const handles = new Handles(Buffer.alloc(32, 7))
const OPENED: Opened = { owner: { session: 'ses_a', route: 'tools' }, session: 'up-1', event: null, task: null, named: new Map() }
const about = (id: string): Opened => ({ ...OPENED, task: { handle: 'h', origin: { id, tool: 't', args: new Map(), digest: null, grant: 'baseline' } } })
const headOf = (...headers: string[]): ResponseHead => ({ status: 200, text: '', headers, delimitedByClose: false, eventStream: false, encoded: false, length: null })

describe('the head of a request', () => {
  test('[MCP10] of the older protocol names the session by its server’s word, whatever stood there; one of the newer names none', () => {
    expect(renamedUp(['a', '1', 'Mcp-Session-Id', 'handle', 'b', '2'], 'legacy', OPENED)).toEqual(['a', '1', 'b', '2', 'mcp-session-id', 'up-1'])
    expect(renamedUp(['Last-Event-ID', 'handle'], 'legacy', { ...OPENED, event: '7' })).toEqual(['mcp-session-id', 'up-1', 'last-event-id', '7'])
    expect(renamedUp(['Last-Event-ID', 'handle'], 'legacy', OPENED)).toEqual(['mcp-session-id', 'up-1'])
    expect(renamedUp(['MCP_SESSION_ID', 'forged'], 'legacy', { ...OPENED, session: null })).toEqual([])
    expect(renamedUp(['mcp-session-id', 'x', 'a', '1'], 'modern', OPENED)).toEqual(['a', '1'])
  })

  test('[MCP11] names a task by its server’s word where it named it at all, written so that it is read as it is', () => {
    expect(renamedUp(['Mcp-Name', 'h'], 'modern', about('up'))).toEqual(['mcp-name', 'up'])
    expect(renamedUp(['Mcp-Name', 'h'], 'modern', about('=?base64?eA==?='))).toEqual(['mcp-name', `=?base64?${btoa('=?base64?eA==?=')}?=`])
    expect(renamedUp(['a', '1'], 'modern', about('up'))).toEqual(['a', '1'])
  })
})

describe('the head of an answer', () => {
  test('[MCP10] names the session by a handle, or not at all', () => {
    const told = renamedDown(headOf('a', '1', 'MCP-Session-Id', 'up-1'), 'legacy', OPENED, handles)
    expect(told?.headers).toEqual(['a', '1', 'mcp-session-id', handles.ofSession(OPENED.owner, 'up-1')])
    expect(renamedDown(headOf('mcp-session-id', 'up-1', 'a', '1'), 'modern', OPENED, handles)?.headers).toEqual(['a', '1'])
    const plain = headOf('a', '1')
    expect(renamedDown(plain, 'legacy', OPENED, handles)).toBe(plain)
  })

  test('[MCP10] that names two, or one that cannot be told, is worth nothing', () => {
    expect(renamedDown(headOf('mcp-session-id', 'a', 'mcp-session-id', 'b'), 'legacy', OPENED, handles)).toBeNull()
    expect(renamedDown(headOf('mcp-session-id', 'a b'), 'legacy', OPENED, handles)).toBeNull()
    expect(renamedDown(headOf('mcp-session-id', ''), 'legacy', OPENED, handles)).toBeNull()
  })
})
