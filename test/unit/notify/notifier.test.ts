// Notices on their way to a receiver that takes them, fails, refuses, sends elsewhere, or never answers.
import { afterEach, expect, test } from 'vitest'
import { duration, instant } from '../../../src/core/time.ts'
import type { Notice } from '../../../src/notify/notice.ts'
import { PACE, pauseAfter } from '../../../src/notify/pace.ts'
import { type Answering, notice, QUICK, Receiver } from './receiver.ts'

let receiver: Receiver
afterEach(() => receiver.close())

const started = async (answering: Answering): Promise<Receiver> => (receiver = await Receiver.start(answering))
const taking: Answering = response => void response.writeHead(204).end()
const silent: Answering = () => {}

test('[NOT2] a notice that was not taken is sent again with the same id, until it is', async () => {
  await started((response, n) => void response.writeHead([500, 408, 200][n] ?? 200).end())
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.counted).toEqual(['webhook sent'])
  expect(receiver.got).toHaveLength(3)
  expect(new Set(receiver.ids()).size).toBe(1)
  notifier.tell(['oncall'], notice('b'))
  await expect.poll(() => receiver.got).toHaveLength(4)
  expect(new Set(receiver.ids()).size).toBe(2)
  await notifier.stop()
})

test('[NOT2] after the last attempt a notice is given up, counted and logged', async () => {
  await started(response => void response.writeHead(503).end())
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.counted).toEqual(['webhook failed'])
  expect(receiver.got).toHaveLength(QUICK.attempts)
  expect(receiver.logged.filter(line => line.includes('"notice":"a"') && line.includes('"status":503'))).toHaveLength(1)
  await notifier.stop()
})

test.each([400, 401, 404, 410])('[NOT2] an answer of %d is final: it is not sent again', async status => {
  await started((response, n) => void response.writeHead(n === 0 ? status : 200).end())
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.counted).toEqual(['webhook failed'])
  notifier.tell(['oncall'], notice('b'))
  await expect.poll(() => receiver.counted).toEqual(['webhook failed', 'webhook sent'])
  expect(receiver.texts()).toEqual(['notice a', 'notice b'])
  await notifier.stop()
})

test('[NOT2] no redirect is followed: the notice goes to the address that was named, or nowhere', async () => {
  await started((response, n) => void response.writeHead(n === 0 ? 307 : 308, { location: '/elsewhere' }).end())
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.counted).toEqual(['webhook failed'])
  expect(receiver.got.map(({ path }) => path)).toEqual(['/hook', '/hook', '/hook'])
  await notifier.stop()
})

test('[NOT2] an answer of success counts whatever comes with it', async () => {
  await started(response => void response.writeHead(200, { 'content-type': 'text/html' }).end(Buffer.alloc(100_000, 0xff)))
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.counted).toEqual(['webhook sent'])
  expect(receiver.got).toHaveLength(1)
  await notifier.stop()
})

test.each([
  ['a second, cut to the bound', (): string => '1'],
  ['an instant, cut to the bound', (): string => new Date(Date.now() + 60_000).toUTCString()],
])('[NOT2] Retry-After is honoured for the whole channel, up to a bound: %s', async (_name, retryAfter) => {
  await started((response, n) => void (n === 0 ? response.writeHead(429, { 'retry-after': retryAfter() }).end() : response.end()))
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.logged.length).toBe(1)
  notifier.tell(['oncall'], notice('b'))
  await expect.poll(() => receiver.counted).toEqual(['webhook sent', 'webhook sent'])
  const [first, second] = receiver.got.map(({ at }) => at)
  expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(QUICK.asked - 1)
  expect((second ?? 0) - (first ?? 0)).toBeLessThan(1_000)
  await notifier.stop()
})

test('[NOT2] a notice that fails holds up no other', async () => {
  await started((response, _n, { body }) => void response.writeHead(body.includes('notice a') ? 500 : 200).end())
  const notifier = receiver.notifier(receiver.webhook(), { first: duration(60_000), longest: duration(60_000) })
  notifier.tell(['oncall'], notice('a'))
  notifier.tell(['oncall'], notice('b'))
  await expect.poll(() => receiver.texts()).toEqual(['notice a', 'notice b'])
  await notifier.stop()
})

test('[NOT2] telling returns at once and throws nothing, also while a receiver never answers or there is none', async () => {
  await started(silent)
  const notifier = receiver.notifier()
  expect(notifier.tell(['oncall', 'nobody'], notice('a'))).toBeUndefined()
  await expect.poll(() => receiver.got).toHaveLength(1)
  const before = performance.now()
  for (let i = 0; i < 1_000; i++) notifier.tell(['oncall'], notice(`n${i}`))
  expect(performance.now() - before).toBeLessThan(1_000)
  expect(receiver.got).toHaveLength(1)
  notifier.tell(['oncall'], notice('bad', { at: instant(Number.NaN) }))
  expect(receiver.logged.some(line => line.includes('"channel":"nobody"'))).toBe(true)
  await notifier.stop()
})

