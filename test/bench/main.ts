// `npm run bench`: what a request costs here and at the peers, measured in one run on the same core.
// Needs nginx, redis-server, wrk, openssl and taskset; a missing program, a failed answer or a proxy that does not start ends it with exit code 1.
import { type Loading, type Measured, measure, type Station } from './measure.ts'
import { runMicros } from './micro.ts'
import { type Options, parseOptions } from './options.ts'
import { describeMachine, findPrograms } from './programs.ts'
import { jsonLine, markdown } from './report.ts'
import { authRequest } from './rows/auth-request.ts'
import { httpProxy } from './rows/http-proxy.ts'
import { profileFolder } from './rows/gateway.ts'
import { narrowgateDpop } from './rows/narrowgate-dpop.ts'
import { narrowgateMcp } from './rows/narrowgate-mcp.ts'
import { narrowgateMtls } from './rows/narrowgate-mtls.ts'
import { narrowgate } from './rows/narrowgate.ts'
import { nginxMcp } from './rows/nginx-mcp.ts'
import { nginxMtls } from './rows/nginx-mtls.ts'
import { nginx } from './rows/nginx.ts'
import type { Row } from './rows/row.ts'
import { direct, ENDPOINT } from './rows/tool-call.ts'
import { startUpstream } from './upstream.ts'
import { Workbench } from './workbench.ts'

const LARGE = { path: '/large', connections: 4, seconds: 3, warmupSeconds: 1, rounds: 3 } as const

/** At most: the whole is to stay below a minute. */
const CALLED = { seconds: 2, warmupSeconds: 1, rounds: 5 } as const

/** At most: proofs are made before each load, and the whole is to stay below a minute. */
const PROVED = { seconds: 2, warmupSeconds: 1, rounds: 5 } as const

const say = (line: string): void => void process.stderr.write(`${line}\n`)

type Plan = { readonly small: readonly Row[]; readonly proved: readonly Row[]; readonly called: readonly Row[]; readonly large: readonly Row[] }

/** Large bodies are a matter of nginx and the gateway: of those picked, or of both where `large` is picked alone. */
function planOf(options: Options, profiled: string | null): Plan {
  const all = [nginx, authRequest, httpProxy, narrowgate(profiled)]
  const small = all.filter(row => options.only.some(name => name === row.name))
  const large = (small.length === 0 ? all : small).filter(({ name }) => name === 'nginx' || name === 'narrowgate')
  const dpop = options.only.includes('dpop') ? [nginx, narrowgateDpop(profiled)] : []
  const mtls = options.only.includes('mtls') ? [nginxMtls, narrowgateMtls(profiled)] : []
  const called = options.only.includes('mcp') ? [direct, nginxMcp, narrowgateMcp(profiled)] : []
  return { small, proved: [...dpop, ...mtls], called, large: options.only.includes('large') ? large : [] }
}

function loadingOf(path: string, { connections, seconds, warmupSeconds, rounds }: Options, most: Pick<Loading, 'seconds' | 'warmupSeconds' | 'rounds'>): Loading {
  return { path, connections, seconds: Math.min(seconds, most.seconds), warmupSeconds: Math.min(warmupSeconds, most.warmupSeconds), rounds: Math.min(rounds, most.rounds) }
}

async function startRows(bench: Workbench, rows: ReadonlySet<Row>): Promise<ReadonlyMap<string, Station>> {
  const stations = new Map<string, Station>()
  if (rows.size === 0) return stations
  const upstream = await startUpstream(bench)
  for (const row of rows) stations.set(row.name, { name: row.name, proxy: await row.start(bench, upstream) })
  return stations
}

async function run(bench: Workbench, options: Options): Promise<string> {
  const profiled = options.profile ? profileFolder() : null
  const plan = planOf(options, profiled)
  const stations = await startRows(bench, new Set([...plan.small, ...plan.proved, ...plan.called, ...plan.large]))
  const load = async (rows: readonly Row[], loading: Loading): Promise<readonly Measured[]> =>
    rows.length === 0 ? [] : measure(bench, rows.map(({ name }) => stations.get(name)).filter(station => station !== undefined), loading, say)
  const small = await load(plan.small, { path: '/', ...options })
  const provedLoading = loadingOf('/', options, PROVED)
  const proved = await load(plan.proved, provedLoading)
  const calledLoading = loadingOf(ENDPOINT, options, CALLED)
  const called = { loading: calledLoading, rows: await load(plan.called, calledLoading), alone: await load(plan.called, { ...calledLoading, connections: 1 }) }
  const large = await load(plan.large, LARGE)
  const micros = options.only.includes('micro') ? await runMicros(bench) : null
  if (profiled !== null) say(`processor profiles of the gateways, written when they end: ${profiled}`)
  const result = { machine: describeMachine(bench.programs), small, proved: { rows: proved, loading: provedLoading }, called, large, micros }
  return options.json ? jsonLine(result) : markdown(result, options)
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  const bench = new Workbench(findPrograms())
  const interrupted = (): void => void bench.close().finally(() => process.exit(1))
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  let text: string
  try {
    text = await run(bench, options)
  } finally {
    await bench.close()
  }
  process.stdout.write(`${text}\n`)
}

await main().catch((error: unknown) => {
  say(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
