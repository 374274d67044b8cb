import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Disk, SYSTEM_DISK } from '../../../src/audit/appender.ts'
import { Recording } from '../../../src/audit/recording.ts'
import { trailFiles } from '../../../src/audit/tail.ts'
import { verifyTrail } from '../../../src/audit/verify.ts'
import { instant } from '../../../src/core/time.ts'

const made: (() => void)[] = []
afterEach(() => { for (const undo of made.splice(0)) undo() })

function raised(disk: Disk = SYSTEM_DISK): { readonly recording: Recording; readonly file: string; readonly lines: () => readonly Record<string, unknown>[] } {
  const directory = mkdtempSync(join(tmpdir(), 'ng-recording-'))
  const file = join(directory, 'recording.jsonl')
  const recording = new Recording({ file, gateway: 'gw_test', maxBytes: 64 * 1024 * 1024 }, { now: () => instant(Date.now()), disk, warn: () => undefined })
  made.push(() => rmSync(directory, { recursive: true, force: true }))
  return { recording, file, lines: () => readFileSync(file, 'utf8').trim().split('\n').map(text => JSON.parse(text) as Record<string, unknown>) } // our own lines
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')

describe('the recording', () => {
  test('[REC1] every piece is in the file before the answer to whether it may go on, and the end names what all of them were', async () => {
    const { recording, file, lines } = raised()
    const tape = recording.tape('exc_1', 'ses_1', 'elv_1')
    expect(tape.up(Buffer.from('ab'))).toBe(true)
    expect(lines().at(-1)).toMatchObject({ kind: 'recording.bytes', exchange: 'exc_1', way: 'up', data: Buffer.from('ab').toString('base64') })
    expect([tape.down(Buffer.from('x')), tape.down(Buffer.from('yz'))]).toEqual([true, true])
    expect(tape.close()).toEqual({ up: { bytes: 2, digest: digest('ab') }, down: { bytes: 3, digest: digest('xyz') } })
    expect(lines().map(({ kind }) => kind)).toEqual(['recording.opened', 'recording.bytes', 'recording.bytes', 'recording.bytes', 'recording.closed'])
    await recording.close()
    expect(await verifyTrail(trailFiles(file), null)).toMatchObject({ ok: true, problem: null })
  })

  test('[REC1] a piece that cannot be written may not go on, nothing new begins, and whoever has to know hears of it once', async () => {
    let full = false
    const { recording } = raised({ ...SYSTEM_DISK, write: (...args) => {
      if (full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      return SYSTEM_DISK.write(...args)
    } })
    const failed = vi.fn()
    recording.onFailed = failed
    const tape = recording.tape('exc_1', null, 'elv_1')
    full = true
    expect([tape.down(Buffer.from('lost')), tape.down(Buffer.from('too'))]).toEqual([false, false])
    expect(() => recording.tape('exc_2', null, 'elv_1')).toThrow()
    await vi.waitFor(() => expect(failed).toHaveBeenCalledTimes(1))
    full = false
    expect(recording.tape('exc_3', null, 'elv_1').up(Buffer.from('again'))).toBe(true)
    await recording.close()
  })

  test('[REC1] a piece longer than a line, such as a message of megabytes, is on record to its last byte', async () => {
    const { recording, lines } = raised()
    const piece = Buffer.alloc(3 * 1024 * 1024 + 1, 'abc')
    const tape = recording.tape('exc_1', null, 'elv_1')
    expect(tape.up(piece)).toBe(true)
    expect(Buffer.concat(lines().flatMap(({ data }) => (typeof data === 'string' ? [Buffer.from(data, 'base64')] : []))).equals(piece)).toBe(true)
    expect(tape.close().up).toEqual({ bytes: piece.length, digest: createHash('sha256').update(piece).digest('base64url') })
    await recording.close()
  })

  test('[REC1] a sink that fails is noticed while nothing moves, as long as something is recorded', async () => {
    let broken = false
    const { recording } = raised({ ...SYSTEM_DISK, write: (...args) => {
      if (broken) throw Object.assign(new Error('input/output error'), { code: 'EIO' })
      return SYSTEM_DISK.write(...args)
    } })
    const heard = new Promise<void>(resolve => { recording.onFailed = resolve })
    recording.tape('exc_1', null, 'elv_1')
    broken = true
    await heard
    broken = false
    await recording.close()
  })
})
