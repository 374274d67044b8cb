// What is open is asked about beside new requests: neither waits for the other's turn, and a no is the last word for both.
import { expect, test } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { apiKeysOf } from '../../../src/identity/api-key-file.ts'
import { ApiKeyProvider } from '../../../src/identity/api-key.ts'
import { type Identification, invalid, type Presented, type Proof, type Provider } from '../../../src/identity/credential.ts'
import { Identifier } from '../../../src/identity/identify.ts'
import { NEW_MAX, OPEN_MAX } from '../../../src/identity/verifier.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { apiKeySettings, bearer, DIGEST_KEY, HandClock, NO_STORE, NOON } from './fixtures.ts'

const SECRET = 'correct-horse-battery'
const NAMES = ['slow']
const clock = new HandClock()
const BEYOND = instant(NOON + 1)

/** What its keys say is known until `BEYOND`; a question waits until the test answers it. */
class Slow implements Provider {
  readonly name = 'slow'
  readonly header = 'authorization'
  readonly issuer = null
  readonly opaque = 'any'
  readonly fingerprint = 'slow'
  readonly #keys = new ApiKeyProvider(apiKeySettings({}), apiKeysOf([{ id: 'k1', sha256: sha256(SECRET), subject: 'billing' }]), clock, 'billing')
  readonly #turns: (() => void)[] = []

  async prove(text: string, digest: string): Promise<Proof> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turns.push(resolve)
    const proof = await this.#keys.prove(text, digest)
    await promise
    if (this.says !== 'what its keys say') return invalid(this.says === 'no' ? 'inactive' : 'introspection_unavailable')
    if (proof.is === 'refused') return proof
    return { is: 'proven', proven: { ...proof.proven, knownUntil: BEYOND } }
  }

  says: 'what its keys say' | 'no' | 'silence' = 'what its keys say'

  vouchesFor(): boolean { return true }

  get asked(): number { return this.#turns.length }

  /** Answers the question that was asked as so manieth, the first being 0; without one all of them. */
  answer(which: number | null = null): void {
    if (which === null) for (const turn of this.#turns) turn()
    else this.#turns[which]?.()
  }
}

const identifierOf = (slow: Slow): Identifier => new Identifier(new Map([['slow', slow]]), { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })
const told = (answer: Identification): string => (answer.is === 'refused' ? answer.detail : 'verified')
const shown: readonly Presented[] = bearer(SECRET)

test('[SES16] any number of new credentials leaves room for what is open, and that has a limit of its own', async () => {
  const slow = new Slow()
  const all = identifierOf(slow)
  const answers = Array.from({ length: NEW_MAX }, (_, i) => all.identify(NAMES, bearer(`stranger-${i}`)))
  expect(told(await all.identify(NAMES, bearer('one-too-many')))).toBe('busy')
  const open = all.identify(NAMES, shown, undefined, BEYOND)
  for (let i = 1; i < OPEN_MAX; i++) answers.push(all.identify(NAMES, bearer(`open-${i}`), undefined, BEYOND))
  expect(told(await all.identify(NAMES, bearer('open-too-many'), undefined, BEYOND))).toBe('busy')
  slow.answer()
  expect(told(await open)).toBe('verified')
  await Promise.all(answers)
  expect(all.counts).toMatchObject({ pending: 0, busy: 2 })
})

test('[SES16] what is open waits for no question of a new request, which has its answer from that of what is open', async () => {
  const slow = new Slow()
  const all = identifierOf(slow)
  const before = all.identify(NAMES, shown)
  const open = all.identify(NAMES, shown, undefined, BEYOND)
  const behind = all.identify(NAMES, shown)
  expect(slow.asked).toBe(2)
  slow.answer(1)
  expect([told(await open), told(await behind)]).toEqual(['verified', 'verified'])
  slow.answer(0)
  expect(told(await before)).toBe('verified')
})

test('[SES12, SES16] a no forgets what was known and is told once; an answer that comes behind it revives nothing', async () => {
  const slow = new Slow()
  const all = identifierOf(slow)
  const denied: string[] = []
  all.onDenied = (provider, digest) => void denied.push(`${provider} ${digest}`)
  const first = all.identify(NAMES, shown)
  slow.answer(0)
  const answer = await first
  expect(all.identifyNow(NAMES, shown)).toBe(answer)
  if (answer.is === 'verified') all.dropSession(answer.verified.key)
  const late = all.identify(NAMES, shown)
  const open = all.identify(NAMES, shown, undefined, BEYOND)
  slow.says = 'no'
  slow.answer(2)
  expect(told(await open)).toBe('inactive')
  slow.says = 'what its keys say'
  slow.answer(1)
  expect([told(await late), all.identifyNow(NAMES, shown), denied]).toEqual(['inactive', null, [`slow ${sha256(SECRET)}`]])
})

test('[SES12, SES16] a provider that cannot tell takes nothing back', async () => {
  const slow = new Slow()
  const all = identifierOf(slow)
  const denied: string[] = []
  all.onDenied = (_provider, digest) => void denied.push(digest)
  const first = all.identify(NAMES, shown)
  slow.answer(0)
  await first
  slow.says = 'silence'
  const open = all.identify(NAMES, shown, undefined, BEYOND)
  slow.answer(1)
  expect(told(await open)).toBe('introspection_unavailable')
  expect([all.identifyNow(NAMES, shown) === null, denied]).toEqual([false, []])
})