test('[NOT2] what cannot be told is logged, and nothing is thrown at whoever tells', async () => {
  await started(taking)
  const notifier = receiver.notifier()
  const data = { toJSON: () => { throw new Error('no JSON') } } as unknown as Notice['data'] // stands for a defect of whoever tells
  expect(() => notifier.tell(['oncall'], notice('a', { data }))).not.toThrow()
  expect(receiver.logged.at(-1)).toContain('a notice could not be told')
  await notifier.stop()
})

test('[NOT2] one that cannot even be written down is counted as failed, and the next is sent', async () => {
  await started(taking)
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('bad', { at: instant(Number.NaN) }))
  notifier.tell(['oncall'], notice('good'))
  await expect.poll(() => receiver.counted).toEqual(['webhook failed', 'webhook sent'])
  await notifier.stop()
})

test('[NOT2] a receiver that never answers is asked again after the timeout', async () => {
  await started((response, n) => void (n === 0 ? undefined : response.end()))
  const notifier = receiver.notifier(receiver.webhook(), { timeout: duration(50) })
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.counted).toEqual(['webhook sent'])
  expect(new Set(receiver.ids()).size).toBe(1)
  await notifier.stop()
})

test('[NOT2] a full channel drops the oldest, counts them and says so once; emergencies stay and go first', async () => {
  let release = (): void => {}
  await started((response, n) => void (n === 0 ? (release = () => response.end()) : response.end()))
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('under way'))
  notifier.tell(['oncall'], notice('alarm', { event: 'break_glass.activated' }))
  for (let i = 0; i < 5; i++) notifier.tell(['oncall'], notice(String(i)))
  notifier.tell(['oncall'], notice('review', { event: 'break_glass.review_missed' }))
  expect(receiver.counted).toEqual(['webhook dropped', 'webhook dropped', 'webhook dropped'])
  await expect.poll(() => receiver.got).toHaveLength(1)
  release()
  await expect.poll(() => receiver.texts()).toEqual(['notice under way', 'notice alarm', 'notice review', 'notice 3', 'notice 4'])
  expect(receiver.logged.filter(line => line.includes('the oldest are dropped'))).toHaveLength(1)
  await notifier.stop()
})

test('[NOT2] stopping tries what waits once more, and waits no longer than its bound', async () => {
  await started((response, n) => void response.writeHead(n === 0 ? 500 : 200).end())
  const notifier = receiver.notifier(receiver.webhook(), { first: duration(60_000), longest: duration(60_000), stop: duration(10_000) })
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.logged.length).toBe(1)
  await notifier.stop()
  expect(receiver.counted).toEqual(['webhook sent'])
  notifier.tell(['oncall'], notice('late'))
  expect(receiver.logged.at(-1)).toContain('"notice":"late"')
  expect(receiver.got).toHaveLength(2)
})

test('[NOT2] stopping gives up what a silent receiver keeps, and counts it', async () => {
  await started(silent)
  const notifier = receiver.notifier()
  notifier.tell(['oncall'], notice('a'))
  notifier.tell(['oncall'], notice('b'))
  const before = performance.now()
  await notifier.stop()
  const waited = performance.now() - before
  expect(waited).toBeGreaterThanOrEqual(QUICK.stop - 1)
  expect(waited).toBeLessThan(QUICK.timeout)
  expect(receiver.counted).toEqual(['webhook dropped', 'webhook dropped'])
})

test('[NOT2] a reload gives what waits to the new channel at once, and drops what waits for one that is gone', async () => {
  await started((response, _n, { path }) => void response.writeHead(path === '/old' ? 500 : 200).end())
  const slow = { first: duration(60_000), longest: duration(60_000) }
  const notifier = receiver.notifier(receiver.webhook('/old'), slow)
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => receiver.logged.length).toBe(1)
  notifier.swap(new Map([['oncall', receiver.webhook('/new')], ['second', receiver.webhook('/old')]]))
  await expect.poll(() => receiver.counted).toEqual(['webhook sent'])
  expect(receiver.got.map(({ path }) => path)).toEqual(['/old', '/new'])
  notifier.tell(['second'], notice('b'))
  await expect.poll(() => receiver.logged.length).toBe(2)
  notifier.swap(new Map())
  expect(receiver.counted).toEqual(['webhook sent', 'webhook dropped'])
  notifier.tell(['second'], notice('c'))
  expect(receiver.logged.at(-1)).toContain('there is no such channel')
  await notifier.stop()
})

test('[NOT2] eight attempts take about an hour, never in step with others', () => {
  const spans = Array.from({ length: 200 }, () => Array.from({ length: PACE.attempts - 1 }, (_, i) => pauseAfter(PACE, i + 1)).reduce<number>((sum, one) => sum + one, 0))
  expect(Math.min(...spans)).toBeGreaterThan(40 * 60_000)
  expect(Math.max(...spans)).toBeLessThan(80 * 60_000)
  expect(new Set(spans).size).toBeGreaterThan(100)
})
