// The word that goes upstream: how long it counts, and that a request that may still pass has one.
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import { describe, expect, test } from 'vitest'
import type { TransactionSettings } from '../../../src/config/compile/upstream-identity.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import { type Elevation, PLAIN } from '../../../src/core/elevation.ts'
import type { Actor } from '../../../src/core/principal.ts'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import type { About, Transaction } from '../../../src/upstream/claims.ts'
import { ContextMinter } from '../../../src/upstream/context.ts'
import type { ContextKeys } from '../../../src/upstream/context-keys.ts'
import { newKeyPem, signingKeyOf } from '../../../src/upstream/signing-key.ts'

const START = 1_800_000_000_250
let now = START
const clock = { now: (): Instant => instant(now), elapsed: () => now }
const signing = signingKeyOf(newKeyPem())
const keys: ContextKeys = { signing, published: [signing.public], fresh: () => Promise.resolve(), named: () => Promise.resolve(), stop: () => undefined }
const minter = new ContextMinter(keys, 'narrowgate', clock)
const about = (until: number): About => ({
  session: { id: 'ses_a', version: 1, principal: { tenant: '', client: 'c', issuer: 'i', subject: 's', actor: null } } as unknown as About['session'], // what the minter reads
  grant: { is: 'baseline' }, upstream: 'api', until: instant(until), transaction: null,
})

test('[WIRE13] in the last moments of a right there is a word too, and it ends with the right', async () => {
  for (const left of [1, 500, 749, 750, 999]) {
    now = START
    const asked = about(START + left)
    await minter.mint(asked)
    const token = minter.ready(asked)
    expect(decodeJwt(token ?? '').exp, String(left)).toBe((START + left) / 1000)
    now = START + left
    expect(minter.ready(asked)).toBeNull()
  }
})

test('[WIRE13] whole seconds where there is time, and nothing that outlives the right', async () => {
  now = START
  const asked = about(START + 5_500)
  await minter.mint(asked)
  expect(decodeJwt(minter.ready(asked) ?? '').exp).toBe(Math.floor((START + 5_500) / 1000))
  expect(minter.ready(about(START + 4_000))).toBeNull()
})

test('[WIRE13] a word that was ready when it was asked for is not missing a moment later', async () => {
  now = START
  const asked = about(START + 600_000)
  await minter.mint(asked)
  now = START + 15_000
  expect([minter.isReady(asked), minter.ready(asked) === null]).toEqual([false, false])
  now = START + 30_000
  expect(minter.ready(asked)).toBeNull()
})

test('[WIRE13] words that are past their end make way for new ones: what is kept follows the sessions that ask', async () => {
  const fresh = new ContextMinter(keys, 'narrowgate', clock)
  const of = (i: number, until: number): About => { const asked = about(until); return { ...asked, session: { ...asked.session, id: `ses_${i}` as typeof asked.session.id } } } // the form of an id does not matter here
  now = START
  for (let i = 0; i < 100; i++) await fresh.mint(of(i, START + 600_000))
  expect(fresh.size).toBe(100)
  now = START + 31_000
  for (let i = 100; i < 150; i++) await fresh.mint(of(i, START + 600_000))
  expect(fresh.size).toBe(50)
})

