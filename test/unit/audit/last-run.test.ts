import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { Chain, FRESH } from '../../../src/audit/chain.ts'
import { exportSession } from '../../../src/audit/export-session.ts'
import { readLastRun } from '../../../src/audit/last-run.ts'
import type { Kind, Records } from '../../../src/audit/record.ts'
import { LINE_BYTES_MAX, trailFiles } from '../../../src/audit/tail.ts'
import { readTimeline } from '../../../src/audit/timeline.ts'
import type { Trail, TrailPorts } from '../../../src/audit/trail.ts'
import { verifyTrail } from '../../../src/audit/verify.ts'
import { instant } from '../../../src/core/time.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { birth, closed, folder, kindsOf, linesOf, linesOfKind, opened, openTrail, outgoing, refused, SESSION, StillClock } from './samples.ts'

const STARTED = { version: '0.1.0', config: 'd1' }
/** Whoever comes across it fails. */
const UNREADABLE = `${'x'.repeat(2 * LINE_BYTES_MAX)}\n`
const lostIn = (files: readonly string[]): readonly string[] => files.flatMap(file => linesOfKind(file, 'exchange.lost').map(({ exchange }) => exchange)).toSorted()
const lastStart = (file: string) => linesOfKind(file, 'gateway.started').at(-1)

/** Whatever a trail is told of, and what it leaves open. */
const STEPS = {
  'exchange.opened': (trail: Trail, exchange: string) => trail.opened(opened({ exchange }), true),
  'exchange.closed': (trail: Trail, exchange: string) => trail.closed(closed({ exchange })),
  'request.not_dispatched': (trail: Trail, exchange: string) => trail.notDispatched({ exchange, session: SESSION, reason: 'stale' }),
  'exchange.cut': (trail: Trail, exchange: string) => trail.judged('cut', { exchange, session: SESSION, grant: 'baseline', reason: 'revoked', because: 'sig_1', latencyMs: 3 }),
  'request.refused': (trail: Trail, exchange: string) => trail.refused(refused({ session: SESSION, path: `/"kind":"gateway.stopped"/"kind":"exchange.closed","exchange":"${exchange}","session":null` })),
  'config.loaded': (trail: Trail) => trail.configLoaded({ digest: 'd2', by: 'SIGHUP' }),
}

/** Opened less ended, as the lines themselves say it. */
function leftOpen(lines: ReturnType<typeof linesOf>): readonly string[] {
  const open = new Set<string>()
  for (const line of lines) {
    if (line.kind === 'exchange.opened') open.add(line.exchange)
    else if (line.kind === 'exchange.closed' || line.kind === 'request.not_dispatched') open.delete(line.exchange)
  }
  return [...open].toSorted()
}

/** The process died behind `lines` lines, and had written `torn` of the next one. */
function dieAt(file: string, lines: number, torn: number): void {
  const all = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, `${all.slice(0, lines).map(line => `${line}\n`).join('')}${(all[lines] ?? '').slice(0, torn)}`)
}

const steps = fc.array(fc.tuple(fc.constantFrom(...(Object.keys(STEPS) as (keyof typeof STEPS)[])), fc.integer({ min: 0, max: 9 })), { maxLength: 40, size: 'max' }) // its own keys
const share = fc.integer({ min: 0, max: 1_000 }).map(thousandths => thousandths / 1_000)
const torn = fc.integer({ min: 0, max: 900 })

