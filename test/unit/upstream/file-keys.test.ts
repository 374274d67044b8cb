// Our key in a file: what happens when its content changes, or goes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type Instant, instant } from '../../../src/core/time.ts'
import { openLog } from '../../../src/runtime/log.ts'
import { FileKeys } from '../../../src/upstream/file-keys.ts'
import { LEAD, SIGNED_LIFE_MAX } from '../../../src/upstream/key-ring.ts'
import { newKeyPem, signingKeyOf } from '../../../src/upstream/signing-key.ts'

let now = 1_800_000_000_000
const ports = { clock: { now: (): Instant => instant(now), elapsed: () => now }, log: openLog('silent') }
const directory = mkdtempSync(join(tmpdir(), 'ng-keys-'))
const [keyFile, previousKeyFile] = [join(directory, 'key.pem'), join(directory, 'previous.pem')]
let keys: FileKeys | null = null
const kids = (): readonly string[] => (keys?.published ?? []).map(({ kid }) => kid)

function write(file: string): string {
  const pem = newKeyPem()
  writeFileSync(file, pem)
  return signingKeyOf(pem).id
}

afterEach(() => keys?.stop())

test('[CTX6] another key in the file is published at once, signs five minutes later, and the one before stays until nothing stands on it', async () => {
  const first = write(keyFile)
  keys = await FileKeys.open({ keyFile, previousKeyFile: null }, ports)
  expect([keys.signing.id, kids()]).toEqual([first, [first]])
  const second = write(keyFile)
  await keys.look()
  expect([keys.signing.id, kids()]).toEqual([first, [first, second]])
  now += LEAD
  expect(keys.signing.id).toBe(second)
  now += LEAD + SIGNED_LIFE_MAX
  await keys.look()
  expect([keys.signing.id, kids()]).toEqual([second, [second]])
})

test('[CTX6] one that went back and forth signs with what the file has, and no key stands twice in the set', async () => {
  const pem = newKeyPem()
  writeFileSync(keyFile, pem)
  const first = signingKeyOf(pem).id
  keys = await FileKeys.open({ keyFile, previousKeyFile: null }, ports)
  const second = write(keyFile)
  await keys.look()
  writeFileSync(keyFile, pem)
  await keys.look()
  expect(kids()).toEqual([first, second])
  now += LEAD
  expect([keys.signing.id, kids()]).toEqual([first, [first, second]])
})

test('[CTX6] a file that is gone, or holds no key, changes nothing; a start without it fails', async () => {
  const first = write(keyFile)
  keys = await FileKeys.open({ keyFile, previousKeyFile: null }, ports)
  const running = keys
  for (const break_ of [() => writeFileSync(keyFile, 'junk'), () => rmSync(keyFile)]) {
    break_()
    await expect(running.look()).rejects.toThrow(keyFile)
    expect([running.signing.id, kids()]).toEqual([first, [first]])
  }
  await expect(FileKeys.open({ keyFile, previousKeyFile: null }, ports)).rejects.toThrow('no such file')
})

test('[CTX6] the previous one is published, never signs, and is read again too', async () => {
  const [first, before] = [write(keyFile), write(previousKeyFile)]
  keys = await FileKeys.open({ keyFile, previousKeyFile }, ports)
  expect([keys.signing.id, kids()]).toEqual([first, [first, before]])
  const other = write(previousKeyFile)
  await keys.look()
  now += LEAD
  expect([keys.signing.id, kids()]).toEqual([first, [first, other]])
})
