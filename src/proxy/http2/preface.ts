// Tells HTTP/2 by prior knowledge (RFC 9113 §3.3) from HTTP/1.1 by a connection's first bytes, which it leaves where they are. SPEC: WIRE16
import type { Finding } from '../first-bytes.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const HTTP1: Finding<'http1'> = { found: 'http1', used: 0 }
const HTTP2: Finding<'http2'> = { found: 'http2', used: 0 }

/** Null while the bytes may still become either. */
export function prefaceOf(bytes: Buffer): Finding<'http1' | 'http2'> | null {
  const length = Math.min(bytes.length, PREFACE.length)
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return HTTP1
  return length === PREFACE.length ? HTTP2 : null
}
