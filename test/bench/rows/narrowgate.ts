// The gateway for callers with a bearer token, over plain HTTP.
import { makeCaller } from './caller.ts'
import { letIn, startGateway, TICKETED } from './gateway.ts'
import type { Row } from './row.ts'

/** @param profileDir as in `GatewayPlan` */
export const narrowgate = (profileDir: string | null): Row => ({
  name: 'narrowgate',
  start: async (bench, upstream) => {
    const caller = await makeCaller(bench.folder('caller'))
    const gateway = await startGateway(bench, upstream, { name: 'narrowgate', serves: 'http', provider: { jwt: caller.jwt }, tls: null, profileDir })
    const origin = `http://127.0.0.1:${gateway.port}`
    const bearer = { authorization: `Bearer ${await caller.token({})}` }
    await letIn(gateway, origin, () => bearer)
    return { origin, headers: { ...bearer, ...TICKETED }, script: null, pids: [gateway.pid] }
  },
})
