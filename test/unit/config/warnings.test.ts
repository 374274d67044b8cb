// What is legal and rarely meant: each oddity is one warning at its place, and a plain file has none.
import { describe, expect, it } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { SMALL, WORLD } from './fixture.ts'

function warnings(text: string): readonly string[] {
  const result = load(text, 'test.yaml', WORLD)
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join('\n'))
  return result.warnings.map(({ line, message }) => `${text.split('\n')[line - 1]?.trim() ?? ''} — ${message}`)
}
const withRules = (...rules: readonly string[]): string => SMALL.replace('      - allow: { methods: [GET] }', rules.map(rule => `      - ${rule}`).join('\n'))
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
    ['exchanges that outlive their credential', `${SMALL}sessions: { credentialEnd: ignore }\n`, 'sessions: { credentialEnd: ignore } — open exchanges outlive their credential, up to `sessions.max`'],
    ['an upstream nobody uses', `${SMALL}upstreams:\n  unused: { url: http://a:1 }\n`, 'unused: { url: http://a:1 } — no route uses the upstream \'unused\''],
    ['keys fetched without TLS', SMALL.replace('https://ci.example', 'http://ci.example'), 'ci: { jwt: { issuer: http://ci.example, audience: narrowgate } } — keys are fetched without TLS: whoever stands between can replace them'],
  ])('[CFG9] %s', (_, text, warning) => {
    expect(warnings(text)).toEqual([warning])
  })

  it('[CFG9] what only looks like it is none: other methods, narrower first, granted by a baseline', () => {
    expect(warnings(withRules('deny: { methods: [GET], paths: [/x] }', 'allow: { methods: [GET] }', 'deny: { methods: [POST], paths: [/x] }'))).toEqual([])
    expect(warnings(`${withRules('{ allow: { methods: [GET] }, scope: a }')}${BASELINE}`)).toEqual([])
  })
})
