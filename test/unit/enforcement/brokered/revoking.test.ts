// Taking back, against somebody who says nothing, refuses, or comes back. SPEC: CRD8
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BrokeredSettings } from '../../../../src/config/compile/credential.ts'
import type { SessionId } from '../../../../src/core/session.ts'
import { after, duration } from '../../../../src/core/time.ts'
import type { Told } from '../../../../src/enforcement/brokered/held.ts'
import { type Over, Revoking } from '../../../../src/enforcement/brokered/revoking.ts'
import { Source } from '../../../../src/enforcement/brokered/source.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import { type HttpAnswer, HttpFault } from '../../../../src/runtime/http-client.ts'

const CLOCK = new SystemClock()
const SETTINGS: BrokeredSettings = {
  header: 'authorization', prefix: 'Bearer ', timeout: duration(5_000), caFile: null,
  obtain: { is: 'clientCredentials', url: 'https://as/token', client: { id: 'gate', secretFile: '', auth: 'basic' }, scope: null, audience: null, resource: null },
  revoke: { is: 'rfc7009', url: 'https://as/revoke', alarmAfter: duration(200) },
}
const TAKEN: HttpAnswer = { status: 200, etag: null, type: null, text: '' }

let directory: string
let answer: () => Promise<HttpAnswer>
let revoking: Revoking
let source: Source
let other: Source
const told: string[] = []
/** Done with in the store by somebody else. */
const gone = new Set<string>()

beforeEach(async () => {
  told.length = 0
  gone.clear()
  directory = mkdtempSync(join(tmpdir(), 'ng-revoking-'))
  const secretFile = join(directory, 'secret')
  writeFileSync(secretFile, 'secret')
  const { obtain } = SETTINGS
  const settings = { ...SETTINGS, obtain: { ...obtain, client: { id: 'gate', secretFile, auth: 'basic' } } } as BrokeredSettings // still of that kind
  source = await Source.open('crm', settings, { clock: CLOCK, http: { ask: () => answer() } }, { unread: () => undefined })
  other = await Source.open('erp', settings, { clock: CLOCK, http: { ask: () => Promise.resolve(TAKEN) } }, { unread: () => undefined })
  const queue = { has: ({ id }: Told) => Promise.resolve(!gone.has(id)), done: ({ id }: Told) => Promise.resolve(void told.push(`done ${id}`)) }
  revoking = new Revoking({ clock: CLOCK, store: { share: () => Promise.resolve(1) }, queue, witness: {
    revoked: ({ told: { id }, attempts }) => told.push(`revoked ${id} ${attempts}`), retried: ({ id }) => told.push(`retried ${id}`), unrevoked: ({ told: { id } }, cause) => told.push(`alarm ${id} ${cause}`),
    expired: ({ id }) => told.push(`expired ${id}`), full: () => told.push('full'),
  } })
})
afterEach(async () => {
  answer = () => Promise.resolve(TAKEN)
  source.close()
  other.close()
  rmSync(directory, { recursive: true, force: true })
})

const over = (id: string, lives: number | null = null): Over => ({
  told: { id, lease: null, upstream: 'crm', session: 'ses_a' as SessionId, elevation: null, expiresAt: lives === null ? null : after(CLOCK.now(), duration(lives)) }, source, revocable: { token: 't', lease: null }, kept: true, since: CLOCK.now(), // a session of a test
})
const until = (what: string): Promise<unknown> => vi.waitFor(() => expect(told).toContain(what), { timeout: 5_000, interval: 5 })

