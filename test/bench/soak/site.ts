// Where a run of soak:wire lives: a gateway with the embedded store in a process of its own, the APIs behind it, a token issuer and an operator.
import { hash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ConfigSource } from '../../../src/config/source.ts'
import { initStore } from '../../../src/sessions/data-set.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { Operator } from '../cut/operator.ts'
import { Child } from '../cut/talk.ts'
import { Upstreams } from './upstreams.ts'
import type { Figures } from './verdict.ts'

const AUDIENCE = 'narrowgate'
const FLAGS = ['--max-semi-space-size=64', '--min-semi-space-size=64', '--no-allocation-site-pretenuring', '--expose-gc']
/** Seconds: what is remembered of an ended session is remembered for its credentials. */
const CREDENTIAL_LIVES = 30
/** Sessions in memory, ended ones too: reached soon, so that making way is part of the run. */
const MIRRORED = 200

const configuration = (directory: string, { api, calls }: Upstreams, issuer: TokenIssuer): string => stringify({
  version: 1,
  stateDir: join(directory, 'state'),
  server: {
    workers: 1,
    limits: { mirroredSessions: MIRRORED },
    listeners: [
      { name: 'main', address: '127.0.0.1:0', serves: ['proxy'], protocols: ['http1', 'http2'] },
      { name: 'admin', address: '127.0.0.1:0', serves: ['admin'] },
    ],
  },
  admin: { auth: { tokenFile: join(directory, 'operators.json') } },
  authn: { login: { jwt: { issuer: issuer.issuer, audience: AUDIENCE, jwksFile: join(directory, 'jwks.json') }, kind: 'agent' } },
  sessions: { idle: '2m', max: '10m', baseline: [{ scopes: ['soak:base'] }] },
  telemetry: { logs: { level: 'error' } },
  upstreams: { api: { url: `http://127.0.0.1:${api}` }, calls: { url: `http://127.0.0.1:${calls}`, protocol: 'grpc' } },
  routes: [
    { name: 'calls', match: { path: '/soak.Echo/**' }, upstream: 'calls', rules: [{ allow: { grpc: ['soak.Echo/*'] }, scope: 'soak:base' }] },
    {
      name: 'api', upstream: 'api', rules: [
        { allow: { paths: ['/base/ws'], upgrade: 'websocket' }, scope: 'soak:base' },
        { allow: { paths: ['/extra/ws'], upgrade: 'websocket' }, scope: 'soak:extra' },
        { allow: { paths: ['/base/*'] }, scope: 'soak:base' },
        { allow: { paths: ['/extra/*'] }, scope: 'soak:extra' },
      ],
    },
  ],
  elevations: { extra: { adds: ['soak:extra'], for: '10m', approval: 'none' } },
})

export class Site {
  readonly port: number
  readonly operator: Operator
  readonly #issuer: TokenIssuer
  readonly #upstreams: Upstreams
  readonly #gateway: Child
  readonly #directory: string
  #made = 0

  private constructor(issuer: TokenIssuer, upstreams: Upstreams, gateway: Child, directory: string, port: number, operator: Operator) {
    this.#issuer = issuer
    this.#upstreams = upstreams
    this.#gateway = gateway
    this.#directory = directory
    this.port = port
    this.operator = operator
  }

  static async open(): Promise<Site> {
    const directory = mkdtempSync(join(tmpdir(), 'narrowgate-soak-'))
    const [issuer, upstreams] = [await TokenIssuer.create({ audience: AUDIENCE }), await Upstreams.start()]
    const token = `nga_${randomBytes(32).toString('base64url')}`
    const operator = { name: 'soak', sha256: hash('sha256', token), roles: ['operator', 'admin'], identity: 'file|soak' }
    writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: [operator] }), { mode: 0o600 })
    await issuer.writeJwks(join(directory, 'jwks.json'))
    const file = join(directory, 'gateway.yaml')
    writeFileSync(file, configuration(directory, upstreams, issuer))
    const loaded = new ConfigSource(file).load()
    if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
    await initStore(loaded.settings)
    const gateway = new Child('../soak/gateway-process.ts', [file], FLAGS)
    const ports = (await gateway.ask('ports')) as { readonly main: number; readonly admin: number } // as gateway-process.ts tells it
    return new Site(issuer, upstreams, gateway, directory, ports.main, new Operator(ports.admin, token))
  }

  /** A credential of a session that was never there. */
  async token(): Promise<string> {
    const made = ++this.#made
    return this.#issuer.sign({ sub: `agent-${made}`, jti: `soak-${made}` }, { lifetime: CREDENTIAL_LIVES })
  }

  async figures(): Promise<Figures> { return (await this.#gateway.ask('figures')) as Figures } // as gateway-process.ts tells it

  async limits(): Promise<readonly string[]> { return (await this.#gateway.ask('limits')) as readonly string[] } // as gateway-process.ts tells it

  async close(): Promise<void> {
    this.operator.close()
    await this.#gateway.end()
    this.#upstreams.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
