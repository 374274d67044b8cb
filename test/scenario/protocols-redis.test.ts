// S5, S11, S12, S13 and S25 on one HTTP/2 connection of gateway B, which the sessions share while A is told, and S25's console as a WebSocket. Each story is
// played in its test; the clauses are asserted in it.
import { constants } from 'node:http2'
import { afterEach, expect, test } from 'vitest'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { firstMismatch } from '../support/pattern.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { until } from '../wire/support.ts'
import { extendedConnect, upgrade, WebSocketCaller } from '../wire/websocket-callers.ts'
import { keySetOf, signedStep } from './callers.ts'
import { approve } from './operators.ts'
import { isEnforced, type Raised, raisePair } from './pair.ts'
import { SharedConnection, says, uploading } from './shared-connection.ts'
import { type Adapted, bearer, elevate, type Headers, type Staging, tokenFor, word } from './stage.ts'

const STORY = { timeout: 40_000 }
const CANCEL = constants.NGHTTP2_CANCEL
const closing: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function stage(name: string, staging: Staging = {}): Promise<{ readonly pair: Raised; readonly shared: SharedConnection }> {
  const pair = await raisePair(name, staging)
  closing.push(() => pair.stop())
  const shared = await SharedConnection.to(pair.b)
  closing.push(() => shared.close())
  return { pair, shared }
}

/** Events with the time at which the upstream wrote them, on all of these feeds, until it is told to stop. */
function paced({ a }: Raised, ...feeds: readonly string[]): () => void {
  const pace = setInterval(() => { for (const feed of feeds) a.upstream.feed(feed).emit(`at ${performance.now()} .`) }, 5)
  return () => clearInterval(pace)
}

/** What the runner signs for the step `build` of this run. */
const inBuild = (runner: TokenIssuer, run: string): Promise<string> => signedStep(runner, run, 'build', 1)

const stampsIn = (text: string): readonly number[] => [...text.matchAll(/at ([\d.]+) \./g)].map(([, at]) => Number(at))

test('[S5.f, S5.v] the time of an elevation ends streams that were opened before and refuses requests on their connection; another session\'s stream on it flows', STORY, async () => {
  const { pair, shared } = await stage('s05.yaml')
  const { a } = pair
  a.upstream.plays.set('/admin/console', '/sse/console').set('/admin/run', '/upload').set('/status/live', '/sse/status').set('/status', '/ok')
  const patch: Headers = bearer(await tokenFor(a.issuer, 'svc-patch', { sid: 'patch' }), { host: 'fleet.internal', 'narrowgate-task': 'P-3' })
  const beside = await shared.open('/status/live', bearer(await tokenFor(a.issuer, 'svc-monitor'), { host: 'fleet.internal' }))
  expect(await shared.outcome('GET', '/admin/hosts', patch)).toBe('403 elevation_required')
  await elevate(a, patch, { profile: 'patch', purpose: { task: 'P-3' }, for: '1500ms' })
  const over = performance.now() + 1_500
  expect(await shared.outcome('GET', '/admin/hosts', patch)).toBe('200')
  const console = await shared.open('/admin/console', patch)
  const run = shared.stream('POST', '/admin/run', patch)
  const upload = uploading(run)
  const stop = paced(pair, 'console', 'status')
  expect([await console.over(), await run.over()]).toEqual(['whole', CANCEL])
  upload.stop()
  expect(Math.max(...stampsIn(console.body)) - over).toBeLessThanOrEqual(50) // the caller learnt of its elevation after it had begun
  for (const [method, path] of [['GET', '/admin/hosts'], ['POST', '/admin/run'], ['GET', '/admin/console']] as const) expect(await shared.outcome(method, path, patch)).toBe('403 elevation_required')
  expect(await shared.outcome('GET', '/status', patch)).toBe('200')
  const now = performance.now()
  await until(() => stampsIn(beside.body).some(at => at > now), 'what was written for the other one since')
  stop()
  expect([shared.isUp, beside.closedAt]).toEqual([true, 0])
})

