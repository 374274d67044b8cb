// The stage of a scenario's second half: gateways A and B run the same example over one Redis, for one upstream that plays every API of it and callers of one
// issuer. The change is made on A and asserted on B; then the store goes away. For tests only.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { parse, stringify } from 'yaml'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { APPROVER, OWNER, type Headers, listeners, outcome, speaksTls, type Staging, type Transmitted, useKeys, useTransmitters } from './stage.ts'

const EXAMPLES = new URL('../../config/examples/', import.meta.url)
const OPERATOR = `nga_${'p'.repeat(43)}`
const entry = (name: string, token: string, role: string, identity: string) => ({ name, sha256: createHash('sha256').update(token).digest('hex'), roles: [role], identity })
const OPERATORS = { tokens: [entry('operator', OPERATOR, 'operator', 'https://login.example|olga'), entry('on-call', APPROVER, 'approver', 'https://login.example|ann'), entry('owner', OWNER, 'approver', 'https://login.example|omar')] }
/** Callers need not wait long for a store that is gone; a server that a busy machine leaves waiting for a second is not gone. */
const STORE = 'lease: 2s, hold: { requests: 200ms, streams: 30s }'

type Example = {
  stateDir?: string
  server?: object
  telemetry?: object
  admin?: object
  readonly authn: Parameters<typeof useKeys>[0]
  readonly signals?: Transmitted
  readonly routes: { upstream: string }[]
}

type Made = Parameters<NonNullable<Parameters<typeof TestGateway.start>[0]['config']>>[0]

/** The example with addresses, keys and files of its own; nothing of what it decides is changed. */
function configOf(name: string, staging: Staging, server: object, { directory, upstream, issuer }: Made): string {
  const example = parse(readFileSync(new URL(name, EXAMPLES), 'utf8')) as Example // our own file
  const tokenFile = join(directory, 'operators.json')
  example.stateDir = join(directory, 'state')
  example.server = server
  example.telemetry = { logs: { level: 'silent' } }
  example.admin = { auth: { tokenFile } }
  useKeys(example.authn, staging, issuer.issuer, join(directory, 'jwks.json'))
  useTransmitters(example.signals, staging, directory)
  for (const route of example.routes) route.upstream = upstream.origin
  staging.adapt?.(example, directory)
  mkdirSync(example.stateDir, { recursive: true })
  writeFileSync(join(example.stateDir, 'admin.token'), OPERATOR, { mode: 0o600 })
  writeFileSync(tokenFile, JSON.stringify(OPERATORS), { mode: 0o600 })
  return stringify(example)
}

export type Raised = GatewayPair & { readonly server: RedisServer }

export async function raisePair(name: string, staging: Staging = {}): Promise<Raised> {
  const [server, addresses] = await Promise.all([RedisServer.start(), listeners(staging, { protocols: ['http1', 'http2'] })])
  const pair = await TestGateway.pair(server, { routes: '', tls: speaksTls(staging), config: made => configOf(name, staging, { listeners: addresses }, made), store: STORE })
  return { ...pair, server, stop: () => pair.stop().then(() => server.dispose()) }
}

export const outcomeAt = async (gate: TestGateway, method: string, path: string, headers: Headers): Promise<string> => outcome(await gate.ask(method, path, headers))

/** The same through A, then through B. */
export const throughBoth = async ({ a, b }: GatewayPair, method: string, path: string, headers: Headers): Promise<readonly string[]> =>
  [await outcomeAt(a, method, path, headers), await outcomeAt(b, method, path, headers)]

/** The store is gone and every lease has run out. Last in a story. */
export async function goneForLonger({ a, b, server }: Raised): Promise<void> {
  await server.kill()
  const lapsed = ({ parts: { store, clock } }: TestGateway): boolean => store.confirmedUntil() <= clock.elapsed()
  await eventually('every lease has run out', 10_000, async () => (lapsed(a) && lapsed(b) ? true : null))
}

export const STALE = ['503 stale', '503 stale']

/** An operator's word on A is enforced by both before it is answered. */
export function isEnforced(json: { readonly [name: string]: unknown }, exchanges: object): void {
  expect(json).toMatchObject({ enforced: true, gateways: { total: 2, acknowledged: 2, expired: 0 }, exchanges })
}
