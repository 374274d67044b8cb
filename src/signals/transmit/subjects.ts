// Whom an event is about as SSF names it, and whom a receiver asked to hear of. What cannot be compared is nobody. Pure. SPEC: TRM4
import { z } from 'zod'

/** Members as RFC 9493 and SSF 1.0 have them: those that our own events use. */
type Simple = { readonly format: 'iss_sub'; readonly iss: string; readonly sub: string } | { readonly format: 'opaque'; readonly id: string }
type Complex = { readonly format: 'complex'; readonly session?: Simple | undefined; readonly user?: Simple | undefined; readonly tenant?: Simple | undefined }
export type Subject = Simple | Complex

const text = z.string().min(1).max(1024)
const simple = z.discriminatedUnion('format', [z.strictObject({ format: z.literal('iss_sub'), iss: text, sub: text }), z.strictObject({ format: z.literal('opaque'), id: text })])
const complex = z.strictObject({ format: z.literal('complex'), session: simple.optional(), user: simple.optional(), tenant: simple.optional() })
  .refine(({ session, user, tenant }) => session !== undefined || user !== undefined || tenant !== undefined)

/** Others are not understood: nothing told here would ever match them. */
export const subjectSchema = z.union([simple, complex])

export const SUBJECTS_MAX = 1_000
/** `listed`: only those that were added are told of; else all but those that were removed. */
export type Choice = { readonly listed: boolean; readonly subjects: readonly Subject[] }
export const EVERYBODY: Choice = { listed: false, subjects: [] }

const RESPECTS = ['session', 'user', 'tenant'] as const

const isSameSimple = (a: Simple, b: Simple): boolean => (a.format === 'iss_sub' ? b.format === 'iss_sub' && a.iss === b.iss && a.sub === b.sub : b.format === 'opaque' && a.id === b.id)

const membersOf = (subject: Subject): Omit<Complex, 'format'> => (subject.format === 'complex' ? subject : subject.format === 'iss_sub' ? { user: subject } : { session: subject })

/** Each member that both have is the same, and one of them is (SSF 1.0 §5). */
function covers(chosen: Subject, told: Subject): boolean {
  const [one, other] = [membersOf(chosen), membersOf(told)]
  const both = RESPECTS.flatMap(respect => {
    const [a, b] = [one[respect], other[respect]]
    return a === undefined || b === undefined ? [] : [isSameSimple(a, b)]
  })
  return both.length > 0 && both.every(Boolean)
}

const isSame = (a: Subject, b: Subject): boolean => RESPECTS.every(respect => {
  const [one, other] = [membersOf(a)[respect], membersOf(b)[respect]]
  return one === undefined || other === undefined ? one === other : isSameSimple(one, other)
})

export const isChosen = ({ listed, subjects }: Choice, told: Subject): boolean => subjects.some(subject => covers(subject, told)) === listed

const without = (subjects: readonly Subject[], subject: Subject): readonly Subject[] => subjects.filter(each => !isSame(each, subject))

/** null where there are too many. */
export function added({ listed, subjects }: Choice, subject: Subject): Choice | null {
  const next: Choice = !listed && subjects.some(each => isSame(each, subject)) ? { listed, subjects: without(subjects, subject) } : { listed: true, subjects: [...(listed ? without(subjects, subject) : []), subject] }
  return next.subjects.length > SUBJECTS_MAX ? null : next
}

/** null where there are too many. */
export function removed({ listed, subjects }: Choice, subject: Subject): Choice | null {
  const next: Choice = { listed, subjects: listed ? without(subjects, subject) : [...without(subjects, subject), subject] }
  return next.subjects.length > SUBJECTS_MAX ? null : next
}
