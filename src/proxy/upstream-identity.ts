// What a request tells its upstream of itself, in the turn in which it goes: the signed words on its standing, as it was admitted with them, and where the
// upstream wants it a signature over all that is written. SPEC: WIRE13, CTX1, CTX3, CTX8, CTX9
import type { Instant } from '../core/time.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import { type About, transactionOf } from '../upstream/claims.ts'
import { contentDigest, signatureHeaders } from '../upstream/message-signature.ts'
import type { SigningKey } from '../upstream/signing-key.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Ask, Headed } from './ask.ts'
import { nameOf } from './http/header-names.ts'
import type { ProxyRoom } from './room.ts'

const DIGEST = 'content-digest'

/** Of the body as it came, under any spelling. */
function withoutDigest(headers: readonly string[]): string[] {
  const rest: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (nameOf(name).dashed !== DIGEST) rest.push(name, headers[i + 1] ?? '')
  }
  return rest
}

export class UpstreamIdentity {
  readonly #room: Pick<ProxyRoom, 'minter' | 'keeper'>

  constructor(room: Pick<ProxyRoom, 'minter' | 'keeper'>) {
    this.#room = room
  }

  /** Whatever was there when it was admitted: one that waits for its record goes with the words it was admitted on. All it has to tell, or nothing. */
  note(ask: Ask, exchange: Exchange | null): void {
    if (ask.context !== null || exchange === null) return
    const about = aboutOf(ask, exchange)
    if (about === null) return
    const { minter } = this.#room
    const context = minter.ready(about)
    if (about.transaction !== null) ask.transaction = minter.transaction(about)
    ask.context = about.transaction !== null && ask.transaction === null ? null : context
  }

  /** The head as it goes: signed, where its upstream has that. */
  signed(ask: Ask, { path }: Headed, headers: readonly string[], upstream: Upstream): readonly string[] {
    if (upstream.settings.signature === null) return headers
    const { minter, keeper: { clock } } = this.#room
    return signedHead({ method: ask.method, path, headers, body: ask.readBody?.bytes ?? null }, upstream, minter.key, clock.now())
  }
}

/** A head that is about to be written; `body` where it is known whole. */
type Head = { readonly method: string; readonly path: string; readonly headers: readonly string[]; readonly body: Uint8Array | null }

/** @param key of the context: signs where the upstream has none of its own */
export function signedHead({ method, path, headers, body }: Head, { settings: { signature, origin }, signingKey }: Pick<Upstream, 'settings' | 'signingKey'>, key: SigningKey, now: Instant): readonly string[] {
  if (signature === null) return headers
  const all = body !== null && signature.components.includes(DIGEST) ? [...withoutDigest(headers), DIGEST, contentDigest(body)] : headers
  const scheme = origin.startsWith('https:') ? 'https' : 'http'
  return [...all, ...signatureHeaders({ method, scheme, path, headers: all }, signature, signingKey ?? key, Math.floor(now / 1000))]
}

/** null where nothing is to be said: of nobody's request, or towards an upstream that is not configured any more. */
function aboutOf({ place, world }: Ask, { live, permit: { grant, until }, evaluation }: Exchange): About | null {
  if (live === null || place === null) return null
  const upstream = world.upstreams.get(place.route.upstream)
  return upstream === undefined ? null : { session: live.record, grant, until, upstream: place.route.upstream, transaction: transactionOf(upstream.settings, evaluation, place) }
}
