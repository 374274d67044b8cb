// The gateway for callers whose token is bound to a key: every request carries an ES256 proof of its own, made before the load and used once.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answers } from '../upstream.ts'
import { makeCaller } from './caller.ts'
import { letIn, startGateway, TICKETED } from './gateway.ts'
import { makeProofKey } from './proof-key.ts'
import type { Row } from './row.ts'

const NAME = 'narrowgate-dpop'
const SCRIPT = join(import.meta.dirname, '../proofs.lua')
/** More than one core can check; where they run out nevertheless the load ends early. */
const PROOFS_PER_SECOND = 10_000

/** @param profileDir as in `GatewayPlan` */
export const narrowgateDpop = (profileDir: string | null): Row => ({
  name: NAME,
  start: async (bench, upstream) => {
    const folder = bench.folder('dpop-caller')
    const [caller, key] = [await makeCaller(folder), await makeProofKey()]
    const gateway = await startGateway(bench, upstream, { name: NAME, serves: 'http', provider: { jwt: { ...caller.jwt, dpop: 'required' } }, tls: null, profileDir })
    const origin = `http://127.0.0.1:${gateway.port}`
    const token = await caller.token({ cnf: { jkt: key.thumbprint } })
    const headers = { authorization: `DPoP ${token}`, ...TICKETED }
    await letIn(gateway, origin, (method, uri) => ({ authorization: headers.authorization, dpop: key.proof(method, uri, token) }))

    const fresh = (): string => key.proof('GET', `${origin}/`, token)
    const shown = { ...headers, dpop: fresh() }
    if (!(await answers(`${origin}/`, shown)) || (await answers(`${origin}/`, shown))) throw new Error(`${NAME} takes a proof not once but twice or never\n${gateway.output()}`)

    const file = join(folder, 'proofs')
    const script = (connections: number, seconds: number): { readonly file: string; readonly args: readonly string[] } => {
      writeFileSync(file, Array.from({ length: seconds * PROOFS_PER_SECOND + connections }, fresh).join('\n'))
      return { file: SCRIPT, args: [file, String(connections)] }
    }
    return { origin, headers, script, pids: [gateway.pid] }
  },
})
