// Every raw case of test/cases/bypasses.json about paths, headers and smuggling, byte for byte through a real gateway, judged by the case's
// own oracle: what the caller was told and what a recording upstream saw. Asked with a token never seen before and with one known.
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { headerOf, RawClient, type RawResponse } from '../support/raw-client.ts'

type Oracle = 'DENY' | 'DENY_OR_400' | 'R400' | 'R400_OR_ONE' | 'STRIP'
type Case = { readonly id: string; readonly class: string; readonly proto: string; readonly title: string; readonly raw_request: string | null; readonly oracle: Oracle }

const CASES = (JSON.parse(readFileSync(new URL('../cases/bypasses.json', import.meta.url), 'utf8')) as { readonly cases: readonly Case[] }).cases // the file's form
const CLASSES = ['path', 'header', 'smuggling']
const RAW = CASES.filter(each => CLASSES.includes(each.class) && each.proto === 'h1' && each.raw_request !== null)

/** Rules before and after those of every fixture, where the case's precondition asks for them. */
type Setting = { readonly first?: string; readonly last?: string; /** Status of the last answer where the oracle leaves several. */ readonly status?: number; /** The caller's address. */ readonly from?: string }

const PUBLIC = '{ allow: { paths: [/**] }, scope: base:read }'
const SETTINGS: ReadonlyMap<string, Setting> = new Map<string, Setting>([
  ['PATH-001', {}], ['PATH-003', {}], ['PATH-006', {}], ['PATH-008', {}], ['PATH-011', {}], ['PATH-013', {}],
  ['PATH-016', { first: '{ allow: { paths: ["/foo/*/bar"] }, anonymous: true }', status: 400 }],
  ['PATH-018', { first: '{ deny: { paths: [/app1/admin] } }', last: '{ allow: { paths: [/app1/**] }, scope: base:read }', status: 400 }],
  ['PATH-021', { status: 401 }],
  ['PATH-023', { last: PUBLIC, status: 403 }],
  ['PATH-026', { first: '{ allow: { paths: [/admin] }, scope: admin:all }', last: PUBLIC, status: 403 }],
  ['PATH-028', { first: '{ allow: { paths: [/api/**] }, scope: base:read }' }],
  ['PATH-031', { last: PUBLIC, status: 403 }],
  ['PATH-033', { first: '{ allow: { paths: [/config/apps/http/servers/srv0/routes/1] }, scope: base:read }', status: 403 }],
  ['PATH-036', { status: 400 }], ['PATH-038', { status: 400 }],
  ['PATH-041', { first: '{ deny: { paths: ["/api/datasources/proxy/uid/*/admin"] } }', last: '{ allow: { paths: [/api/datasources/proxy/**] }, scope: base:read }' }],
  ['PATH-043', { status: 200 }], ['PATH-046', {}], ['PATH-048', { status: 400 }],
  ['HDR-001', {}], ['HDR-003', {}], ['HDR-006', {}], ['HDR-008', {}],
  ['HDR-011', { status: 401 }], ['HDR-013', { status: 403 }],
  ['HDR-016', { first: `{ allow: { paths: [/admin] }, if: 'source.address == "127.0.0.1"' }`, status: 403, from: '127.0.0.9' }],
  ['HDR-018', { status: 401 }], ['HDR-021', { status: 401 }],
  ['HDR-026', { status: 400 }], ['HDR-028', { status: 400 }],
  ['HDR-031', { first: '{ allow: { methods: [DELETE], paths: [/public/**] }, scope: admin:all }', status: 200 }],
  ['HDR-033', { status: 401 }], ['HDR-036', { status: 200 }], ['HDR-038', { status: 401 }],
  ['SMG-001', {}], ['SMG-003', {}], ['SMG-006', {}], ['SMG-008', {}], ['SMG-011', {}], ['SMG-013', {}], ['SMG-016', {}], ['SMG-018', {}], ['SMG-021', {}],
  ['SMG-023', {}], ['SMG-026', {}], ['SMG-028', {}], ['SMG-031', { status: 401 }],
])

