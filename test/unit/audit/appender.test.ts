import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Appender, type AppenderPorts, type AppenderSettings, AuditWriteFailed } from '../../../src/audit/appender.ts'
import { digestOf } from '../../../src/audit/chain.ts'
import { AuditDamaged, trailFiles } from '../../../src/audit/tail.ts'
import { verifyTrail } from '../../../src/audit/verify.ts'
import { instant } from '../../../src/core/time.ts'
import { folder, kindsOf, linesOf, opened, systemError, troubledDisk } from './samples.ts'

function open(file: string, settings: Partial<AppenderSettings> = {}, ports: Partial<AppenderPorts> = {}): Appender {
  const appender = new Appender(
    { file, gateway: 'gw_1', maxBytes: 1 << 30, bufferBytes: 1 << 20, ...settings },
    { now: () => instant(7), disk: troubledDisk().disk, makeRoom: () => false, warn: () => undefined, ...ports },
  )
  onTestFinished(() => appender.close().catch(() => undefined))
  return appender
}

const note = (appender: Appender, reason: string) => appender.append('gateway.stopped', { reason })

describe('appender', () => {
  test('[AUD4] buffers, then writes everything in one write to a file only its owner reads', () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const appender = open(file, {}, { disk })
    for (const reason of ['a', 'b', 'c']) note(appender, reason)
    expect(statSync(file).size).toBe(0)
    appender.flushNow()
    expect(trouble.writes).toBe(1)
    expect(linesOf(file).map(({ seq }) => seq)).toEqual([1, 2, 3])
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(appender.head).toEqual({ file: 'trail.jsonl', seq: 3, hash: digestOf(readFileSync(file, 'utf8').split('\n')[2] ?? '') })
  })

  test('[AUD4] what waits is written after 50 ms without being asked', () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const file = join(folder(), 'trail.jsonl')
    note(open(file), 'a')
    vi.advanceTimersByTime(49)
    expect(statSync(file).size).toBe(0)
    vi.advanceTimersByTime(1)
    expect(linesOf(file)).toHaveLength(1)
  })

  test('[AUD4] an existing file is continued', async () => {
    const file = join(folder(), 'trail.jsonl')
    const first = open(file)
    note(first, 'a')
    await first.close()
    const second = open(file)
    note(second, 'b')
    second.flushNow()
    expect(linesOf(file).map(({ seq }) => seq)).toEqual([1, 2])
    expect((await verifyTrail([file], second.head)).ok).toBe(true)
  })

  test('[AUD5] a torn last line is moved aside, told and the chain goes on', async () => {
    const file = join(folder(), 'trail.jsonl')
    const first = open(file)
    note(first, 'a')
    note(first, 'x'.repeat(200_000))
    await first.close()
    appendFileSync(file, '{"seq":3,"prev":"cut o')
    const warn = vi.fn()
    const second = open(file, {}, { warn })
    second.flushNow()
    expect(linesOf(file).at(-1)).toMatchObject({ seq: 3, kind: 'tail.torn', bytes: 22, moved: 'trail.jsonl.torn' })
    expect(readFileSync(`${file}.torn`, 'utf8')).toBe('{"seq":3,"prev":"cut o\n')
    expect(warn).toHaveBeenCalledOnce()
    expect((await verifyTrail([file], second.head)).ok).toBe(true)
  })

  test('[AUD5] a file of nothing but a torn line begins a new chain', () => {
    const file = join(folder(), 'trail.jsonl')
    writeFileSync(file, '{"seq":1')
    open(file).flushNow()
    expect(linesOf(file)).toMatchObject([{ seq: 1, prev: '', kind: 'tail.torn' }])
  })

  test('[AUD5] a file whose last line is no record is not continued', () => {
    const file = join(folder(), 'trail.jsonl')
    writeFileSync(file, 'something else\n')
    expect(() => open(file)).toThrow(AuditDamaged)
  })

  test('[AUD5] a short write is completed', () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    trouble.chunk = 10
    const appender = open(file, {}, { disk })
    note(appender, 'a')
    appender.flushNow()
    expect(linesOf(file)).toHaveLength(1)
    expect(appender.head.seq).toBe(1)
  })

  test('[AUD5] a write that fails half-way leaves only whole lines, keeps what waits and heals', async () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const appender = open(file, {}, { disk })
    note(appender, 'a')
    appender.flushNow()
    const before = readFileSync(file, 'utf8')
    Object.assign(trouble, { write: systemError('EIO'), takes: 30 })
    note(appender, 'b')
    expect(() => appender.flushNow()).toThrow(AuditWriteFailed)
    expect(readFileSync(file, 'utf8')).toBe(before)
    expect(appender.healthy).toBe(false)
    expect(appender.head.seq).toBe(1)
    note(appender, 'c')
    expect(() => appender.flushNow()).toThrow(AuditWriteFailed)
    trouble.write = null
    appender.flushNow()
    expect(appender.healthy).toBe(true)
    expect(linesOf(file)).toMatchObject([{ reason: 'a' }, { reason: 'b' }, { reason: 'c' }])
    expect((await verifyTrail([file], appender.head)).ok).toBe(true)
  })

  test('[AUD5] a torn line that can not be cut off at once is cut off before the next write', () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const appender = open(file, {}, { disk })
    note(appender, 'a')
    Object.assign(trouble, { write: systemError('EIO'), takes: 30, truncate: systemError('EIO') })
    expect(() => appender.flushNow()).toThrow(AuditWriteFailed)
    expect(statSync(file).size).toBe(30)
    trouble.write = null
    expect(() => appender.flushNow()).toThrow(AuditWriteFailed)
    trouble.truncate = null
    appender.flushNow()
    expect(linesOf(file)).toHaveLength(1)
  })

  test('[AUD7] a full disk is tried once more after room was made, and only then', () => {
    const { disk, trouble } = troubledDisk()
    trouble.write = systemError('ENOSPC')
    const makeRoom = vi.fn(() => {
      trouble.write = null
      return true
    })
    const appender = open(join(folder(), 'trail.jsonl'), {}, { disk, makeRoom })
    note(appender, 'a')
    appender.flushNow()
    expect(makeRoom).toHaveBeenCalledOnce()
    trouble.write = systemError('EIO')
    note(appender, 'b')
    expect(() => appender.flushNow()).toThrow(AuditWriteFailed)
    expect(makeRoom).toHaveBeenCalledOnce()
  })

  test('[AUD4] a full buffer is written; when that fails the line is refused and the chain is whole', async () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const appender = open(file, { bufferBytes: 4096 }, { disk })
    trouble.write = systemError('EIO')
    let taken = 0
    expect(() => {
      for (; taken < 1000; taken++) note(appender, 'a')
    }).toThrow(AuditWriteFailed)
    expect(taken).toBeLessThan(60)
    expect(appender.bufferedBytes).toBeLessThan(4096 + 200)
    trouble.write = null
    note(appender, 'b')
    appender.flushNow()
    expect(linesOf(file)).toHaveLength(taken + 1)
    expect((await verifyTrail([file], appender.head)).ok).toBe(true)
  })

  test('[AUD4] a line too long to be read back is refused', () => {
    const appender = open(join(folder(), 'trail.jsonl'))
    expect(() => note(appender, 'x'.repeat(2 << 20))).toThrow(AuditWriteFailed)
    note(appender, 'a')
    appender.flushNow()
    expect(appender.head.seq).toBe(1)
  })

  test('[AUD4] at its limit the file is rotated and the new one opens with the head of the old', async () => {
    const file = join(folder(), 'trail.jsonl')
    const appender = open(file, { maxBytes: 500 })
    for (let i = 0; i < 20; i++) {
      note(appender, `${i}`)
      appender.flushNow()
    }
    await appender.close()
    const files = trailFiles(file)
    expect(files.length).toBeGreaterThan(3)
    for (const later of files.slice(1)) expect(kindsOf(later)[0]).toBe('rotated')
    for (const one of files) expect(statSync(one).size).toBeLessThan(800)
    expect(await verifyTrail(files, appender.head)).toMatchObject({ ok: true, records: 20 + files.length - 1, unsealed: 0 })
    expect((await verifyTrail(files.slice(1), appender.head)).ok).toBe(true)
    expect((await verifyTrail([...files.slice(0, 1), ...files.slice(2)], appender.head)).problem).toMatchObject({ file: 'trail.jsonl.3', line: 1 })
  })

  test('[AUD5] a crash between the two steps of a rotation loses nothing', async () => {
    const file = join(folder(), 'trail.jsonl')
    const first = open(file)
    note(first, 'a')
    await first.close()
    renameSync(file, `${file}.1`)
    const second = open(file)
    second.flushNow()
    expect(linesOf(file)).toMatchObject([{ seq: 2, kind: 'rotated', from: { file: 'trail.jsonl.1', seq: 1 } }])
    expect((await verifyTrail(trailFiles(file), second.head)).ok).toBe(true)
  })

  test('[AUD5] a rotation that fails leaves the old file in use', async () => {
    const file = join(folder(), 'trail.jsonl')
    mkdirSync(`${file}.next`)
    const warn = vi.fn()
    const appender = open(file, { maxBytes: 100 }, { warn })
    note(appender, 'a')
    appender.flushNow()
    note(appender, 'b')
    appender.flushNow()
    expect(warn).toHaveBeenCalled()
    expect(existsSync(`${file}.1`)).toBe(false)
    expect(appender.healthy).toBe(true)
    expect(linesOf(file)).toHaveLength(2)
  })

  test('[AUD4] callers that wait together share one sync, later ones get another', async () => {
    const file = join(folder(), 'trail.jsonl')
    const { disk, trouble } = troubledDisk()
    const appender = open(file, {}, { disk })
    note(appender, 'a')
    const together = [appender.sync(), appender.sync(), appender.sync()]
    await together[0]
    expect(linesOf(file)).toHaveLength(1)
    await Promise.all(together)
    expect(trouble.syncs).toBe(1)
    await appender.sync()
    expect(trouble.syncs).toBe(2)
  })

  test('[AUD4] a line appended while a sync runs is covered by the next one only', async () => {
    const { disk, trouble } = troubledDisk()
    const gates: (() => void)[] = []
    const appender = open(join(folder(), 'trail.jsonl'), {}, { disk: { ...disk, datasync: fd => new Promise<void>(resolve => gates.push(() => resolve(disk.datasync(fd)))) } })
    note(appender, 'a')
    const first = appender.sync()
    await vi.waitFor(() => expect(gates).toHaveLength(1))
    note(appender, 'b')
    const second = appender.sync()
    expect(appender.head.seq).toBe(1)
    gates[0]?.()
    await first
    await vi.waitFor(() => expect(gates).toHaveLength(2))
    expect(appender.head.seq).toBe(2)
    gates[1]?.()
    await second
    expect(trouble.syncs).toBe(2)
    const end = appender.close()
    await vi.waitFor(() => expect(gates).toHaveLength(3))
    gates[2]?.()
    await end
  })

  test('[AUD4] a failed sync is told to everyone who waited and makes the trail unhealthy until one succeeds', async () => {
    const { disk, trouble } = troubledDisk()
    const appender = open(join(folder(), 'trail.jsonl'), {}, { disk })
    trouble.sync = systemError('EIO')
    note(appender, 'a')
    const waiting = await Promise.allSettled([appender.sync(), appender.sync()])
    expect(waiting.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(appender.healthy).toBe(false)
    trouble.sync = null
    await appender.sync()
    expect(appender.healthy).toBe(true)
  })

  test('[AUD4] a closed appender writes nowhere', async () => {
    const appender = open(join(folder(), 'trail.jsonl'))
    await appender.close()
    note(appender, 'a')
    expect(() => appender.flushNow()).toThrow(AuditWriteFailed)
  })

  test('[AUD4] what one opened line costs (printed)', () => {
    const file = join(folder(), 'trail.jsonl')
    const sunk = { write: (_fd: number, _bytes: Uint8Array, _offset: number, length: number) => length, truncate: () => undefined, datasync: () => Promise.resolve() }
    const appender = open(file, {}, { disk: sunk })
    const records = Array.from({ length: 4096 }, (_, i) => opened({ exchange: `exc_${i}`, path: `/v1/runbooks/INC-${i}` }))
    const round = (): number => {
      const start = performance.now()
      for (let i = 0; i < 5; i++) for (const record of records) appender.append('exchange.opened', record)
      return (performance.now() - start) / (5 * records.length) * 1000
    }
    const rounds = Array.from({ length: 12 }, round).sort((a, b) => a - b)
    const line = Buffer.from(JSON.stringify(opened()))
    const start = performance.now()
    for (let i = 0; i < 100_000; i++) digestOf(line)
    const hashing = (performance.now() - start) / 100
    process.stdout.write(`audit: ${(rounds[6] ?? 0).toFixed(2)} µs for each opened line (best ${(rounds[0] ?? 0).toFixed(2)}), of which hashing about ${hashing.toFixed(2)}\n`)
    expect(rounds[0]).toBeLessThan(50)
  })
})
