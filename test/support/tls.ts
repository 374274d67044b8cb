// Certificates for tests, made with openssl and removed at the end of the process: an authority with server certificates under it, once per process, and
// authorities of client certificates, which also delegate and revoke.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type Certificate = { readonly certFile: string; readonly keyFile: string; readonly cert: string; readonly key: string; /** As a listener takes it: it asks its clients for none. */ readonly clients: null }
export type Authority = { readonly caFile: string; readonly ca: string; readonly server: Certificate; readonly issue: (name: string, names: readonly string[]) => Promise<Certificate> }

const NEW_KEY = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
/** What the server certificate of `testAuthority` is good for. */
export const SERVER_NAMES: readonly string[] = ['DNS:localhost', 'DNS:api.test', 'DNS:*.test', 'IP:127.0.0.1']

async function make(): Promise<Authority> {
  const dir = mkdtempSync(join(tmpdir(), 'narrowgate-tls-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  const caFile = join(dir, 'ca.crt')
  const caKey = join(dir, 'ca.key')
  await run('openssl', [...NEW_KEY, '-subj', '/CN=Narrowgate test authority', '-keyout', caKey, '-out', caFile, '-addext', 'keyUsage=critical,keyCertSign,cRLSign'])
  const issue = async (name: string, names: readonly string[]): Promise<Certificate> => {
    const certFile = join(dir, `${name}.crt`)
    const keyFile = join(dir, `${name}.key`)
    const alternatives = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`]
    await run('openssl', [...NEW_KEY, '-CA', caFile, '-CAkey', caKey, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', certFile, '-addext', 'basicConstraints=critical,CA:FALSE', ...alternatives])
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), clients: null }
  }
  return { caFile, ca: readFileSync(caFile, 'utf8'), server: await issue('server', SERVER_NAMES), issue }
}

let made: Promise<Authority> | null = null
/** The authority of this process; the same for every caller. */
export const testAuthority = (): Promise<Authority> => (made ??= make())

/** What a client certificate of a test says; OpenSSL's words. */
export type LeafWords = {
  /** `/O=Acme/CN=runner`; `+` joins parts of one. */
  readonly subject?: string
  /** Lines of an extension section; none makes a certificate without extensions. */
  readonly extensions?: readonly string[]
  readonly from?: Date
  readonly to?: Date
}
export type Leaf = Certificate & { readonly der: Buffer }

/** What an ordinary client certificate carries. */
export const CLIENT_LEAF: readonly string[] = ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature', 'extendedKeyUsage=clientAuth']
export const svidLeaf = (...ids: readonly string[]): readonly string[] => [...CLIENT_LEAF, `subjectAltName=${ids.map(id => `URI:${id}`).join(',')}`]

const stamp = (at: Date): string => at.toISOString().replace(/[-:T]|\.\d+/g, '')
const DN_TYPES = ['countryName', 'stateOrProvinceName', 'localityName', 'organizationName', 'organizationalUnitName', 'commonName', 'emailAddress', 'domainComponent', 'userId']

const rooms: string[] = []

/** An authority for client certificates: issues, delegates, revokes, one after the other. */
export class ClientAuthority {
  readonly cert: Certificate
  readonly #dir: string
  readonly #config: string
  #turn: Promise<unknown> = Promise.resolve()
  #count = 0

  private constructor(dir: string, cert: Certificate) {
    this.#dir = dir
    this.cert = cert
    this.#config = join(dir, 'ca.cnf')
    const own = ['[me]', `database=${dir}/index.txt`, `new_certs_dir=${dir}`, `serial=${dir}/serial`, `crlnumber=${dir}/crlnumber`, `certificate=${cert.certFile}`, `private_key=${cert.keyFile}`]
    const rest = ['default_md=sha256', 'default_days=2', 'default_crl_days=2', 'unique_subject=no', 'policy=any', '[any]', ...DN_TYPES.map(type => `${type}=optional`)]
    writeFileSync(this.#config, ['[ca]', 'default_ca=me', ...own, ...rest, ''].join('\n'))
    for (const [file, text] of [['index.txt', ''], ['serial', '1000\n'], ['crlnumber', '01\n']] as const) writeFileSync(join(dir, file), text)
  }

  /** @param usage what its own key may be used for */
  static async create(name: string, usage = 'keyCertSign,cRLSign'): Promise<ClientAuthority> {
    const dir = ClientAuthority.#room()
    const [certFile, keyFile] = [join(dir, 'ca.crt'), join(dir, 'ca.key')]
    await run('openssl', [...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', certFile, '-addext', `keyUsage=critical,${usage}`])
    return new ClientAuthority(dir, { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), clients: null })
  }

  static #room(): string {
    if (rooms.length === 0) process.once('exit', () => rooms.forEach(room => rmSync(room, { recursive: true, force: true })))
    const dir = mkdtempSync(join(tmpdir(), 'narrowgate-ca-'))
    rooms.push(dir)
    return dir
  }

  issue(words: LeafWords = {}): Promise<Leaf> {
    return this.#next(async () => {
      const { subject = '/CN=runner', extensions = CLIENT_LEAF, from = new Date(Date.now() - 60_000), to = new Date(Date.now() + 86_400_000) } = words
      const file = join(this.#dir, `leaf-${this.#count++}`)
      const [certFile, keyFile, extFile] = [`${file}.crt`, `${file}.key`, `${file}.ext`]
      writeFileSync(extFile, [...extensions, ''].join('\n'))
      await run('openssl', ['req', '-new', '-utf8', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', subject, '-keyout', keyFile, '-out', `${file}.csr`])
      const times = ['-startdate', stamp(from), '-enddate', stamp(to)]
      await run('openssl', ['ca', '-batch', '-notext', '-preserveDN', '-utf8', '-config', this.#config, ...times, ...(extensions.length === 0 ? [] : ['-extfile', extFile]), '-in', `${file}.csr`, '-out', certFile])
      const cert = readFileSync(certFile, 'utf8')
      return { certFile, keyFile, cert, key: readFileSync(keyFile, 'utf8'), clients: null, der: derOf(cert) }
    })
  }

  /** An authority below this one. */
  async intermediate(name: string, constraints = 'CA:TRUE', times: Pick<LeafWords, 'from' | 'to'> = {}): Promise<ClientAuthority> {
    return new ClientAuthority(ClientAuthority.#room(), await this.issue({ ...times, subject: `/CN=${name}`, extensions: [`basicConstraints=critical,${constraints}`, 'keyUsage=critical,keyCertSign,cRLSign'] }))
  }

  revoke({ certFile }: Certificate): Promise<void> {
    return this.#next(async () => void (await run('openssl', ['ca', '-config', this.#config, '-revoke', certFile])))
  }

  /** The file of a fresh list of what was revoked. */
  crl(until: Date = new Date(Date.now() + 86_400_000)): Promise<string> {
    return this.#next(async () => {
      const file = join(this.#dir, `list-${this.#count++}.crl`)
      await run('openssl', ['ca', '-config', this.#config, '-gencrl', '-crl_lastupdate', stamp(new Date(Math.min(Date.now(), until.getTime()) - 60_000)), '-crl_nextupdate', stamp(until), '-out', file])
      return file
    })
  }

  /** A file beside the authority's own, with the texts one after the other. */
  bundle(...texts: readonly string[]): string {
    const file = join(this.#dir, `bundle-${this.#count++}.pem`)
    writeFileSync(file, texts.join(''))
    return file
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }
}

/** The bytes of the one certificate in a PEM text. */
export const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
