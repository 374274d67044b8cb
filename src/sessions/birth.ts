// The birth of a data set is a not-before mark for every credential: what an older data set had ended must not come back with a lost file.
// A first installation, or an operator who accepts the loss, lifts it. SPEC: STO8, SES6
import type { Selector } from '../core/anchor.ts'
import { lockRef } from '../core/record.ts'
import { newLockId, newSignalId } from '../runtime/id.ts'
import type { Ledger } from './ledger.ts'
import type { SessionStore } from './store.ts'
import type { Instant } from '../core/time.ts'

const MARK = 'birth.mark'

type Born = SessionStore & { readonly born: Instant }

const selectorOf = (store: Born): Selector => ({ kind: 'issuedBefore', value: String(store.born) })

/** Does the lock still stand? An operator may have lifted it by hand. */
async function refuses(store: Born): Promise<boolean> {
  const lock = await store.load(lockRef(selectorOf(store)))
  return lock?.record === 'lock' && lock.state === 'set'
}

/** At every start of a gateway: a data set nobody installed or accepted refuses what was issued before it. */
export async function markBirth(store: Born, ledger: Ledger, ephemeral: boolean): Promise<'marked' | 'clean'> {
  const kept = await store.kept(MARK)
  if (kept !== null) return kept === 'marked' && (await refuses(store)) ? 'marked' : 'clean'
  if (ephemeral) {
    await store.keep(MARK, 'ephemeral')
    return 'clean'
  }
  await ledger.applyToLock(selectorOf(store), { kind: 'lock.set', lock: newLockId(), selector: selectorOf(store), effect: 'deny', reason: 'state_lost', until: null, id: newSignalId(), by: 'store', note: 'the data set is new; what came before it is unknown' })
  return (await store.keepFirst(MARK, 'marked')) === 'marked' ? 'marked' : 'clean' // another gateway may have been first
}

/** First installation: there was nothing before that could be lost. Only on a data set that is new. */
export async function installStore(store: Born): Promise<'installed' | 'exists'> {
  if ((await store.kept(MARK)) !== null) return 'exists'
  return (await store.keepFirst(MARK, 'installed')) === 'installed' ? 'installed' : 'exists'
}

/** The operator's word that credentials from before the loss may be used again; `nothing` where none are refused. */
export async function acceptLoss(store: Born, ledger: Ledger, by: string, reason: string): Promise<'accepted' | 'nothing'> {
  const kept = await store.kept(MARK)
  if (kept !== null && !(kept === 'marked' && (await refuses(store)))) return 'nothing'
  await ledger.applyToLock(selectorOf(store), { kind: 'lock.lifted', id: newSignalId(), by, note: reason })
  await store.keep(MARK, 'accepted')
  return 'accepted'
}
