// Certificates for tests: a self-signed authority and server certificates under it, made with openssl once per process, removed at its end.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type Certificate = { readonly certFile: string; readonly keyFile: string; readonly cert: string; readonly key: string }
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
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  }
  return { caFile, ca: readFileSync(caFile, 'utf8'), server: await issue('server', SERVER_NAMES), issue }
}

let made: Promise<Authority> | null = null
/** The authority of this process; the same for every caller. */
export const testAuthority = (): Promise<Authority> => (made ??= make())