/** Its authorizer outside the gateway does not exist here; the case's own test is that of the milestone that brings one. */
const OF_LATER = ['HDR-' + '023']

const gates = new Map<string, Promise<TestGateway>>()

function gateFor({ first = '', last = '' }: Setting): Promise<TestGateway> {
  const rules = [first, '{ allow: { paths: [/public/**] }, scope: base:read }', '{ allow: { paths: [/admin/**] }, scope: admin:all }', last].filter(rule => rule !== '')
  const routes = `- name: api\n  match: { host: api.test }\n  upstream: api\n  rules:\n${rules.map(rule => `    - ${rule}`).join('\n')}`
  const made = gates.get(routes) ?? TestGateway.start({ routes, elevations: 'root: { adds: [admin:all], for: 10m }' })
  gates.set(routes, made)
  return made
}

afterAll(async () => {
  for (const gate of gates.values()) await (await gate).stop()
})

// ---- what happened

type Outcome = { readonly gate: TestGateway; /** The caller's address. */ readonly from: string; readonly token: string; readonly sent: string; readonly answers: readonly RawResponse[]; readonly answeredText: string; readonly closed: boolean }

const SENTINEL = '/public/sentinel'

/** Pieces in which the bytes are sent, each after the one before was read. */
type Pieces = (bytes: string) => readonly string[]
const WHOLE: Pieces = bytes => [bytes]

/** All the case's answers: until the gateway closes, or it answers a last request on the same connection. */
async function converse(gate: TestGateway, setting: Setting, bytes: string, pieces: Pieces, expected: number): Promise<Pick<Outcome, 'answers' | 'answeredText' | 'closed'>> {
  const client = await RawClient.connect({ ...gate.target, ...(setting.from === undefined ? {} : { from: setting.from }) })
  const answers: RawResponse[] = []
  let closed = false
  void client.ended.then(() => (closed = true))
  try {
    for (const piece of pieces(bytes)) {
      await client.send(piece)
      await turns()
    }
    for (let i = 0; i < expected; i++) answers.push(await client.response())
    if (headerOf(answers.at(-1) ?? { headers: [] }, 'connection') === 'close') await client.ended
    return { answers, answeredText: client.bytes().toString('latin1'), closed }
  } catch (error) {
    await client.ended
    if (answers.length === 0 && client.received > 0) throw error
    return { answers, answeredText: client.bytes().toString('latin1'), closed: true }
  } finally {
    client.close()
  }
}

/** Lets the event loop read what was just sent. */
const turns = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise(resolve => setImmediate(resolve))
}

/** A request that goes through shows that everything before it has arrived, or never will. */
async function afterSentinel(gate: TestGateway): Promise<void> {
  const answer = await gate.ask('GET', SENTINEL, { authorization: `Bearer ${await gate.token({ sub: 'sentinel' })}` })
  expect(answer.status, answer.text).toBe(200)
  while (gate.parts.inflight.size > 0) await new Promise(resolve => setTimeout(resolve, 5))
}

async function play(each: Case, setting: Setting, warmth: 'cold' | 'warm', pieces: Pieces = WHOLE, path = '/public/x'): Promise<Outcome> {
  const gate = await gateFor(setting)
  const token = await gate.token()
  if (warmth === 'warm') expect((await gate.ask('GET', '/public/warm', { authorization: `Bearer ${token}` })).status).toBe(200)
  await afterSentinel(gate)
  gate.upstream.forget()
  const sent = (each.raw_request ?? '').replaceAll('{{TOK_BASE}}', token).replace('/public/x', path)
  expect(sent).not.toContain('{{')
  const conversation = await converse(gate, setting, sent, pieces, each.id === 'SMG-031' ? 2 : 1)
  await afterSentinel(gate)
  return { gate, from: setting.from ?? '127.0.0.1', token, sent, ...conversation }
}

