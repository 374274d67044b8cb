import { describe, expect, it } from 'vitest'
import { baselineOf, isEligible } from '../../../src/core/policy.ts'
import { routeOf } from '../../../src/core/route.ts'
import { CALLER } from '../conditions/fixture.ts'
import { loaded, problems, SMALL } from './fixture.ts'

describe('what a file becomes', () => {
  it('[CFG1] the same configuration has the same digest, however it is written; another has another', () => {
    const { digest, policy } = loaded(SMALL)
    const flow = '{ routes: [{ rules: [{ allow: { methods: ["GET"] } }], upstream: "http://deploy:8080", match: { host: deploy.internal }, name: deploy }], authn: { ci: { jwt: { audience: narrowgate, issuer: "https://ci.example" } } }, version: 1 }'
    expect(loaded(flow).digest).toBe(digest)
    expect(policy.digest).toBe(digest)
    expect(loaded(SMALL.replace('GET', 'POST')).digest).not.toBe(digest)
  })

  it('[CFG1] what stands behind a reference counts for the digest', () => {
    const text = `${SMALL}context: { issuer: "\${env:ISSUER}" }\n`
    const world = (issuer: string) => ({ directory: '/', variable: () => issuer, read: () => null, exists: () => true, cores: 4 })
    expect(loaded(text, world('a')).digest).not.toBe(loaded(text, world('b')).digest)
  })

  it('[CFG1] routes are found by the compiled table', () => {
    const { policy } = loaded(SMALL)
    const target = { host: 'deploy.internal', path: '/x', segments: ['x'], query: '' }
    expect(routeOf(policy.table, target)).toBe(policy.routes[0])
    expect(routeOf(policy.table, { ...target, host: 'other.internal' })).toBe('wrong_host')
  })

  it('[CFG1] a suffix covers subdomains and not the domain itself', () => {
    const { policy } = loaded(SMALL.replace('deploy.internal', '"*.Example.com"'))
    const at = (host: string) => routeOf(policy.table, { host, path: '/', segments: [''], query: '' })
    expect(at('a.b.example.com')).toBe(policy.routes[0])
    expect(at('example.com')).toBe('wrong_host')
    expect(at('badexample.com')).toBe('wrong_host')
  })

  it('[CFG1] baseline and eligibility are asked of the compiled conditions', () => {
    const { policy } = loaded(`${SMALL}
sessions: { baseline: [{ scopes: [a] }, { when: 'subject.kind == "ci"', scopes: [b] }, { when: 'subject.claims.missing == 1', scopes: [c] }] }
elevations: { release: { adds: [deploy:write], for: 15m, eligible: 'subject.claims.repository == "acme/shop"' } }
`)
    expect(baselineOf(policy, CALLER, {})).toEqual(['a', 'b'])
    const profile = policy.profiles.get('release')
    expect(profile).toMatchObject({ title: 'release', for: 900_000, max: 900_000, approval: null })
    if (profile === undefined) throw new Error('no profile')
    expect(isEligible(profile, CALLER, { repository: 'acme/shop' })).toBe(true)
    expect(isEligible(profile, CALLER, {})).toBe(false)
  })

  it('[CFG1] providers default to all of the file, in its order', () => {
    const two = SMALL.replace('routes:', '  b: { apiKey: { header: X-Key, keysFile: keys.yaml } }\nroutes:')
    expect(loaded(two).policy.routes[0]?.authn).toEqual(['ci', 'b'])
    expect(loaded(two).providers.get('b')).toMatchObject({ header: 'x-key', keysFile: '/work-dir/keys.yaml', kind: 'service' })
  })

  it('[CFG1] types of tokens are compared without their prefix', () => {
    const typed = SMALL.replace('audience: narrowgate', 'audience: [a, b], typ: [application/AT+JWT, JWT]')
    expect(loaded(typed).providers.get('ci')).toMatchObject({ types: ['at+jwt', 'jwt'], audience: ['a', 'b'] })
  })

  it('[CFG8] an end by news is compiled to the purpose that carries it', () => {
    const { policy } = loaded(`${SMALL}
purposes: { run: { claim: run_id, source: manual } }
elevations: { release: { adds: [x], for: 15m, purpose: [run], endWhen: [run.finished, run.ended], approval: { by: approver, within: 5m } } }
`)
    expect(policy.profiles.get('release')).toMatchObject({ purposes: ['run'], endWhen: ['run'], approval: { stages: [{ role: 'approver', count: 1 }], within: 300_000, extend: 'approval' } })
    expect(policy.purposes.get('run')).toEqual({ kind: 'run', from: { is: 'claim', claim: 'run_id' }, source: 'manual' })
  })
})

