// Health and metrics on a listener of their own.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { healthHandler, type HealthService } from '../../../src/admin/health.ts'
import { openLog } from '../../../src/runtime/log.ts'
import { Metrics } from '../../../src/runtime/metrics.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listening(ok: boolean, serves?: readonly HealthService[]): Promise<string> {
  const server = createServer(healthHandler({ ready: () => ({ ok, checks: { trail: ok ? 'ok' : 'full' } }), metrics: new Metrics(), log: openLog('silent') }, serves)).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}` // it listens on a port
}

test('[ADM16] /livez always, /readyz only when ready, /metrics as text; nothing else and nothing but reading', async () => {
  const at = await listening(false)
  expect((await fetch(`${at}/livez`)).status).toBe(200)
  const ready = await fetch(`${at}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([503, { ok: false, checks: { trail: 'full' } }])
  const metrics = await fetch(`${at}/metrics?x=1`)
  expect([metrics.status, await metrics.text()]).toEqual([200, expect.stringContaining('narrowgate_break_glass_uses_total 0')])
  expect((await fetch(`${at}/livez`, { method: 'HEAD' })).status).toBe(200)
  expect((await fetch(`${at}/livez`, { method: 'POST', body: 'x' })).status).toBe(405)
  for (const path of ['/', '/v1/sessions', '/constructor', '/livez/']) expect((await fetch(`${at}${path}`)).status).toBe(404)
})

test('[ADM19] before the store was reached there are no metrics, and that is said', async () => {
  const server = createServer(healthHandler({ ready: () => ({ ok: false, checks: {} }), metrics: null, log: openLog('silent') })).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`) // it listens on a port
  expect([answer.status, await answer.json()]).toEqual([503, expect.objectContaining({ detail: expect.stringContaining('/readyz') as unknown })])
})

test('[ADM16] a listener serves what it is told to', async () => {
  const [health, metrics] = [await listening(true, ['health']), await listening(true, ['metrics'])]
  expect([(await fetch(`${health}/readyz`)).status, (await fetch(`${health}/metrics`)).status, (await fetch(`${metrics}/readyz`)).status, (await fetch(`${metrics}/metrics`)).status]).toEqual([200, 404, 404, 200])
})