const seenBy = ({ gate }: Outcome) => gate.upstream.requests.filter(({ path }) => path !== SENTINEL)
const last = ({ answers }: Outcome): RawResponse => {
  const answer = answers.at(-1)
  if (answer === undefined) throw new Error('no answer')
  return answer
}

// ---- the oracles

/** Nothing of the caller's secret, nothing of the inside; a reason that can be read. */
function readable({ answeredText, token, gate }: Outcome, answer: RawResponse): void {
  expect(answer.complete).toBe(true)
  expect(headerOf(answer, 'content-type')).toBe('application/problem+json')
  const body = JSON.parse(answer.body.toString('utf8')) as { readonly status: unknown; readonly reason: unknown; readonly type: unknown }
  expect(body.status).toBe(answer.status)
  expect(body.type).toBe(`urn:narrowgate:reason:${String(body.reason)}`)
  expect(answeredText).not.toContain(token)
  expect(answeredText).not.toContain(String(gate.upstream.port))
  expect(answeredText).not.toMatch(/\bat .+:\d+:\d+/)
}

function denied(outcome: Outcome, statuses: readonly number[]): void {
  const answer = last(outcome)
  expect(statuses).toContain(answer.status)
  readable(outcome, answer)
  const first = outcome.answers.length > 1 ? 1 : 0
  expect(seenBy(outcome).map(({ url }) => url)).toEqual(['/public/x', '/upload/x'].filter(url => outcome.sent.includes(url)).slice(0, first))
}

/** What upstreams are known to make of a path. */
const FOLDS: readonly ((path: string) => string)[] = [
  path => path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  path => path.replace(/;[^/]*/g, ''),
  path => {
    const kept: string[] = []
    for (const segment of path.split('/').slice(1)) {
      if (segment === '..') kept.pop()
      else if (segment !== '.') kept.push(segment)
    }
    return `/${kept.join('/')}`
  },
  path => path.replace(/\/{2,}/g, '/'),
  path => path.replaceAll('\\', '/'),
  path => path.toLowerCase(),
]

/** The path under every sequence of folds, each used at most once. */
function foldings(path: string, folds = FOLDS): ReadonlySet<string> {
  const found = new Set([path])
  for (const fold of folds) {
    for (const further of foldings(fold(path), folds.filter(other => other !== fold))) found.add(further)
  }
  return found
}

const underAdmin = (path: string): boolean => [...foldings(path)].some(folded => folded === '/admin' || folded.startsWith('/admin/'))

function nothingUnderAdmin(outcome: Outcome): void {
  expect(seenBy(outcome).filter(({ path }) => underAdmin(path)).map(({ url }) => url)).toEqual([])
}

function refusedAndClosed(outcome: Outcome): void {
  const { answers, closed } = outcome
  expect(answers).toHaveLength(1)
  const answer = last(outcome)
  expect(Math.floor(answer.status / 100), String(answer.status)).toBe(4)
  readable(outcome, answer)
  expect(closed).toBe(true)
  expect(outcome.answeredText.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  expect(seenBy(outcome).map(({ rawHead }) => rawHead)).toEqual([])
  expect(outcome.gate.upstream.bytes()).not.toContain('smuggled')
}

/** One request with framing of the gateway's own, and no byte behind it. */
function oneWellFramed(outcome: Outcome): void {
  const requests = seenBy(outcome)
  expect(requests).toHaveLength(1)
  const [request] = requests
  const [length, encoding] = [request?.header('content-length'), request?.header('transfer-encoding')]
  expect([...(length ?? []), ...(encoding ?? [])]).toHaveLength(1)
  expect(encoding).toEqual(encoding?.length === 0 ? [] : ['chunked'])
  expect(outcome.gate.upstream.bytes()).not.toContain('smuggled')
}

/** Headers every request may bring to the upstream. */
const HARMLESS = new Set(['host', 'cookie', 'content-length', 'transfer-encoding', 'connection', 'x-tier', 'user-agent', 'x-pan-authcheck'])
const dashed = (name: string): string => name.toLowerCase().replaceAll('_', '-')

/** The caller's head, as sent. */
const headersSent = (sent: string): readonly (readonly [name: string, value: string])[] =>
  (sent.split('\r\n\r\n', 1)[0] ?? '').split('\r\n').slice(1).map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const)

