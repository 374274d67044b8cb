// The gateway itself, started as a user starts it, with everything on: token, session, elevated rule with a condition of three terms,
// a ticket as purpose, one trail record per request, metrics.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { answers, type Upstream } from '../upstream.ts'
import { PROXY_CORE, type Workbench } from '../workbench.ts'
import { makeCaller } from './caller.ts'
import { makeOperator, type Operator } from './operator.ts'
import type { Row } from './row.ts'

const MAIN = join(import.meta.dirname, '../../../src/main.ts')
const HEAP = ['--max-semi-space-size=64', '--min-semi-space-size=64', '--no-allocation-site-pretenuring']
const TICKET = 'BENCH-1'
const ISSUER = 'https://ci.bench.example'
const AUDIENCE = 'narrowgate'

type Ports = { readonly main: number; readonly admin: number; readonly ops: number }

/** A folder that outlives the bench, for `--profile`. */
export const profileFolder = (): string => mkdtempSync(join(tmpdir(), 'narrowgate-bench-profile-'))

const configuration = (folder: string, ports: Ports, upstream: Upstream, operator: Operator, jwksFile: string): unknown => ({
  version: 1,
  stateDir: join(folder, 'state'),
  server: {
    listeners: [
      { name: 'main', address: `127.0.0.1:${ports.main}`, serves: ['proxy', 'keys'] },
      { name: 'admin', address: `127.0.0.1:${ports.admin}`, serves: ['admin'] },
      { name: 'ops', address: `127.0.0.1:${ports.ops}`, serves: ['health', 'metrics'] },
    ],
  },
  admin: { auth: { tokenFile: operator.tokenFile } },
  authn: { ci: { jwt: { issuer: ISSUER, audience: AUDIENCE, jwksFile }, kind: 'ci' } },
  purposes: { ticket: { header: 'narrowgate-ticket', source: 'manual' } },
  routes: [
    {
      name: 'bench',
      match: { host: '127.0.0.1' },
      upstream: `http://${upstream.address}`,
      rules: [{ allow: { methods: ['GET'] }, scope: 'bench:read', if: 'subject.kind == "ci" && request.method == "GET" && elevation.profile == "bench"' }],
    },
  ],
  elevations: { bench: { adds: ['bench:read'], for: '1h', purpose: ['ticket'], approval: 'none' } },
})

async function isReady(ops: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${ops}/readyz`, { signal: AbortSignal.timeout(2_000) })
  await response.body?.cancel()
  return response.status === 200
}

/** Asks for the elevation; anything but a finished one is an error. */
async function elevate(origin: string, headers: { readonly [name: string]: string }): Promise<void> {
  const response = await fetch(`${origin}/.narrowgate/elevations`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ profile: 'bench', purpose: { ticket: TICKET } }),
    signal: AbortSignal.timeout(5_000),
  })
  const text = await response.text()
  if (response.status !== 201) throw new Error(`narrowgate: the elevation was answered ${response.status}: ${text}`)
}

async function start(bench: Workbench, upstream: Upstream, profileDir: string | null): ReturnType<Row['start']> {
  const folder = bench.folder('narrowgate')
  const ports = { main: await bench.port(), admin: await bench.port(), ops: await bench.port() }
  const operator = makeOperator(folder)
  const caller = await makeCaller(folder, { issuer: ISSUER, audience: AUDIENCE })
  const file = join(folder, 'narrowgate.yaml')
  writeFileSync(file, stringify(configuration(folder, ports, upstream, operator, caller.jwksFile)))
  await bench.run(PROXY_CORE, process.execPath, [MAIN, 'store', 'init', '-c', file], 30_000)
  const profiling = profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`]
  const started = bench.start('narrowgate', PROXY_CORE, process.execPath, [...HEAP, ...profiling, MAIN, 'run', '-c', file])
  await bench.ready(started, () => isReady(ports.ops))

  const origin = `http://127.0.0.1:${ports.main}`
  const bearer = { authorization: `Bearer ${await caller.token()}` }
  const headers = { ...bearer, 'narrowgate-ticket': TICKET }
  if (await answers(`${origin}/`, headers)) throw new Error('narrowgate answers before the elevation')
  await operator.openTicket(ports.admin, TICKET)
  await elevate(origin, bearer)
  if (await answers(`${origin}/`, bearer)) throw new Error('narrowgate answers without the ticket')
  if (!(await answers(`${origin}/`, headers))) throw new Error(`narrowgate does not answer like the upstream\n${started.output()}`)
  return { origin, headers, pids: [started.pid] }
}

/** @param profileDir where `--cpu-prof` writes its file when the gateway ends; null without a profile */
export const narrowgate = (profileDir: string | null): Row => ({ name: 'narrowgate', start: (bench, upstream) => start(bench, upstream, profileDir) })
