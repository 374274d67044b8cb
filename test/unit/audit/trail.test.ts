import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { AuditWriteFailed } from '../../../src/audit/appender.ts'
import { trailFiles } from '../../../src/audit/tail.ts'
import type { TrailPorts } from '../../../src/audit/trail.ts'
import { verifyTrail } from '../../../src/audit/verify.ts'
import { BASELINE, birth, closed, folder, frozen, kindsOf, linesOf, linesOfKind, opened, openTrail, outgoing, refused, resumed, SESSION, systemError, troubledDisk } from './samples.ts'

const judged = { exchange: 'exc_1', session: SESSION, grant: 'baseline', reason: 'revoked', because: 'sig_1', latencyMs: 3 } as const

describe('trail', () => {
  test('[AUD2] every kind of record goes into one chain with the time and the gateway', async () => {
    const file = join(folder(), 'trail.jsonl')
    const trail = await openTrail(file)
    trail.gatewayStarted({ version: '0.1.0', config: 'd1' })
    trail.configLoaded({ digest: 'd1', by: 'start' })
    trail.fact(outgoing(birth(), 1))
    const { decision: _, ...intended } = opened()
    trail.intended(intended)
    trail.opened(opened(), true)
    for (const what of ['cut', 'frozen', 'resumed', 'regranted'] as const) trail.judged(what, judged)
    trail.closed(closed())
    trail.refused(refused({ session: SESSION }))
    trail.notDispatched({ exchange: 'exc_1', session: SESSION, reason: 'stale' })
    trail.adminChanged({ who: 'alice', action: 'freeze', target: `session/${SESSION}`, note: 'odd' })
    trail.gatewayStopped({ reason: 'drained' })
    trail.flushNow()
    expect(kindsOf(file)).toEqual([
      'gateway.started', 'config.loaded', 'fact', 'request.intended', 'exchange.opened', 'exchange.cut', 'exchange.frozen', 'exchange.resumed',
      'exchange.regranted', 'exchange.closed', 'request.refused', 'request.not_dispatched', 'admin.changed', 'gateway.stopped',
    ])
    for (const line of linesOf(file)) expect(line).toMatchObject({ at: 1_790_000_000_000, gateway: 'gw_1' })
    expect(linesOfKind(file, 'fact')[0]).toMatchObject({ record: { kind: 'session' }, position: { epoch: 'e1', sequence: 1, part: 0 }, session: SESSION, fact: { what: 'session.opened' } })
    expect(await verifyTrail([file], trail.head)).toMatchObject({ ok: true, records: 14, sessions: 1 })
    expect(trail.counts).toEqual({ records: 14, failures: 0, dropped: 0, duplicates: 0 })
  })

  test('[AUD3] a refusal is cut to size and loses its query', async () => {
    const file = join(folder(), 'trail.jsonl')
    const trail = await openTrail(file)
    trail.refused(refused({ path: `/x?secret=hush`, method: 'M'.repeat(99) }))
    trail.refused(refused({ path: `/${'p'.repeat(9000)}`, host: 'h'.repeat(9000) }))
    trail.flushNow()
    const [first, second] = linesOfKind(file, 'request.refused')
    expect(first).toMatchObject({ path: '/x', method: 'M'.repeat(32) })
    expect([second?.path.length, second?.host.length]).toEqual([512, 255])
    expect(readFileSync(file, 'utf8')).not.toContain('hush')
  })

  test('[AUD8] a fact the store hands over again is dropped, also after a restart and a rotation', async () => {
    const file = join(folder(), 'trail.jsonl')
    const first = await openTrail(file)
    first.fact(outgoing(birth(1), 7, 0))
    first.fact(outgoing(frozen(2), 7, 1))
    first.fact(outgoing(birth(1), 7, 0))
    first.fact(outgoing(resumed(3), 6, 9))
    await first.close()
    expect(first.counts.duplicates).toBe(2)
    const second = await openTrail(file, { maxBytes: 10 })
    second.fact(outgoing(frozen(2), 7, 1))
    second.fact(outgoing(resumed(3), 7, 2))
    second.fact(outgoing(birth(1), 1, 0, 'e2'))
    await second.close()
    expect(trailFiles(file)).toHaveLength(2)
    const third = await openTrail(file)
    third.fact(outgoing(resumed(3), 7, 2))
    third.fact(outgoing(birth(1), 1, 0, 'e2'))
    expect(third.counts.duplicates).toBe(2)
    third.fact(outgoing(frozen(4), 8, 0))
    await third.close()
    const facts = trailFiles(file).flatMap(one => linesOfKind(one, 'fact').map(({ position: p }) => `${p.epoch}.${p.sequence}.${p.part}`))
    expect(facts).toEqual(['e1.7.0', 'e1.7.1', 'e1.7.2', 'e2.1.0', 'e1.8.0'])
  })

  test('[AUD7] while the trail can not be written an elevated request throws and takes no room; what is done is told later', async () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const trail = await openTrail(file, {}, { disk })
    trouble.write = systemError('EIO')
    trail.opened(opened(), true)
    expect(() => trail.flushNow()).toThrow(AuditWriteFailed)
    expect(trail.healthy).toBe(false)
    const waiting = trail.bufferedBytes
    for (let i = 0; i < 100; i++) expect(() => trail.opened(opened(), true)).toThrow(AuditWriteFailed)
    expect(trail.bufferedBytes).toBe(waiting)
    expect(trail.counts.failures).toBeGreaterThanOrEqual(101)
    trail.notDispatched({ exchange: 'exc_1', session: SESSION, reason: 'record_failed' })
    trail.judged('cut', judged)
    trouble.write = null
    trail.opened(opened({ exchange: 'exc_2' }), true)
    trail.flushNow()
    expect(trail.healthy).toBe(true)
    expect(kindsOf(file)).toEqual(['exchange.opened', 'request.not_dispatched', 'exchange.cut', 'exchange.opened'])
    expect((await verifyTrail([file], trail.head)).ok).toBe(true)
  })

  test('[AUD7] what finds no room in the buffer is counted, and told when the trail works again', async () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const trail = await openTrail(file, {}, { disk })
    trouble.write = systemError('EIO')
    const big = { who: 'alice', action: 'note', target: 'x', note: 'n'.repeat(1 << 20) }
    for (let i = 0; i < 12; i++) trail.adminChanged(big)
    expect(trail.counts).toMatchObject({ records: 8, dropped: 4 })
    trouble.write = null
    trail.closed(closed())
    trail.flushNow()
    expect(linesOf(file).slice(-2)).toMatchObject([{ kind: 'records.lost', count: 4, known: null }, { kind: 'exchange.closed' }])
    expect((await verifyTrail([file], trail.head)).ok).toBe(true)
  })

  test('[AUD7] on a full disk the reserve is given up: facts and cuts are written, elevated requests refused, baseline left out', async () => {
    const dir = folder()
    const file = join(dir, 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const write: typeof disk.write = (...all) => {
      trouble.write = existsSync(`${file}.reserve`) ? systemError('ENOSPC') : null
      return disk.write(...all)
    }
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const warn = vi.fn<TrailPorts['warn']>()
    const trail = await openTrail(file, { reserveBytes: 3 << 20 }, { disk: { ...disk, write }, warn })
    expect(statSync(`${file}.reserve`).size).toBe(3 << 20)
    expect(trail.healthy).toBe(true)
    trail.opened(opened(), true)
    trail.flushNow()
    expect(existsSync(`${file}.reserve`)).toBe(false)
    expect(trail.healthy).toBe(false)
    expect(() => trail.opened(opened(), true)).toThrow(AuditWriteFailed)
    const { decision: _, ...intended } = opened()
    expect(() => trail.intended(intended)).toThrow(AuditWriteFailed)
    trail.fact(outgoing(birth(), 1))
    trail.judged('cut', judged)
    trail.closed(closed())
    trail.opened(opened(BASELINE), false)
    trail.closed(closed({ grant: 'baseline' }))
    trail.refused(refused({ session: SESSION }))
    trail.flushNow()
    expect(kindsOf(file)).toEqual(['exchange.opened', 'fact', 'exchange.cut', 'exchange.closed'])
    expect(trail.counts.dropped).toBe(3)
    expect(warn.mock.calls.filter(([text]) => text.includes('lost until'))).toHaveLength(1)
    mkdirSync(`${file}.reserve`)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(trail.healthy).toBe(false)
    rmSync(`${file}.reserve`, { recursive: true })
    await vi.advanceTimersByTimeAsync(10_000)
    await vi.waitFor(() => expect(trail.healthy).toBe(true))
    writeFileSync(`${file}.reserve`, '')
    rmSync(`${file}.reserve`)
    trail.opened(opened(), true)
    trail.flushNow()
    expect(linesOf(file).slice(-2)).toMatchObject([{ kind: 'records.lost', count: 3 }, { kind: 'exchange.opened' }])
  })

  test('[AUD6] lines the store knows and the file lost are told at start', async () => {
    const file = join(folder(), 'trail.jsonl')
    const first = await openTrail(file)
    for (let i = 0; i < 3; i++) first.closed(closed())
    await first.close()
    const known = { file: 'trail.jsonl', seq: 5, hash: 'x' }
    const warn = vi.fn()
    const second = await openTrail(file, { known }, { warn })
    second.flushNow()
    expect(linesOf(file).at(-1)).toMatchObject({ kind: 'records.lost', count: 2, known })
    expect(warn).toHaveBeenCalledOnce()
    await second.close()
    const third = await openTrail(file, { known: second.head })
    third.flushNow()
    expect(third.head).toEqual(second.head)
  })
})
