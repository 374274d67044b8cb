import { expect, test } from 'vitest'
import { Inflight } from '../../../../../src/enforcement/inflight.ts'
import type { Ask } from '../../../../../src/proxy/ask.ts'
import { InspectedBytes } from '../../../../../src/proxy/http/inspected-bytes.ts'
import { Errands } from '../../../../../src/proxy/mcp/relay/errand.ts'
import { Lasting, type LastingRoom } from '../../../../../src/proxy/mcp/lasting/lasting.ts'
import type { Message } from '../../../../../src/proxy/mcp/message.ts'
import type { Opened } from '../../../../../src/proxy/mcp/lasting/opened.ts'
import { Metrics } from '../../../../../src/runtime/metrics.ts'

const nothing = (): void => undefined
const room = { metrics: new Metrics(), digestKey: Buffer.alloc(32, 7), inflight: new Inflight(), completed: nothing } as unknown as LastingRoom // all that is asked of it here
const lasting = new Lasting(room, new InspectedBytes(() => 0, nothing), new Errands(room as unknown as ConstructorParameters<typeof Errands>[0]), nothing) // likewise
const MESSAGE: Message = { era: 'legacy', version: '2025-11-25', is: 'request', id: 1, method: 'ping', params: new Map(), value: new Map(), call: { kind: 'protocol', method: 'ping', name: '', args: new Map(), digest: null }, own: null }
const OPENED: Opened = { owner: { session: 'ses_a', route: 'tools' }, session: 'up-1', event: null, task: null, named: new Map() }

test('[MCP10] what was opened for a route goes to no other, should a reload have put another in its place', () => {
  const asked = (name: string) => ({ live: null, message: MESSAGE, opened: OPENED, place: { route: { name } } }) as unknown as Ask // all that is asked of it here
  const obstacleAt = (name: string) => lasting.plan(asked(name), MESSAGE, OPENED, () => null).obstacle()
  expect([obstacleAt('tools'), obstacleAt('others')]).toEqual([null, 'stale'])
})
