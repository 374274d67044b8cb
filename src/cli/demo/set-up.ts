// Everything the demo runs: a toy upstream, a toy issuer, and the real gateway with config/demo.yaml and a state directory of its own that is
// removed at the end. All of it on loopback.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Environment } from '../../config/environment.ts'
import { formatProblem } from '../../config/problem.ts'
import { ConfigSource, processEnvironment } from '../../config/source.ts'
import { openGateway } from '../../gateway.ts'
import type { Gateway } from '../../running-gateway.ts'
import { AdminClient } from '../admin-client.ts'
import { Caller } from './caller.ts'
import { freePort } from './loopback.ts'
import { AGENT, ToyIssuer } from './toy-issuer.ts'
import { ToyUpstream } from './toy-upstream.ts'

const CONFIG_FILE = fileURLToPath(new URL('../../../config/demo.yaml', import.meta.url))
const CLOSE_WITHIN_MS = 4_000
const ANSWER_WITHIN_MS = 5_000

export type SetUp = {
  readonly gateway: Gateway
  readonly upstream: ToyUpstream
  readonly issuer: ToyIssuer
  /** The agent of the story, and the token it calls with. */
  readonly agent: Caller
  readonly token: string
  /** The operator's side: the admin API with the token the gateway wrote at its start. */
  readonly operator: AdminClient
  readonly urls: { readonly proxy: string; readonly admin: string; readonly ops: string }
  readonly configFile: string
  readonly stateDir: string
  readonly close: () => Promise<void>
}

/** This process's environment with some variables of ours in front. */
function environmentWith(ours: ReadonlyMap<string, string>): Environment {
  const own = processEnvironment()
  return { ...own, variable: name => ours.get(name) ?? own.variable(name) }
}

async function environmentOf(stateDir: string, issuer: ToyIssuer, upstream: ToyUpstream): Promise<Environment> {
  const port = async (name: string, usual: string): Promise<readonly [string, string]> => [name, await freePort(process.env[name] ?? usual)]
  return environmentWith(new Map([
    ['NARROWGATE_DEMO_STATE', stateDir], ['NARROWGATE_DEMO_ISSUER', issuer.origin], ['NARROWGATE_DEMO_UPSTREAM', upstream.origin],
    await port('NARROWGATE_DEMO_PORT', '8080'), await port('NARROWGATE_DEMO_ADMIN_PORT', '9443'), await port('NARROWGATE_DEMO_OPS_PORT', '9464'),
  ]))
}

/** @throws Error when the configuration has problems, or a part cannot be opened */
async function gatewayOf(environment: Environment): Promise<Gateway> {
  const source = new ConfigSource(CONFIG_FILE, environment)
  const loaded = source.load()
  if (!loaded.ok) throw new Error(loaded.problems.map(formatProblem).join('\n'))
  return openGateway({ settings: loaded.settings, source })
}

export async function setUp(): Promise<SetUp> {
  const stateDir = await mkdtemp(join(tmpdir(), 'narrowgate-demo-'))
  const closers: (() => Promise<void>)[] = [() => rm(stateDir, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const closeOne of closers.splice(0).reverse()) await closeOne()
  }
  try {
    const upstream = await ToyUpstream.start()
    closers.push(() => upstream.close())
    const issuer = await ToyIssuer.start()
    closers.push(() => issuer.close())
    const gateway = await gatewayOf(await environmentOf(stateDir, issuer, upstream))
    closers.push(() => Promise.race([gateway.close('demo'), pause(CLOSE_WITHIN_MS, undefined, { ref: false })]))
    const urls = { proxy: `http://${gateway.front.address('main')}`, admin: `http://${gateway.front.address('admin')}`, ops: `http://${gateway.front.address('ops')}` }
    const token = await issuer.token(AGENT)
    const operator = new AdminClient({ url: new URL(urls.admin), token: (await readFile(join(stateDir, 'admin.token'), 'utf8')).trim(), timeoutMs: ANSWER_WITHIN_MS })
    return { gateway, upstream, issuer, agent: new Caller(urls.proxy, token), token, operator, urls, configFile: CONFIG_FILE, stateDir, close }
  } catch (error) {
    await close()
    throw error
  }
}
