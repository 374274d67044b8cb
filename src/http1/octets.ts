// Which octets may stand where in a message of HTTP/1.1, as tables: one look-up for each octet. SPEC: WIRE3, WIRE12
const table = (allowed: RegExp): Uint8Array => Uint8Array.from({ length: 256 }, (_, octet) => (allowed.test(String.fromCharCode(octet)) ? 1 : 0))

/** tchar (RFC 9110 §5.6.2). */
export const TOKEN: Uint8Array = table(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/)
/** What a field value, a reason phrase or a chunk extension may hold (RFC 9110 §5.5): no control but the tab. */
export const TEXT: Uint8Array = table(/[\t\x20-\x7e\x80-\xff]/)
/** What a request target may hold: nothing but visible ASCII. */
export const VISIBLE: Uint8Array = table(/[!-~]/)
export const DIGIT: Uint8Array = table(/\d/)

/** The value of a hexadecimal digit; -1 where it is none. */
export const hexOf = (octet: number): number => {
  if (octet >= 48 && octet <= 57) return octet - 48
  const lower = octet | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

export const CR = 13
export const LF = 10
