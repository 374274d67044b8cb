// The fields that say where a message ends and what becomes of its connection (RFC 9112 §6, §9.3), as both sides read them. SPEC: WIRE3, WIRE12

/** Names of this length alone are looked at more closely. */
export const [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] = [10, 14, 17] as const

/** 15 digits are exact. */
export const LENGTH = /^\d{1,15}$/

export const tokens = (value: string): readonly string[] => value.split(',').map(token => token.trim().toLowerCase())

/** Trailers that would say another thing about the message they end. */
export const framesAgain = (trailers: readonly string[]): boolean =>
  trailers.some((name, i) => i % 2 === 0 && (name.length === CONTENT_LENGTH || name.length === TRANSFER_ENCODING) && /^(?:content-length|transfer-encoding)$/i.test(name))
