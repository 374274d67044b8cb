// A secret file that is read again. SPEC: CRD2
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { WatchedSecret } from '../../../src/runtime/watched-secret.ts'

let directory: string
beforeEach(() => { directory = mkdtempSync(join(tmpdir(), 'ng-secret-')) })
afterEach(() => rmSync(directory, { recursive: true, force: true }))

it('[CRD2] follows its file within about a second; what is gone, empty or unreadable leaves what was read, told each time and as new once', async () => {
  const file = join(directory, 'secret')
  const told: string[] = []
  const secret = new WatchedSecret(file, 'one', { changed: value => told.push(value), unread: (error, first) => told.push(`${first ? 'first ' : ''}${error.message.replace(file, 'it')}`) })
  await vi.waitFor(() => expect(told).toContain('first it: no such file'), 5_000)
  expect(secret.value).toBe('one')
  await vi.waitFor(() => expect(told).toContain('it: no such file'), 5_000)
  writeFileSync(file, '')
  await vi.waitFor(() => expect(told).toContain('it: is empty'), 5_000)
  expect(secret.value).toBe('one')
  writeFileSync(file, 'two\n')
  await vi.waitFor(() => expect(secret.value).toBe('two'), 5_000)
  expect(told.at(-1)).toBe('two')
  rmSync(file)
  await vi.waitFor(() => expect(told.at(-1)).toBe('first it: no such file'), 5_000)
  secret.close()
})
