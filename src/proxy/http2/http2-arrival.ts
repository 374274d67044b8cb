// A request of HTTP/2 on its stream, and the way back. SPEC: WIRE15, WIRE16, WIRE18
import type { ServerHttp2Stream } from 'node:http2'
import type { Instant } from '../../core/time.ts'
import type { CertificateRead } from '../../identity/certificate/client-certificate.ts'
import type { Arrival } from '../arrival.ts'
import type { CallerStream } from '../arrival.ts'
import { isGrpc } from '../grpc/content-type.ts'
import { Http2Answer } from './http2-answer.ts'
import type { StreamHead } from './stream-head.ts'

type Carried = Pick<Arrival, 'secure' | 'serverName' | 'certificate' | 'peer' | 'at'>

const NO_TRAILERS: readonly string[] = []
const NOTHING: Buffer = Buffer.alloc(0)

export class Http2Arrival implements Arrival {
  readonly protocol = 'http2'
  readonly version = '2'
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
  readonly connects: string | null
  readonly expectsContinue: boolean
  readonly secure: boolean
  readonly serverName: string | null
  readonly certificate: CertificateRead | null
  readonly peer: string
  readonly at: Instant
  /** Ends only when it is whole: a stream that is reset fails. */
  readonly body: ServerHttp2Stream
  readonly answer: Http2Answer
  trailers = NO_TRAILERS

  constructor(stream: ServerHttp2Stream, head: StreamHead, { secure, serverName, certificate, peer, at }: Carried) {
    this.body = stream
    this.method = head.protocol === null ? head.method : 'GET'
    this.target = head.path
    this.headers = head.headers
    this.connects = head.protocol
    this.expectsContinue = head.expectation !== null && head.expectation.toLowerCase() === '100-continue'
    this.secure = secure
    this.serverName = serverName
    this.certificate = certificate
    this.peer = peer
    this.at = at
    this.answer = new Http2Answer(stream, isGrpc(head.contentType) ? 'grpc' : 'plain', head.method === 'HEAD')
    if (!stream.endAfterHeaders) stream.once('trailers', (_fields, _flags, raw: readonly string[]) => { this.trailers = raw })
  }

  get complete(): boolean {
    const { body } = this
    return body.endAfterHeaders || (body.readableEnded && !body.aborted && body.rstCode === 0)
  }

  /** The stream as a tunnel, behind a 200 to its extended CONNECT (RFC 8441); null when the caller is gone. */
  takeOver(headers: readonly string[]): CallerStream | null {
    if (!this.answer.open(headers)) return null
    return { socket: this.body, head: NOTHING, reset: () => this.answer.cut('internal_error', false) }
  }
}