describe('what the tokens say', () => {
  const actor = (depth: number): Actor | null => (depth === 0 ? null : { issuer: 'i', subject: `a${depth}`, actsFor: actor(depth - 1) })
  const ELEVATION = {
    ...PLAIN, id: 'elv_a', profile: 'refunds', adds: ['orders:refund', 'orders:write'], purposes: { ticket: 'T-1' }, ties: [{ anchor: { kind: 'ticket', name: 'itsm/acme/T-1' } }],
    approvals: [{ by: 'ops|ann', at: instant(START), stage: 0, shown: 'digest', claims: { secret: 'of the approver' } }],
  } as unknown as Elevation // what the minter reads
  const granted = (elevation: Elevation): About['grant'] => ({ is: 'elevation', elevation, schedules: [] })
  const SETTINGS: TransactionSettings = { audience: 'prod.example', life: duration(120_000), scope: null }
  const of = (more: Partial<About>, transaction: Partial<Transaction> = {}): About => {
    const asked = about(START + 600_000)
    const session = { ...asked.session, bindings: { ...NOT_BOUND, key: 'thumb' }, principal: { ...asked.session.principal, tenant: 'acme', actor: actor(2) } }
    return { ...asked, session, transaction: { settings: SETTINGS, source: '192.0.2.1', scope: 'orders:read', ...transaction }, ...more }
  }
  async function minted(asked: About): Promise<{ readonly context: JWTPayload; readonly transaction: JWTPayload }> {
    now = START
    await minter.mint(asked)
    return { context: decodeJwt(minter.ready(asked) ?? ''), transaction: decodeJwt(minter.transaction(asked) ?? '') }
  }

  test('[CTX1] who approved what and when, for which ticket; nothing that the approver showed', async () => {
    const { context } = await minted(of({ grant: granted(ELEVATION) }))
    expect(context).toEqual({
      sid: 'ses_a', tenant: 'acme', client: 'c', grant: 'elv_a', elevation: 'elv_a', profile: 'refunds', purpose: { ticket: 'T-1' }, ticket: 'itsm/acme/T-1', scope: 'orders:refund orders:write',
      approval: [{ by: 'ops|ann', at: START / 1000 - 0.25, shown: 'digest' }], act: { iss: 'i', sub: 'a2', act: { iss: 'i', sub: 'a1' } },
      iss: 'narrowgate', sub: 'i|s', aud: 'api', iat: 1_800_000_000, exp: 1_800_000_030,
    })
  })

  test('[CTX1] an elevation that was taken in an emergency says so, and the ticket whose facts it stands on is its ticket', async () => {
    const { context } = await minted(of({ grant: granted({ ...ELEVATION, approvals: [], unasked: 'break_glass', ticket: { kind: 'ticket', name: 'itsm//T-2' } }) }))
    expect([context['approval'], context['unasked'], context['ticket']]).toEqual([undefined, 'break_glass', 'itsm//T-2'])
  })

  test('[CTX1] at most eight actors, outermost first', async () => {
    const asked = of({})
    const { context } = await minted({ ...asked, session: { ...asked.session, principal: { ...asked.session.principal, actor: actor(12) } } })
    const subjects: string[] = []
    for (let act = context['act'] as { readonly sub: string; readonly act?: unknown } | undefined; act !== undefined; act = act.act as typeof act) subjects.push(act.sub)
    expect(subjects).toEqual(['a12', 'a11', 'a10', 'a9', 'a8', 'a7', 'a6', 'a5'])
  })

  test('[CTX4] the transaction, its workload and scope; what it stands on and where it comes from', async () => {
    const { transaction } = await minted(of({ grant: granted(ELEVATION) }))
    expect(transaction).toEqual({
      txn: transaction['txn'], req_wl: 'narrowgate', scope: 'orders:refund orders:write', iss: 'narrowgate', sub: 'i|s', aud: 'prod.example', iat: 1_800_000_000, exp: 1_800_000_120,
      tctx: { session: 'ses_a', grant: 'elv_a', elevation: 'elv_a', profile: 'refunds', purpose: { ticket: 'T-1' }, ticket: 'itsm/acme/T-1', approval: [{ by: 'ops|ann', at: START / 1000 - 0.25, shown: 'digest' }], act: { iss: 'i', sub: 'a2', act: { iss: 'i', sub: 'a1' } } },
      rctx: { source: '192.0.2.1', tenant: 'acme', cnf: { kid: 'thumb' } },
    })
  })

  test('[CTX4] one transaction for a session as it stands under one grant, whatever the upstream, the source and the scope', async () => {
    const txn = async (asked: About): Promise<unknown> => (await minted(asked)).transaction['txn']
    const first = await txn(of({}))
    expect(await txn(of({ upstream: 'other' }, { source: '192.0.2.2', scope: null }))).toBe(first)
    const asked = of({})
    for (const other of [of({ grant: granted(ELEVATION) }), { ...asked, session: { ...asked.session, version: 2 } }, { ...asked, session: { ...asked.session, id: 'ses_b' as typeof asked.session.id } }]) expect(await txn(other)).not.toBe(first)
  })

  test('[CTX4] the scope: as configured, else what the elevation adds, else what the rule asks for', async () => {
    const scope = async (asked: About): Promise<unknown> => (await minted(asked)).transaction['scope']
    expect(await scope(of({ grant: granted(ELEVATION) }, { settings: { ...SETTINGS, scope: 'a b' } }))).toBe('a b')
    expect(await scope(of({}))).toBe('orders:read')
    expect(await scope(of({}, { scope: null }))).toBe('baseline')
  })

  test('[CTX2] a Txn-Token ends with the right too, and counts for nothing that ends earlier', async () => {
    const { transaction } = await minted(of({ until: instant(START + 45_000) }))
    expect(transaction.exp).toBe(1_800_000_045)
    expect([minter.isReady(of({ until: instant(START + 45_000) })), minter.isReady(of({ until: instant(START + 40_000) }))]).toEqual([true, false])
  })

  test('[CTX3] what was made for other settings, another source or none is not at hand', async () => {
    const asked = of({})
    await minted(asked)
    expect(minter.isReady(asked)).toBe(true)
    for (const other of [of({}, { settings: { ...SETTINGS } }), of({}, { source: '192.0.2.9' }), of({}, { scope: 'other' })]) expect([minter.isReady(other), minter.ready(other)]).toEqual([false, null])
    expect(minter.transaction({ ...asked, transaction: null })).toBeNull()
  })

  test('[CTX5] what others know of keys is asked before anything is signed', async () => {
    const other = signingKeyOf(newKeyPem())
    const heard = { ...keys, signing, fresh: async (): Promise<void> => { heard.signing = other } }
    const asked = of({})
    const late = new ContextMinter(heard, 'narrowgate', clock)
    now = START
    await late.mint(asked)
    expect(decodeProtectedHeader(late.ready(asked) ?? '').kid).toBe(other.id)
  })

  test('[CTX5] what is signed is named by the key that signs', async () => {
    const asked = of({})
    await minted(asked)
    for (const token of [minter.ready(asked), minter.transaction(asked)]) expect(decodeProtectedHeader(token ?? '').kid).toBe(signing.id)
    expect(minter.jwks).toEqual({ keys: [signing.public] })
  })
})
