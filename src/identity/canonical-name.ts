// Names of principals have one spelling: what looks the same to a person or a database is the same or is refused.
// Case is kept: `Bob` and `bob` are two subjects, as OpenID Connect has it, unless their issuer is said not to tell them apart. SPEC: SES11

/** Longest name, in UTF-16 units. */
const NAME_MAX = 512

// Controls, formats, private use and unassigned; every space but U+0020; invisible fillers and selectors; the blank Braille pattern.
const ODD = /[\p{C}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Z}/u

/** One to 512 characters in NFKC (so that no wide, styled or joined letter stands for a plain one), with single inner spaces at most. */
export const isCanonicalName = (value: unknown): value is string =>
  typeof value === 'string' &&
  value !== '' &&
  value.length <= NAME_MAX &&
  value.isWellFormed() &&
  !ODD.test(value) &&
  !value.startsWith(' ') &&
  !value.endsWith(' ') &&
  !value.includes('  ') &&
  value.normalize('NFKC') === value

/** One spelling for all of a name's cases, in small letters; null where that is not one: `ß` is written `SS`, and a last sigma has a form of its own. */
export function foldedName(name: string): string | null {
  const folded = name.toLowerCase().normalize('NFKC')
  return folded === name.toUpperCase().toLowerCase().normalize('NFKC') && isCanonicalName(folded) ? folded : null
}
