// Workloads of federated trust domains: a SPIFFE id counts by the bundle of its own one alone, at callers and operators alike, and a bundle that is
// reloaded away takes with it what was open. SPEC: BND4, BND8, SES19
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newToken } from '../../src/admin/first-token.ts'
import { fileProblems } from '../../src/cli/named-files.ts'
import { settingsOf, TestGateway } from '../support/gateway.ts'
import { type Authority, type Certificate, ClientAuthority, type Leaf, svidLeaf, testAuthority } from '../support/tls.ts'
import { TapUpstream, until } from './support.ts'

const [OURS, PARTNER] = ['example.org', 'partner.example']
const idIn = (domain: string): string => `spiffe://${domain}/ns/prod/sa/api`

let upstream: TapUpstream
let gate: TestGateway
let site: Authority
let ours: ClientAuthority
let partner: ClientAuthority
let middle: ClientAuthority
beforeAll(async () => {
  ;[upstream, site, ours, partner] = await Promise.all([TapUpstream.start(), testAuthority(), ClientAuthority.create('Ours'), ClientAuthority.create('Partner')])
  middle = await partner.intermediate('Partner below')
  gate = await TestGateway.start({ routes: '', tls: true, config: ({ directory }) => config(directory) })
})
afterAll(() => gate.stop().then(() => upstream.close()))

const listening = (directory: string): string =>
  `address: "127.0.0.1:0", tls: { certFile: ${site.server.certFile}, keyFile: ${site.server.keyFile}, clients: { trustDomains: { ${OURS}: ${directory}/ours.pem, ${PARTNER}: ${directory}/partner.pem } } }`

function config(directory: string): string {
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  writeFileSync(join(directory, 'state', 'admin.token'), newToken(), { mode: 0o600 }) // which the harness reads, and this gateway does not know
  copyFileSync(ours.cert.certFile, join(directory, 'ours.pem'))
  copyFileSync(partner.cert.certFile, join(directory, 'partner.pem'))
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, serves: [proxy, keys], ${listening(directory)} }
    - { name: admin, serves: [admin], ${listening(directory)} }
admin: { auth: { mtls: { spiffe: ["${idIn(OURS)}", "${idIn(PARTNER)}"], roles: { viewer: "true" } } } }
authn: { mesh: { mtls: { spiffe: ["${idIn(OURS)}", "${idIn(PARTNER)}", "${idIn('elsewhere.example')}"] } } }
sessions: { baseline: [{ scopes: [status:read] }] }
telemetry: { logs: { level: silent } }
routes: [{ name: mesh, match: { host: mesh.test }, upstream: "${upstream.origin}", rules: [{ allow: { methods: [GET] }, scope: status:read }] }]
`
}

const svid = (by: ClientAuthority, domain: string): Promise<Leaf> => by.issue({ extensions: svidLeaf(idIn(domain)) })
const below = async (domain: string): Promise<Certificate> => {
  const leaf = await svid(middle, domain)
  return { ...leaf, cert: `${leaf.cert}${middle.cert.cert}` }
}
const portOf = (listener: string): number => gate.gateway.front.bound.get(listener)?.address.port ?? 0

async function dial(listener: string, { cert, key }: Certificate): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: portOf(listener), ca: site.ca, cert, key })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

let turn = 0
/** `200`, or the status and the reason of a refusal, and whether the upstream heard of it. */
async function outcome(leaf: Certificate, socket: TLSSocket | null = null): Promise<string> {
  const own = socket ?? (await dial('main', leaf))
  const path = `/${++turn}`
  const sent = request({ createConnection: () => own, path, headers: { host: 'mesh.test', connection: 'keep-alive' } })
  sent.end()
  let heard: IncomingMessage | null = null
  const answer = once(sent, 'response').then(([response]) => (heard = response as IncomingMessage)) // what the event carries
  await until(() => heard !== null || upstream.taps.has(path), `an outcome of ${path}`)
  const reached = upstream.taps.has(path) ? ' upstream' : ''
  upstream.taps.get(path)?.answer.end('{"reason":"ok"}')
  const response = await answer
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer) // no encoding is set
  if (socket === null) own.destroy()
  const { reason } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { readonly reason: string } // both sides write one
  return `${response.statusCode ?? 0} ${reason}${reached}`
}

/** The status of an operator's question on a connection of its own, and the end of that connection. */
async function operator(leaf: Certificate): Promise<{ readonly status: number; readonly socket: TLSSocket }> {
  const socket = await dial('admin', leaf)
  const sent = request({ createConnection: () => socket, path: '/v1/sessions', headers: { host: 'localhost', connection: 'keep-alive' } })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  response.resume()
  await once(response, 'end')
  return { status: response.statusCode ?? 0, socket }
}

async function statusOverHttp2(leaf: Certificate, path: string): Promise<number> {
  const session = connectHttp2(`https://127.0.0.1:${portOf('main')}`, { ca: site.ca, cert: leaf.cert, key: leaf.key })
  const stream = session.request({ ':path': path, ':authority': 'mesh.test' })
  let status = 0
  stream.on('response', (head: IncomingHttpHeaders) => (status = Number(head[':status'])))
  await until(() => status !== 0 || upstream.taps.has(path), `an outcome of ${path}`)
  upstream.taps.get(path)?.answer.end('ok')
  await until(() => status !== 0, `an answer to ${path}`)
  session.destroy()
  return status
}

