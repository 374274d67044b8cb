// Scores from outside: what of a message is a score, and of whom.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileMessageNumber, compileMessageText, type Compiled } from '../../../src/conditions/compile.ts'
import type { ScoreMap } from '../../../src/config/compile/scores.ts'
import { SCORE_MAX } from '../../../src/core/risk.ts'
import { scored } from '../../../src/signals/scores.ts'

function made<T>(compiled: Compiled<T>): T {
  if (!compiled.ok) throw new Error(compiled.faults.map(({ message }) => message).join('; '))
  return compiled.condition
}
const text = (source: string) => made(compileMessageText(source))
const number = (source: string) => made(compileMessageNumber(source))

const MAP: ScoreMap = { subject: text('body.user'), score: number('body.score'), issuer: null, tenant: text('body.org'), client: null, name: null, at: null }
const read = (message: unknown, map: Partial<ScoreMap> = {}) => scored({ name: 'siem', map: { ...MAP, ...map } }, message)

describe('a score from outside', () => {
  test('[RSK9] is a number of points of a named caller, called as the webhook or as the message says', () => {
    expect(read({ user: 'ann', org: 'acme', score: 40 })).toEqual({ is: 'score', score: { subject: 'ann', issuer: null, tenant: 'acme', client: null, name: 'siem', points: 40, at: null } })
    expect(read({ user: 'ann', org: 'acme', score: 0.4, alert: 'A-7' }, { score: number('body.score * 100.0'), name: text('body.alert') })).toMatchObject({ score: { name: 'A-7', points: 40 } })
    expect(read({ user: 'ann', org: 'acme' }, { score: number('25') })).toMatchObject({ score: { points: 25 } })
    expect(read({ user: 'ann', org: 'acme', score: 1, at: '2027-01-31T12:00:00Z' }, { at: text('body.at') })).toMatchObject({ score: { at: Date.parse('2027-01-31T12:00:00Z') } })
  })

  test('[RSK9] that is missing, no number, negative, too large or of nobody is refused, and says which', () => {
    for (const score of [-0.1, SCORE_MAX + 1, Infinity, -Infinity, NaN, '40', null, true, [40], undefined]) expect([score, read({ user: 'ann', org: 'acme', score })]).toEqual([score, { is: 'fault', of: 'score' }])
    for (const user of ['', null, 7, undefined, 'x'.repeat(513), '\ud800']) expect([user, read({ user, org: 'acme', score: 1 })]).toEqual([user, { is: 'fault', of: 'subject' }])
    expect(read({ user: 'ann', score: 1 })).toEqual({ is: 'fault', of: 'tenant' })
    expect(read({ user: 'ann', org: 'acme', score: 1, alert: 'a b' }, { name: text('body.alert') })).toEqual({ is: 'fault', of: 'name' })
    expect(read({ user: 'ann', org: 'acme', score: 1, at: 'soon' }, { at: text('body.at') })).toEqual({ is: 'fault', of: 'at' })
    expect(read(7)).toEqual({ is: 'fault', of: 'subject' })
  })

  test('[RSK9] is finite and within bounds whatever a message holds', () => {
    fc.assert(fc.property(fc.jsonValue(), fc.oneof(fc.jsonValue(), fc.double()), (user, score) => {
      const answer = read({ user, org: 'acme', score })
      if (answer.is === 'score') expect(answer.score.points >= 0 && answer.score.points <= SCORE_MAX).toBe(true)
    }))
  })

  test('[RSK9] a map that gives no number is found when it is loaded', () => {
    expect(compileMessageNumber('body.user == "x"')).toMatchObject({ ok: false })
    expect(compileMessageNumber('"many"')).toMatchObject({ ok: false })
  })
})
