// One member's place in a shard's history: what it has applied, what follows from a heartbeat's answer, what is lost after a fork. Pure: no clock,
// no connection, so that a model test can drive it. SPEC: STO14-STO16
import { instant } from '../../core/time.ts'
import { type Entry, epochOfId, type Point, sequenceOf } from './entry.ts'

export type Reply = {
  /** `NEW`: nothing applied yet. `OK`: what was applied is in this history. `FORK`: the id is there with another nonce. `LOST`: it is not there. */
  readonly status: 'NEW' | 'OK' | 'FORK' | 'LOST'
  readonly epoch: string
  /** Random identity of the data set. */
  readonly dataSet: string
  readonly head: Point
  /** The head when this epoch opened. */
  readonly base: Point
  /** Everything after what was applied, oldest first, at most a page. */
  readonly entries: readonly Entry[]
}

/** What was applied here, as much as saying it again needs. */
export type Applied = Point & Pick<Entry, 'ref' | 'news' | 'body' | 'at'>

export type Step =
  | { readonly is: 'join' }
  /** These in order; `more` asks again at once. */
  | { readonly is: 'apply'; readonly entries: readonly Entry[]; readonly more: boolean }
  /** A reply whose entries do not follow what is applied: of no use. */
  | { readonly is: 'broken' }
  /** Announcements were missed, nothing was undone. */
  | { readonly is: 'missed' }
  /** These were undone; null when it can not be told which. `rejoinAt` is where the histories part. */
  | { readonly is: 'forked'; readonly orphans: readonly Applied[]; readonly known: boolean; readonly rejoinAt: Point }
  /** Another data set. */
  | { readonly is: 'replaced'; readonly orphans: readonly Applied[]; readonly rejoinAt: Point }

const JOURNAL_MAX = 100_000
/** How long news is said again to another data set. */
const WITNESSED_FOR = 15 * 60_000

const once = (all: readonly Applied[]): Applied[] => [...new Map(all.map(each => [each.nonce, each])).values()]

export class Follower {
  applied: Point | null = null
  epoch: string | null = null
  dataSet: string | null = null
  /** Nonce of the base of the epoch that was joined: what tells it from another one of the same number. */
  #base: string | null = null
  readonly #page: number
  /** Everything applied lately, oldest first, without gaps. */
  #journal: Applied[] = []
  /** Restrictive news from before the journal. */
  #older: Applied[] = []
  /** Committed by this member and not heard of yet, by nonce. */
  readonly #pledged = new Map<string, Applied>()
  /** News that was lost and said again, until everything is heard that was there then: another may have said it, so that it comes under another nonce, or under none. */
  #said: readonly Applied[] = []
  readonly #journalMax: number

  constructor(page: number, journalMax: number = JOURNAL_MAX) {
    this.#page = page
    this.#journalMax = journalMax
  }

