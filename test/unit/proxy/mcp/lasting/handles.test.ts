import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Handles, type Owner, type TaskOrigin } from '../../../../../src/proxy/mcp/lasting/handles.ts'

const KEY = Buffer.alloc(32, 7)
const handles = new Handles(KEY)
const OWNER: Owner = { session: 'ses_a', route: 'tools' }
const OTHERS: readonly Owner[] = [{ session: 'ses_b', route: 'tools' }, { session: 'ses_a', route: 'others' }, { session: '', route: 'tools' }]
const ORIGIN: TaskOrigin = { id: 'task-1', tool: 'deploy', args: new Map<string, unknown>([['env', 'prod'], ['count', 3]]), digest: 'd'.repeat(43), grant: 'elv_1' }
const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map(code => String.fromCodePoint(code)), minLength: 1, maxLength: 512 })
const owners = fc.record({ session: fc.string(), route: fc.string() })
const CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'

/** The text with one character put anew. */
const changed = (text: string, at: number, by: number): string => {
  const place = at % text.length
  const other = CHARS.replace(text[place] ?? '', '')
  return text.slice(0, place) + (other[by % other.length] ?? '') + text.slice(place + 1)
}

describe('the handle of a session of the protocol', () => {
  test('[MCP10] is text for a header, and opens for the life and the route that it was made for, on every gateway of the data set', () => {
    fc.assert(fc.property(owners, visible, (owner, id) => {
      const handle = handles.ofSession(owner, id) ?? ''
      expect(handle).toMatch(/^[\x21-\x7e]{1,1024}$/)
      expect(new Handles(Buffer.from(KEY)).sessionIn(owner, handle)).toBe(id)
    }))
  })

  test('[MCP10] that of an event is none of a session, nor the other way', () => {
    const [session, event] = [handles.ofSession(OWNER, 'a') ?? '', handles.ofEvent(OWNER, 'a') ?? '']
    expect([handles.eventIn(OWNER, event), handles.eventIn(OWNER, session), handles.sessionIn(OWNER, event)]).toEqual(['a', null, null])
    for (const other of OTHERS) expect(handles.eventIn(other, event)).toBeNull()
    expect([handles.ofEvent(OWNER, 'a b'), handles.ofEvent(OWNER, 'x'.repeat(513))]).toEqual([null, null])
  })

  test('[MCP10] opens for nobody else: another life, another route, another data set, or the name itself', () => {
    const handle = handles.ofSession(OWNER, 'upstream-1') ?? ''
    for (const owner of OTHERS) expect(handles.sessionIn(owner, handle)).toBeNull()
    expect(new Handles(Buffer.alloc(32, 8)).sessionIn(OWNER, handle)).toBeNull()
    for (const text of ['', 'upstream-1', '.', handle.split('.')[0] ?? '', `${handle}=`, ` ${handle}`, `${handle}\n`]) expect(handles.sessionIn(OWNER, text)).toBeNull()
    expect(handles.taskIn(OWNER, handle)).toBeNull()
  })

  test('[MCP10] with any character put anew opens nothing', () => {
    fc.assert(fc.property(visible, fc.nat(), fc.nat(), (id, at, by) => {
      expect(handles.sessionIn(OWNER, changed(handles.ofSession(OWNER, id) ?? '', at, by))).toBeNull()
    }))
  })

  test('[MCP10] is not made of what no header may hold, or of too much', () => {
    for (const id of ['', 'a b', 'é', 'a\r\nb', 'x'.repeat(513)]) expect([handles.ofSession(OWNER, id), handles.ofTask(OWNER, { ...ORIGIN, id })]).toEqual([null, null])
  })

  test('[MCP10] a key that is too short makes none', () => {
    expect(() => new Handles(Buffer.alloc(31))).toThrow(RangeError)
  })
})

describe('the handle of a task', () => {
  test('[MCP11] tells whose call it came from, with what, and by which grant', () => {
    expect(handles.taskIn(OWNER, handles.ofTask(OWNER, ORIGIN) ?? '')).toEqual(ORIGIN)
    expect(handles.ofTask(OWNER, ORIGIN)).toBe(new Handles(KEY).ofTask({ ...OWNER }, { ...ORIGIN }))
  })

  test('[MCP11] opens for nobody else', () => {
    const handle = handles.ofTask(OWNER, ORIGIN) ?? ''
    for (const owner of OTHERS) expect(handles.taskIn(owner, handle)).toBeNull()
    expect([new Handles(Buffer.alloc(32, 8)).taskIn(OWNER, handle), handles.taskIn(OWNER, 'task-1'), handles.sessionIn(OWNER, handle)]).toEqual([null, null, null])
  })

  test('[MCP11] with any character put anew opens nothing', () => {
    const handle = handles.ofTask(OWNER, ORIGIN) ?? ''
    fc.assert(fc.property(fc.nat(), fc.nat(), (at, by) => { expect(handles.taskIn(OWNER, changed(handle, at, by))).toBeNull() }), { numRuns: 500 })
  })

  test('[MCP11] holds arguments of 4 KiB, and of longer ones only what names them', () => {
    const long = new Map([['text', 'x'.repeat(4_096)]])
    const opened = handles.taskIn(OWNER, handles.ofTask(OWNER, { ...ORIGIN, args: long }) ?? '')
    expect([opened?.args, opened?.digest]).toEqual(['forgotten', ORIGIN.digest])
    const fitting = new Map([['text', 'x'.repeat(4_096 - '{"text":""}'.length)]])
    const handle = handles.ofTask(OWNER, { ...ORIGIN, args: fitting }) ?? ''
    expect(handles.taskIn(OWNER, handle)?.args).toEqual(fitting)
    expect(handle.length).toBeLessThan(8_192)
  })

  test('[MCP11] any arguments that can be read come back as they were', () => {
    const json = fc.letrec<{ value: unknown }>(tie => ({ value: fc.oneof({ depthSize: 'small' }, fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean(), fc.constant(null), fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), tie('value'), { maxKeys: 3 }).map(object => new Map(Object.entries(object)))) })).value
    fc.assert(fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), json, { maxKeys: 4 }), object => {
      const args = new Map(Object.entries(object))
      expect(handles.taskIn(OWNER, handles.ofTask(OWNER, { ...ORIGIN, args }) ?? '')?.args).toEqual(args)
    }))
  })
})
