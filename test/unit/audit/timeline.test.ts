import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { principalName } from '../../../src/runtime/principal-name.ts'
import type { LevelMark } from '../../../src/core/risk.ts'
import { instant } from '../../../src/core/time.ts'
import { exportSession } from '../../../src/audit/export-session.ts'
import { readTimeline } from '../../../src/audit/timeline.ts'
import type { AnchorFact, SessionFact } from '../../../src/core/fact.ts'
import { replaySession } from '../../../src/core/replay.ts'
import { birth, closed, folder, frozen, narrowed, opened, openTrail, outgoing, refused, resumed, SESSION, shortened, widened } from './samples.ts'

const NAME = principalName({ issuer: 'https://idp.example.test/', tenant: 'acme', subject: 'sre-bot', client: '' })
const OTHER = 'ses_zzzzzzzzzzzzzzzzzzzzzzzzzz'
const CHANGES = [narrowed, frozen, resumed, widened, shortened]

/** Facts of one life; some share a commit and so its version. */
const lives = fc.array(fc.record({ change: fc.constantFrom(...CHANGES), alone: fc.boolean() }), { maxLength: 20 }).map(changes => {
  const facts: SessionFact[] = [birth(1)]
  let version = 1
  for (const { change, alone } of changes) facts.push(change(alone ? ++version : version))
  return facts
})

/** What is kept of the principal of the samples' sessions, from then on. */
const standing = (version: number, level: LevelMark | null, by = 'risk'): AnchorFact => ({
  ...narrowed(version), what: 'anchor.told', kind: 'principal', name: NAME, by, matter: { is: 'principal', cooling: {}, level, reached: [], clearedAt: instant(0), taints: [] },
})
const WATCHED: LevelMark = {
  name: 'watched', at: 20, score: 22.34, since: instant(0), who: 'https://idp.example.test/|sre-bot',
  why: { contributions: [{ rule: 'burst', points: 20.04, at: instant(0) }, { rule: 'new-tool', points: 2.3, at: instant(0) }], tenants: [], request: { evaluation: 'eval_7', route: 'runbooks', rule: 'write', method: 'POST', path: '/v1/x' } },
}
const ended = (version: number): SessionFact => ({ ...narrowed(version), what: 'session.revoked', reason: 'risk' })

