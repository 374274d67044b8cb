// One HTTP/2 connection to a gateway of a scenario, for all its sessions: requests, open streams and uploads on it. For tests only.
import type { ClientHttp2Session } from 'node:http2'
import { patternAt } from '../support/pattern.ts'
import type { TestGateway } from '../support/gateway.ts'
import { CallerStream, connectHttp2 } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import type { Headers } from './stage.ts'

const PIECE = 16_384

export class SharedConnection {
  readonly session: ClientHttp2Session

  private constructor(session: ClientHttp2Session) {
    this.session = session
  }

  static async to(gate: TestGateway): Promise<SharedConnection> {
    return new SharedConnection(await connectHttp2(gate))
  }

  /** Nobody ended it. */
  get isUp(): boolean { return !this.session.closed && !this.session.destroyed }

  stream(method: string, path: string, { host = 'api.test', ...headers }: Headers): CallerStream {
    return new CallerStream(this.session, method, path, { ':authority': host, ...headers })
  }

  /** `200`, or the status and reason of a refusal. */
  async outcome(method: string, path: string, headers: Headers): Promise<string> {
    const stream = this.stream(method, path, headers)
    if (method !== 'GET') stream.raw.end()
    await stream.over()
    return stream.status === 200 ? '200' : `${stream.status} ${String((stream.json as { readonly reason?: unknown }).reason)}` // problem+json is an object
  }

  /** A download that has begun. */
  async open(path: string, headers: Headers): Promise<CallerStream> {
    const stream = this.stream('GET', path, headers)
    await until(() => stream.status !== 0, `the head of ${path}`)
    if (stream.status !== 200) throw new Error(`${path}: ${stream.status}`)
    return stream
  }

  close(): void {
    this.session.destroy()
  }
}

/** Sends the pattern, a piece every few milliseconds, until it is told to stop. */
export function uploading({ raw }: CallerStream): { readonly sent: () => number; readonly stop: () => void } {
  let sent = 0
  const pace = setInterval(() => {
    if (!raw.writable) return
    raw.write(patternAt(sent, PIECE))
    sent += PIECE
  }, 5)
  return { sent: () => sent, stop: () => clearInterval(pace) }
}

export const says = (stream: CallerStream, part: string): Promise<void> => until(() => stream.body.includes(part), `"${part}"`)
