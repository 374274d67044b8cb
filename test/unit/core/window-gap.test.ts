// A window that closed while nobody looked: what ran before it does not run on when it opens again.
import { expect, test } from 'vitest'
import type { Anchor } from '../../../src/core/anchor.ts'
import { footingOf, endedBy } from '../../../src/core/footing.ts'
import type { Instant } from '../../../src/core/time.ts'
import type { Override, Schedule } from '../../../src/core/window.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

/** Open from 0 to 100, and from 300 to 400. */
const shifts: Schedule = {
  name: 'shifts', timeZone: 'UTC', version: 'v1',
  around: now => [{ opens: at(0), closes: at(100) }, { opens: at(300), closes: at(400) }].find(({ closes }) => now < closes) ?? null,
}
const policy = { ...policyOf(profile('fix', ['db:write'])), windows: new Map([['shifts', shifts]]) }

const word = (override: Override): Anchor =>
  ({ record: 'anchor', kind: 'window', name: 'shifts', version: 1, state: 'open', generation: at(-1e6), since: NOW, note: '', matter: { is: 'window', override, reopened: at(-1e6) } })

function endOf(since: number, now: number, override: Override | null = null): string | null {
  const runs = elevation('elv_1', { within: ['shifts'], state: { is: 'active', since: at(since), until: at(10_000) } })
  return endedBy(runs, footingOf(runs, policy, { find: () => (override === null ? null : word(override)) }, { principal: SESSION.principal, claims: {}, changed: false }, at(now)))
}
const moved = (from: number, until: number): { readonly from: Instant; readonly until: Instant } => ({ from: at(from), until: at(until) })

test('[WIN4] what began in one opening is over in the next, also where nobody wrote down that the window closed between them', () => {
  expect([endOf(50, 99), endOf(50, 200), endOf(50, 300), endOf(50, 350), endOf(300, 350)]).toEqual([null, 'window_closed', 'window_closed', 'window_closed', null])
})

test('[WIN4] an opening that an operator moved goes on into the one behind it where they touch', () => {
  expect([endOf(250, 290, moved(200, 300)), endOf(250, 350, moved(200, 300)), endOf(150, 350, moved(200, 300)), endOf(250, 350, moved(200, 280))]).toEqual([null, null, 'window_closed', 'window_closed'])
})
