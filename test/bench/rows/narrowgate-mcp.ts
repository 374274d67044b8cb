// The gateway for calls of tools: it reads each, judges it by its tool and its argument, and has it on record with the argument's digest.
import { makeCaller } from './caller.ts'
import { letIn, startGateway, TICKETED } from './gateway.ts'
import type { Row } from './row.ts'
import { answersCall, CALL } from './tool-call.ts'

const NAME = 'narrowgate-mcp'

/** @param profileDir as in `GatewayPlan` */
export const narrowgateMcp = (profileDir: string | null): Row => ({
  name: NAME,
  start: async (bench, upstream) => {
    const caller = await makeCaller(bench.folder('mcp-caller'))
    const gateway = await startGateway(bench, upstream, { name: NAME, serves: 'mcp', provider: { jwt: caller.jwt }, tls: null, profileDir })
    const origin = `http://127.0.0.1:${gateway.port}`
    const bearer = { authorization: `Bearer ${await caller.token({})}` }
    await letIn(gateway, origin, () => bearer, purpose => answersCall(origin, { ...bearer, ...purpose }))
    return { origin, headers: { ...bearer, ...TICKETED, ...CALL.headers }, script: CALL.script, pids: [gateway.pid] }
  },
})
