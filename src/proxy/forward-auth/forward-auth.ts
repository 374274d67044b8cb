// /forward-auth/…: other proxies ask about each of their requests, which then goes the way of any request of ours, up to its dispatch. Each question stands
// for one request: what is open behind that proxy is never held or cut from here. SPEC: FWA1-FWA4
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { NOBODY } from '../../audit/record.ts'
import type { ForwardAuthSettings, ForwardProxy } from '../../config/compile/forward-auth.ts'
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import { CERTIFICATE_HEADERS, forwardedCertificate } from '../../identity/certificate/trust.ts'
import type { CertificateRead } from '../../identity/certificate/client-certificate.ts'
import { newEvaluationId } from '../../runtime/id.ts'
import { presentedIn } from '../describe/presented.ts'
import type { Pipeline } from '../pipeline.ts'
import { Refuser } from '../refuser.ts'
import type { Door, ProxyRoom } from '../room.ts'
import { type AskerFault, askerFault } from './askers.ts'
import { ForwardAnswer } from './forward-answer.ts'
import { ForwardArrival } from './forward-arrival.ts'
import { originalOf, proxyOf } from './original.ts'

const DOOR: Door = { serves: ['decisions'], forwardedCertificates: null, isMisdirected: () => false }

export class ForwardAuth {
  readonly #room: ProxyRoom
  readonly #pipeline: Pipeline
  readonly #refuser: Refuser

  constructor(room: ProxyRoom, pipeline: Pipeline) {
    this.#room = room
    this.#pipeline = pipeline
    this.#refuser = new Refuser(room)
  }

  /** For a listener that serves `decisions`: every path that begins with `/forward-auth`. */
  readonly handler: RequestListener = (request, response) => {
    request.resume()
    const { world: { settings: { decisions }, forwardToken }, metrics } = this.#room
    const settings = decisions?.forwardAuth ?? null
    const fault = settings === null ? 'forward_peer' : askerFault(settings, forwardToken, request.socket.remoteAddress ?? '', request.rawHeaders)
    const proxy = proxyOf(request.url ?? '')
    if (settings === null || fault !== null) return this.#turnAway(request, response, fault ?? 'forward_peer')
    if (proxy !== null && settings.from.has(proxy)) return this.#asked(settings, proxy, request, response)
    metrics.forwardAuth.inc({ proxy: '', outcome: 'unknown' })
    response.writeHead(404, { 'content-length': '0' }).end()
  }

  /** Not as a refusal of the request: whose it is was not even read. */
  #turnAway({ method = '', socket }: IncomingMessage, response: ServerResponse, fault: AskerFault): void {
    this.#room.metrics.forwardAuth.inc({ proxy: '', outcome: 'untrusted' })
    this.#room.refused({ ...NOBODY, evaluation: newEvaluationId(), source: socket.remoteAddress ?? '', method, host: '', path: '/forward-auth', reason: 'credential_invalid', fault })
    response.writeHead(403, { 'content-length': '0', 'cache-control': 'no-store' }).end()
  }

  /** A fault of ours ends that question, unanswered, and no other. */
  #asked(settings: ForwardAuthSettings, proxy: ForwardProxy, request: IncomingMessage, response: ServerResponse): void {
    try {
      this.#ask(settings, proxy, request, response)
    } catch (error) {
      this.#room.log.error({ error: String(error) }, 'a question of another proxy failed inside the gateway and was not answered')
      response.destroy()
    }
  }

  #ask(settings: ForwardAuthSettings, proxy: ForwardProxy, { method = '', url = '', rawHeaders: headers, socket: { remoteAddress: peer = '' } }: IncomingMessage, response: ServerResponse): void {
    const { world, metrics, keeper: { clock } } = this.#room
    const answer = new ForwardAnswer(response, proxy, outcome => metrics.forwardAuth.inc({ proxy, outcome }))
    const early = (reason: Reason, detail: string | null): void => this.#refuser.early({ protocol: 'http1', method, target: url, peer, answer }, 0, reason, detail)
    if (headers.length > 2 * world.settings.limits.headers) return early('headers_too_large', null)
    const original = originalOf(proxy, { method, url, headers }, settings)
    if ('malformed' in original) return early('bad_request', original.malformed)
    const at = clock.now()
    const arrival = new ForwardArrival(original, proxy, certificateIn(settings, headers, at), at, answer)
    this.#pipeline.serve(arrival, DOOR, arrival)
  }
}

/** The proxy's own certificate is not its caller's. */
const certificateIn = ({ forwardedCertificates: form }: ForwardAuthSettings, headers: readonly string[], at: Instant): CertificateRead | null =>
  form === null ? null : forwardedCertificate(presentedIn(headers, CERTIFICATE_HEADERS), true, form, at)
