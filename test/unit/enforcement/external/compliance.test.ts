// What a decision point asks for of a session, where some of it cannot be done.
import { expect, test } from 'vitest'
import type { SessionNews } from '../../../../src/core/signal.ts'
import { duration } from '../../../../src/core/time.ts'
import { comply, type CompliancePorts, type Demander, type Notification } from '../../../../src/enforcement/external/compliance.ts'
import type { Obligation } from '../../../../src/enforcement/external/obligations.ts'
import { LiveSession } from '../../../../src/sessions/live-session.ts'
import { at, NOW, SESSION } from '../../core/world.ts'

type Done = Awaited<ReturnType<CompliancePorts['door']['session']>>
const EVERYWHERE: Done = { rejected: null, assumed: null, enforcement: null, record: SESSION }
const ALL: readonly Obligation[] = [{ is: 'terminate' }, { is: 'freeze', for: null }, { is: 'shorten', to: duration(60_000) }, { is: 'narrow', to: ['base:read'] }, { is: 'notify', to: ['soc'], body: 'look', topic: null }]

async function complied(answer: (news: SessionNews) => Promise<Done>, obligations = ALL, session = SESSION) {
  const [news, told]: [SessionNews[], Notification[]] = [[], []]
  const ports: CompliancePorts = {
    door: { session: (_, each) => { news.push(each); return answer(each) } },
    tell: (_, notification) => { told.push(notification) },
  }
  const demander: Demander = { pdp: 'main', evaluation: 'eval_1', live: new LiveSession(session, null, NOW), channels: ['soc'], now: NOW, frozenFor: duration(900_000) }
  return { ...(await comply(ports, obligations, demander)), news, told }
}
const kinds = ({ news }: { readonly news: readonly SessionNews[] }): readonly string[] => news.map(({ kind }) => kind)

test('[PEP5] all of it is done, what leaves least at the end', async () => {
  const outcome = await complied(async () => EVERYWHERE)
  expect([outcome.isDone, outcome.moved, kinds(outcome), outcome.told.length]).toEqual([true, true, ['session.narrowed', 'session.shortened', 'session.frozen', 'session.terminated'], 1])
  expect(outcome.news.slice(1, 3)).toEqual([{ kind: 'session.shortened', endsAt: at(60) }, { kind: 'session.frozen', until: at(900) }])
})

test('[PEP5] what is in force already is done, and told to nobody', async () => {
  const session = { ...SESSION, cap: { is: 'scopes', scopes: ['base:read'] }, endsAt: at(30), frozen: { since: NOW, note: '', until: null } } as const
  const outcome = await complied(async () => EVERYWHERE, ALL.slice(1, 4), session)
  expect([outcome.isDone, outcome.moved, kinds(outcome)]).toEqual([true, false, []])
  expect(kinds(await complied(async () => EVERYWHERE, ALL.slice(0, 4), { ...SESSION, state: { is: 'revoked', at: NOW, reason: 'revoked' } }))).toEqual([])
})

const FAILS: readonly (readonly [string, () => Promise<Done>])[] = [
  ['the store does not take it', async () => { throw new Error('out of reach') }],
  ['it is in force here alone', async () => ({ ...EVERYWHERE, assumed: { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 } })],
  ['a gateway has not said that it is in force', async () => ({ ...EVERYWHERE, enforcement: { gateways: { total: 2, acknowledged: 1, expired: 0 }, exchanges: { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }, exchangesUnknown: 0 } })],
  ['the session takes no such news', async () => ({ ...EVERYWHERE, rejected: { rejected: 'conflict', says: '' } })],
]
test.each(FAILS)('[PEP5] where %s it is not all done, and the rest is', async (_, fails) => {
  const outcome = await complied(async news => (news.kind === 'session.narrowed' ? fails() : EVERYWHERE))
  expect([outcome.isDone, outcome.moved, outcome.news.length, outcome.told.length]).toEqual([false, true, 4, 1])
})
