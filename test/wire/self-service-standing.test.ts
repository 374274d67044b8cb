// What a caller began under /.narrowgate/ and has not finished: open event streams, waits, bodies on their way. None of it outlives the right
// to it, none of it reaches another life of the session, and none of it takes the room or the process from everybody else.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SignalId } from '../../src/core/signal.ts'
import { OPERATORS_RESERVED, SESSION_LISTENERS_MAX } from '../../src/enforcement/hub.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { planFor, takeOff, TapUpstream, until } from './support.ts'

const OPERATORS = { operator: ['corp|operator', 'operator'], ann: ['corp|ann', 'approver'], bob: ['https://login.example|bob', 'approver'], owner: ['https://login.example|team-7', 'approver'] } as const
type Who = keyof typeof OPERATORS
const tokenOf = (who: Who): string => `nga_${who.padEnd(42, 'x')}A`

let upstream: TapUpstream
let directory: string
let gate: TestGateway
let turn = 0

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
const nextSid = (): string => `sid-${++turn}`

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-standing-'))
  const tokens = Object.entries(OPERATORS).map(([name, [identity, role]]) => ({ name, sha256: createHash('sha256').update(tokenOf(name as Who)).digest('base64url'), roles: [role], identity })) // keys of the literal above
  writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens }), { mode: 0o600 })
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(planFor(upstream, {
    elevations: `
plain: { adds: [extra:use], for: 10m, max: 1h }
ticketed: { adds: [extra:use], for: 10m, purpose: [ticket] }
guarded: { adds: [extra:use], for: 10m, approval: { by: approver, within: 10m } }`,
    more: `
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
admin: { auth: { tokenFile: ${directory}/operators.json } }`,
    adminToken: tokenOf('operator'),
  }))
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
  rmSync(directory, { recursive: true, force: true })
})
