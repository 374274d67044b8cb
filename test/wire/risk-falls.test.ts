// A level that one gateway told falls on the others when that one is gone, though nobody asks them for anything. Over Redis.
import { afterEach, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

const PLAN = {
  routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: { methods: [GET] }, scope: base:read }]
`,
  more: 'risk: { halfLife: 3s, holdFor: 1s, levels: [{ name: hot, at: 20, do: [freeze] }] }',
}

test('[RSK5] a gateway that only has the session of who stands at a level lets it fall, when the one that told it is gone', async () => {
  const server = await RedisServer.start()
  closing.push(() => server.dispose())
  const { a, b } = await TestGateway.pair(server, PLAN)
  let stopped = false
  const stop = async (): Promise<void> => {
    if (!stopped) await a.stop()
    stopped = true
  }
  closing.push(stop, () => b.stop())
  const token = await a.token({ sub: 'ann' })
  const [{ id }] = [await a.session(token), await b.session(token)]
  const { principal } = b.parts.mirror.byId(id) ?? {}
  if (principal === undefined) throw new Error('no session')
  const level = (): string | null => {
    const trusted = b.parts.mirror.trusted(principal)
    return trusted === 'unknown' ? 'unknown' : (trusted.level?.name ?? null)
  }
  expect((await a.admin('POST', `/v1/principals/${principal.name}/risk`, { name: 'siem', points: 25, reason: 'test' })).status).toBe(200)
  await eventually('it stands on B', 2_000, async () => (level() === 'hot' ? 'hot' : null))
  await stop()
  expect(level()).toBe('hot')
  await eventually('it has fallen', 15_000, async () => (level() === null ? 'fell' : null))
})
