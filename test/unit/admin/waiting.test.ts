// Probes while the store is not there: which listeners answer, what they say, and that they make way.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { load } from '../../../src/config/load.ts'
import type { ListenerSettings, Service, Settings } from '../../../src/config/settings.ts'
import { processEnvironment } from '../../../src/config/source.ts'
import { type WaitingRoom, waitingRoom } from '../../../src/waiting.ts'
import { freePort } from '../../support/free-port.ts'

const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
let settings: Settings
let room: WaitingRoom | null = null
beforeAll(() => {
  const file = join(import.meta.dirname, '../../../config/demo.yaml')
  const loaded = load(readFileSync(file, 'utf8'), file, processEnvironment())
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  settings = loaded.settings
})
afterEach(async () => {
  await room?.close()
  room = null
  vi.clearAllMocks()
})

/** A port that was free a moment ago. */
const listener = (name: string, port: number, serves: readonly Service[]): ListenerSettings => ({ name, host: '127.0.0.1', port, serves, tls: null, forwardedCertificates: null, protocols: ['http1'], proxyProtocol: false })
const enter = async (listeners: readonly ListenerSettings[]): Promise<WaitingRoom> => (room = await waitingRoom({ ...settings, listeners }, log))
const ask = (port: number, path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } })

test('[ADM19] alive, not ready, and why, in the words that were said last; each reason is logged once', async () => {
  const port = await freePort()
  const { says } = await enter([listener('ops', port, ['health', 'metrics'])])
  expect((await ask(port, '/livez')).status).toBe(200)
  for (const reason of ['redis://127.0.0.1:1 refused the connection', 'redis://127.0.0.1:1 is no master', 'redis://127.0.0.1:1 is no master']) says(reason)
  const ready = await ask(port, '/readyz')
  expect([ready.status, await ready.json()]).toEqual([503, { ok: false, checks: { gateway: 'starting', store: 'redis://127.0.0.1:1 is no master' } }])
  expect((await ask(port, '/metrics')).status).toBe(503)
  expect(log.warn.mock.calls.map(([fields]) => (fields as { readonly reason: string }).reason)).toEqual(['redis://127.0.0.1:1 refused the connection', 'redis://127.0.0.1:1 is no master'])
})

test('[ADM19] only listeners for probes are open; callers and operators find nobody', async () => {
  const ports = await Promise.all(['main', 'admin', 'mixed', 'metrics', 'health'].map(() => freePort()))
  const [main = 0, admin = 0, mixed = 0, metrics = 0, health = 0] = ports
  await enter([listener('main', main, ['proxy']), listener('admin', admin, ['admin']), listener('mixed', mixed, ['admin', 'health']), listener('metrics', metrics, ['metrics']), listener('health', health, ['health'])])
  expect(await Promise.all(ports.map(port => ask(port, '/livez').then(({ status }) => status, () => 'nobody')))).toEqual(['nobody', 'nobody', 'nobody', 'nobody', 200])
  expect((await ask(health, '/metrics')).status).toBe(404)
})

test('[ADM19] its addresses are free when it is closed, kept-alive probes included', async () => {
  const port = await freePort()
  const { close } = await enter([listener('ops', port, ['health'])])
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
  await close()
  const next = createServer().listen(port, '127.0.0.1')
  await once(next, 'listening')
  next.close()
})

test('[ADM19] an address in use is told with its listener, and what was opened before is closed again', async () => {
  const [first, taken] = [await freePort(), createServer().listen(0, '127.0.0.1')]
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo // it listens on TCP
  await expect(enter([listener('a', first, ['health']), listener('b', port, ['health'])])).rejects.toThrow(`listener b: 127.0.0.1:${port} is in use`)
  await expect(ask(first, '/livez')).rejects.toThrow()
  taken.close()
})
