// What a ticket said for a moment: who stood on it and lost it stays without it, also where nobody had settled that when it said the other thing again.
import { expect, test } from 'vitest'
import { type Anchor, type AnchorRef, anchorOf, type TicketFacts } from '../../../src/core/anchor.ts'
import type { TaskCondition } from '../../../src/core/condition.ts'
import { footingOf } from '../../../src/core/footing.ts'
import type { AnchorNews, SignalId } from '../../../src/core/signal.ts'
import { transitionAnchor } from '../../../src/core/transition.ts'
import { at, elevation, policyOf, profile, SESSION } from './world.ts'

const TICKET: AnchorRef = anchorOf('itsm', 'ticket', '', 'CHG-1')
const approved: TaskCondition = { source: 'ticket.state == "approved"', readsTicket: true, test: ({ ticket }) => (ticket['state'] === 'approved' ? 'true' : 'false') }
const policy = { ...policyOf({ ...profile('fix', ['db:write']), require: approved }), connectors: new Map([['itsm', { name: 'itsm', tenanted: false, staleAfter: null, onStale: 'keep' as const }]]) }

type Kind = 'anchor.opened' | 'anchor.told' | 'anchor.ended'
const said = (facts: TicketFacts, seconds: number, kind: Kind = 'anchor.told'): AnchorNews => ({ kind, matter: { is: 'ticket', facts, source: 'itsm', seenAt: at(seconds), was: [] } })
const after = (...news: readonly AnchorNews[]): Anchor | null =>
  news.reduce<Anchor | null>((anchor, one, i) => transitionAnchor(TICKET, anchor, { ...one, id: `sig_${i}` as SignalId, by: 'test', note: '' }, at(i)).record, null) // a word of the test

function endOf(checkedAt: number, ticket: Anchor | null) {
  const stands = elevation('elv_1', { ticket: TICKET, checked: { facts: {}, source: 'itsm', seenAt: at(checkedAt) } })
  return footingOf(stands, policy, { find: () => ticket }, { principal: SESSION.principal, claims: {}, changed: false }, at(60)).ended
}

const yes = { state: 'approved' }
const no = { state: 'rejected' }

test('[TKT3] what was rejected for a moment ends what stood on the ticket before, and nothing that was asked for since', () => {
  const flipped = after(said(yes, 1, 'anchor.opened'), said(no, 2), said(yes, 3))
  expect([endOf(1, flipped), endOf(3, flipped), endOf(1, after(said(yes, 1, 'anchor.opened'), said(yes, 2)))]).toEqual(['ticket_changed', null, null])
})

test('[TKT3] it is remembered through an end and what came of it, and no more than a few changes are kept', () => {
  expect(endOf(1, after(said(yes, 1, 'anchor.opened'), said(no, 2, 'anchor.ended'), said(yes, 3, 'anchor.opened')))).toBe('ticket_changed')
  const many = after(said(yes, 0, 'anchor.opened'), ...Array.from({ length: 40 }, (_, i) => said({ state: 'approved', turn: i }, i + 1)))
  expect(many?.matter?.is === 'ticket' ? many.matter.was.map(({ facts }) => facts['turn']) : null).toEqual([38, 37, 36, 35, 34, 33, 32, 31])
})
