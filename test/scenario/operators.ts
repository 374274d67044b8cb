// Other people than the operator of the stage at the admin listener, and the command line's word on a trail. For tests only.
import { buildProgram } from '../../src/cli/program.ts'
import type { TestGateway } from '../support/gateway.ts'
import { APPROVER, type Line } from './stage.ts'

/** What the admin listener answers whoever holds this token. */
export async function asHolder(gate: TestGateway, token: string, path: string, body: Line = {}): Promise<{ readonly status: number; readonly json: Line }> {
  const port = gate.gateway.front.bound.get('admin')?.address.port
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ reason: 'as the scenario says', ...body }),
  })
  return { status: answer.status, json: (await answer.json()) as Line } // the API answers objects
}

/** Somebody on call approves what the request shows now; anything but 200 is a fault. */
export async function approve(gate: TestGateway, elevation: string): Promise<void> {
  const { json: { shown } } = await gate.admin('GET', `/v1/elevations/${elevation}`)
  const { status, json } = await asHolder(gate, APPROVER, `/v1/elevations/${elevation}/approve`, { shown })
  if (status !== 200) throw new Error(`not approved: ${status} ${JSON.stringify(json)}`)
}

/** `narrowgate audit verify` on this file with the record an operator knows to be the last: the exit it fails with, or `ok`. */
export async function auditVerify(file: string, head: { readonly seq: number; readonly hash: string }): Promise<string> {
  const program = buildProgram({ out: () => undefined, err: () => undefined, env: {}, quit: () => undefined, onSignal: () => () => undefined, demo: async () => false })
  try {
    await program.parseAsync(['audit', 'verify', '--file', file, '--head', `${head.seq}:${head.hash}`], { from: 'user' })
    return 'ok'
  } catch (error) {
    if (error instanceof Error && 'exit' in error) return String(error.exit)
    throw error
  }
}