  /** What a reply means. Changes nothing but the epoch where the history goes on. */
  replied(reply: Reply): Step {
    if (this.applied === null) return { is: 'join' }
    if (reply.dataSet !== this.dataSet) return { is: 'replaced', orphans: this.#witnessed(), rejoinAt: reply.head }
    if (reply.status === 'OK') return this.#following(reply)
    if (reply.status === 'LOST' && reply.epoch === epochOfId(this.applied.id) && reply.base.nonce === this.#base && sequenceOf(reply.head.id) > this.#sequence()) return { is: 'missed' } // one that is behind has lost something
    const at = this.#find(reply.base)
    if (at === null) return { is: 'forked', orphans: this.#witnessed(), known: false, rejoinAt: reply.head }
    return { is: 'forked', orphans: once([...this.#journal.slice(at + 1), ...this.#pledged.values(), ...this.#said]), known: true, rejoinAt: reply.base }
  }

  #following(reply: Reply): Step {
    const fresh = reply.entries.filter(({ sequence }) => sequence > this.#sequence())
    let last = this.applied?.nonce
    for (const { previous, nonce } of fresh) {
      if (previous !== last) return { is: 'broken' }
      last = nonce
    }
    return { is: 'apply', entries: fresh, more: reply.entries.length >= this.#page }
  }

  /** Index of a point in the journal; null when it is not known. */
  #find({ id, nonce }: Point): number | null {
    const sequence = sequenceOf(id)
    for (let i = this.#journal.length - 1; i >= 0; i--) {
      const here = this.#journal[i]
      if (here === undefined || sequenceOf(here.id) < sequence) return null
      if (here.id === id) return here.nonce === nonce ? i : null
    }
    return null
  }

  /** The next entry, by push or by heartbeat: what is known already is known by its place, a gap by the chain. */
  take(entry: Entry): 'applied' | 'known' | 'gap' {
    if (this.applied === null || entry.sequence <= this.#sequence()) return 'known'
    if (entry.previous !== this.applied.nonce) return 'gap'
    this.applied = { id: entry.id, nonce: entry.nonce }
    this.#pledged.delete(entry.nonce)
    this.#remember({ id: entry.id, nonce: entry.nonce, ref: entry.ref, at: entry.at, news: entry.news, body: entry.news === '' ? '' : entry.body })
    return 'applied'
  }

  /** Restrictive news of this member's own that the store took: known to be lost even if it was never heard. */
  pledge(applied: Applied): void {
    const heard = this.applied !== null && epochOfId(applied.id) === epochOfId(this.applied.id) && sequenceOf(applied.id) <= this.#sequence()
    if (heard || this.#pledged.size >= this.#journalMax) return
    this.#pledged.set(applied.nonce, applied)
  }

  /** News that this epoch, as far as it is applied, may not have: its own, and what was said again to another. */
  unheard(epoch: string): readonly Applied[] { return once([...[...this.#pledged.values()].filter(({ id }) => epochOfId(id) !== epoch), ...this.#said]) }

  /** Everything the server had when it was asked is applied, what was said again before included. */
  caughtUp(): void { this.#said = [] }

  /** Goes on from there, in that epoch of that data set; what was lost has been dealt with. */
  rejoin(at: Point, reply: Reply, keepJournal: boolean, lost: readonly Applied[]): void {
    const from = keepJournal ? this.#find(at) : null
    if (from === null) {
      this.#older = this.#witnessed()
      this.#journal = [{ ...at, ref: null, news: '', body: '', at: instant(0) }]
    } else this.#journal = this.#journal.slice(0, from + 1)
    for (const { nonce } of lost) this.#pledged.delete(nonce) // what was said again meanwhile is pledged anew
    if (lost.length > 0) this.#said = lost.filter(({ news }) => news !== '')
    this.applied = at
    this.turn(reply)
  }

  /** Goes on in another epoch of the same history, from where it is; what was never heard of an older one was said again. */
  turn({ epoch, dataSet, base }: Reply): void {
    for (const [nonce, { id }] of this.#pledged) if (epochOfId(id) !== epoch || sequenceOf(id) <= this.#sequence()) this.#pledged.delete(nonce)
    this.epoch = epoch
    this.dataSet = dataSet
    this.#base = base.nonce
  }

  /** Restrictive news of the last quarter of an hour, its own included. */
  #witnessed(): Applied[] {
    const all = [...this.#older, ...this.#journal, ...this.#pledged.values(), ...this.#said].filter(({ news }) => news !== '')
    const newest = all.reduce((last, { at }) => Math.max(last, at), 0)
    return once(all.filter(({ at }) => at > newest - WITNESSED_FOR)).slice(-this.#journalMax)
  }

  #remember(applied: Applied): void {
    this.#journal.push(applied)
    if (this.#journal.length > 1.1 * this.#journalMax) this.#journal = this.#journal.slice(-this.#journalMax)
  }

  #sequence(): number { return this.applied === null ? -1 : sequenceOf(this.applied.id) }
}