describe('federated trust domains', () => {
  test('[BND8, SES19] workloads of each prove themselves by its own bundle, also below an authority that they send along', async () => {
    for (const leaf of [await svid(ours, OURS), await svid(partner, PARTNER), await below(PARTNER)]) {
      expect(await outcome(leaf)).toBe('200 ok upstream')
      expect(await statusOverHttp2(leaf, `/h2/${++turn}`)).toBe(200)
      const { status, socket } = await operator(leaf)
      expect(status).toBe(200)
      socket.destroy()
    }
  })

  test('[BND8, SES19] an id of one that another one minted is refused, opens nothing and is no operator', async () => {
    const minted = [await svid(partner, OURS), await svid(ours, PARTNER), await below(OURS), await svid(ours, 'elsewhere.example')]
    const before = (await gate.trail()).length
    for (const leaf of minted) {
      expect(await outcome(leaf)).toBe('401 credential_invalid')
      const path = `/h2/${++turn}`
      expect([await statusOverHttp2(leaf, path), upstream.taps.has(path)]).toEqual([401, false])
      const { status, socket } = await operator(leaf)
      expect(status).toBe(401)
      socket.destroy()
    }
    const since = (await gate.trail()).slice(before).map(({ kind }) => String(kind))
    expect([before > 0, since]).toEqual([true, []])
  })

  test('[CFG3, BND8] a bundle that cannot be read is told by validate as by a start, with the listener and the file', async () => {
    const broken = join(gate.directory, 'broken.pem')
    writeFileSync(broken, 'nothing')
    const text = readFileSync(gate.configFile, 'utf8').replaceAll(`${gate.directory}/partner.pem`, broken)
    const settings = settingsOf(text, 'gateway.yaml')
    expect(await fileProblems(settings)).toEqual(['main', 'admin'].map(name => `listener ${name}: ${broken}: does not hold certificates in PEM, and nothing else`))
  })

  test('[BND4, BND8] a bundle that is reloaded away ends what its certificates hold open, and they count no longer; a second reload brings them back', async () => {
    const [leaf, own, other] = [await below(PARTNER), await svid(ours, OURS), await ClientAuthority.create('Partner')]
    const [theirs, kept, asking] = [await dial('main', leaf), await dial('main', own), (await operator(leaf)).socket]
    expect([await outcome(leaf, theirs), await outcome(own, kept)]).toEqual(['200 ok upstream', '200 ok upstream'])
    expect([theirs.closed, asking.closed]).toEqual([false, false])
    const reload = async (by: ClientAuthority): Promise<void> => {
      copyFileSync(by.cert.certFile, join(gate.directory, 'partner.pem'))
      expect((await gate.gateway.reload('test')).ok).toBe(true)
    }
    await reload(other)
    await until(() => theirs.closed && asking.closed, 'the end of both, long before that of idleness', 2_000)
    expect([await outcome(leaf), await outcome(own)]).toEqual(['401 credential_invalid', '200 ok upstream'])
    await reload(partner)
    expect(await outcome(leaf)).toBe('200 ok upstream')
    kept.destroy()
  })

  test('[BND4] a handshake that a reload of the bundles overtakes ends without a word, for callers and for operators', async () => {
    const own = await svid(ours, OURS)
    const plain = await Promise.all(['main', 'admin'].map(async listener => {
      const socket = connectTcp({ host: '127.0.0.1', port: portOf(listener) })
      await once(socket, 'connect')
      return socket
    }))
    for (const listener of ['main', 'admin']) (await dial(listener, own)).destroy() // so that those from before are accepted
    writeFileSync(join(gate.directory, 'partner.pem'), `${partner.cert.cert}${(await ClientAuthority.create('Partner')).cert.cert}`)
    expect((await gate.gateway.reload('test')).ok).toBe(true)
    for (const socket of plain) {
      const late = connect({ socket, ca: site.ca, cert: own.cert, key: own.key, servername: 'localhost' })
      let heard = ''
      late.on('error', () => {})
      late.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')))
      late.once('secureConnect', () => late.write('GET /v1/sessions HTTP/1.1\r\nhost: mesh.test\r\nconnection: close\r\n\r\n'))
      await once(late, 'close')
      expect(heard).toBe('')
    }
    expect([await outcome(own), (await operator(own)).status]).toEqual(['200 ok upstream', 200])
  })

  test('[BND4, BND8] bundles that change places end what either holds open, though the same authorities are believed', async () => {
    const [leaf, swapped] = [await svid(partner, PARTNER), await svid(partner, OURS)]
    const socket = await dial('main', leaf)
    expect([await outcome(leaf, socket), await outcome(swapped)]).toEqual(['200 ok upstream', '401 credential_invalid'])
    const lost = once(socket, 'close')
    const text = readFileSync(gate.configFile, 'utf8')
    writeFileSync(gate.configFile, text.replaceAll(/ours\.pem|partner\.pem/g, file => (file === 'ours.pem' ? 'partner.pem' : 'ours.pem')))
    expect((await gate.gateway.reload('test')).ok).toBe(true)
    await lost
    expect([await outcome(leaf), await outcome(swapped)]).toEqual(['401 credential_invalid', '200 ok upstream'])
  })
})
