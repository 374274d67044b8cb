// The words a request goes with: all that its upstream is to have, or none, and then it does not go.
import { describe, expect, test } from 'vitest'
import { duration, instant } from '../../../src/core/time.ts'
import type { Ask } from '../../../src/proxy/ask.ts'
import { UpstreamIdentity } from '../../../src/proxy/upstream-identity.ts'
import type { Exchange } from '../../../src/enforcement/exchange.ts'
import { contentDigest } from '../../../src/upstream/message-signature.ts'
import { newKeyPem, signingKeyOf } from '../../../src/upstream/signing-key.ts'
import type { Upstream } from '../../../src/upstream/upstream.ts'
import { verified } from '../../support/signed-message.ts'

const key = signingKeyOf(newKeyPem())
type Room = ConstructorParameters<typeof UpstreamIdentity>[0]
const identityWith = (ready: string | null, transaction: string | null): UpstreamIdentity =>
  new UpstreamIdentity({ minter: { ready: () => ready, transaction: () => transaction, key }, keeper: { clock: { now: () => instant(1_800_000_000_000) } } } as unknown as Room) // what it asks

const TRANSACTION = { audience: 'prod.example', life: duration(30_000), scope: null }
const SIGNATURE = { key: { is: 'context' }, tag: 'narrowgate', components: ['@method', 'content-digest'], expires: duration(30_000) }
const upstreamWith = (transaction: object | null, signature: object | null = null): Upstream => ({ name: 'api', signingKey: null, settings: { origin: 'http://a:1', transaction, signature } }) as unknown as Upstream // likewise
const askFor = (upstream: Upstream, bytes: Buffer | null = null): Ask => ({ context: null, transaction: null, readBody: bytes === null ? null : { bytes }, method: 'POST', place: { route: { upstream: 'api' }, rule: null }, world: { upstreams: new Map([['api', upstream]]) } }) as unknown as Ask // likewise
const exchangeOf = (live: object | null): Exchange => ({ live, permit: { grant: { is: 'baseline' }, until: instant(Infinity) }, evaluation: { context: { source: '' } } }) as unknown as Exchange // likewise
const EXCHANGE = exchangeOf({ record: {} })

function noted(upstream: Upstream, identity: UpstreamIdentity, exchange: Exchange | null = EXCHANGE): readonly (string | null)[] {
  const ask = askFor(upstream)
  identity.note(ask, exchange)
  return [ask.context, ask.transaction]
}

describe('the tokens', () => {
  test('[CTX3, WIRE13] all that its upstream is to have, or nothing', () => {
    expect(noted(upstreamWith(null), identityWith('context', 'transaction'))).toEqual(['context', null])
    expect(noted(upstreamWith(TRANSACTION), identityWith('context', 'transaction'))).toEqual(['context', 'transaction'])
    expect(noted(upstreamWith(TRANSACTION), identityWith('context', null))).toEqual([null, null])
    expect(noted(upstreamWith(TRANSACTION), identityWith(null, null))).toEqual([null, null])
  })

  test('[WIRE13] nobody\'s request has none', () => {
    expect(noted(upstreamWith(TRANSACTION), identityWith('context', 'transaction'), exchangeOf(null))).toEqual([null, null])
    expect(noted(upstreamWith(TRANSACTION), identityWith('context', 'transaction'), null)).toEqual([null, null])
  })

  test('[CTX2] it goes with what it was admitted with', () => {
    const ask = askFor(upstreamWith(TRANSACTION))
    identityWith('first', 'first too').note(ask, EXCHANGE)
    identityWith('second', 'second too').note(ask, EXCHANGE)
    expect([ask.context, ask.transaction]).toEqual(['first', 'first too'])
  })
})

describe('the signature', () => {
  const HEADERS = ['host', 'a', 'Content-Digest', 'forged', 'content_digest', 'forged', 'x', 'y']
  const bytes = Buffer.from('{"a":1}')

  test('[CTX9] a digest of the body that is read takes the place of any other, under every spelling; one that streams keeps its caller\'s', () => {
    const [upstream, identity] = [upstreamWith(null, SIGNATURE), identityWith(null, null)]
    const read = identity.signed(askFor(upstream, bytes), { exchange: null, status: 0, path: '/' }, HEADERS, upstream)
    expect(read.slice(0, 6)).toEqual(['host', 'a', 'x', 'y', 'content-digest', contentDigest(bytes)])
    expect(verified({ method: 'POST', scheme: 'http', path: '/', headers: read }, [key.public])?.components).toEqual(['@method', 'content-digest'])
    expect(identity.signed(askFor(upstream), { exchange: null, status: 0, path: '/' }, HEADERS, upstream).slice(0, 8)).toEqual(HEADERS)
  })

  test('[CTX8] without it nothing is added and nothing is copied', () => {
    const upstream = upstreamWith(null)
    expect(identityWith(null, null).signed(askFor(upstream), { exchange: null, status: 0, path: '/' }, HEADERS, upstream)).toBe(HEADERS)
  })
})
