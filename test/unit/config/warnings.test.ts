// What is legal and rarely meant: each oddity is one warning at its place, and a plain file has none.
import { describe, expect, it } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { formatProblem } from '../../../src/config/problem.ts'
import { SMALL, WORLD } from './fixture.ts'

function warnings(text: string): readonly string[] {
  const result = load(text, 'test.yaml', WORLD)
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join('\n'))
  return result.warnings.map(({ line, message }) => `${text.split('\n')[line - 1]?.trim() ?? ''} — ${message}`)
}
const withRules = (...rules: readonly string[]): string => SMALL.replace('      - allow: { methods: [GET] }', rules.map(rule => `      - ${rule}`).join('\n'))
const withGrpc = (...rules: readonly string[]): string => withRules(...rules).replace('upstream: http://deploy:8080', 'upstream: { url: http://deploy:8080, protocol: grpc }')
const BASELINE = 'sessions: { baseline: [{ scopes: [a] }] }\n'
const PURPOSES = 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }\n'

describe('warnings', () => {
  it('[CFG9] a plain file has none', () => {
    expect(warnings(SMALL)).toEqual([])
  })

  it.each<readonly [string, string, string]>([
    ['a rule that is never reached', withRules('allow: { methods: [GET] }', 'deny: { methods: [GET], paths: [/x] }'), '- deny: { methods: [GET], paths: [/x] } — rule deploy#2 is never reached: rule deploy#1 matches everything it would match'],
    ['a path outside of its route', SMALL.replace('host: deploy.internal', 'host: deploy.internal, path: /v1/**').replace('methods: [GET]', 'paths: [/v2/x]'), '- allow: { paths: [/v2/x] } — \'/v2/x\' lies outside of the route\'s own path /v1/**'],
    ['a scope nobody is given', withRules('{ allow: { methods: [GET] }, scope: nobody }'), '- { allow: { methods: [GET] }, scope: nobody } — nothing grants the scope \'nobody\': no profile adds it and no baseline holds it'],
    ['a scope no rule uses', `${SMALL}elevations:\n  p: { adds: [unused], for: 5m }\n`, 'p: { adds: [unused], for: 5m } — no rule uses the scope \'unused\''],
    ['open to every credential', SMALL.replace('routes:', '  b: { apiKey: { header: X-Key, keysFile: keys.yaml } }\nroutes:'), '- allow: { methods: [GET] } — any credential of ci, b may use rule deploy#1'],
    ['a purpose that is only stated', `${withRules('{ allow: { methods: [GET] }, scope: a }')}${PURPOSES}elevations:\n  p: { adds: [a], for: 5m, purpose: [ticket] }\n`, 'p: { adds: [a], for: 5m, purpose: [ticket] } — the purpose is only stated in a header: the caller can write there what it likes'],
    ['a purpose that is only stated in `_meta`', `${withRules('{ allow: { methods: [GET] }, scope: a }')}purposes: { ticket: { meta: acme/ticket, header: x-ticket, source: manual } }\nelevations:\n  p: { adds: [a], for: 5m, purpose: [ticket] }\n`, 'p: { adds: [a], for: 5m, purpose: [ticket] } — the purpose is only stated in `_meta`: the caller can write there what it likes'],
    ['exchanges that outlive their credential', `${SMALL}sessions: { credentialEnd: ignore }\n`, 'sessions: { credentialEnd: ignore } — open exchanges outlive their credential, up to `sessions.max`'],
    ['an upstream nobody uses', `${SMALL}upstreams:\n  unused: { url: http://a:1 }\n`, 'unused: { url: http://a:1 } — no route uses the upstream \'unused\''],
    ['keys fetched without TLS', SMALL.replace('https://ci.example', 'http://ci.example'), 'ci: { jwt: { issuer: http://ci.example, audience: narrowgate } } — keys are fetched without TLS: whoever stands between can replace them'],
    ['gRPC reflection for everybody', withGrpc('allow: { grpc: ["grpc.reflection.v1alpha.ServerReflection/*"] }'), '- allow: { grpc: ["grpc.reflection.v1alpha.ServerReflection/*"] } — without a scope every caller may list all services and methods of the upstream'],
    ['gRPC reflection by its path', withRules('allow: { paths: [/x, /grpc.reflection.v1.ServerReflection/ServerReflectionInfo] }'), '- allow: { paths: [/x, /grpc.reflection.v1.ServerReflection/ServerReflectionInfo] } — without a scope every caller may list all services and methods of the upstream'],
    ['gRPC outside of its route', withGrpc('allow: { grpc: [a.B/C] }').replace('host: deploy.internal', 'host: deploy.internal, path: /v1/**'), '- allow: { grpc: [a.B/C] } — \'/a.B/C\' lies outside of the route\'s own path /v1/**'],
    ['gRPC to an upstream that speaks HTTP/1.1', withRules('allow: { grpc: [a.B/C] }'), '- allow: { grpc: [a.B/C] } — the upstream of the route is spoken to in HTTP/1.1, which carries no gRPC'],
  ])('[CFG9] %s', (_, text, warning) => {
    expect(warnings(text)).toEqual([warning])
  })

  it.each<readonly [string, readonly string[], readonly string[]]>([
    ['a password in the URL', ['url: "rediss://gate:secret@redis"'], ['redis: — the password of Redis is part of `url`']],
    ['Redis without TLS, by URL', ['url: redis://redis.internal'], ['redis: — Redis is reached without TLS: whoever stands between can read and change sessions']],
    ['Redis without TLS, by nodes', ['mode: cluster', 'nodes: [127.0.0.1, 10.0.0.2]'], ['nodes: [127.0.0.1, 10.0.0.2] — Redis is reached without TLS: whoever stands between can read and change sessions']],
    ['loopback needs no TLS', ['mode: cluster', 'nodes: [127.0.0.1, localhost, "[::1]:7000"]'], []],
    ['nodes with TLS', ['mode: cluster', 'nodes: [10.0.0.2]', 'tls: {}'], []],
    ['a user alone is no password', ['url: rediss://gate@redis'], []],
    ['a password in a file', ['url: rediss://gate@redis', 'passwordFile: /run/secrets/redis'], []],
  ])('[CFG9] %s', (_, keys, expected) => {
    expect(warnings(`${SMALL}store:\n  macKeyFile: /run/mac\n  redis:\n${keys.map(key => `    ${key}\n`).join('')}`)).toEqual(expected)
  })

  it('[CFG9] Redis whose records are not signed, at the loopback and elsewhere', () => {
    expect(warnings(`${SMALL}store:\n  redis:\n    url: redis://localhost\n`)).toEqual(['redis: — records in Redis carry no signature: whoever may write there can give rights'])
    expect(warnings(`${SMALL}store:\n  redis:\n    url: rediss://redis\n`)).toEqual(['redis: — records in Redis carry no signature: whoever may write there can give rights'])
  })

  it('[CFG9] a warning about Redis does not show the line with its password', () => {
    const result = load(`${SMALL}store:\n  redis:\n    url: "redis://gate:hunter2@redis"\n`, 'test.yaml', WORLD)
    expect(result.ok && result.warnings.map(formatProblem).join('\n')).not.toContain('hunter2')
    expect(result.ok && result.warnings.length).toBe(3)
  })

  it('[CFG9] a method that must be named is not hidden by a rule that names none, but by one that denies', () => {
    expect(warnings(withRules('allow: {}', 'allow: { methods: [QUERY] }'))).toEqual([])
    expect(warnings(withRules('deny: {}', 'allow: { methods: [QUERY] }'))).toEqual(['- allow: { methods: [QUERY] } — rule deploy#2 is never reached: rule deploy#1 matches everything it would match'])
  })

  it('[CFG9] reflection with a scope, or denied, is meant', () => {
    expect(warnings(withGrpc('{ deny: { grpc: [grpc.reflection.v1.ServerReflection/*] } }', '{ allow: { grpc: [a.B/C] } }'))).toEqual([])
    expect(warnings(`${withGrpc('{ allow: { grpc: [grpc.reflection.v1.ServerReflection/*] }, scope: a }')}${BASELINE}`)).toEqual([])
  })

  it('[CFG9] what only looks like it is none: other methods, narrower first, granted by a baseline', () => {
    expect(warnings(withRules('deny: { methods: [GET], paths: [/x] }', 'allow: { methods: [GET] }', 'deny: { methods: [POST], paths: [/x] }'))).toEqual([])
    expect(warnings(`${withRules('{ allow: { methods: [GET] }, scope: a }')}${BASELINE}`)).toEqual([])
  })
})