describe('timeline', () => {
  test('[AUD1] folding the facts of a trail gives the same record as replay, also out of two gateways\' files', async () => {
    const dir = folder()
    let run = 0
    await fc.assert(fc.asyncProperty(lives, fc.array(fc.boolean(), { minLength: 21, maxLength: 21 }), async (facts, elsewhere) => {
      const files = [join(dir, `a${++run}.jsonl`), join(dir, `b${run}.jsonl`)]
      const trails = await Promise.all(files.map(file => openTrail(file)))
      facts.forEach((fact, i) => {
        const there = elsewhere[i] === true ? 1 : 0
        trails[there]?.fact(outgoing(fact, fact.version, i))
        if (i % 3 === 0) trails[1 - there]?.fact(outgoing(fact, fact.version, i))
        trails[there]?.fact(outgoing(birth(i + 1, OTHER), i, 0, 'e9', { kind: 'session', name: 'other' }))
      })
      await Promise.all(trails.map(trail => trail.close()))
      for (const order of [files, files.toReversed()]) {
        const { session, gap } = await readTimeline(order, SESSION)
        expect(gap).toBeNull()
        expect(session).toEqual(replaySession(facts))
      }
    }), { numRuns: 40 })
  })

  test('[AUD10] a missing version is named, and the record is given as it was before', async () => {
    const file = join(folder(), 'trail.jsonl')
    const trail = await openTrail(file)
    const facts = [birth(1), narrowed(2), frozen(3), resumed(4)]
    facts.forEach((fact, i) => trail.fact(outgoing(fact, i)))
    await trail.close()
    const lines = readFileSync(file, 'utf8').split('\n')
    writeFileSync(file, [...lines.slice(0, 2), ...lines.slice(3)].join('\n'))
    const { session, gap } = await readTimeline([file], SESSION)
    expect(gap).toEqual({ after: 2, next: 4, file: 'trail.jsonl', line: 3 })
    expect(session).toEqual(replaySession(facts.slice(0, 2)))
    writeFileSync(file, lines.slice(1).join('\n'))
    expect(await readTimeline([file], SESSION)).toMatchObject({ session: null, gap: null, lines: [] })
  })

  test('[AUD10] a session whose opening is missing but that is named has a gap before its first version', async () => {
    const file = join(folder(), 'trail.jsonl')
    const trail = await openTrail(file)
    trail.opened(opened(), true)
    await trail.close()
    expect(await readTimeline([file], SESSION)).toMatchObject({ session: null, gap: { after: 0, next: null, file: 'trail.jsonl', line: 1 } })
    expect(await readTimeline([file], OTHER)).toMatchObject({ session: null, gap: null, lines: [] })
  })

  test('[AUD10] lives under one key are kept apart, also when their epochs differ', async () => {
    const file = join(folder(), 'trail.jsonl')
    const trail = await openTrail(file)
    const [first, second] = [[birth(1), frozen(2)], [birth(3, OTHER), narrowed(4)]]
    first.forEach((fact, i) => trail.fact(outgoing(fact, 10 + i)))
    second.forEach((fact, i) => trail.fact(outgoing(fact, 1 + i, 0, 'e2')))
    await trail.close()
    expect((await readTimeline([file], SESSION)).session).toEqual(replaySession(first))
    expect((await readTimeline([file], OTHER)).session).toEqual(replaySession(second))
  })

  test('[EXP4] what became of the trust in its principal during its life is part of it, once each, with what did it', async () => {
    const ref = { kind: 'principal', name: NAME } as const
    const [file, other] = ['a', 'b'].map(name => join(folder(), `${name}.jsonl`)) as [string, string] // two
    const [trail, second] = await Promise.all([openTrail(file), openTrail(other)])
    trail.fact(outgoing(standing(0, WATCHED), 1, 0, 'e1', ref)) // before it was opened
    trail.fact(outgoing(birth(2), 2))
    for (const each of [trail, second]) each.fact(outgoing(standing(3, WATCHED), 3, 0, 'e1', ref))
    trail.fact(outgoing({ ...standing(4, WATCHED), name: 'somebody' }, 4, 0, 'e1', { kind: 'principal', name: 'somebody' }))
    trail.fact(outgoing(standing(5, null, 'operator'), 5, 0, 'e1', ref))
    trail.fact(outgoing({ ...ended(3), at: narrowed(6).at }, 6))
    trail.fact(outgoing(standing(7, WATCHED), 7, 0, 'e1', ref)) // behind its end
    trail.refused(refused({ session: SESSION, reason: 'frozen', risk: { before: 12.1, after: 22.3, level: 'watched' } }))
    await Promise.all([trail.close(), second.close()])
    const timeline = await readTimeline([file, other], SESSION)
    expect(timeline.gap).toBeNull()
    expect(timeline.lines.flatMap(line => (line.kind === 'fact' ? [`${line.fact.what} ${line.fact.version}`] : [line.kind]))).toEqual(['request.refused', 'session.opened 2', 'anchor.told 3', 'anchor.told 5', 'session.revoked 3'])
    const text = exportSession(timeline)
    expect(text).toContain('anchor.told version=3 by=risk level=watched score=22.3 contributions=burst:20,new-tool:2.3 request=eval_7 POST /v1/x')
    expect(text).toContain('anchor.told version=5 by=operator level=none')
    expect(text).toContain('risk=12.1→22.3 level=watched')
  })

  test('[AUD10] a timeline holds every line that names the session and reads as text', async () => {
    const file = join(folder(), 'trail.jsonl')
    const trail = await openTrail(file)
    trail.gatewayStarted({ version: '0.1.0', config: 'd1' })
    trail.fact(outgoing(birth(1), 1))
    trail.opened(opened({ path: '/v1/runbooks/\u001b[31m' }), true)
    trail.opened(opened({ session: OTHER }), true)
    trail.fact(outgoing(frozen(2), 2))
    trail.judged('cut', { exchange: 'exc_1', session: SESSION, grant: 'elv_1', reason: 'frozen', because: 'sig_1', latencyMs: 2 })
    trail.closed(closed({ complete: false, reason: 'frozen' }))
    trail.refused(refused({ session: SESSION, reason: 'frozen' }))
    trail.adminChanged({ who: 'alice', action: 'freeze', target: `session/${SESSION}`, note: 'odd' })
    await trail.close()
    const timeline = await readTimeline([file], SESSION)
    expect(timeline.lines.map(line => (line.kind === 'fact' ? line.fact.what : line.kind))).toEqual(
      ['exchange.opened', 'exchange.cut', 'exchange.closed', 'request.refused', 'admin.changed', 'session.opened', 'session.frozen'])
    const text = exportSession(timeline)
    expect(text.split('\n')).toHaveLength(8)
    expect(text).toContain('2026-09-21T14:13:20.000Z exchange.cut exc_1 reason=frozen grant=elv_1 because=sig_1 latencyMs=2\n')
    expect(text).toContain('route=runbooks/write POST api.example.test/v1/runbooks/\u{fffd}[31m')
    expect(text).toContain('up=12 down=3400 ms=8 incomplete')
    expect(exportSession({ ...timeline, lines: [], gap: { after: 2, next: 4, file: 'trail.jsonl', line: 3 }, left: 7 })).toBe('version 3 is missing before trail.jsonl line 3\n7 lines more\n')
  })
})