describe('taking back', () => {
  it('[CRD8] is confirmed by 200 alone, tried until then, and done with in the store behind that', async () => {
    let asked = 0
    answer = () => (++asked < 3 ? Promise.reject(new HttpFault('status', 'it answered 503', 503)) : Promise.resolve(TAKEN))
    revoking.begin(over('a'))
    revoking.begin(over('a')) // it is underway
    await until('done a')
    expect(told.filter(line => !line.startsWith('alarm'))).toEqual(['retried a', 'retried a', 'revoked a 3', 'done a'])
    await revoking.stop()
  })

  it('[CRD8] alarms in time for each of many, also those that wait behind others to whom nobody answers', async () => {
    const hanging: ((fault: HttpFault) => void)[] = []
    answer = () => new Promise((_, reject) => void hanging.push(reject))
    for (let i = 0; i < 200; i++) revoking.begin(over(`c${i}`))
    const began = performance.now()
    await vi.waitFor(() => expect(told.filter(line => line.startsWith('alarm'))).toHaveLength(200), { timeout: 5_000, interval: 5 })
    expect(performance.now() - began).toBeLessThan(1_500)
    expect(hanging).toHaveLength(64)
    answer = () => Promise.resolve(TAKEN)
    for (const fail of hanging) fail(new HttpFault('timeout', 'it did not answer'))
    await vi.waitFor(() => expect(told.filter(line => line.startsWith('revoked'))).toHaveLength(200), { timeout: 5_000, interval: 5 })
    expect(told.filter(line => line.startsWith('alarm'))).toHaveLength(200)
    await revoking.stop()
  })

  it('[CRD8] that is refused is an alarm at once, told once', async () => {
    answer = () => Promise.reject(new HttpFault('status', 'it answered 400', 400))
    revoking.begin(over('a'))
    await until('alarm a it answered 400')
    expect(told.filter(line => line.startsWith('alarm'))).toHaveLength(1)
    await revoking.stop()
  })

  it('[CRD8] of one upstream that says nothing holds up nobody else’s', async () => {
    const hanging: (() => void)[] = []
    answer = () => new Promise((_, reject) => void hanging.push(() => reject(new HttpFault('timeout', 'it did not answer'))))
    for (let i = 0; i < 200; i++) revoking.begin(over(`c${i}`))
    revoking.begin({ ...over('a'), source: other })
    await until('done a')
    expect(told.filter(line => line.startsWith('revoked'))).toEqual(['revoked a 1'])
    const stopped = revoking.stop()
    for (const fail of hanging) fail()
    await stopped
  })

  it('[CRD8] that is refused because somebody else did it is on record there, and no alarm; one that the store never had is', async () => {
    gone.add('a').add('b')
    answer = () => Promise.reject(new HttpFault('status', 'it answered 400', 400))
    revoking.begin(over('a'))
    revoking.begin({ ...over('b'), kept: false })
    await until('alarm b it answered 400')
    await vi.waitFor(() => expect(revoking.has('a')).toBe(false), { timeout: 5_000, interval: 5 })
    expect(told).toEqual(['retried b', 'alarm b it answered 400'])
    await revoking.stop()
  })

  it('[CRD7, CRD8] is of what is shown no more as well, as long as it may still count where it was given', async () => {
    let asked = 0
    answer = () => (++asked < 2 ? Promise.reject(new HttpFault('status', 'it answered 503', 503)) : Promise.resolve(TAKEN))
    revoking.begin(over('a', -1_000))
    await until('revoked a 2')
    await revoking.stop()
  })

  it('[CRD8] ends with the credential’s own life', async () => {
    answer = () => Promise.reject(new HttpFault('status', 'it answered 503', 503))
    revoking.begin(over('a', 300 - 2 * SETTINGS.timeout)) // by now even one that came as late as it may
    await until('expired a')
    await until('done a')
    expect(told).not.toContain('revoked a')
    await revoking.stop()
  })

  it('[CRD9] is left to others at a stop: what is asked now comes to its end, nothing else is begun', async () => {
    const pending = Promise.withResolvers<HttpAnswer>()
    let asked = 0
    answer = () => (asked++, pending.promise)
    for (let i = 0; i < 100; i++) revoking.begin(over(`c${i}`))
    await vi.waitFor(() => expect(asked).toBe(64), { timeout: 5_000, interval: 5 })
    const stopped = revoking.stop()
    pending.resolve(TAKEN)
    await stopped
    expect(asked).toBe(64)
    revoking.begin(over('late'))
    expect(revoking.size).toBe(0)
  })
})