test('[S11.aa] an operator ends the maintenance: its report is cut, and another session\'s report on the same HTTP/2 connection flows to the byte', STORY, async () => {
  const { pair, shared } = await stage('s11.yaml')
  const { a, b } = pair
  a.upstream.plays.set('/reports/daily', '/stream/report').set('/reports/beside', '/stream/beside')
  const of = async (sid: string): Promise<Headers> => bearer(await tokenFor(a.issuer, 'svc-dba', { sid }), { host: 'db.prod.internal' })
  const [dba, other] = [await of('first'), await of('second')]
  const ids: string[] = []
  for (const headers of [dba, other]) ids.push(await elevate(a, headers, { profile: 'maintenance' }))
  for (const id of ids) await approve(b, id)
  const [report, beside] = [await shared.open('/reports/daily', dba), await shared.open('/reports/beside', other)]
  let written = ''
  const pace = setInterval(() => {
    const row = `at ${performance.now()} .\n`
    written += row
    for (const feed of ['report', 'beside']) a.upstream.feed(feed).write(row)
  }, 5)
  await says(report, 'at ')
  isEnforced((await word(a, `/v1/elevations/${String(ids[0])}/revoke`)).json, { cut: 1 })
  const ackAt = performance.now()
  expect(await report.over()).toBe(CANCEL)
  await until(() => stampsIn(beside.body).some(at => at > ackAt + 50), 'what was written for the other one since')
  clearInterval(pace)
  a.upstream.feed('beside').end()
  expect(await beside.over()).toBe('whole')
  expect([stampsIn(report.body).filter(at => at > ackAt), written.startsWith(report.body), beside.body === written, shared.isUp]).toEqual([[], true, true, true])
  expect(await shared.outcome('GET', '/reports/daily', dba)).toBe('403 elevation_required')
})

test('[S12.i, S12.y] narrowed to signing: the push is aborted, signing and another run\'s push go on upon the same HTTP/2 connection', STORY, async () => {
  const runner = await TokenIssuer.create({ algorithm: 'ES256' })
  const { pair, shared } = await stage('s12.yaml', { adapt: (example: Adapted) => { example['purposes'].step.signed.jwksFile = keySetOf(runner) } })
  const { a } = pair
  a.upstream.plays.set('/shop/git-receive-pack', '/upload').set('/other/git-receive-pack', '/upload').set('/shop/info/refs', '/ok').set('/sign', '/ok')
  const runs = [await tokenFor(a.issuer, 'pipeline', { run_id: 'run-881' }), await tokenFor(a.issuer, 'pipeline', { run_id: 'run-882' })] as const
  const steps = await Promise.all(['run-881', 'run-882'].map(run => inBuild(runner, run)))
  const git = (token: string): Headers => bearer(token, { host: 'git.internal', 'narrowgate-step': steps[runs.indexOf(token)] ?? '' })
  const sign = (): Promise<string> => shared.outcome('POST', '/sign', bearer(runs[0], { host: 'sign.internal' }))
  for (const [i, token] of runs.entries()) await elevate(a, git(token), { profile: 'build', purpose: { run: `run-88${i + 1}` } })
  const { id } = (await a.ask('GET', '/.narrowgate/session', git(runs[0]))).json
  expect(await sign()).toBe('200')
  const [push, beside] = [shared.stream('POST', '/shop/git-receive-pack', git(runs[0])), shared.stream('POST', '/other/git-receive-pack', git(runs[1]))]
  const [pushing, going] = [uploading(push), uploading(beside)]
  const [received, others] = [await a.upstream.request('/shop/git-receive-pack'), await a.upstream.request('/other/git-receive-pack')]
  await until(() => received.bodyBytes > 65_536 && others.bodyBytes > 65_536, 'both pushes')
  isEnforced((await word(a, `/v1/sessions/${String(id)}/narrow`, { to: ['sign:create'] })).json, { cut: 1 })
  expect(await push.over()).toBe(CANCEL)
  pushing.stop()
  await until(() => received.abortedAt > 0, 'the upstream to see the end')
  const mark = others.bodyBytes
  expect([await sign(), await shared.outcome('GET', '/shop/info/refs', git(runs[0])), await shared.outcome('POST', '/shop/git-receive-pack', git(runs[0]))]).toEqual(['200', '403 narrowed', '403 narrowed'])
  await until(() => others.bodyBytes > mark, 'more of the other push')
  going.stop()
  beside.raw.end()
  expect([await beside.over(), beside.json]).toEqual(['whole', { received: going.sent() }])
  expect([firstMismatch(others.body()), firstMismatch(received.body()), received.bodyEndedAt, shared.isUp]).toEqual([null, null, 0, true])
})

