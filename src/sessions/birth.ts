// The birth of a data set, or of its newest part, is a not-before mark for every credential: what an older one had ended must not come back with a
// lost file, server or shard. A first installation, or an operator who accepts the loss, lifts it. SPEC: STO11, SES6
import type { Lock, Selector } from '../core/anchor.ts'
import type { Log } from '../runtime/log.ts'
import { newLockId, newSignalId } from '../runtime/id.ts'
import type { Ledger } from './ledger.ts'
import type { Page, SessionStore } from './store.ts'
import type { Instant } from '../core/time.ts'

const MARK = 'birth.mark'

type Born = SessionStore & { readonly born: Instant }

const selectorOf = (store: Born): Selector => ({ kind: 'issuedBefore', value: String(store.born) })

const PAGE = 500

/** The marks that stand: one for each birth nobody has accepted yet. An operator may have lifted some by hand. */
async function marks(store: Born): Promise<readonly Lock[]> {
  const found: Lock[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Page = await store.list('lock', cursor, PAGE)
    for (const record of page.records) if (record.record === 'lock' && record.state === 'set' && record.reason === 'state_lost' && record.selector.kind === 'issuedBefore') found.push(record)
    cursor = page.next
  }
  return found
}

/** What was said of the data set as it is now; null where nothing was, or where a part of it is younger than the word. */
async function saidOf(store: Born): Promise<string | null> {
  const [word = '', born = '', ...more] = (await store.kept(MARK))?.split(' ') ?? []
  if (word === '' || more.length > 0) return null
  return born === '' || Number(born) >= store.born ? word : null // words without a birth were said when a data set had no parts
}

const textOf = (word: string, store: Born): string => `${word} ${store.born}`

/** At every start of a gateway, and when a part was replaced: a data set nobody installed or accepted refuses what was issued before it. */
export async function markBirth(store: Born, ledger: Ledger, ephemeral: boolean): Promise<'marked' | 'clean'> {
  const said = await saidOf(store)
  if (said !== null) return said === 'marked' && (await marks(store)).length > 0 ? 'marked' : 'clean'
  if (ephemeral) {
    await store.keep(MARK, textOf('ephemeral', store))
    return 'clean'
  }
  const isFirst = (await store.kept(MARK)) === null
  await ledger.applyToLock(selectorOf(store), { kind: 'lock.set', lock: newLockId(), selector: selectorOf(store), effect: 'deny', reason: 'state_lost', until: null, id: newSignalId(), by: 'store', note: 'the data set, or a part of it, is new; what came before it is unknown' })
  if (isFirst) return (await store.keepFirst(MARK, textOf('marked', store))).startsWith('marked') ? 'marked' : 'clean' // another gateway may have been first
  await store.keep(MARK, textOf('marked', store))
  return 'marked'
}

/** First installation: there was nothing before that could be lost. Only on a data set that is new. */
export async function installStore(store: Born): Promise<'installed' | 'exists'> {
  if ((await store.kept(MARK)) !== null) return 'exists'
  const text = textOf('installed', store)
  return (await store.keepFirst(MARK, text)) === text ? 'installed' : 'exists'
}

/** The operator's word that credentials from before the loss may be used again; `nothing` where none are refused. */
export async function acceptLoss(store: Born, ledger: Ledger, by: string, reason: string): Promise<'accepted' | 'nothing'> {
  const said = await saidOf(store)
  const standing = await marks(store)
  if (said !== null && !(said === 'marked' && standing.length > 0)) return 'nothing'
  for (const { selector } of standing) await ledger.applyToLock(selector, { kind: 'lock.lifted', id: newSignalId(), by, note: reason })
  await store.keep(MARK, textOf('accepted', store))
  return 'accepted'
}

/** Where the data set is new, its birth is a mark for every credential, and told. */
export async function tellBirth(store: Born & Pick<SessionStore, 'keep'>, ledger: Ledger, ephemeral: boolean, log: Pick<Log, 'warn'>): Promise<void> {
  if ((await markBirth(store, ledger, ephemeral)) === 'marked') log.warn({ born: store.born }, 'the data set is new: credentials issued before it are refused until `store accept-loss`')
}
