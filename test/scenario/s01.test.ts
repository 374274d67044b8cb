// S1: a secret only in a release window. Here the caller: the CI's svc-deploy proves itself by its certificate alone and reads the status on its baseline;
// whoever is not it gets nothing.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { comesToNothing, overHttp2 } from '../support/possession.ts'
import { ClientAuthority, CLIENT_LEAF, type Leaf } from '../support/tls.ts'
import { asked, both, type Caller, connect, connectHttp2, on, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { useSecrets } from './news.ts'
import { loadsAsItStands, outcome } from './stage.ts'

const HOST = { host: 'release.internal' }
const SUBJECT = '/O=Acme/OU=CI/CN=svc-deploy'
const IDENTITY = 'x509:CN=CI|CN=svc-deploy,OU=CI,O=Acme'
const holder = (leaf: Leaf | null): Caller => ({ leaf, headers: HOST })

let ci: ClientAuthority
let deploy: Caller
beforeAll(async () => {
  ci = await ClientAuthority.create('CI')
  deploy = holder(await ci.issue({ subject: SUBJECT }))
})

/** Who else may come; the certificates of the second authority have the first one's name as their issuer. */
async function strangers(): Promise<readonly (readonly [who: string, leaf: Leaf | null, told: string])[]> {
  const [forger, other] = await Promise.all([ClientAuthority.create('CI'), ClientAuthority.create('Other')])
  const hour = 3_600_000
  return [
    ['nobody', null, '401 no_credential'],
    ['another job', await ci.issue({ subject: '/O=Acme/OU=CI/CN=svc-build' }), '401 credential_invalid'],
    ['the same common name', await ci.issue({ subject: '/CN=svc-deploy' }), '401 credential_invalid'],
    ['the same name elsewhere', await ci.issue({ subject: '/O=Other/OU=CI/CN=svc-deploy' }), '401 credential_invalid'],
    ['the same name of another authority', await other.issue({ subject: SUBJECT }), '401 credential_invalid'],
    ['the same name of another authority of the same name', await forger.issue({ subject: SUBJECT }), '401 credential_invalid'],
    ['the same name as a server', await ci.issue({ subject: SUBJECT, extensions: [...CLIENT_LEAF.slice(0, 2), 'extendedKeyUsage=serverAuth'] }), '401 credential_invalid'],
    ['the same name, over', await ci.issue({ subject: SUBJECT, from: new Date(Date.now() - 2 * hour), to: new Date(Date.now() - hour) }), '401 credential_invalid'],
  ]
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s01.yaml'))

describe.each(SETTINGS)('%s', (_, raised) => {
  let setting: Setting
  beforeAll(async () => {
    setting = await raised('s01.yaml', { clientsCaFile: ci.cert.certFile, adapt: useSecrets })
    setting.a.upstream.plays.set('/status', '/ok')
  }, 30_000)
  afterAll(() => setting.stop())

  test('[S1.a] svc-deploy proves itself by its certificate and reads the status on its baseline', async () => {
    const { a, b } = setting
    expect(await through(setting, deploy, 'GET', '/status')).toEqual(both('200'))
    expect(await through(setting, deploy, 'GET', '/v1/secrets/deploy-key')).toEqual(both('403 elevation_required'))
    expect(await through(setting, deploy, 'POST', '/status')).toEqual(both('403 no_rule'))
    expect(await sessionAt(b, deploy)).toBe(await sessionAt(a, deploy))
    expect(a.upstream.requests.map(({ url }) => url)).toEqual(['/status', '/status'])
    const told = (await setting.trail()).filter(({ route }) => route === 'release')
    expect(told.map(({ kind, subject }) => `${String(kind)} ${String(subject)}`)).toEqual(expect.arrayContaining(['exchange.opened', 'request.refused'].map(kind => `${kind} ${IDENTITY}`)))
    expect(new Set(told.map(({ subject }) => subject))).toEqual(new Set([IDENTITY]))
    for (const line of told.filter(({ kind }) => kind === 'exchange.opened')) expect(line).toMatchObject({ grant: 'baseline', proved: { key: expect.stringMatching(/^[\w-]{43}$/) } })
  })

  test('[S1.a] also on a connection on which something else was refused before, and over HTTP/2', async () => {
    for (const gate of [setting.a, setting.b]) {
      const kept = await connect(gate, deploy)
      const heard = [await on(kept, deploy, 'GET', '/status'), await on(kept, deploy, 'GET', '/v1/secrets/deploy-key'), await on(kept, deploy, 'GET', '/status')]
      kept.close()
      expect(heard.map(outcome)).toEqual(['200', '403 elevation_required', '200'])
      const session = connectHttp2(gate, deploy)
      const { status } = await overHttp2(session, { path: '/status', ...HOST })
      session.destroy()
      expect(status).toBe(200)
    }
  })

  test('[S1.a] whoever shows another certificate, none, or the same name from another authority is refused and reaches nothing', async () => {
    const gates = [...new Set([setting.a, setting.b])]
    for (const [who, leaf, told] of await strangers()) {
      for (const gate of gates) {
        for (const path of ['/status', '/v1/secrets/deploy-key', '/.narrowgate/session']) {
          const heard = async () => ({ challenges: [], reason: '', ...(await asked(gate, holder(leaf), 'GET', path)) })
          const [status = '', reason = ''] = told.split(' ')
          await comesToNothing(gates, setting.a.upstream, heard, { status: Number(status), json: { reason } }, `${who} at ${path}`)
        }
      }
    }
    expect(await through(setting, deploy, 'GET', '/status')).toEqual(both('200'))
  })
})