describe('references', () => {
  const world = { directory: '/', variable: (name: string) => ({ PORT: '8081', HOST: 'h', TRICK: 'x, ephemeral: true', EMPTY: '' })[name], read: (path: string) => (path === '/f' ? 'line\n' : null), exists: () => true, cores: 4 }
  const withContext = (issuer: string) => loaded(`${SMALL}context: { issuer: ${issuer} }\n`, world).context.issuer

  it('[CFG6] are filled from the environment and from files', () => {
    expect(withContext('"${env:HOST}-${file:/f}-${env:NONE:-d}"')).toBe('h-line-d')
    expect(withContext('"${env:EMPTY:-d}x"')).toBe('x')
    expect(withContext('"$${env:HOST}"')).toBe('${env:HOST}')
  })

  it('[CFG6] never become structure', () => {
    const settings = loaded(`${SMALL}context: { issuer: "\${env:TRICK}" }\n`, world)
    expect(settings.context.issuer).toBe('x, ephemeral: true')
    expect(settings.ephemeral).toBe(false)
  })

  it('[CFG6] an unquoted one that is the whole value is read like a value; a quoted one is text', () => {
    const limits = (value: string) => `${SMALL}server:\n  limits:\n    connections: ${value}\n`
    expect(loaded(limits('${env:PORT}'), world).limits.connections).toBe(8081)
    expect(problems(limits('"${env:PORT}"'), world)).toEqual(['expected a number, found text'])
  })
})

describe('conditions in YAML', () => {
  it('[CFG4] a wrong one is shown at its column, in a block too', () => {
    const result = problems(SMALL.replace('methods: [GET] }', 'methods: [GET] }\n        if: |\n          true &&\n          subjct.kind == "x"'))
    expect(result).toEqual(['condition, column 9: Unknown variable: subjct'])
  })

  it('[CFG3] `true` must be text', () => {
    expect(problems(SMALL.replace('methods: [GET] }', 'methods: [GET] }\n        if: true'))).toEqual(['expected a condition in CEL, as text'])
  })
})

describe('listeners', () => {
  const withListeners = (...listeners: readonly string[]): string => `${SMALL}\nserver: { listeners: [${listeners.join(', ')}] }\n`
  const main = '{ name: main, address: ":8080", serves: [proxy] }'

  it('[CFG7] an admin listener off loopback needs TLS', () => {
    const open = withListeners(main, '{ name: admin, address: "0.0.0.0:9443", serves: [admin] }')
    const closed = withListeners(main, '{ name: admin, address: "0.0.0.0:9443", serves: [admin], tls: { certFile: a.crt, keyFile: a.key } }')
    const local = withListeners(main, '{ name: admin, address: "127.0.0.1:9443", serves: [admin] }')
    expect(problems(open).join()).toMatch(/TLS|tls/)
    expect([problems(closed), problems(local)]).toEqual([[], []])
  })

  it('[CFG7] no two listeners share an address', () => {
    expect(problems(withListeners(main, '{ name: ops, address: ":8080", serves: [health] }'))).not.toEqual([])
    expect(problems(withListeners(main, '{ name: ops, address: ":8081", serves: [health] }'))).toEqual([])
    for (const [address, others] of [['127.0.0.1:8080', ':8080'], ['0.0.0.0:8080', '127.0.0.2:8080'], ['[::]:8080', '10.0.0.1:8080']]) {
      expect(problems(withListeners(`{ name: main, address: "${address}", serves: [proxy] }`, `{ name: keys, address: "${others}", serves: [keys] }`))).toEqual(["listener 'main' has this address already"])
    }
    expect(problems(withListeners('{ name: main, address: "10.0.0.1:8080", serves: [proxy] }', '{ name: keys, address: "10.0.0.2:8080", serves: [keys] }'))).toEqual([])
    expect(problems(withListeners('{ name: main, address: ":0", serves: [proxy] }', '{ name: keys, address: ":0", serves: [keys] }'))).toEqual([])
  })

  it.each(['admin', 'health', 'metrics'])('[ADM9] callers do not share one with %s', service => {
    for (const callers of ['proxy', 'keys']) {
      const shared = `{ name: both, address: "127.0.0.1:8081", serves: [${callers}, ${service}] }`
      expect(problems(withListeners(main, shared))).toEqual([`a listener does not serve both \`${callers}\` and \`${service}\``])
    }
    expect(problems(withListeners(main, `{ name: ops, address: "127.0.0.1:8081", serves: [admin, health, ${service}] }`))).toEqual([])
  })
})
