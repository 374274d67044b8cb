// The gateway as a user starts it, with everything on: a credential, a session, an elevated rule with a condition of three terms, a ticket as purpose,
// one trail record per request, metrics. What proves the caller is the row's.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { answers, type Upstream } from '../upstream.ts'
import { PROXY_CORE, type Workbench } from '../workbench.ts'
import { makeOperator } from './operator.ts'
import { ENDPOINT, TOOL } from './tool-call.ts'

const MAIN = join(import.meta.dirname, '../../../src/main.ts')
const HEAP = ['--max-semi-space-size=64', '--min-semi-space-size=64', '--no-allocation-site-pretenuring']
const TICKET = 'BENCH-1'
export const TICKETED = { 'narrowgate-ticket': TICKET } as const

export type GatewayPlan = {
  readonly name: string
  readonly serves: 'http' | 'mcp'
  /** `authn`'s one provider, without its kind. */
  readonly provider: { readonly [name: string]: unknown }
  /** Of the listener for callers; null for plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string; readonly clients: { readonly caFile: string } } | null
  /** Where `--cpu-prof` writes its file when the gateway ends; null without a profile. */
  readonly profileDir: string | null
}

export type RunningGateway = { readonly name: string; readonly port: number; readonly pid: number; readonly output: () => string; /** Gives the operator's word that the ticket is open. */ readonly openTicket: () => Promise<void> }

/** What proves the caller of one request. */
export type Credential = (method: 'GET' | 'POST', uri: string) => { readonly [name: string]: string }

type Ports = { readonly main: number; readonly admin: number; readonly ops: number }

/** A folder that outlives the bench, for `--profile`. */
export const profileFolder = (): string => mkdtempSync(join(tmpdir(), 'narrowgate-bench-profile-'))

const ROUTES: { readonly [serves in GatewayPlan['serves']]: (upstream: Upstream) => object } = {
  http: ({ address }) => ({
    upstream: `http://${address}`,
    rules: [{ allow: { methods: ['GET'] }, scope: 'bench:read', if: 'subject.kind == "ci" && request.method == "GET" && elevation.profile == "bench"' }],
  }),
  mcp: ({ address }) => ({
    upstream: { url: `http://${address}${ENDPOINT}`, protocol: 'mcp' },
    mcp: { tools: [{ match: TOOL, class: 'read', args: { incident: 'string' } }] },
    rules: [{ allow: { tools: [TOOL] }, scope: 'bench:read', if: 'subject.kind == "ci" && mcp.args.incident.startsWith("inc-") && elevation.profile == "bench"' }],
  }),
}

const configuration = (folder: string, ports: Ports, upstream: Upstream, tokenFile: string, { serves, provider, tls }: GatewayPlan): unknown => ({
  version: 1,
  stateDir: join(folder, 'state'),
  server: {
    listeners: [
      { name: 'main', address: `127.0.0.1:${ports.main}`, serves: ['proxy', 'keys'], ...(tls === null ? {} : { tls }) },
      { name: 'admin', address: `127.0.0.1:${ports.admin}`, serves: ['admin'] },
      { name: 'ops', address: `127.0.0.1:${ports.ops}`, serves: ['health', 'metrics'] },
    ],
  },
  admin: { auth: { tokenFile } },
  authn: { ci: { ...provider, kind: 'ci' } },
  purposes: { ticket: { header: 'narrowgate-ticket', source: 'manual' } },
  routes: [
    {
      name: 'bench',
      match: { host: '127.0.0.1' },
      ...ROUTES[serves](upstream),
    },
  ],
  elevations: { bench: { adds: ['bench:read'], for: '1h', purpose: ['ticket'], approval: 'none' } },
})

async function isReady(ops: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${ops}/readyz`, { signal: AbortSignal.timeout(2_000) })
  await response.body?.cancel()
  return response.status === 200
}

export async function startGateway(bench: Workbench, upstream: Upstream, plan: GatewayPlan): Promise<RunningGateway> {
  const { name, profileDir } = plan
  const folder = bench.folder(name)
  const ports = { main: await bench.port(), admin: await bench.port(), ops: await bench.port() }
  const operator = makeOperator(folder)
  const file = join(folder, 'narrowgate.yaml')
  writeFileSync(file, stringify(configuration(folder, ports, upstream, operator.tokenFile, plan)))
  await bench.run(PROXY_CORE, process.execPath, [MAIN, 'store', 'init', '-c', file], 30_000)
  const profiling = profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`]
  const started = bench.start(name, PROXY_CORE, process.execPath, [...HEAP, ...profiling, MAIN, 'run', '-c', file])
  await bench.ready(started, () => isReady(ports.ops))
  return { name, port: ports.main, pid: started.pid, output: started.output, openTicket: () => operator.openTicket(ports.admin, TICKET) }
}

/** Asks for the elevation; anything but a finished one is an error. */
async function elevate(name: string, origin: string, credential: Credential): Promise<void> {
  const uri = `${origin}/.narrowgate/elevations`
  const response = await fetch(uri, {
    method: 'POST',
    headers: { ...credential('POST', uri), 'content-type': 'application/json' },
    body: JSON.stringify({ profile: 'bench', purpose: { ticket: TICKET } }),
    signal: AbortSignal.timeout(5_000),
  })
  const text = await response.text()
  if (response.status !== 201) throw new Error(`${name}: the elevation was answered ${response.status}: ${text}`)
}

/** Asks with this purpose, or with none. */
type Probe = (purpose: { readonly [header: string]: string }) => Promise<boolean>

const gets = (uri: string, credential: Credential): Probe => purpose => answers(uri, { ...credential('GET', uri), ...purpose })

/** Opens the ticket and elevates the caller's session; an error where the gateway answers without either, or does not answer with both. */
export async function letIn({ name, openTicket, output }: RunningGateway, origin: string, credential: Credential, asks = gets(`${origin}/`, credential)): Promise<void> {
  if (await asks(TICKETED)) throw new Error(`${name} answers before the elevation`)
  await openTicket()
  await elevate(name, origin, credential)
  if (await asks({})) throw new Error(`${name} answers without the ticket`)
  if (!(await asks(TICKETED))) throw new Error(`${name} does not answer like the upstream\n${output()}`)
}
