// Real processes behind one port: who is started when, what a death costs, who obeys which signal, and one answer to a scrape.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { Running } from './running.ts'

let program: Running | null = null
const start = (size: number, failing = 'none'): Running => (program = new Running(size, failing))
afterEach(async () => {
  await program?.end()
  program = null
})

const sample = (text: string, name: string): number => Number(text.split('\n').find(line => line.startsWith(`narrowgate_${name} `))?.split(' ').at(-1) ?? 0)
const DIED = 'a worker died; the exchanges it had open are over'

test('[ADM20] the first worker starts alone, the others when it is ready; port 0 is one port for all, and each has its turn', async () => {
  const running = start(3)
  await running.listens(3)
  const lines = running.said.filter(({ text }) => text === 'listening')
  expect(new Set(lines.map(({ port }) => port)).size).toBe(1)
  expect(new Set(lines.map(({ seat, alone }) => `${String(seat)} ${String(alone)}`))).toEqual(new Set(['1 true', '2 false', '3 false']))
  const ready = running.said.findIndex(({ text, worker }) => text === 'a worker is ready' && worker === 1)
  expect(running.said.findIndex(({ seat }) => seat === 2)).toBeGreaterThan(ready)
  const seen: number[] = []
  for (let i = 0; i < 9; i++) seen.push((await running.seen()).index)
  for (const index of [1, 2, 3]) expect(seen.filter(each => each === index).length).toBeGreaterThan(1)
})

test('[ADM20] a worker that is killed is counted, told with what it had open, and followed by another on the same port', async () => {
  const running = start(2)
  await running.listens(2)
  const { pid } = await running.seen('/open/41')
  await running.says('told what is open')
  process.kill(pid, 'SIGKILL')
  const [died] = await running.says(DIED)
  expect(died).toMatchObject({ pid, code: null, signal: 'SIGKILL', exchanges: 41 })
  await running.listens(3)
  expect(running.said.filter(({ text }) => text === 'listening').map(({ port }) => port)).toEqual([running.port, running.port, running.port])
  await running.says('a worker is ready', 3)
  const text = await running.get('/metrics')
  expect([sample(text, 'worker_exits_total{state="ready"}'), sample(text, 'worker_exchanges_lost_total'), sample(text, 'workers_ready')]).toEqual([1, 41, 2])
})

test('[ADM21] a scrape of any worker answers for all, and what a dead one had counted stays in the sum', async () => {
  const running = start(3)
  await running.listens(3)
  for (let i = 0; i < 12; i++) await running.seen()
  const counted = async (): Promise<number> => sample(await running.get('/metrics'), 'limit_reached_total{limit="connections"}')
  expect([await counted(), await counted(), await counted()]).toEqual([13, 14, 15])
  const { pid } = await running.seen()
  expect(await counted()).toBe(17)
  process.kill(pid, 'SIGKILL')
  await running.says(DIED)
  expect(await counted()).toBe(18)
  await running.says('a worker is ready', 4)
  expect(await counted()).toBe(19)
})

test('[ADM21] a worker that does not answer is left out after five seconds and counted; the others are told', { timeout: 30_000 }, async () => {
  const running = start(2)
  await running.listens(2)
  await running.get('/metrics')
  const { pid } = await running.seen()
  process.kill(pid, 'SIGSTOP')
  const [began, text] = [performance.now(), await running.get('/metrics')]
  expect(performance.now() - began).toBeLessThan(6_000)
  expect([sample(text, 'worker_scrapes_missed_total'), sample(text, 'workers_ready')]).toEqual([1, 2])
  expect(sample(text, 'limit_reached_total{limit="connections"}')).toBeGreaterThan(1)
  process.kill(pid, 'SIGCONT')
})

test('[ADM20] a worker that hangs is offered one connection and no more: the others serve on', async () => {
  const running = start(2)
  await running.listens(2)
  const { pid } = await running.seen()
  process.kill(pid, 'SIGSTOP')
  const offered = [connect(running.port, '127.0.0.1'), connect(running.port, '127.0.0.1')]
  await Promise.all(offered.map(socket => once(socket, 'connect')))
  for (let i = 0; i < 20; i++) expect((await running.seen()).pid).not.toBe(pid)
  process.kill(pid, 'SIGKILL')
  await running.says('a worker is ready', 3)
  const pids = new Set([(await running.seen()).pid, (await running.seen()).pid])
  expect([pids.size, pids.has(pid)]).toEqual([2, false])
  for (const socket of offered) socket.destroy()
})

test('[ADM20] a reload reaches every worker once, and a signal the system sends to all of the group stops nobody twice', async () => {
  const running = start(2)
  await running.listens(2)
  running.signal('SIGHUP')
  expect(new Set((await running.says('reloaded', 2)).map(({ seat }) => seat))).toEqual(new Set([1, 2]))
  for (const { pid } of await running.says('a worker is ready', 2)) process.kill(Number(pid), 'SIGTERM')
  await running.says('heard a signal of the system', 2)
  expect(running.said.filter(({ text }) => text === 'stopping')).toEqual([])
  running.signal('SIGTERM')
  expect(await running.exit).toBe(0)
  const stopping = running.said.filter(({ text }) => text === 'stopping')
  expect([stopping.length, new Set(stopping.map(({ seat, by }) => `${String(seat)} ${String(by)}`))]).toEqual([2, new Set(['1 SIGTERM', '2 SIGTERM'])])
  expect(running.said.filter(({ text }) => text === DIED)).toEqual([])
})

test('[ADM20] the others drain and the program ends with the exit code of a worker that died five times and never came up', { timeout: 30_000 }, async () => {
  const running = start(2, '2')
  expect(await running.exit).toBe(7)
  expect(running.said.filter(({ text }) => text === DIED).map(({ worker, code }) => [worker, code])).toEqual(Array.from({ length: 5 }, () => [2, 7]))
  expect(running.said.filter(({ text }) => text === 'stopping').map(({ seat }) => seat)).toEqual([1])
})

test('[ADM20] no worker outlives its primary', async () => {
  const running = start(2)
  await running.listens(2)
  const pids = (await running.says('a worker is ready', 2)).map(({ pid }) => Number(pid))
  running.signal('SIGKILL')
  await running.exit
  const alive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  await expect.poll(() => pids.filter(alive), { timeout: 5_000 }).toEqual([])
})