function stripped(outcome: Outcome): void {
  const { gate, token, sent } = outcome
  expect(seenBy(outcome).length).toBeLessThanOrEqual(1)
  for (const request of seenBy(outcome)) {
    for (const [name, value] of headersSent(sent)) {
      if (HARMLESS.has(dashed(name))) continue
      expect(request.rawHeaders.filter(([seen, held]) => dashed(seen) === dashed(name) && held === value)).toEqual([])
    }
    expect(request.rawHeaders.filter(([name]) => dashed(name).startsWith('narrowgate-')).map(([name]) => name)).toEqual(['narrowgate-context'])
    expect(request.header('x-forwarded-for')).toEqual([outcome.from])
    expect(request.header('x-forwarded-host')).toEqual(['api.test'])
    expect(request.rawHeaders.filter(([name]) => /^x-forwarded-(?!for$|host$|proto$)|^x-(?:original|rewrite)|override|^x-http-method/i.test(name))).toEqual([])
    expect(request.trailers).toEqual([])
    expect(request.header('cookie')).toEqual(headersSent(sent).filter(([name]) => name === 'Cookie').map(([, value]) => value))
  }
  expect(gate.upstream.bytes()).not.toContain(token)
  expect(outcome.answeredText).not.toContain(token)
  expect(gate.upstream.bytes()).not.toMatch(/narrowgate-subject/i)
}

const DENIALS = [401, 403, 404, 405, 421]

const ORACLES: { readonly [O in Oracle]: (outcome: Outcome) => void } = {
  DENY: outcome => denied(outcome, DENIALS),
  DENY_OR_400: outcome => {
    denied(outcome, [...DENIALS, 400])
    nothingUnderAdmin(outcome)
  },
  R400: refusedAndClosed,
  R400_OR_ONE: outcome => (last(outcome).status >= 400 ? refusedAndClosed(outcome) : oneWellFramed(outcome)),
  STRIP: stripped,
}

// ---- the cases

describe('cases', () => {
  for (const each of RAW) {
    const setting = SETTINGS.get(each.id)
    if (setting === undefined) continue
    for (const warmth of ['cold', 'warm'] as const) {
      test(`[${each.id}] ${each.title} (${each.oracle}, token ${warmth})`, async () => {
        const outcome = await play(each, setting, warmth)
        ORACLES[each.oracle](outcome)
        if (setting.status !== undefined) expect(last(outcome).status).toBe(setting.status)
      })
    }
  }

  test('[WIRE2] no raw case of these classes is left out', () => {
    expect(RAW.map(({ id }) => id).filter(id => !SETTINGS.has(id))).toEqual(OF_LATER)
    expect([...SETTINGS.keys()].filter(id => !RAW.some(each => each.id === id))).toEqual([])
  })
})

test('[WIRE2] behind a rule that lets everything else pass, still nothing arrives that any folding puts under /admin', async () => {
  for (const each of RAW.filter(({ class: of, raw_request }) => of === 'path' && raw_request?.includes('{{TOK_BASE}}') === true)) {
    const outcome = await play(each, { last: PUBLIC }, 'warm')
    nothingUnderAdmin(outcome)
  }
})

