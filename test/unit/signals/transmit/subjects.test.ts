// Whom a receiver asked to hear of, held against a plain model: a list of names.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { added, type Choice, EVERYBODY, isChosen, removed, type Subject, subjectSchema, SUBJECTS_MAX } from '../../../../src/signals/transmit/subjects.ts'

const user = (sub: string, iss = 'i') => ({ format: 'iss_sub', iss, sub }) as const
const told = (sub: string, session = 's', tenant = 't') => ({ format: 'complex', user: user(sub), session: { format: 'opaque', id: session }, tenant: { format: 'opaque', id: tenant } }) as const
const apply = (choice: Choice, subjects: readonly Subject[], how: typeof added): Choice => subjects.reduce((before, subject) => how(before, subject) ?? before, choice)

describe('whom a receiver hears of', () => {
  test('[TRM4] is everybody, until it names somebody; then whoever it names and did not take away again', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('add', 'remove'), fc.constantFrom('a', 'b', 'c')), { maxLength: 12 }), steps => {
      let choice = EVERYBODY
      const [wanted, unwanted] = [new Set<string>(), new Set<string>()]
      let listed = false
      for (const [how, name] of steps) {
        choice = (how === 'add' ? added : removed)(choice, user(name)) ?? choice
        if (how === 'add' && !listed && unwanted.has(name)) unwanted.delete(name)
        else if (how === 'add') {
          listed = true
          wanted.add(name)
        } else if (listed) wanted.delete(name)
        else unwanted.add(name)
      }
      for (const name of ['a', 'b', 'c']) expect(isChosen(choice, told(name))).toBe(listed ? wanted.has(name) : !unwanted.has(name))
    }))
  })

  test('[TRM4] are those of which every member that both name is the same, and one is', () => {
    const only = (subject: Subject): Choice => apply(EVERYBODY, [subject], added)
    const tenant = (id: string) => ({ format: 'complex', tenant: { format: 'opaque', id } }) as const
    const both = { format: 'complex', user: user('a'), tenant: { format: 'opaque', id: 't' } } as const
    expect([tenant('t'), tenant('u'), both, { ...both, user: user('b') }, user('a'), user('a', 'other'), { format: 'opaque', id: 's' } as const].map(subject => isChosen(only(subject), told('a')))).toEqual([true, false, true, false, true, false, true])
    expect([isChosen(only(tenant('t')), user('a')), isChosen(only(both), user('a'))]).toEqual([false, true])
  })

  test('[TRM4, LIM1] are as many as there may be, and one more is refused', () => {
    const full = apply(EVERYBODY, Array.from({ length: SUBJECTS_MAX }, (_, i) => user(`u${i}`)), added)
    expect(full.subjects).toHaveLength(SUBJECTS_MAX)
    expect([added(full, user('more')), added(full, user('u7'))?.subjects.length]).toEqual([null, SUBJECTS_MAX])
    expect(removed({ ...full, listed: false }, user('more'))).toBeNull()
  })

  test('[TRM4] are named in formats that events here use, and in no other', () => {
    expect([user('a'), told('a'), { format: 'opaque', id: 'x' }].map(subject => subjectSchema.safeParse(subject).success)).toEqual([true, true, true])
    const wrong = [null, 'a', {}, { format: 'email', email: 'a@b' }, { format: 'complex' }, { format: 'complex', device: { format: 'opaque', id: 'x' } }, { ...user('a'), more: 1 }, { format: 'opaque', id: '' }, { format: 'complex', user: told('a') }]
    for (const each of wrong) expect([each, subjectSchema.safeParse(each).success]).toEqual([each, false])
  })
})
