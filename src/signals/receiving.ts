// Where security events and logouts come in, put together: who may send them as configured, what reads them, and the doors they come through. SPEC: SSF2, LGO2
import type { IncomingMessage, ServerResponse } from 'node:http'
import { NOBODY, type Refused } from '../audit/record.ts'
import type { SsfSettings } from '../config/compile/ssf.ts'
import type { Settings } from '../config/settings.ts'
import type { OutsideEvent } from '../core/outside.ts'
import type { EventToken } from '../identity/security-event-token.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpClient } from '../runtime/http-client.ts'
import { newEvaluationId } from '../runtime/id.ts'
import type { Log } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { SessionStore } from '../sessions/store.ts'
import { LogoutDoor, type LogoutFault, type LogoutSources, openLogouts } from './logout.ts'
import { type EventSources, openSources } from './ssf/open-sources.ts'
import { PushDoor } from './ssf/push.ts'
import { Receiver, type Receives } from './ssf/receiver.ts'
import type { Received, SetFault } from './ssf/refusals.ts'
import type { StreamNews } from './ssf/stream-news.ts'
import type { Naming } from './ssf/subjects.ts'

/** What one configuration's files hold. */
export type OpenReceiving = { readonly sources: EventSources; readonly logouts: LogoutSources }

export type ReceivingPorts = {
  readonly news: StreamNews
  readonly take: (event: OutsideEvent) => Promise<{ readonly is: 'taken' | 'again' }>
  readonly naming: Naming
  readonly store: Pick<SessionStore, 'mark'>
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'ask'>
  readonly log: Log
  readonly metrics: Pick<Metrics, 'setReceived'>
  readonly refused: (refused: Refused) => void
  /** Nobody can tell whom an event means. */
  readonly unread: (settings: SsfSettings, type: string, token: Pick<EventToken, 'jti' | 'at'>, what: readonly string[]) => void
}

export class Receiving implements Receives {
  readonly #ports: ReceivingPorts
  readonly #receiver: Receiver
  readonly #pushed: PushDoor
  readonly #loggedOut: LogoutDoor
  #open: OpenReceiving = { sources: new Map(), logouts: new Map() }

  constructor(ports: ReceivingPorts) {
    const { metrics } = ports
    const count = (source: string, event: string, outcome: string): void => metrics.setReceived.inc({ source, event, outcome })
    const sources = (): EventSources => this.#open.sources
    this.#ports = ports
    this.#receiver = new Receiver({ ...ports, sources, count, refused: (source, fault, address) => this.#refused('/ssf/events/', source, fault, address) })
    this.#pushed = new PushDoor({ ...ports, sources, count, receiver: this.#receiver, refused: (source, fault, address) => this.#refused('/ssf/events/', source, fault, address) })
    this.#loggedOut = new LogoutDoor({ ...ports, sources: () => this.#open.logouts, count, refused: (source, fault, address) => this.#refused('/logout/', source, fault, address) })
  }

  /** Those of a configuration, read before anything is swapped. @throws SecretFileError */
  async open({ ssf, logout }: Pick<Settings, 'ssf' | 'logout'>): Promise<OpenReceiving> {
    const tools = { ...this.#ports, notice: (source: string, error: Error) => this.#ports.log.warn({ source, error: error.message }, 'keys could not be fetched') }
    return { sources: await openSources(ssf, tools), logouts: await openLogouts(logout, tools) }
  }

  take(open: OpenReceiving): void { this.#open = open }

  receive(source: string, text: string): Promise<Received> { return this.#receiver.receive(source, text) }

  /** Who answers at this path; null where nobody here does. */
  doorTo(path: string): { handle: (request: IncomingMessage, response: ServerResponse) => Promise<void> } | null {
    if (path.startsWith('/ssf/events/')) return this.#pushed
    return path.startsWith('/logout/') ? this.#loggedOut : null
  }

  #refused(at: string, source: string, fault: SetFault | LogoutFault, address: string): void {
    const isStranger = fault === 'unauthenticated' || fault === 'signature_invalid' || fault === 'key_unknown' || fault === 'algorithm_refused' || fault === 'issuer_unknown'
    this.#ports.refused({ ...NOBODY, evaluation: newEvaluationId(), source: address, method: 'POST', host: '', path: at + source, reason: isStranger ? 'credential_invalid' : 'bad_request', fault: `set_${fault}` })
  }
}
