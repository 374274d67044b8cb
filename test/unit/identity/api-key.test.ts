import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { ProviderSettings } from '../../../src/config/settings.ts'
import { ApiKeyProvider } from '../../../src/identity/api-key.ts'
import { apiKeysOf } from '../../../src/identity/api-key-file.ts'
import { buildProviders } from '../../../src/identity/provider.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { apiKeySettings, HandClock, jwtSettings, NOON, proven, refused } from './fixtures.ts'

const SECRET = 'correct-horse-battery'
const HEX = Buffer.from(sha256(SECRET), 'base64url').toString('hex')
const entry = (changes = {}) => ({ id: 'k1', sha256: HEX, subject: 'billing', ...changes })
const provider = (entries: unknown, settings = {}, clock = new HandClock()) => new ApiKeyProvider(apiKeySettings(settings), apiKeysOf({ keys: entries }), clock, '')

describe('an API key', () => {
  test('[SES14] proves who its entry says', async () => {
    const { principal, claims, evidence, mark } = await proven(provider([entry({ tenant: 'acme', claims: { team: 'ops' } })], { claims: { tenant: 'org', owner: 'team', client: null, device: null, subjectCase: 'exact' } }), SECRET)
    expect(principal).toEqual({ kind: 'service', issuer: 'api-key:legacy', tenant: 'acme', subject: 'billing', client: '', owner: 'ops', actor: null })
    expect(claims).toEqual({ team: 'ops', sub: 'billing' })
    expect(evidence).toEqual({ provider: 'legacy', fingerprint: expect.any(String), credential: sha256('["api-key:legacy","k1"]'), issuer: 'api-key:legacy', keyId: 'k1', issuedAt: null, expiresAt: null, keyThumbprint: null, device: null, claimed: {} })
    expect(mark).toEqual({ is: 'entry', value: 'k1' })
  })

  test('[SES14] is refused when unknown, also when its digest is shown instead of it', async () => {
    for (const text of ['', 'other', HEX, sha256(SECRET), `${SECRET} `]) expect(await refused(provider([entry()]), text)).toEqual({ reason: 'credential_invalid', detail: 'api_key_unknown' })
  })

  test('[SES14] ends when its entry says', async () => {
    const clock = new HandClock()
    const keys = provider([entry({ expires: new Date(NOON + 1000).toISOString() })], {}, clock)
    expect((await proven(keys, SECRET)).evidence.expiresAt).toBe(NOON + 1000)
    clock.advance(1000)
    expect(await refused(keys, SECRET)).toEqual({ reason: 'credential_expired', detail: 'expired' })
  })

  test('[SES14] an entry cannot claim another subject than its own', async () => {
    expect((await proven(provider([entry({ claims: { sub: 'root' } })]), SECRET)).principal.subject).toBe('billing')
  })
})

describe('the file', () => {
  test('[SES14] takes digests in hex and base64url, as mapping or list', () => {
    for (const value of [{ keys: [entry()] }, [entry({ sha256: sha256(SECRET) })], [entry({ sha256: HEX.toUpperCase() })]]) expect([...apiKeysOf(value).keys()]).toEqual([sha256(SECRET)])
  })

  test.each([
    ['text', 'must be { keys: [...] }'],
    [{ keys: [], more: 1 }, 'must be { keys: [...] }'],
    [[entry(), 7], 'keys[1]: must be a mapping'],
    [[entry({ sha: 1 })], 'keys[0]: "sha" is not known here'],
    [[entry({ id: '' })], 'keys[0]: id must be a name'],
    [[entry({ subject: 'a ' })], 'keys[0]: subject must be a name'],
    [[entry({ tenant: 7 })], 'keys[0]: tenant must be a name'],
    [[entry({ claims: [] })], 'keys[0]: claims must be a mapping'],
    [[entry({ expires: 'tomorrow' })], 'keys[0]: expires must be a time'],
    [[entry({ expires: '2027-13-40T00:00:00Z' })], 'keys[0]: expires must be a time'],
    [[entry({ sha256: SECRET })], 'keys[0]: sha256 must be the SHA-256 of the key'],
    [[entry({ sha256: HEX.slice(2) })], 'keys[0]: sha256 must be the SHA-256 of the key'],
    [[entry(), entry({ sha256: sha256('x') })], 'keys[1]: id "k1" is used twice'],
    [[entry(), entry({ id: 'k2', sha256: sha256(SECRET) })], 'keys[1]: sha256 is used twice'],
  ])('[SES14] refuses %j and says where', (value, message) => {
    expect(() => apiKeysOf(value)).toThrow(message)
  })

  test('[SES14] never repeats what was put where a digest belongs', () => {
    expect(() => apiKeysOf([entry({ sha256: SECRET })])).toThrow(expect.objectContaining({ message: expect.not.stringContaining(SECRET) }))
  })
})

describe('building', () => {
  test('[SES14] reads files now and says which is wrong; [SES13] asks no network', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'identity-'))
    try {
      const keysFile = join(dir, 'keys.yaml')
      const tools = { clock: new HandClock(), http: { getJson: () => Promise.reject(new Error('asked')), post: () => Promise.reject(new Error('asked')) }, findSession: () => Promise.reject(new Error('asked')), parseYaml: (text: string): unknown => parse(text), notice: () => {} }
      const build = (file = keysFile) =>
        buildProviders(
          new Map<string, ProviderSettings>([
            ['legacy', apiKeySettings({ keysFile: file })],
            ['agents', jwtSettings()],
          ]),
          tools,
        )
      await writeFile(keysFile, `keys:\n  - id: k1\n    sha256: ${HEX}\n    subject: billing\n`)
      const first = await build()
      expect([...first.keys()]).toEqual(['legacy', 'agents'])
      expect((await build()).get('legacy')?.fingerprint).toBe(first.get('legacy')?.fingerprint)
      await writeFile(keysFile, `keys:\n  - id: k2\n    sha256: ${HEX}\n    subject: billing\n`)
      expect((await build()).get('legacy')?.fingerprint).not.toBe(first.get('legacy')?.fingerprint)
      await writeFile(keysFile, 'keys: 7')
      await expect(build()).rejects.toThrow(`authn.legacy: ${keysFile}: must be { keys: [...] }`)
      await expect(build(join(dir, 'none'))).rejects.toThrow(`${join(dir, 'none')}: no such file`)
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})
