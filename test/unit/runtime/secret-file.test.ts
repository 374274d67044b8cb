import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSecretFile } from '../../../src/runtime/secret-file.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'secret-file-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

function file(content: string | Buffer): string {
  const path = join(dir, 'secret')
  writeFileSync(path, content)
  return path
}

describe('a secret file', () => {
  test.each([['s3cret', 's3cret'], ['s3cret\n', 's3cret'], ['s3cret\r\n', 's3cret'], ['s3cret\n\n', 's3cret\n'], [' s \n', ' s ']])('[CFG1] %j is the secret %j', async (content, secret) => {
    expect(await readSecretFile(file(content))).toBe(secret)
  })

  test('[CFG1] has a size limit, in bytes', async () => {
    expect(await readSecretFile(file('x'.repeat(10)), 10)).toBe('x'.repeat(10))
    await expect(readSecretFile(file('x'.repeat(11)), 10)).rejects.toThrow('is longer than 10 bytes')
  })

  test('[CFG1] says what is wrong, and never what is in it', async () => {
    await expect(readSecretFile(join(dir, 'none'))).rejects.toThrow(`${join(dir, 'none')}: no such file`)
    await expect(readSecretFile(dir)).rejects.toThrow('is not a regular file')
    await expect(readSecretFile('/dev/zero')).rejects.toThrow('is not a regular file')
    await expect(readSecretFile(file(''))).rejects.toThrow('is empty')
    await expect(readSecretFile(file('\n'))).rejects.toThrow('is empty')
    await expect(readSecretFile(file(Buffer.from([0x73, 0xff, 0x74])))).rejects.toThrow(/: is not UTF-8$/)
  })
})
