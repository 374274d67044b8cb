// The token of a gateway without admin.auth.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { firstToken } from '../../../src/admin/first-token.ts'
import { sha256 } from '../../../src/runtime/id.ts'

const directory = mkdtempSync(join(tmpdir(), 'ng-first-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const write = async (file: string, text: string): Promise<void> => writeFileSync(file, text)

test('[ADM11] it is made once, used again at the next start, and made anew where the file holds something else', async () => {
  const file = join(directory, 'admin.token')
  const first = await firstToken(file, write)
  expect(first).toEqual({ name: 'local', sha256: sha256(readFileSync(file, 'utf8').trim()), roles: ['operator'], identity: 'local|operator', expires: null })
  expect(await firstToken(file, () => Promise.reject(new Error('written twice')))).toEqual(first)
  writeFileSync(file, 'nga_short\n')
  const second = await firstToken(file, write)
  expect(second.sha256).not.toBe(first.sha256)
})

test('[ADM11] a token that can not be written is a reason not to start', async () => {
  await expect(firstToken(join(directory, 'none'), () => Promise.reject(new Error('read-only')))).rejects.toThrow('read-only')
})