test('[S13.u] the leaked key is frozen and its session ended: another key\'s events on the same HTTP/2 connection flow, none lost', STORY, async () => {
  const { pair, shared } = await stage('s13.yaml')
  const { a } = pair
  a.upstream.plays.set('/live', '/sse/live').set('/daily', '/ok')
  const keyOf = async (key: string): Promise<Headers> => bearer(await tokenFor(a.issuer, key, { service: 'reporting' }), { host: 'reports.internal' })
  const [leaked, second] = [await keyOf('reporting/key-1'), await keyOf('reporting/key-2')]
  const { id } = (await a.ask('GET', '/.narrowgate/session', leaked)).json
  const [own, beside] = [await shared.open('/live', leaked), await shared.open('/live', second)]
  const sent: string[] = []
  const tick = async (...streams: readonly (typeof own)[]): Promise<void> => {
    sent.push(`event ${sent.length}.`)
    a.upstream.feed('live').emit(sent.at(-1) ?? '')
    for (const stream of streams) await says(stream, sent.at(-1) ?? '')
  }
  await tick(own, beside)
  isEnforced((await word(a, '/v1/locks', { selector: { subject: 'reporting/key-1' }, effect: 'freeze' })).json, { frozen: 1 })
  const mark = own.bytes
  for (let i = 0; i < 10; i++) await tick(beside)
  expect([own.bytes, own.closedAt]).toEqual([mark, 0])
  isEnforced((await word(a, `/v1/sessions/${String(id)}/terminate`)).json, { cut: 1 })
  for (let i = 0; i < 10; i++) await tick(beside)
  await own.over()
  a.upstream.feed('live').end()
  expect(await beside.over()).toBe('whole')
  expect([own.body, beside.body]).toEqual([`data: ${String(sent[0])}\n\n`, sent.map(event => `data: ${event}\n\n`).join('')])
  expect([await shared.outcome('GET', '/daily', leaked), await shared.outcome('GET', '/daily', second), shared.isUp]).toEqual(['401 credential_revoked', '200', true])
})

/** The upstream's end of each console. */
type Shell = { readonly socket: WebSocket; readonly heard: string[]; closed: number | null }

