// A rule with `record: bodies`: what its requests carry, either way and whatever grant they stand on, is in the recording, byte for byte.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { SYSTEM_DISK } from '../../src/audit/appender.ts'
import { TestGateway } from '../support/gateway.ts'

type Line = { readonly [name: string]: unknown }
let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start({
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: [/quiet] } }
    - { allow: { methods: [GET, POST] }, record: bodies }`,
  })
})
afterAll(() => gate.stop())

const lines = (): readonly Line[] => readFileSync(join(gate.directory, 'state', 'recording.jsonl'), 'utf8').trim().split('\n').map(text => JSON.parse(text) as Line) // our own lines
const taped = (way: 'up' | 'down'): string => lines().filter(line => line['kind'] === 'recording.bytes' && line['way'] === way).map(({ data }) => Buffer.from(String(data), 'base64').toString()).join('')

test('[REC1] both bodies are recorded as they passed, and the close names their digests', async () => {
  const authorization = `Bearer ${await gate.token()}`
  gate.upstream.plays.set('/one', '/ok')
  await gate.ask('GET', '/quiet', { authorization })
  const answer = await gate.ask('POST', '/one', { authorization, 'content-type': 'text/plain' }, 'what went up')
  expect(answer.status).toBe(200)
  expect([taped('up'), taped('down')]).toEqual(['what went up', answer.text])
  const closed = (await gate.trail()).filter(({ kind }) => kind === 'exchange.closed')
  expect(closed.map(({ recording }) => recording)).toEqual([null, { up: { bytes: 12, digest: expect.stringMatching(/^[\w-]{43}$/) }, down: { bytes: answer.text.length, digest: expect.stringMatching(/^[\w-]{43}$/) } }])
})

test('[REC1] a body that cannot be recorded on its way up does not reach the upstream, though its head did', async () => {
  const authorization = `Bearer ${await gate.token()}`
  const write = SYSTEM_DISK.write
  const disk = vi.spyOn(SYSTEM_DISK, 'write').mockImplementation((fd, bytes, offset, length) => {
    if (Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString('latin1').includes('"kind":"recording.bytes"')) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    return write(fd, bytes, offset, length)
  })
  const answer = await gate.ask('POST', '/two', { authorization, 'content-type': 'text/plain' }, 'never there').catch(() => null) // refused, or reset
  disk.mockRestore()
  const passed = gate.upstream.requests.filter(({ path }) => path === '/two').map(request => request.body().toString()).join('')
  expect([answer?.status === 200, passed]).toEqual([false, ''])
})
