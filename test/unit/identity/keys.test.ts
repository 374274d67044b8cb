import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DiscoveredKeys, keysUrl, metadataUrls } from '../../../src/identity/discovery.ts'
import { JwtProvider } from '../../../src/identity/jwt.ts'
import { KEY_TIMES, type Keys, RemoteKeys } from '../../../src/identity/keys.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'
import { type Metadata, TokenIssuer } from '../../support/token-issuer.ts'
import { HandClock, jwtSettings, NOON, proven, refused } from './fixtures.ts'

let issuer: TokenIssuer
let http: HttpClient
let clock: HandClock
let notices: string[]

// jose reads the age of its keys from Date, the rest of the code from the clock given to it: both move together here.
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOON })
  issuer = await TokenIssuer.create()
  http = new HttpClient()
  clock = new HandClock()
  notices = []
})
afterEach(async () => {
  vi.useRealTimers()
  await http.close()
  await issuer.close()
})

function pass(ms: number): void {
  clock.advance(ms)
  vi.setSystemTime(clock.now())
}

const tools = () => ({ clock, http, notice: (error: Error) => void notices.push(error.message) })
const over = (keys: Keys) => new JwtProvider(jwtSettings({ issuer: issuer.issuer }), keys, clock, '')
const token = (header = {}): Promise<string> => issuer.sign({}, { now: clock.now(), lifetime: 1_000_000, header })
const fetches = (): number => issuer.requests.filter(url => url === '/keys').length

async function remote() {
  await issuer.serve()
  return over(new RemoteKeys(new URL(issuer.jwksUri), tools()))
}

async function discovered(metadata: Metadata = 'both', path = '') {
  await issuer.serve(path)
  issuer.metadata = metadata
  return over(new DiscoveredKeys(issuer.issuer, tools()))
}

describe('keys of a URL', () => {
  test('[SES13] are fetched on first use, once for all who wait', async () => {
    const provider = await remote()
    expect(issuer.requests).toEqual([])
    const text = await token()
    await Promise.all([proven(provider, text), proven(provider, text), proven(provider, text)])
    expect(fetches()).toBe(1)
  })

  test('[SES13] an unknown key id causes one fetch, and then none before the cooldown is over', async () => {
    const provider = await remote()
    const old = await token()
    await proven(provider, old)
    await issuer.rotate()
    const fresh = await token()
    expect(await refused(provider, fresh)).toEqual({ reason: 'credential_invalid', detail: 'key_unknown' })
    expect(fetches()).toBe(1)
    pass(KEY_TIMES.cooldown)
    await proven(provider, fresh)
    expect(fetches()).toBe(2)
    expect(await refused(provider, old)).toMatchObject({ detail: 'key_unknown' })
    for (let made = 0; made < 20; made++) expect(await refused(provider, await token({ kid: `made-up-${made}` }))).toMatchObject({ detail: 'key_unknown' })
    expect(fetches()).toBe(2)
  })

  test('[SES13] that cannot be fetched refuse, and are asked for again only after a pause', async () => {
    const provider = await remote()
    issuer.down = true
    const text = await token()
    for (let attempt = 0; attempt < 5; attempt++) expect(await refused(provider, text)).toEqual({ reason: 'credential_invalid', detail: 'keys_unavailable' })
    expect(fetches()).toBe(1)
    expect(notices).toEqual([expect.stringContaining('answered 503')])
    issuer.down = false
    pass(KEY_TIMES.failureCooldown)
    await proven(provider, text)
  })

  test('[SES13] are renewed beside the work; an issuer that is down leaves them in use for an hour, no longer', async () => {
    const provider = await remote()
    const text = await token()
    await proven(provider, text)
    issuer.down = true
    pass(KEY_TIMES.refresh)
    await proven(provider, text)
    await vi.waitUntil(() => notices.length === 1)
    pass(KEY_TIMES.stale - KEY_TIMES.refresh - 1)
    await proven(provider, text)
    await vi.waitUntil(() => notices.length === 2)
    pass(KEY_TIMES.failureCooldown)
    expect(await refused(provider, text)).toMatchObject({ detail: 'keys_unavailable' })
  })

  test('[SES13] a withdrawn key stops counting at the next renewal', async () => {
    const provider = await remote()
    const text = await token()
    await proven(provider, text)
    await issuer.rotate()
    pass(KEY_TIMES.refresh)
    await proven(provider, text)
    await vi.waitUntil(() => fetches() === 2)
    await vi.waitFor(async () => expect(await refused(provider, text)).toMatchObject({ detail: 'key_unknown' }))
  })

  test('[SES13] unknown key ids while the issuer is down do not cost the keys already there', async () => {
    const provider = await discovered()
    const text = await token()
    await proven(provider, text)
    issuer.down = true
    pass(KEY_TIMES.cooldown)
    expect(await refused(provider, await token({ kid: 'made-up' }))).toMatchObject({ detail: 'keys_unavailable' })
    await proven(provider, text)
  })
})

describe('discovery', () => {
  test.each(['openid', 'oauth', 'both'] as const)('[SES13] finds the keys where metadata is %s, lazily and once', async metadata => {
    for (const path of ['', '/realms/acme']) {
      const provider = await discovered(metadata, path)
      expect(issuer.requests).toEqual([])
      const text = await token()
      await Promise.all([proven(provider, text), proven(provider, text)])
      expect(fetches()).toBe(1)
      expect(issuer.requests.filter(url => url.includes('.well-known'))).toHaveLength(metadata === 'oauth' ? 2 : 1)
      await issuer.close()
      issuer.requests.length = 0
    }
  })

  test('[SES13] metadata of another issuer is refused', async () => {
    const provider = await discovered()
    issuer.claimedIssuer = `${issuer.issuer}/`
    expect(await refused(provider, await token())).toMatchObject({ detail: 'keys_unavailable' })
    expect(fetches()).toBe(0)
  })

  test('[SES13] a failure is told once and followed by a pause', async () => {
    const provider = await discovered('none')
    const text = await token()
    for (let attempt = 0; attempt < 5; attempt++) expect(await refused(provider, text)).toMatchObject({ detail: 'keys_unavailable' })
    expect(issuer.requests).toHaveLength(2)
    expect(notices).toHaveLength(1)
    issuer.metadata = 'openid'
    pass(KEY_TIMES.failureCooldown)
    await proven(provider, text)
  })

  test('[SES13] metadata is looked for at the OpenID place, then at that of RFC 8414', () => {
    const hrefs = (of: string): readonly string[] => metadataUrls(of).map(url => url.href)
    expect(hrefs('https://a.example')).toEqual(['https://a.example/.well-known/openid-configuration', 'https://a.example/.well-known/oauth-authorization-server'])
    expect(hrefs('https://a.example/t/1/')).toEqual(['https://a.example/t/1/.well-known/openid-configuration', 'https://a.example/.well-known/oauth-authorization-server/t/1'])
  })

  test.each([null, 'x', {}, { issuer: 'https://a' }, { issuer: 'https://a', jwks_uri: 'nowhere' }, { issuer: 'https://a', jwks_uri: 'http://a/keys' }, { issuer: 'https://a', jwks_uri: 'file:///etc/keys' }, { issuer: ['https://a'], jwks_uri: 'https://a/k' }])(
    '[SES13] metadata %j names no keys of https://a',
    metadata => {
      expect(() => keysUrl(metadata, 'https://a')).toThrow('metadata')
    },
  )
})
