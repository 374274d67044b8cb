// Where credentials come from: files that change, and answers that nobody can read. SPEC: CRD2, CRD4, CRD9
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { BrokeredSettings } from '../../../../src/config/compile/credential.ts'
import { duration } from '../../../../src/core/time.ts'
import { Source } from '../../../../src/enforcement/brokered/source.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import type { HttpAsk } from '../../../../src/runtime/http-client.ts'

const NOTHING = { bearer: null, context: null }
let directory: string
let text = ''
const asked: HttpAsk[] = []
const opened: Source[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ng-source-'))
  asked.length = 0
  text = '{"access_token":"a"}'
  for (const name of ['secret', 'ca']) writeFileSync(join(directory, name), `first ${name}`)
})
afterEach(() => {
  for (const source of opened.splice(0)) source.close()
  rmSync(directory, { recursive: true, force: true })
})

const settings = (timeout: number): BrokeredSettings => ({
  header: 'authorization', prefix: 'Bearer ', timeout: duration(timeout), caFile: join(directory, 'ca'),
  obtain: { is: 'clientCredentials', url: 'https://as/token', client: { id: 'gate', secretFile: join(directory, 'secret'), auth: 'post' }, scope: null, audience: null, resource: null },
  revoke: { is: 'rfc7009', url: 'https://as/revoke', alarmAfter: duration(1_000) },
})

async function open(timeout: number, before: Source | null = null): Promise<Source> {
  const http = { ask: (_: URL, ask: HttpAsk) => (asked.push(ask), Promise.resolve({ status: 200, etag: null, type: null, text })) }
  const source = await Source.open('crm', settings(timeout), { clock: new SystemClock(), http }, { unread: () => undefined }, before)
  opened.push(source)
  return source
}

it('[CRD2] its authorities are read again as its secret is', async () => {
  const source = await open(5_000)
  writeFileSync(join(directory, 'ca'), 'another ca')
  writeFileSync(join(directory, 'secret'), 'another-secret')
  await vi.waitFor(async () => {
    await source.obtain(NOTHING)
    expect(asked.at(-1)?.ca).toBe('another ca')
    expect(asked.at(-1)?.body).toContain('client_secret=another-secret')
  }, { timeout: 5_000, interval: 50 })
})

it('[CRD2] files that are not what they must be are told to who reloads', async () => {
  const source = await open(5_000)
  await source.check()
  for (const name of ['secret', 'ca']) {
    writeFileSync(join(directory, name), '')
    await expect(source.check()).rejects.toThrow(`${name}: is empty`)
    writeFileSync(join(directory, name), 'there again')
  }
})

it('[CRD9] what was sealed with an earlier secret is opened also behind a reload that changed something else of it', async () => {
  const before = await open(5_000)
  const sealed = before.seal({ token: 't', lease: null }, 'about it')
  writeFileSync(join(directory, 'secret'), 'another secret')
  await vi.waitFor(() => expect(before.seal({ token: 't', lease: null }, 'x').key).not.toBe(sealed.key), { timeout: 5_000, interval: 50 })
  const next = await open(4_000, before)
  expect(next.open(sealed, 'about it')).toEqual({ token: 't', lease: null })
  expect(next.seal({ token: 't', lease: null }, 'x').key).not.toBe(sealed.key)
})

it('[CRD4] who gives what nobody can read is not asked for ever more of it', async () => {
  text = '{"access_token":"a","expires_in":"3600"}'
  const source = await open(5_000)
  for (let i = 0; i < 20; i++) await expect(source.obtain(NOTHING)).rejects.toThrow()
  expect(asked).toHaveLength(3)
})
