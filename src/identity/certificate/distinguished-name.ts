// A distinguished name as one text (RFC 4514): the last of the sequence first, multi-valued parts in the order DER gives them, each type and value
// in one form. Two names with another order, other parts or other characters are two texts; nothing is folded. SPEC: SES1, SES11
import { allOf, type Element, DerReader, NotDer, oidText, TAG } from './der.ts'

/** RFC 4514 §3; every other type is written by its number, with its value in hexadecimal. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'CN'], ['2.5.4.7', 'L'], ['2.5.4.8', 'ST'], ['2.5.4.10', 'O'], ['2.5.4.11', 'OU'], ['2.5.4.6', 'C'], ['2.5.4.9', 'STREET'],
  ['0.9.2342.19200300.100.1.25', 'DC'], ['0.9.2342.19200300.100.1.1', 'UID'],
])

const ASCII = /^[\x20-\x7e]*$/
const SPECIAL = /^[ #]|[\\"+,;<>]| $/g
// Controls, formats, unassigned, and every space but the plain one: whoever reads a log sees that something is there.
const UNSEEN = /[\p{C}\p{Default_Ignorable_Code_Point}]|(?! )\p{Z}/gu
const octetsOf = (text: string): string => Buffer.from(text, 'utf8').toString('hex').toUpperCase().replace(/../g, '\\$&')

function characters({ tag, body }: Element): string | null {
  if (tag === TAG.utf8) return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  if (tag !== TAG.printable && tag !== TAG.ia5) return null
  const text = body.toString('latin1')
  if (!ASCII.test(text)) throw new NotDer()
  return text
}

function attribute({ tag, body }: Element): string {
  if (tag !== TAG.sequence) throw new NotDer()
  const reader = new DerReader(body)
  const oid = oidText(reader.next(TAG.oid))
  const value = reader.any()
  reader.end()
  const type = TYPES.get(oid)
  const text = type === undefined ? null : characters(value)
  if (text === null) return `${type ?? oid}=#${value.whole.toString('hex')}`
  return `${type}=${text.replace(SPECIAL, '\\$&').replace(UNSEEN, octetsOf)}`
}

function relative({ tag, body }: Element): string {
  if (tag !== TAG.set) throw new NotDer()
  const parts = allOf(body)
  if (parts.some((part, i) => i > 0 && Buffer.compare(parts[i - 1]?.whole ?? part.whole, part.whole) >= 0)) throw new NotDer()
  return parts.map(attribute).join('+')
}

/** Of a Name; the empty name is the empty text. @throws what `DerReader` throws, and TypeError for text that is not UTF-8 */
export const nameText = ({ body }: Element): string => (body.length === 0 ? '' : allOf(body).toReversed().map(relative).join(','))
