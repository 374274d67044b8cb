// PEM (RFC 7468), strictly: blocks of one label in canonical base64. SPEC: CFG3
export type PemLabel = 'CERTIFICATE' | 'X509 CRL'

const BLOCK = /-----BEGIN ([^\r\n-]+)-----([A-Za-z0-9+/=\s]*)-----END ([^\r\n-]+)-----/g
const MARK = /-----(?:BEGIN|END)\b/g

/** Null for what is not base64 in its one form. */
export function base64Bytes(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : null
}

/** The bytes of each block; null where one is broken or has another label. What stands around blocks is not looked at. */
export function pemBlocks(text: string, label: PemLabel): readonly Buffer[] | null {
  const blocks: Buffer[] = []
  for (const [, opened, body = '', closed] of text.matchAll(BLOCK)) {
    const bytes = base64Bytes(body.replace(/\s/g, ''))
    if (opened !== label || closed !== label || bytes === null) return null
    blocks.push(bytes)
  }
  return (text.match(MARK)?.length ?? 0) === blocks.length * 2 ? blocks : null
}

/** The same where nothing but white space stands around the blocks. */
export const pemBlocksOnly = (text: string, label: PemLabel): readonly Buffer[] | null => (text.replace(BLOCK, '').trim() === '' ? pemBlocks(text, label) : null)

export const pemText = (bytes: Buffer, label: PemLabel): string => `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`
