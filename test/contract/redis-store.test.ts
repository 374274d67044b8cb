// The shared store keeps the contract every store keeps. SPEC: STO1-STO18
import { afterAll, beforeAll } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { type MemberPlan, openMember } from '../support/redis-members.ts'
import { RedisServer } from '../support/redis-server.ts'
import { sessionStoreContract, type StoreUnderTest } from './session-store-contract.ts'

let server: RedisServer
beforeAll(async () => { server = await RedisServer.start() })
afterAll(() => server.dispose())

async function onFreshData(plan: MemberPlan): Promise<StoreUnderTest> {
  await server.command('FLUSHALL')
  const first = await openMember(server.port, plan)
  const open: SessionStore[] = [first.store]
  const more = async (): Promise<SessionStore> => {
    const { store } = await openMember(server.port, plan)
    open.push(store)
    return store
  }
  return {
    store: first.store, now: () => first.clock.now(), local: false, survives: true, another: more,
    reopen: async () => { await first.store.close(); return more() },
    dispose: async () => { await Promise.all(open.map(store => store.close())) },
  }
}

sessionStoreContract('the shared store on one server', () => onFreshData({}))
sessionStoreContract('the shared store in four shards', () => onFreshData({ home: { shards: 4 } }), 'many logs')
