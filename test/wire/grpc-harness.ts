// One gateway before gRPC upstreams, reached over TLS and over h2c: `Echo` stands on the baseline, `Vault` on an elevation. For tests only.
import { once } from 'node:events'
import { constants, createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { type EchoCall, GrpcCaller, GrpcEcho } from '../support/grpc-echo.ts'
import { testAuthority } from '../support/tls.ts'
import { until } from './support.ts'

/** A call as it is on the wire at an upstream that answers with what the test gave. */
export type RawCall = { readonly headers: IncomingHttpHeaders; readonly stream: ServerHttp2Stream; readonly body: Buffer[] }

/** An upstream below gRPC's libraries: keeps the very bytes, answers with these. */
export class RawGrpc {
  readonly calls: RawCall[] = []
  answer: Buffer = Buffer.alloc(0)
  encoding = 'identity'
  /** `fails`: it is reset before a word of the answer; `stays`: nothing comes behind these bytes. */
  does: 'answers' | 'fails' | 'stays' = 'answers'
  readonly #server: Http2Server

  private constructor() {
    this.#server = createServer().on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const call: RawCall = { headers, stream, body: [] }
      this.calls.push(call)
      stream.on('data', (chunk: Buffer) => call.body.push(chunk)).on('error', () => undefined)
      stream.on('end', () => {
        if (this.does === 'fails') return stream.close(constants.NGHTTP2_INTERNAL_ERROR)
        stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-encoding': this.encoding }, { waitForTrailers: true })
        if (this.does === 'stays') return void stream.write(this.answer)
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': '' }))
        stream.end(this.answer)
      })
    })
  }

  static async start(): Promise<RawGrpc> {
    const raw = new RawGrpc()
    raw.#server.listen(0, '127.0.0.1')
    await once(raw.#server, 'listening')
    return raw
  }

  get origin(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the upstream is not listening')
    return `http://127.0.0.1:${address.port}`
  }

  close(): void {
    for (const { stream } of this.calls) stream.session?.destroy()
    this.#server.close()
  }
}

function configText(directory: string, issuer: string, echo: GrpcEcho, raw: RawGrpc, { certFile, keyFile }: { readonly certFile: string; readonly keyFile: string }): string {
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], tls: { certFile: ${certFile}, keyFile: ${keyFile} } }
    - { name: h2c, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: [{ scopes: [base:use] }]
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
telemetry: { logs: { level: silent } }
store: { hold: { requests: 0s } }
upstreams:
  echo: { url: "${echo.origin}", protocol: grpc, timeout: 60s }
  raw: { url: "${raw.origin}", protocol: grpc, timeout: 60s }
routes:
  - name: calls
    match: { host: api.test }
    upstream: echo
    rules:
      - { allow: { grpc: [narrowgate.test.Echo/*, grpc.health.v1.Health/Check] }, scope: base:use }
      - { allow: { grpc: [narrowgate.test.Vault/*] }, scope: extra:use }
  - name: bare
    match: { host: bare.test, path: /narrowgate.test.Echo/** }
    upstream: echo
    rules:
      - { allow: { grpc: [narrowgate.test.Echo/One] }, scope: base:use }
  - name: raw
    match: { host: localhost }
    upstream: raw
    rules:
      - { allow: { grpc: [narrowgate.test.Echo/*] }, scope: base:use }
      - { allow: { grpc: [narrowgate.test.Vault/*] }, scope: extra:use }
elevations:
  long: { adds: [extra:use], for: 5m, max: 1h }
  final: { adds: [extra:use], for: 5m }
  short: { adds: [extra:use], for: 2s }
  bound: { adds: [extra:use], for: 5m, purpose: [ticket], endWhen: [ticket.closed] }
`
}

export class GrpcStage {
  readonly gate: TestGateway
  readonly echo: GrpcEcho
  readonly raw: RawGrpc
  /** In front of the gateway, over TLS and h2c. */
  readonly tls: GrpcCaller
  readonly h2c: GrpcCaller

  private constructor(gate: TestGateway, echo: GrpcEcho, raw: RawGrpc) {
    this.gate = gate
    this.echo = echo
    this.raw = raw
    this.tls = this.caller('main')
    this.h2c = this.caller('h2c')
  }

  static async start(more: Partial<GatewayPlan> = {}): Promise<GrpcStage> {
    const [echo, raw, authority] = [await GrpcEcho.start(), await RawGrpc.start(), await testAuthority()]
    const gate = await TestGateway.start({ routes: '', tls: true, config: ({ directory, issuer }) => configText(directory, issuer.issuer, echo, raw, authority.server), ...more })
    return new GrpcStage(gate, echo, raw)
  }

  portOf(listener: 'main' | 'h2c'): number { return this.gate.gateway.front.bound.get(listener)?.address.port ?? 0 }

  caller(listener: 'main' | 'h2c', options: ConstructorParameters<typeof GrpcCaller>[2] = {}, host = 'api.test'): GrpcCaller {
    return new GrpcCaller(this.portOf(listener), listener === 'main' ? (this.gate.target.tls?.ca ?? null) : null, options, host)
  }

  /** The next call that reaches the server behind `before` of them. */
  async arrival(before: number): Promise<EchoCall> {
    await until(() => this.echo.calls.length > before, 'the call at the server')
    return this.echo.calls[before] as EchoCall // waited for
  }

  async stop(): Promise<void> {
    this.tls.close()
    this.h2c.close()
    await this.gate.stop()
    this.echo.close()
    this.raw.close()
  }
}