describe('last run', () => {
  test('[AUD12] wherever a run is cut off, what is told as lost is what it opened less what it ended, each once, also when the telling is cut off', async () => {
    const dir = folder()
    let run = 0
    await fc.assert(fc.asyncProperty(steps, share, torn, share, torn, async (told, first, firstTorn, second, secondTorn) => {
      const file = join(dir, `${++run}.jsonl`)
      const before = await openTrail(file)
      before.gatewayStarted(STARTED)
      for (const [kind, id] of told) STEPS[kind](before, `exc_${id}`)
      await before.close()
      dieAt(file, 1 + Math.floor(first * told.length), firstTorn)
      const whole = readFileSync(file, 'utf8').split('\n').length - 1
      const open = leftOpen(linesOf(file).slice(0, whole))
      const next = await openTrail(file)
      next.gatewayStarted(STARTED)
      await next.close()
      expect(lostIn([file])).toEqual(open)
      expect(lastStart(file)).toMatchObject({ lost: open.length })
      dieAt(file, whole + Math.floor(second * (linesOf(file).length - whole)), secondTorn)
      const cameThrough = kindsOf(file).slice(whole).includes('gateway.started')
      const third = await openTrail(file)
      third.gatewayStarted(STARTED)
      await third.close()
      expect(lostIn([file])).toEqual(open)
      expect(lastStart(file)).toMatchObject({ lost: cameThrough ? 0 : open.length })
      expect(await verifyTrail([file], third.head)).toMatchObject({ ok: true })
    }), { numRuns: 100, unbiased: true })
  })

  test('[AUD12] an exchange that was opened in the file before is told as well', async () => {
    const file = join(folder(), 'trail.jsonl')
    const before = await openTrail(file, { maxBytes: 2_000 })
    before.gatewayStarted(STARTED)
    for (let i = 0; i < 6; i++) {
      before.opened(opened({ exchange: `exc_${i}` }), true)
      if (i % 2 === 0) before.closed(closed({ exchange: `exc_${i}` }))
    }
    before.flushNow()
    for (let i = 1; i < 4; i++) before.closed(closed({ exchange: `exc_${i}` }))
    await before.close()
    expect(trailFiles(file)).toHaveLength(2)
    const next = await openTrail(file)
    next.gatewayStarted(STARTED)
    await next.close()
    expect(linesOf(file).slice(-2)).toMatchObject([{ kind: 'exchange.lost', exchange: 'exc_5', session: SESSION, because: 'gateway died' }, { kind: 'gateway.started', lost: 1 }])
    expect(await verifyTrail(trailFiles(file), next.head)).toMatchObject({ ok: true })
  })

  test('[AUD12] a run that was stopped in order left nothing open, also behind a start that failed, and nothing before its stop is read', async () => {
    const file = join(folder(), 'trail.jsonl')
    const before = await openTrail(file)
    before.gatewayStarted(STARTED)
    before.opened(opened(), true)
    before.gatewayStopped({ reason: 'closed' })
    await before.close()
    const failed = await openTrail(file)
    failed.configLoaded({ digest: 'd1', by: 'start' })
    await failed.close()
    const warn = vi.fn<TrailPorts['warn']>()
    const next = await openTrail(file, {}, { warn })
    next.gatewayStarted(STARTED)
    await next.close()
    expect(warn).not.toHaveBeenCalled()
    expect(kindsOf(file)).toEqual(['gateway.started', 'exchange.opened', 'gateway.stopped', 'config.loaded', 'gateway.started'])
    expect(lastStart(file)).toMatchObject({ lost: 0 })
    dieAt(file, 4, 0)
    writeFileSync(file, `${UNREADABLE}${readFileSync(file, 'utf8')}`)
    expect(await readLastRun(file)).toEqual({ open: [], told: 0, whole: true })
    dieAt(file, 1, 0)
    await expect(readLastRun(file)).rejects.toThrow(RangeError)
  })

  test('[AUD12] what can not be read of a run is said to be unknown, and keeps no gateway from starting', async () => {
    const file = join(folder(), 'trail.jsonl')
    const before = await openTrail(file)
    before.gatewayStarted(STARTED)
    await before.close()
    const line = readFileSync(file, 'utf8')
    appendFileSync(file, UNREADABLE)
    for (let mib = 0; mib < 65; mib++) appendFileSync(file, `${'y'.repeat((1 << 20) - 1)}\n`) // facts are looked for no further back
    appendFileSync(file, line.replace('gateway.started', 'config.loaded'))
    const warn = vi.fn<TrailPorts['warn']>()
    const next = await openTrail(file, {}, { warn })
    next.gatewayStarted(STARTED)
    await next.close()
    expect(warn.mock.calls).toEqual([['what the last run left open could not be read from trail.jsonl', expect.any(RangeError)]])
    expect(readFileSync(file, 'utf8').split('\n').at(-2)).toMatch(/"kind":"gateway\.started".*"lost":null\}$/)
  })

  test('[AUD12] more than 100,000 open exchanges are not held: those are told, the others said to be missing, and others have their turns meanwhile', { timeout: 30_000 }, async () => {
    const file = join(folder(), 'trail.jsonl')
    const chain = new Chain('gw_1', FRESH)
    const lines: string[] = []
    const add = <K extends Kind>(kind: K, fields: Records[K]): void => {
      lines.push(chain.line(instant(5), kind, fields))
      chain.accept(lines.at(-1) ?? '')
    }
    add('gateway.started', STARTED)
    for (let i = 0; i <= 100_000; i++) add('exchange.opened', opened({ exchange: `exc_${i}` }))
    writeFileSync(file, `${lines.join('\n')}\n`)
    const warn = vi.fn<TrailPorts['warn']>()
    const still = new StillClock()
    let [atOnce, most, over] = [0, 0, false]
    const clock: Clock = { elapsed: () => still.elapsed(), now: () => (++atOnce, still.now()) } // asked once for each line
    const turn = (): void => {
      ;[most, atOnce] = [Math.max(most, atOnce), 0]
      if (!over) setImmediate(turn)
    }
    turn()
    const next = await openTrail(file, {}, { clock, warn })
    over = true
    next.gatewayStarted(STARTED)
    await next.close()
    const written = readFileSync(file, 'utf8').split('\n').slice(lines.length)
    expect(written.filter(line => line.includes('"kind":"exchange.lost"'))).toHaveLength(100_000)
    expect(written.at(-2)).toContain('"lost":100000}')
    expect(most).toBeLessThanOrEqual(500)
    expect(warn.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining('not each is told as lost'), 'the gateway died with 100000 exchanges open; each is told as lost'])
  })

  test('[AUD12] the start is found wherever it lies across what is read at once', async () => {
    const file = join(folder(), 'trail.jsonl')
    const line = <K extends Kind>(kind: K, fields: Records[K]): string => `${new Chain('gw_1', FRESH).line(instant(5), kind, fields)}\n`
    const [before, start, after] = [line('exchange.opened', opened({ exchange: 'exc_1' })), line('gateway.started', STARTED), line('exchange.opened', opened({ exchange: 'exc_2' }))]
    const behind = start.length - start.indexOf('"kind"') + after.length
    for (let at = (1 << 20) - 20; at < (1 << 20) + 40; at++) {
      writeFileSync(file, `${before}${start}${'y'.repeat(at - behind - 1)}\n${after}`)
      expect((await readLastRun(file)).open, String(at)).toEqual([{ exchange: 'exc_2', session: SESSION }])
    }
  })

  test('[AUD12] a run that began before the two files that are read is said not to be told whole', async () => {
    const file = join(folder(), 'trail.jsonl')
    const before = await openTrail(file, { maxBytes: 10 })
    before.gatewayStarted(STARTED)
    before.flushNow()
    for (let i = 0; i < 3; i++) {
      before.opened(opened({ exchange: `exc_${i}` }), true)
      before.flushNow()
    }
    await before.close()
    const files = trailFiles(file)
    expect(files.length).toBeGreaterThan(3)
    expect(await readLastRun(file)).toEqual({ open: [{ exchange: 'exc_2', session: SESSION }], told: 0, whole: false })
  })

  test('[AUD10, AUD12] a timeline says it in words, and takes trails of before as they are', async () => {
    const file = join(folder(), 'trail.jsonl')
    const chain = new Chain('gw_1', FRESH)
    const old = [chain.line(instant(5), 'gateway.started', STARTED)]
    chain.accept(old[0] ?? '')
    writeFileSync(file, `${old.join('\n')}\n`)
    const before = await openTrail(file)
    before.fact(outgoing(birth(1), 1))
    before.opened(opened({ exchange: 'exc_1' }), true)
    before.opened(opened({ exchange: 'exc_2', session: null }), true)
    await before.close()
    expect(exportSession(await readTimeline([file], SESSION))).not.toContain('exchange.lost')
    const next = await openTrail(file)
    await next.close()
    expect(linesOfKind(file, 'exchange.lost')).toMatchObject([{ exchange: 'exc_1', session: SESSION }, { exchange: 'exc_2', session: null }])
    expect(exportSession(await readTimeline([file], SESSION))).toContain(' exchange.lost exc_1 the gateway died before its end was on record; when it ended is not known\n')
    expect(exportSession({ session: null, gap: null, lines: linesOfKind(file, 'gateway.started'), left: 0 })).toMatch(/ gateway\.started 0\.1\.0 d1\n$/)
    expect(await verifyTrail([file], next.head)).toMatchObject({ ok: true, records: 6 })
  })
})
