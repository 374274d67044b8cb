// What a receiver may do with its stream (SSF 1.0 §8.1): one each, set up by itself, within what the configuration lets it be told and where. What it asks
// for that is not so is refused, never made to fit. SPEC: TRM4, TRM6
import type { ReceiverSettings, TransmitSettings } from '../../config/compile/transmit.ts'
import { isDeepStrictEqual } from 'node:util'
import { type Instant, instant } from '../../core/time.ts'
import { newKeyText, sha256 } from '../../runtime/id.ts'
import { type LetterPorts, putUpdated, putVerification } from './letters.ts'
import type { ConfigurationAsked, DeliveryAsked } from './requests.ts'
import type { Sending } from './sending.ts'
import { POLL, PUSH, statusOf, type Stream, VERIFICATION_INTERVAL, viewOf } from './stream.ts'
import type { Streams } from './streams.ts'
import { added, removed, type Subject } from './subjects.ts'
import type { Waits } from './waits.ts'

export type ManagementPorts = LetterPorts & { readonly streams: Streams; readonly sending: Sending; readonly waits: Waits }
/** Who asks. */
export type Asker = { readonly settings: TransmitSettings; readonly receiver: ReceiverSettings }

/** `json` null is nothing. */
export type Outcome = { readonly status: number; readonly json: unknown }

const no = (status: number, err: string, description: string): Outcome => ({ status, json: { err, description } })
const UNKNOWN = no(404, 'not_found', 'there is no such stream')
/** What receivers may send back, if it is what it is. */
const OURS = ['iss', 'aud', 'events_supported', 'events_delivered', 'min_verification_interval', 'inactivity_timeout'] as const

const newId = (): string => `stm_${sha256(newKeyText())}`

/** Where it is delivered to, or why not there. */
function deliveryOf({ pushTo }: ReceiverSettings, asked: DeliveryAsked | undefined): { readonly push: Stream['push'] } | Outcome {
  if (asked === undefined || asked.method === POLL) return { push: null }
  if (asked.method !== PUSH) return no(400, 'invalid_request', 'the delivery method is not supported')
  const url = URL.parse(asked.endpoint_url ?? '')
  if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') return no(400, 'invalid_request', '`endpoint_url` is not a URL without credentials and fragment')
  if (!pushTo.includes(url.origin)) return no(403, 'access_denied', 'nothing is pushed there')
  return { push: { endpoint: url.href, authorization: asked.authorization_header ?? null } }
}

export class Management {
  readonly #ports: ManagementPorts

  constructor(ports: ManagementPorts) {
    this.#ports = ports
  }

  async list({ settings, receiver }: Asker, id: string | null): Promise<Outcome> {
    const stream = await this.#ports.streams.read(receiver.name)
    if (id === null) return { status: 200, json: stream === null ? [] : [viewOf(settings, receiver, stream)] }
    return stream?.id === id ? { status: 200, json: viewOf(settings, receiver, stream) } : UNKNOWN
  }

  create({ settings, receiver }: Asker, { events_requested: requested, delivery, description }: ConfigurationAsked): Promise<Outcome> {
    return this.#ports.streams.change(receiver.name, async before => {
      if (before !== null) return { stream: before, answer: no(409, 'conflict', 'there is a stream already') }
      const delivered = deliveryOf(receiver, delivery)
      if ('status' in delivered) return { stream: before, answer: delivered }
      const stream: Stream = { id: newId(), status: 'enabled', reason: null, held: false, push: delivered.push, requested: requested ?? null, description: description ?? null, verifiedAt: instant(0), choice: 0 }
      return { stream, answer: { status: 201, json: viewOf(settings, receiver, stream) } }
    })
  }

  /** @param whole what it does not say is taken away */
  update({ settings, receiver }: Asker, id: string, asked: ConfigurationAsked, said: { readonly [member: string]: unknown }, whole: boolean): Promise<Outcome> {
    return this.#change(receiver, id, async before => {
      const view = viewOf(settings, receiver, before)
      const wrong = OURS.find(member => said[member] !== undefined && !isDeepStrictEqual(said[member], view[member]))
      if (wrong !== undefined) return { stream: before, answer: no(400, 'invalid_request', `\`${wrong}\` is not the receiver's to change`) }
      const delivered = asked.delivery === undefined && !whole ? before : deliveryOf(receiver, asked.delivery)
      if ('json' in delivered) return { stream: before, answer: delivered }
      const { push } = delivered
      const stream: Stream = whole
        ? { ...before, push, requested: asked.events_requested ?? null, description: asked.description ?? null }
        : { ...before, push, requested: asked.events_requested ?? before.requested, description: asked.description ?? before.description }
      return { stream, answer: { status: 200, json: viewOf(settings, receiver, stream) } }
    })
  }

  async remove({ receiver }: Asker, id: string): Promise<Outcome> {
    return this.#change(receiver, id, async before => {
      await this.#ports.sending.clear(receiver.name, before)
      return { stream: null, answer: { status: 204, json: null } }
    })
  }

  async status({ receiver }: Asker, id: string): Promise<Outcome> {
    const stream = await this.#ports.streams.read(receiver.name)
    return stream?.id === id ? { status: 200, json: statusOf(stream) } : UNKNOWN
  }

  /** A receiver that enables what we had paused is told why first. */
  setStatus({ settings, receiver }: Asker, id: string, status: Stream['status'], reason: string | null): Promise<Outcome> {
    return this.#change(receiver, id, async before => {
      const stream: Stream = { ...before, status, reason, held: before.held && status === 'paused' }
      if (status === 'disabled') await this.#ports.sending.clear(receiver.name, before)
      if (status === 'enabled' && before.held) await putUpdated(this.#ports, { settings, receiver, stream }, before.reason ?? 'paused')
      this.#ports.waits.wake(receiver.name)
      return { stream, answer: { status: 200, json: statusOf(stream) } }
    })
  }

  verify({ settings, receiver }: Asker, id: string, state: string | null, now: Instant): Promise<Outcome> {
    return this.#change(receiver, id, async before => {
      if (before.status === 'disabled') return { stream: before, answer: no(400, 'invalid_request', 'the stream is disabled') }
      if (now < before.verifiedAt + VERIFICATION_INTERVAL * 1_000) return { stream: before, answer: no(429, 'too_many_requests', 'verifications are asked for too often') }
      const stream: Stream = { ...before, verifiedAt: now }
      if ((await putVerification(this.#ports, { settings, receiver, stream }, state)) === 'full') return { stream: before, answer: no(429, 'too_many_requests', 'too much waits for the stream') }
      this.#ports.waits.wake(receiver.name)
      return { stream, answer: { status: 204, json: null } }
    })
  }

  choose({ receiver }: Asker, id: string, subject: Subject, how: 'add' | 'remove'): Promise<Outcome> {
    return this.#change(receiver, id, async before => {
      const chosen = (how === 'add' ? added : removed)(await this.#ports.streams.choiceOf(receiver.name, before), subject)
      if (chosen === null) return { stream: before, answer: no(403, 'access_denied', 'too many subjects are named') }
      const number = before.choice + 1
      await this.#ports.streams.choose(receiver.name, before, number, chosen)
      return { stream: { ...before, choice: number }, answer: { status: how === 'add' ? 200 : 204, json: null } }
    })
  }

  #change({ name }: ReceiverSettings, id: string, work: (before: Stream) => Promise<{ readonly stream: Stream | null; readonly answer: Outcome }>): Promise<Outcome> {
    return this.#ports.streams.change(name, async before => (before === null || before.id !== id ? { stream: before, answer: UNKNOWN } : work(before)))
  }
}
