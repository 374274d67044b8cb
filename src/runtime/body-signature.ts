// A signature over the body alone, in a header of its own: HMAC-SHA256, as GitHub and Jira write it. It tells no time and no id. Pure. SPEC: TKT2
import { createHmac, timingSafeEqual } from 'node:crypto'

/** How the header is written: such as `sha256=` and hexadecimal. */
type Form = { readonly prefix: string; readonly encoding: 'hex' | 'base64' }

/** Takes the same time whatever is shown; every secret is tried. */
export function isBodySigned(shown: string, { prefix, encoding }: Form, body: Uint8Array, secrets: readonly Uint8Array[]): boolean {
  const given = Buffer.from(shown)
  const holds = secrets.map(secret => {
    const made = Buffer.from(prefix + createHmac('sha256', secret).update(body).digest(encoding))
    return made.length === given.length && timingSafeEqual(made, given)
  })
  return holds.includes(true)
}
