// What has to be taken back, as the store has it. SPEC: CRD5, CRD9
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SessionId } from '../../../../src/core/session.ts'
import { after, duration } from '../../../../src/core/time.ts'
import { aboutOf, type Left, RevocationQueue, shardOf } from '../../../../src/enforcement/brokered/queue.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import { newCredentialId, newSessionId } from '../../../../src/runtime/id.ts'
import { Seal } from '../../../../src/runtime/sealing.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../../src/sessions/embedded-store.ts'

const CLOCK = new SystemClock()
let directory: string
let store: EmbeddedStore

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ng-queue-'))
  store = openEmbeddedStore({ file: join(directory, 'store.sqlite'), clock: CLOCK, ephemeral: true })
})
afterAll(async () => {
  await store.close()
  rmSync(directory, { recursive: true, force: true })
})

it('[CRD9] whoever takes over finds all that waits, however long tokens are and however many are in use before it', async () => {
  const queue = new RevocationQueue(store)
  const session: SessionId = newSessionId()
  const seal = new Seal('a secret', 'a test')
  const left = Array.from({ length: 300 }, (): Left => {
    const told = { id: newCredentialId(), lease: null, upstream: 'crm', session, elevation: null, expiresAt: after(CLOCK.now(), duration(600_000)) }
    return { told, sealed: { key: seal.name, text: seal.seal(JSON.stringify({ token: 'x'.repeat(8_192), lease: null }), aboutOf(told)) } }
  })
  for (const one of left) expect(await queue.put(one, CLOCK.now())).toBe('queued')
  expect(await queue.waiting(shardOf(session))).toEqual(left)
})
