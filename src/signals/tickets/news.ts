// What a source says of a ticket becomes news of its anchor. An end always counts; anything else only where nothing newer is known, and only for the
// anchor as it was when the source was asked: what happened meanwhile is never undone by an older answer. SPEC: TKT1, TKT2, TKT3, SIG4
import type { MessageMap } from '../../config/compile/connectors.ts'
import type { Anchor, AnchorRef, Matter, TicketFacts } from '../../core/anchor.ts'
import { factsOf } from '../../core/footing.ts'
import type { AnchorNews, SignalId } from '../../core/signal.ts'
import { after, type Duration, duration, type Instant, later } from '../../core/time.ts'
import type { Intake } from '../intake.ts'
import type { Ticket } from './mapping.ts'

export type Said = { readonly ref: AnchorRef; readonly ticket: Ticket; readonly map: MessageMap; /** The connector. */ readonly source: string; readonly now: Instant }

/** `unopened`: a message that opens nothing, because its source can be asked; that is done when somebody needs it. `again`: this very message was taken before. `late`: something newer is known. `onlyHere`: in force, but the store has not taken it yet. */
export type Taken = { readonly is: 'taken' | 'unchanged' | 'unopened' | 'again' | 'late' | 'onlyHere'; readonly anchor: Anchor | null }

/** How often news is tried on an anchor that keeps changing. */
const ATTEMPTS = 8

const changedAt = (facts: TicketFacts): number => (typeof facts['at'] === 'number' ? facts['at'] : 0)

/** What the map does not speak of stays as another way of the same source told it. */
function merged(known: Anchor | null, { ticket: { facts }, map }: Said): TicketFacts {
  const before = factsOf(known)
  const kept = Object.entries(before).filter(([name]) => name !== 'at' && !map.facts.has(name))
  const at = Math.max(changedAt(before), changedAt(facts))
  return { ...Object.fromEntries(kept), ...facts, ...(at === 0 ? {} : { at }) }
}

/** Always another instant than before: a message that says the same as the last one leaves its mark too. */
function matterOf(known: Anchor | null, said: Said): Extract<Matter, { is: 'ticket' }> {
  const before = known?.matter?.is === 'ticket' ? known.matter.seenAt : null
  return { is: 'ticket', facts: merged(known, said), source: said.source, seenAt: before === null ? said.now : later(said.now, after(before, duration(1))), was: [] } // what it said before is kept where it is taken
}

const isLate = (known: Anchor | null, { ticket: { at } }: Said): boolean => at !== null && changedAt(factsOf(known)) > at

const sameFacts = (a: TicketFacts, b: TicketFacts): boolean => {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every(name => a[name] === b[name])
}

/** Nothing new, and heard of recently enough. */
function isKnown(known: Anchor, matter: Extract<Matter, { is: 'ticket' }>, again: Duration | null): boolean {
  if (known.matter?.is !== 'ticket' || !sameFacts(known.matter.facts, matter.facts)) return false
  return again === null || matter.seenAt - known.matter.seenAt < again
}

export type Ports = { readonly intake: Pick<Intake, 'anchor'>; readonly load: (ref: AnchorRef) => Promise<Anchor | null> }
/** Who says it; `id` makes a repeated message the same news. */
type Voice = { readonly by: string; readonly id: SignalId | null }

async function put({ intake }: Ports, ref: AnchorRef, news: AnchorNews, { by, id }: Voice, note: string, of: number | null): Promise<Taken | null> {
  const { record, facts, position, assumed } = await intake.anchor(ref, news, { by, note, id, ...(of === null ? {} : { of }) })
  if (assumed !== null) return { is: 'onlyHere', anchor: record }
  if (facts.length > 0) return { is: 'taken', anchor: record }
  if (position !== null) return { is: 'again', anchor: record }
  return of !== null && (record?.version ?? 0) !== of ? null : { is: 'unchanged', anchor: record }
}

/** It is over, for whatever reason. */
export async function endTicket(ports: Ports, ref: AnchorRef, matter: Matter | null, voice: Voice, note: string): Promise<Taken> {
  return (await put(ports, ref, { kind: 'anchor.ended', matter }, voice, note, null)) ?? { is: 'unchanged', anchor: null }
}

/** A message that was sent to us: about the ticket as it is when it is taken. It always leaves a mark, by which the same one is known again. */
export async function takeMessage(ports: Ports, said: Said & { /** Its word is enough. */ readonly opens: boolean }, voice: Voice): Promise<Taken> {
  if (said.ticket.closed) return endTicket(ports, said.ref, matterOf(await ports.load(said.ref).catch(() => null), said), voice, '') // also while the store is down
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const known = await ports.load(said.ref)
    if (isLate(known, said)) return { is: 'late', anchor: known }
    if (known?.state !== 'open' && !said.opens) return { is: 'unopened', anchor: known }
    const taken = await put(ports, said.ref, { kind: known?.state === 'open' ? 'anchor.told' : 'anchor.opened', matter: matterOf(known, said) }, voice, '', known?.version ?? 0)
    if (taken !== null) return taken
  }
  throw new Error(`${said.ref.kind} of ${said.source} kept changing under ${ATTEMPTS} attempts to tell of it`)
}

/**
 * An answer we asked for: about the ticket as it was before. Null where it changed meanwhile: it has to be asked again.
 * @param known the anchor before the source was asked
 * @param again how soon the same is told again, so that others know that it was heard; null never
 */
export async function takeAnswer(ports: Ports, said: Said, known: Anchor | null, again: Duration | null, by: string): Promise<Taken | null> {
  const matter = matterOf(known, said)
  const isTold = known !== null && (known.state === 'ended') === said.ticket.closed
  if (isTold && isKnown(known, matter, said.ticket.closed ? null : again)) return { is: 'unchanged', anchor: known }
  if (said.ticket.closed) return endTicket(ports, said.ref, matter, { by, id: null }, '')
  if (isLate(known, said)) return { is: 'late', anchor: known }
  return put(ports, said.ref, { kind: known?.state === 'open' ? 'anchor.told' : 'anchor.opened', matter }, { by, id: null }, '', known?.version ?? 0)
}