test('[S25.e, S25.h, S25.m, S25.ab] the console is a WebSocket: it lives while the other elevation is narrowed, stands still while frozen, goes on whole, and is cut with the session; another session\'s feed on the same connection flows', STORY, async () => {
  const { pair, shared } = await stage('s25.yaml')
  const { a, b } = pair
  const shells: Shell[] = []
  const accepts = new WebSocketServer({ noServer: true })
  a.upstream.plays.set('/feed', '/sse/feed')
  a.upstream.upgrades((message, socket, head) => accepts.handleUpgrade(message, socket, head, ws => {
    const shell: Shell = { socket: ws, heard: [], closed: null }
    ws.on('message', (data: RawData) => shell.heard.push(String(data as Buffer))) // nodebuffer is the default
    ws.on('close', code => (shell.closed = code))
    shells.push(shell)
  }))
  const agent = bearer(await tokenFor(a.issuer, 'agent-7', { sid: 's25' }), { host: 'work.internal' })
  for (const ticket of ['T-1', 'T-2']) await word(a, `/v1/anchors/ticket/${ticket}`, { state: 'open', tenant: 'acme' })
  const first = await elevate(b, agent, { profile: 'job', purpose: { ticket: 'T-1' } })
  await approve(a, await elevate(b, agent, { profile: 'console', purpose: { ticket: 'T-2' }, reason: 'look at db-1' }))
  const { id } = (await a.ask('GET', '/.narrowgate/session', agent)).json
  const onTicket2 = { ...agent, 'narrowgate-ticket': 'T-2' }
  expect(await extendedConnect(shared.session, '/console/db-1', agent)).toMatchObject({ status: 403 })
  const beside = await shared.open('/feed', bearer(await tokenFor(a.issuer, 'agent-8'), { host: 'work.internal' }))
  const callers = [await extendedConnect(shared.session, '/console/db-1', onTicket2), await upgrade(b, '/console/db-1', onTicket2)].filter(caller => caller instanceof WebSocketCaller)
  await until(() => shells.length === 2 && callers.length === 2, 'both consoles')
  let said = 0
  const say = (): void => {
    said++
    for (const { socket } of shells) if (socket.readyState === socket.OPEN) socket.send(`line ${said}`)
    for (const caller of callers) caller.send(`input ${said}`)
    a.upstream.feed('feed').emit(`event ${said}.`)
  }
  const lines = (n: number): readonly string[] => Array.from({ length: n }, (_, i) => `line ${i + 1}`)
  const inputs = (n: number): readonly string[] => Array.from({ length: n }, (_, i) => `input ${i + 1}`)
  const texts = (): readonly (readonly string[])[] => callers.map(({ messages }) => messages.map(String))
  const everybodyHas = (n: number): Promise<void> => until(() => callers.every(({ messages }) => messages.length === n) && shells.every(({ heard }) => heard.length === n), `${n} lines each way`)
  say()
  await everybodyHas(1)

  isEnforced((await word(a, `/v1/sessions/${String(id)}/narrow`, { elevations: [first] })).json, { cut: 0, continued: 2 })
  say()
  await everybodyHas(2)
  expect(await shared.outcome('POST', '/jobs/J/run', { ...agent, 'narrowgate-ticket': 'T-1' })).toBe('403 narrowed')

  isEnforced((await word(a, `/v1/sessions/${String(id)}/freeze`)).json, { frozen: 2 })
  for (let i = 0; i < 10; i++) say()
  await says(beside, 'event 12.')
  expect(await extendedConnect(shared.session, '/console/db-1', onTicket2)).toEqual({ status: 403, reason: 'frozen' })
  expect([texts(), shells.map(({ heard, closed }) => [heard.length, closed])]).toEqual([[lines(2), lines(2)], [[2, null], [2, null]]])
  isEnforced((await word(a, `/v1/sessions/${String(id)}/resume`)).json, { continued: 2 })
  await everybodyHas(12)

  isEnforced((await word(a, `/v1/sessions/${String(id)}/terminate`)).json, { cut: 2 })
  for (let i = 0; i < 10; i++) say()
  expect(await Promise.all(callers.map(caller => caller.over()))).toEqual([{ code: 1008, reason: 'revoked' }, { code: 1008, reason: 'revoked' }])
  await until(() => shells.every(({ closed }) => closed === 1001), 'the upstream to hear of both ends')
  expect([texts(), shells.map(({ heard }) => heard)]).toEqual([[lines(12), lines(12)], [inputs(12), inputs(12)]])
  expect(await extendedConnect(shared.session, '/console/db-1', onTicket2)).toEqual({ status: 401, reason: 'credential_revoked' })
  await says(beside, `event ${said}.`)
  expect([beside.body, shared.isUp]).toEqual([Array.from({ length: said }, (_, i) => `data: event ${i + 1}.\n\n`).join(''), true])
})
