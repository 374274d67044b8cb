import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type JsonSchema, jsonSchema } from '../../../src/config/json-schema.ts'
import { load } from '../../../src/config/load.ts'
import { formatProblem } from '../../../src/config/problem.ts'
import { WORLD } from './fixture.ts'

const example = (name: string): string => readFileSync(new URL(`../../../config/${name}`, import.meta.url), 'utf8')

function told(text: string, exists: boolean): string {
  const result = load(text, 'example.yaml', { ...WORLD, exists: () => exists })
  return (result.ok ? result.warnings : result.problems).map(formatProblem).join('\n')
}

const keysOf = (schema: JsonSchema): readonly string[] => [
  ...Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => [key, ...keysOf(inner)]),
  ...(typeof schema.additionalProperties === 'object' ? keysOf(schema.additionalProperties) : []),
  ...(schema.items === undefined ? [] : keysOf(schema.items)),
  ...(schema.anyOf ?? []).flatMap(keysOf),
]

describe('the examples', () => {
  it('[CFG2] the smallest file loads without a warning, with the default listeners and discovery', () => {
    expect(told(example('gateway.min.yaml'), false)).toBe('')
    const result = load(example('gateway.min.yaml'), 'min', WORLD)
    expect(result.ok && result.settings.listeners.map(({ host, port, serves }) => `${host}:${port} ${serves.join('+')}`)).toEqual([':8080 proxy+keys', '127.0.0.1:9443 admin', ':9464 health+metrics'])
    expect(result.ok && result.settings.providers.get('ci')).toMatchObject({ keys: { is: 'discovery' }, types: ['at+jwt'] })
  })

  it('[CFG2] the commented file loads as it stands, without any of the files it speaks of', () => {
    expect(told(example('gateway.yaml'), false)).toBe('')
  })

  it('[CFG2] it also loads with everything taken in that needs a file', () => {
    const whole = example('gateway.yaml').replaceAll(/^#:/gm, '')
    expect(told(whole, true)).toBe('')
    expect(load(whole, 'example.yaml', { ...WORLD, exists: () => false }).ok).toBe(false)
  })

  it('[CFG2] the one for Redis loads without a warning where its files are there, and names each that is not', () => {
    expect(told(example('redis.yaml'), true)).toBe('')
    const result = load(example('redis.yaml'), 'redis.yaml', { ...WORLD, exists: () => false })
    expect(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1])).toEqual([
      '/tls/redis-ca.crt', '/tls/tls.crt', '/tls/tls.key', '/run/secrets/redis', '/run/secrets/sentinel', '/run/secrets/store-mac', '/run/secrets/store-mac-old',
    ])
  })

  it('[CFG2] the one for protocols loads without a warning where its files are there, and names each that is not', () => {
    expect(told(example('protocols.yaml'), true)).toBe('')
    const result = load(example('protocols.yaml'), 'protocols.yaml', { ...WORLD, exists: () => false })
    expect(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1])).toEqual([
      '/tls/tls.crt', '/tls/tls.key', '/tls/internal-ca.crt', '/tls/tls.crt', '/tls/tls.key', '/tls/internal-ca.crt',
    ])
  })

  it('[CFG2] the one for identity loads without a warning where its files are there, and names each that is not', () => {
    expect(told(example('identity.yaml'), true)).toBe('')
    const result = load(example('identity.yaml'), 'identity.yaml', { ...WORLD, exists: () => false })
    expect(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1])).toEqual([
      '/tls/tls.crt', '/tls/tls.key', '/tls/clients-ca.crt', '/tls/clients.crl', '/run/spire/prod.example.org.pem', '/run/spire/partner.example.pem', '/tls/tls.crt', '/tls/tls.key', '/tls/operators-ca.crt', '/run/secrets/break-glass', '/run/secrets/introspection', '/tls/internal-ca.crt', '/run/spire/bundle.json', '/run/cluster/jwks.json',
      '/var/run/secrets/kubernetes.io/serviceaccount/token', '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    ])
  })

  it('[CFG2] the one for elevations loads without a warning where its files are there, and names each that is not', () => {
    expect(told(example('elevations.yaml'), true)).toBe('')
    const result = load(example('elevations.yaml'), 'elevations.yaml', { ...WORLD, exists: () => false })
    expect([...new Set(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1]))]).toEqual([
      '/tls/tls.crt', '/tls/tls.key', '/run/secrets/operators.json', '/etc/narrowgate/orchestrator.jwks', '/run/secrets/itsm-token', '/tls/internal-ca.crt', '/run/secrets/itsm', '/run/secrets/pipeline', '/run/secrets/siem', '/run/secrets/edr', '/run/secrets/hook', '/run/secrets/slack-url',
    ])
  })

  it('[CFG2] the one for risk loads without a warning where its files are there, and names each that is not', () => {
    expect(told(example('risk.yaml'), true)).toBe('')
    const result = load(example('risk.yaml'), 'risk.yaml', { ...WORLD, exists: () => false })
    expect(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1])).toEqual(['/tls/tls.crt', '/tls/tls.key', '/run/secrets/operators.json', '/run/secrets/hook', '/run/secrets/endpoint-agent'])
  })

  it('[CFG2] the one for news from outside loads without a warning where its files are there, and names each that is not', () => {
    expect(told(example('signals.yaml'), true)).toBe('')
    const result = load(example('signals.yaml'), 'signals.yaml', { ...WORLD, exists: () => false })
    expect([...new Set(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1]))]).toEqual([
      '/tls/tls.crt', '/tls/tls.key', '/run/secrets/hook', '/run/secrets/ssf-client', '/tls/internal-ca.crt', '/run/secrets/mdm-token', '/etc/narrowgate/mdm.jwks', '/run/secrets/hr-authorization', '/etc/narrowgate/login.jwks',
    ])
  })

  it.each(readdirSync(new URL('../../../config/examples/', import.meta.url)))('[CFG2] the scenario %s loads where its files are there', name => {
    const result = load(example(`examples/${name}`), name, WORLD)
    expect(result.ok ? [] : result.problems).toEqual([])
  })

  it('[CFG2] they show every key there is', () => {
    const text = example('gateway.yaml') + example('redis.yaml') + example('protocols.yaml') + example('identity.yaml') + example('elevations.yaml') + example('risk.yaml') + example('signals.yaml') + example('examples/brokered.yaml') + example('examples/mcp.yaml')
    expect([...new Set(keysOf(jsonSchema()))].filter(key => !new RegExp(`\\b${key}\\b`).test(text))).toEqual([])
  })
})
