// A stream that is not heard of holds what stands on it, by time alone, and lets go once it is heard again.
import { describe, expect, test } from 'vitest'
import type { Anchor } from '../../../src/core/anchor.ts'
import type { Case } from '../../../src/core/checks/check.ts'
import { deadline } from '../../../src/core/deadline.ts'
import { effective } from '../../../src/core/effective.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import type { Policy, StreamRules } from '../../../src/core/policy.ts'
import type { Session } from '../../../src/core/session.ts'
import { silenceOn } from '../../../src/core/silence.ts'
import { duration, FOREVER, instant } from '../../../src/core/time.ts'
import type { SignalId } from '../../../src/core/signal.ts'
import { transitionAnchor } from '../../../src/core/transition.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const STREAM: StreamRules = { name: 'idp', issuers: ['https://idp.test'], tenants: [], freshness: duration(60_000), onSilence: 'suspend' }
type Status = 'enabled' | 'paused' | 'disabled'
const heard = (seconds: number, status: Status = 'enabled', name = 'idp'): Anchor =>
  ({ record: 'anchor', kind: 'stream', name, version: 1, state: 'open', generation: instant(0), since: NOW, note: '', matter: { is: 'stream', heardAt: at(seconds), status, statusAt: at(seconds) } })
const view = (...anchors: readonly Anchor[]) => ({ find: ({ kind, name }: { readonly kind: string; readonly name: string }) => anchors.find(each => each.kind === kind && each.name === name) ?? null })

const SESSION_1: Session = { ...SESSION, elevations: [elevation('elv_1', { state: { is: 'active', since: NOW, until: at(600) } })] }
const under = (streams: readonly StreamRules[]): Policy => ({ ...policyOf(profile('fix', ['db:write'])), streams })
const CASE = { now: at(1), vouchedUntil: FOREVER, policy: under([]), place: { rule: null }, evaluation: { evidence: null, action: { call: null } }, external: null } as unknown as Case // `deadline` reads nothing else of it
const standing = (streams: readonly StreamRules[], seconds: number, ...anchors: readonly Anchor[]) => effective(SESSION_1, ['base:read'], view(...anchors), NO_LOCKS, under(streams), at(seconds))

describe('silence', () => {
  test('[OUT7] elevations are held from the very instant, and carry again once it is heard of', () => {
    const before = standing([STREAM], 59, heard(0))
    expect([before.state, before.carriers.length, before.carriers[0]?.until]).toEqual(['live', 1, at(60)])
    const silent = standing([STREAM], 60, heard(0))
    expect([silent.state, silent.carriers.length, silent.frozen.length, [...silent.lost.values()].join(), silent.baseline]).toEqual(['live', 0, 1, 'signals_silent', ['base:read']])
    expect(standing([STREAM], 61, heard(61)).carriers).toHaveLength(1)
  })

  test('[OUT7] one that was never heard of, or that says it tells nothing, is silent', () => {
    expect(standing([STREAM], 1).carriers).toHaveLength(0)
    for (const status of ['paused', 'disabled'] as const) expect(standing([STREAM], 1, heard(0, status)).carriers).toHaveLength(0)
  })

  test('[OUT7] where everything is to be held, the session is frozen, and what is open knows when', () => {
    const strict: StreamRules = { ...STREAM, onSilence: 'freeze' }
    expect(standing([strict], 59, heard(0))).toMatchObject({ state: 'live', heardUntil: at(60), until: at(60) })
    expect(standing([strict], 60, heard(0))).toMatchObject({ state: 'frozen', reason: 'signals_silent' })
    expect(standing([STREAM], 59, heard(0)).heardUntil).toBe(FOREVER)
    expect(deadline({ ...CASE, standing: standing([strict], 1, heard(0)) }, FOREVER)).toBe(at(60))
    expect(deadline({ ...CASE, standing: standing([STREAM], 1, heard(0)) }, FOREVER)).toBe(SESSION_1.endsAt) // the baseline depends on nobody
  })

  test('[OUT7] it holds those it speaks for, and nobody else', () => {
    const other = { ...STREAM, issuers: ['https://other.test'] }
    expect(standing([other], 1).carriers).toHaveLength(1)
    expect(silenceOn({ issuer: 'https://idp.test', tenant: 'acme' }, [{ ...STREAM, tenants: ['globex'] }], view(), NOW).holds).toBe('nothing')
    expect(silenceOn({ issuer: 'https://idp.test', tenant: 'acme' }, [{ ...STREAM, tenants: ['acme'] }], view(), NOW).holds).toBe('elevations')
  })

  test('[OUT7] of several each has to be heard of, and the strictest holds', () => {
    const second = { ...STREAM, name: 'edr', onSilence: 'freeze' as const }
    expect(standing([STREAM, second], 1, heard(0), heard(0, 'enabled', 'edr')).state).toBe('live')
    expect(standing([STREAM, second], 1, heard(0)).state).toBe('frozen')
    expect(standing([second, STREAM], 1, heard(0, 'enabled', 'edr')).carriers).toHaveLength(0)
  })

  test('[OUT7] what is told late takes nothing back', () => {
    const tell = (anchor: Anchor | null, heardAt: number, status: Status, statusAt: number) =>
      transitionAnchor({ kind: 'stream', name: 'idp' }, anchor, { kind: 'anchor.told', matter: { is: 'stream', heardAt: at(heardAt), status, statusAt: at(statusAt) }, id: 'sig_1' as SignalId, by: 'ssf', note: '' }, NOW) // a word of the test
    const paused = tell(heard(10), 9, 'paused', 20).record
    expect(paused?.matter).toEqual({ is: 'stream', heardAt: at(10), status: 'paused', statusAt: at(20) })
    expect(tell(paused, 30, 'enabled', 15).record?.matter).toEqual({ is: 'stream', heardAt: at(30), status: 'paused', statusAt: at(20) })
    expect(tell(paused, 5, 'enabled', 5).facts).toEqual([])
  })
})