test('[WIRE4, WIRE5] the same heads on a path that passes: refused, or forwarded with nothing of theirs', async () => {
  for (const each of RAW.filter(({ class: of, oracle, raw_request }) => of === 'header' && ['STRIP', 'DENY'].includes(oracle) && raw_request?.includes('/admin') === true)) {
    const gate = await gateFor({})
    const withToken = (each.raw_request ?? '').replace('/admin', '/public/x').replace(/\r\n(?!.*TOK_BASE)Host: api\.test\r\n(?!Authorization)/, '\r\nHost: api.test\r\nAuthorization: Bearer {{TOK_BASE}}\r\n')
    const outcome = await play({ ...each, raw_request: withToken }, { from: '127.0.0.9' }, 'warm')
    stripped(outcome)
    expect([200, 400], each.id).toContain(last(outcome).status)
    expect(seenBy(outcome), each.id).toHaveLength(last(outcome).status === 200 ? 1 : 0)
    expect(gate.parts.inflight.size).toBe(0)
  }
})

test('[WIRE2] the folding check finds what it looks for', () => {
  for (const path of ['/admin', '/public/../admin/x', '/public/%2e%2e%2fadmin', '//admin', '/public%5c..%5cadmin', '/;a=b/admin', '/ADMIN/x', '/%61dmin', '/x/..;/admin']) expect(underAdmin(path), path).toBe(true)
  for (const path of ['/public/x', '/administrator', '/api../admin', '/public/admin']) expect(underAdmin(path), path).toBe(false)
})

// ---- the same bytes, arriving otherwise

const SPLITS: readonly (readonly [how: string, pieces: Pieces])[] = [
  ['head and body apart', bytes => {
    const end = bytes.indexOf('\r\n\r\n') + 4
    return [bytes.slice(0, end), bytes.slice(end)].filter(piece => piece !== '')
  }],
  ['inside the empty line', bytes => {
    const end = bytes.indexOf('\r\n\r\n')
    return [bytes.slice(0, end + 1), bytes.slice(end + 1, end + 3), bytes.slice(end + 3)]
  }],
  ['every CR and LF alone', bytes => bytes.split(/(?<=[\r\n])|(?=[\r\n])/)],
  ['octet by octet', bytes => bytes.split('')],
]

/** An upstream that answers only once it has the whole body: whatever is answered before is the gateway's. */
const TAKES_ALL = '/upload/x'
const UPLOADS = '{ allow: { paths: [/upload/**] }, scope: base:read }'

describe('smuggling, split', () => {
  for (const each of RAW.filter(({ class: of }) => of === 'smuggling')) {
    for (const [how, pieces] of SPLITS) {
      test(`[WIRE3] ${each.title}: ${how}`, async () => {
        const outcome = await play(each, { first: UPLOADS }, 'warm', pieces, TAKES_ALL)
        expect(outcome.gate.upstream.bytes()).not.toContain('smuggled')
        expect(outcome.gate.upstream.bytes()).not.toMatch(/narrowgate-subject/i)
        if (each.oracle !== 'R400') return ORACLES[each.oracle](outcome)
        expect(outcome.closed).toBe(true)
        for (const answer of outcome.answers) expect(Math.floor(answer.status / 100), String(answer.status)).toBe(4)
        expect(seenBy(outcome).filter(({ bodyEndedAt, abortedAt }) => bodyEndedAt > 0 || abortedAt === 0)).toEqual([])
      })
    }
  }
})

test('[WIRE3, WIRE22] trailers of the caller go upstream as trailers, but for those that name, route or frame anything', async () => {
  const gate = await gateFor({ first: UPLOADS })
  const token = await gate.token()
  gate.upstream.forget()
  const client = await RawClient.connect(gate.target)
  await client.send(`POST /upload/x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\nTrailer: Narrowgate-Subject, X-Tier\r\n\r\n2\r\nok\r\n0\r\nNarrowgate-Subject: root\r\nX-Tier: gold\r\n\r\n`)
  expect((await client.response()).status).toBe(200)
  client.close()
  expect(gate.upstream.requests.map(({ trailers, bodyBytes }) => ({ trailers, bodyBytes }))).toEqual([{ trailers: ['X-Tier', 'gold'], bodyBytes: 2 }])
  expect(gate.upstream.requests[0]?.header('x-tier')).toEqual([])
  expect(gate.upstream.bytes()).not.toMatch(/narrowgate-subject/i)
})
