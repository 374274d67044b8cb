import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { load } from '../../../src/config/load.ts'
import { loaded, problems, SMALL, WORLD } from './fixture.ts'

const listening = (decisions: string, address = '127.0.0.1:9445'): string => `${SMALL}
server: { listeners: [{ name: main, address: ":8080", serves: [proxy] }, { name: ask, address: "${address}", serves: [decisions] }] }
decisions: { forwardAuth: ${decisions} }
`

const example = (name: string): string => readFileSync(new URL(`../../../config/${name}`, import.meta.url), 'utf8')

describe('forward authentication', () => {
  it('[FWA1, CFG3] says who asks, from where, and where they tell the address of their caller', () => {
    expect(loaded(listening('{ from: [nginx, envoy], peers: [10.0.0.0/8], tokenFile: token, headers: { address: X-Real-IP, upgrade: X-Upgrade, inject: true } }')).decisions?.forwardAuth).toEqual({
      from: new Set(['nginx', 'envoy']), peers: ['10.0.0.0/8'], tokenFile: '/work-dir/token', forwardedCertificates: null, headers: { address: 'x-real-ip', upgrade: 'x-upgrade', inject: true },
    })
    expect(loaded(listening('{ from: [traefik], tokenFile: token }')).decisions).toMatchObject({ pdp: null, forwardAuth: { peers: null, headers: { address: 'x-forwarded-for', upgrade: null, inject: false } } })
  })

  it.each([
    ['nobody is named', '{ from: [nginx] }', /needs `peers`, `tokenFile`, or both/],
    ['a block is none', '{ from: [nginx], peers: [10.0.0.0/33] }', /'10.0.0.0\/33' is not an address block/],
    ['no block stands there', '{ from: [nginx], peers: [] }', /must not be empty/],
    ['no proxy stands there', '{ from: [], peers: [10.0.0.0/8] }', /must not be empty/],
    ['a proxy is unknown', '{ from: [caddy], peers: [10.0.0.0/8] }', /./],
    ['upgrades are told in a header of our own', '{ from: [nginx], peers: [10.0.0.0/8], headers: { upgrade: Narrowgate-Upgrade } }', /are the gateway’s own/],
    ['the address is told in a header of our own', '{ from: [nginx], peers: [10.0.0.0/8], headers: { address: Narrowgate-Session } }', /are the gateway’s own/],
  ])('[FWA1, CFG3] is refused where %s', (_, written, said) => {
    expect(problems(listening(written)).join('\n')).toMatch(said)
  })

  it('[FWA1, BND4] is where callers are known by certificates, as much as a listener that asks for them', () => {
    const known = (forwardAuth: string): readonly string[] => problems(listening(forwardAuth).replace('authn:', 'authn:\n  mesh: { mtls: { subjects: ["CN=one"] } }'))
    expect(known('{ from: [envoy], peers: [10.0.0.0/8], forwardedCertificates: xfcc }')).toEqual([])
    expect(known('{ from: [envoy], peers: [10.0.0.0/8] }').join()).toMatch(/knows callers by certificates, but no listener asks for any/)
  })

  it('[FWA1, CFG3] is refused where the file of the secret is not there', () => {
    expect(problems(listening('{ from: [nginx], tokenFile: token }'), { ...WORLD, exists: () => false }).join('\n')).toMatch(/the file token does not exist/)
  })

  it('[FWA1, CFG2] has an example that loads without a warning, and the other side of it for Traefik and Envoy, which refuse where they get no answer', () => {
    const result = load(example('examples/forward-auth.yaml'), 'forward-auth.yaml', WORLD)
    expect(result.ok ? result.warnings : result.problems).toEqual([])
    expect(parse(example('forward-auth/traefik.yaml'))).toMatchObject({ http: { middlewares: { narrowgate: { forwardAuth: { address: 'http://127.0.0.1:9445/forward-auth/traefik', trustForwardHeader: false } } } } })
    expect(parse(example('forward-auth/envoy.yaml'))).toMatchObject({ http_filters: [{ typed_config: { failure_mode_allow: false, http_service: { path_prefix: '/forward-auth/envoy' } } }, {}] })
  })
})
