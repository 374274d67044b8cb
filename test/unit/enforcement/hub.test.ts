import { describe, expect, test } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { type Heard, Hub, LISTENERS_MAX, OPERATORS_RESERVED, SESSION_LISTENERS_MAX } from '../../../src/enforcement/hub.ts'

const cutOf = (session: string | null): Heard => ({ is: 'exchange', what: 'cut', exchange: 'exc_1', session, route: 'api', grant: 'baseline', reason: 'revoked', because: null, at: instant(0) })

function opened(): { readonly hub: Hub; readonly dropped: unknown[] } {
  const dropped: unknown[] = []
  return { hub: new Hub(cause => dropped.push(cause)), dropped }
}

const stopOf = (stop: (() => void) | string | null): (() => void) => {
  if (typeof stop !== 'function') throw new Error(`not taken: ${stop ?? 'full'}`)
  return stop
}

describe('the hub', () => {
  test('[ADM6] a listener that throws is dropped, and whoever tells and everyone else goes on', () => {
    const { hub, dropped } = opened()
    const fault = new Error('of the listener')
    const heard: string[] = []
    const stops = [
      hub.follow('ses_1', () => { throw fault }),
      hub.follow('ses_1', () => void heard.push('follower')),
      hub.subscribe(() => { throw fault }),
      hub.subscribe(() => void heard.push('operator')),
    ].map(stopOf)
    for (let turn = 0; turn < 2; turn++) expect(() => hub.tell(cutOf('ses_1'))).not.toThrow()
    expect(heard).toEqual(['operator', 'follower', 'operator', 'follower'])
    expect(dropped).toEqual([fault, fault])
    expect(hub.size).toBe(2)
    for (const stop of [...stops, ...stops]) stop()
    expect(hub.size).toBe(0)
  })

  test('[ADM6] a follower hears its own session and what is no session’s record, never another session', () => {
    const { hub } = opened()
    const heard: (string | null)[] = []
    hub.follow('ses_1', ({ session }) => void heard.push(session))
    const announced = (session: string | null): Heard => ({ is: 'announced', announcement: { position: { epoch: 'e', sequence: 1 }, facts: [] } as never, session }) // only handed on
    for (const told of [cutOf('ses_1'), cutOf('ses_2'), cutOf(null), announced('ses_1'), announced('ses_2'), announced(null)]) hub.tell(told)
    expect(heard).toEqual(['ses_1', 'ses_1', null])
  })

  test('[SES8, ADM6] a session has few places, all sessions together leave room for operators, and who stops makes room', () => {
    const { hub } = opened()
    const first = stopOf(hub.follow('ses_0', () => undefined))
    for (let i = 1; i < SESSION_LISTENERS_MAX; i++) stopOf(hub.follow('ses_0', () => undefined))
    expect(hub.follow('ses_0', () => undefined)).toBe('session_event_listeners')
    first()
    first()
    stopOf(hub.follow('ses_0', () => undefined))
    expect(hub.follow('ses_0', () => undefined)).toBe('session_event_listeners')
    for (let i = SESSION_LISTENERS_MAX; i < LISTENERS_MAX - OPERATORS_RESERVED; i++) stopOf(hub.follow(`ses_${i}`, () => undefined))
    expect(hub.follow('ses_new', () => undefined)).toBe('event_listeners')
    for (let i = 0; i < OPERATORS_RESERVED; i++) stopOf(hub.subscribe(() => undefined))
    expect(hub.subscribe(() => undefined)).toBeNull()
    expect(hub.size).toBe(LISTENERS_MAX)
  })
})
