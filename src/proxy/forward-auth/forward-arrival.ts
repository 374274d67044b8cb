// A request that another proxy asks about, as an arrival like any other: from its own caller, with nothing of its body. SPEC: FWA2, FWA3
import type { Readable } from 'node:stream'
import type { ForwardProxy } from '../../config/compile/forward-auth.ts'
import type { Reason } from '../../core/reason.ts'
import type { Place } from '../../core/route.ts'
import type { Instant } from '../../core/time.ts'
import type { Relay } from '../../enforcement/admit.ts'
import type { CertificateRead } from '../../identity/certificate/client-certificate.ts'
import type { Arrival } from '../arrival.ts'
import type { Ask, Carrier } from '../ask.ts'
import { NO_BODY } from '../http1/request-body.ts'
import type { ForwardAnswer } from './forward-answer.ts'
import { ForwardRelay, needsBytes } from './forward-relay.ts'
import type { Original } from './original.ts'

const NONE: readonly string[] = []

export class ForwardArrival implements Arrival, Carrier {
  readonly protocol = 'http1'
  readonly version = '1.1'
  readonly connects = null
  readonly serverName = null
  readonly expectsContinue = false
  readonly complete = true
  readonly trailers = NONE
  readonly body: Readable = NO_BODY
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
  readonly peer: string
  readonly secure: boolean
  readonly certificate: CertificateRead | null
  readonly at: Instant
  readonly answer: ForwardAnswer
  readonly #proxy: ForwardProxy

  /** @param certificate its caller's, as the proxy tells */
  constructor({ method, target, headers, peer, secure }: Original, proxy: ForwardProxy, certificate: CertificateRead | null, at: Instant, answer: ForwardAnswer) {
    this.method = method
    this.target = target
    this.headers = headers
    this.peer = peer
    this.secure = secure
    this.certificate = certificate
    this.at = at
    this.answer = answer
    this.#proxy = proxy
  }

  takeOver(): null { return null }

  relayOf(ask: Ask, place: Place): Relay | Reason {
    const { upstreams, settings: { decisions } } = ask.world
    const upstream = upstreams.get(place.route.upstream)
    if (upstream === undefined || decisions?.forwardAuth == null) return 'upstream_unavailable'
    if (needsBytes(place)) return 'not_shown'
    const { inject } = decisions.forwardAuth.headers
    if (place.route.brokered && !inject) return 'credential_unavailable' // what is obtained for it would never reach it
    return new ForwardRelay(ask, this.answer, this.#proxy, upstream, inject)
  }
}
