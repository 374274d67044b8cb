// S22: an analyst reads logs and restarts a service only while every byte is recorded and an approval stands. The recorder's sink fails, and then the approval is
// withdrawn, with a log tail open. The story is played once on each setting; each clause is asserted on what was seen of it.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { SYSTEM_DISK } from '../../src/audit/appender.ts'
import { trailFiles } from '../../src/audit/tail.ts'
import { verifyTrail } from '../../src/audit/verify.ts'
import type { TestGateway } from '../support/gateway.ts'
import { until } from '../wire/support.ts'
import { asked, both, type Caller, sessionAt, SETTINGS, type Setting, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { approve, asHolder } from './operators.ts'
import { APPROVER, bearer, factsIn, type Line, loadsAsItStands, OpenStream, tokenFor } from './stage.ts'

const HOST = { host: 'services.internal' }
const RESTART = '/services/shop/restart'
const LOGS = '/logs'
const TAIL = '/logs/tail'
const REFUSED = both('403 elevation_required')

const recordingOf = ({ trailFile }: TestGateway): string => join(dirname(trailFile), 'recording.jsonl')
const recorded = (gate: TestGateway): readonly Line[] => readFileSync(recordingOf(gate), 'utf8').trim().split('\n').map(text => JSON.parse(text) as Line) // our own lines
/** Every byte that was recorded of an exchange's answers, as one text. */
const tapeOf = (gate: TestGateway, exchange: unknown): string =>
  recorded(gate).filter(line => line['kind'] === 'recording.bytes' && line['exchange'] === exchange && line['way'] === 'down').map(({ data }) => Buffer.from(String(data), 'base64').toString()).join('')

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s22.yaml'))

describe.each(SETTINGS)('S22 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    passed: [] as readonly string[], pending: '', failed: 0, ended: 0, behind: '', tail: '', during: [] as readonly string[], dispatched: 0, healed: [] as readonly string[], rest: [] as readonly string[], session: '', elevation: '',
    sound: false, withdrawn: {} as Line,
  }

  const analyst = async (name: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'ana', { sid: name }), HOST) })

  async function investigates(caller: Caller): Promise<string> {
    const { status, json } = await asked(setting.a, caller, 'POST', '/.narrowgate/elevations', { profile: 'investigate', reason: 'A-5' })
    if (status !== 202) throw new Error(`not taken: ${status} ${JSON.stringify(json)}`)
    const id = String(json['id'])
    seen.pending = (await asked(setting.b, caller, 'GET', LOGS)).status.toString()
    await approve(setting.a, id)
    return id
  }

  /** Lines of B's recording are not taken any more, as if its disk were full; nothing else is. */
  function sinkFails(): () => void {
    const { gateway } = setting.b.parts
    const write = SYSTEM_DISK.write
    const disk = vi.spyOn(SYSTEM_DISK, 'write').mockImplementation((fd, bytes, offset, length) => {
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString('latin1')
      if (text.includes('"kind":"recording.') && text.includes(gateway)) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      return write(fd, bytes, offset, length)
    })
    return () => disk.mockRestore()
  }

  /** The sink fails while nothing moves on the tail. */
  async function theRecorderFails(): Promise<void> {
    const { a, b } = setting
    const caller = await analyst('recorded')
    seen.session = await sessionAt(a, caller)
    seen.elevation = await investigates(caller)
    seen.passed = [...(await through(setting, caller, 'GET', `${LOGS}?since=1h`)), ...(await through(setting, caller, 'POST', RESTART))]
    const tail = await OpenStream.open(b, TAIL, caller.headers)
    a.upstream.feed('own').emit('before')
    await tail.says('before')
    const requests = a.upstream.requests.length
    const heal = sinkFails()
    const at = performance.now()
    await tail.cut().catch(() => null) // by a reset, or at an event's end
    seen.failed = performance.now() - at
    a.upstream.feed('own').emit('behind')
    await until(() => [a, b].every(({ parts: { mirror } }) => mirror.byId(seen.session)?.record.elevations[0]?.state.is === 'ended'), 'the end to be known')
    seen.ended = performance.now() - at
    seen.during = [...(await through(setting, caller, 'POST', RESTART)), ...(await through(setting, caller, 'GET', TAIL))]
    seen.rest = await through(setting, caller, 'GET', '/status')
    seen.dispatched = a.upstream.requests.slice(requests).filter(({ path }) => path !== '/status').length
    seen.behind = tail.text
    heal()
    seen.healed = await through(setting, caller, 'POST', RESTART)
    await until(() => recorded(b).some(({ kind }) => kind === 'recording.opened'), 'the recording to be there')
  }

  const duties = new Duties({
    carried: { method: 'POST', path: `${RESTART}?now=1` }, stream: TAIL, rest: '/status', before: '403 elevation_required', after: '403 elevation_required', reason: 'approval_withdrawn',
    caller: (_setting, name) => analyst(name),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'otto'), HOST) }, path: '/status/live' }),
    give: (_setting, caller) => investigates(caller),
    end: async ({ a }, elevation) => { seen.withdrawn = (await asHolder(a, APPROVER, `/v1/elevations/${elevation}/revoke`)).json },
    revive: async ({ a }) => {
      const { json: { shown } } = await a.admin('GET', `/v1/elevations/${duties.elevation}`)
      await asHolder(a, APPROVER, `/v1/elevations/${duties.elevation}/approve`, { shown })
    },
  })

  beforeAll(async () => {
    setting = await raise('s22.yaml', {})
    setting.a.upstream.plays.set(TAIL, '/sse/own').set(LOGS, '/ok').set(RESTART, '/ok').set('/status', '/ok')
    await theRecorderFails()
    await duties.play(setting)
    seen.sound = (await verifyTrail(trailFiles(recordingOf(setting.b)), null)).ok
  }, 60_000)
  afterAll(() => setting.stop())

  test('[S22.a] logs and a restart pass while every byte is recorded and the approval stands, and not before it', () => {
    expect([seen.pending, seen.passed]).toEqual(['403', ['200', '200', '200', '200']])
    const tail = duties.lines.find(({ kind, path, elevation }) => kind === 'exchange.opened' && path === TAIL && (elevation as Line)['id'] === seen.elevation)
    expect(tapeOf(setting.b, tail?.['exchange'])).toContain('before')
    expect(seen.sound).toBe(true)
  })

  test('[S22.b] the sink fails: the tail is cut within T although nothing moves on it, and restart and tail are refused from then on, also when it is whole again', () => {
    expect([seen.failed, seen.ended].filter(ms => ms > BOUND)).toEqual([])
    expect([seen.during, seen.healed]).toEqual([[...REFUSED, ...REFUSED], REFUSED])
    expect(factsIn(duties.lines, 'elevation.ended').find(({ elevation }) => elevation === seen.elevation)).toMatchObject({ reason: 'recording_failed' })
  })

  test('[S22.c] the approval is withdrawn: the tail is cut before that is answered, and both are refused', () => {
    expect(seen.withdrawn).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
    expect(duties.after).toEqual(REFUSED)
  })

  test('[S22.d] nothing is recorded by best effort: what was not recorded was not delivered, and nothing was sent upstream; what needs no record goes on', () => {
    expect([seen.behind.includes('behind'), seen.dispatched, seen.rest]).toEqual([false, 0, both('200')])
    const tail = duties.lines.find(({ kind, path, elevation }) => kind === 'exchange.opened' && path === TAIL && (elevation as Line)['id'] === seen.elevation)
    const tape = tapeOf(setting.b, tail?.['exchange'])
    for (const event of seen.behind.split('\n\n').map(text => text.trim()).filter(text => text.startsWith('data:'))) expect(tape).toContain(event)
    const closed = duties.lines.filter(({ kind, exchange }) => kind === 'exchange.closed' && exchange === tail?.['exchange'])
    expect(closed).toMatchObject([{ reason: 'recording_failed', recording: { down: { bytes: tape.length, digest: expect.stringMatching(/^[\w-]{43}$/) } } }])
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S22.g', risk: 'S22.h', digest: 'S22.i', life: 'S22.j', exchanges: 'S22.k', verify: 'S22.l', replay: 'S22.m', reconnect: 'S22.n', revive: 'S22.o', across: 'S22.p', upstream: 'S22.r', shared: 'S22.s',
  })) test(`[${id}] ${says}`, prove)

  test('[S22.q] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
