// What is put into the queue of a stream: events of ours, and what the protocol says of the stream itself. They are signed when they go. SPEC: TRM2, TRM6
import type { ReceiverSettings, TransmitSettings } from '../../config/compile/transmit.ts'
import { after, type Instant } from '../../core/time.ts'
import { newSignalId, sha256 } from '../../runtime/id.ts'
import type { Metrics } from '../../runtime/metrics.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { queueOf, type Stream } from './stream.ts'
import { type Telling, typeOf } from './told.ts'

export type LetterPorts = { readonly store: Pick<SessionStore, 'enqueue'>; readonly now: () => Instant; readonly metrics: Pick<Metrics, 'ssfTold'> }

/** Whose stream. */
export type Address = { readonly settings: TransmitSettings; readonly receiver: ReceiverSettings; readonly stream: Stream }

type Put = 'queued' | 'again' | 'full'

const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'
/** Room beyond the limit for what is said of the stream itself. */
const OWN_ROOM = 16

type Body = { readonly jti: string; readonly type: string; readonly says: object; readonly subject: object; readonly txn: string | null }

async function put({ store, now, metrics }: LetterPorts, { settings: { issuer, keepFor }, receiver: { name, audience }, stream }: Address, event: string, { jti, type, says, subject, txn }: Body, limit: number): Promise<Put> {
  const at = now()
  const text = JSON.stringify({ iss: issuer, aud: audience, iat: Math.floor(at / 1000), jti, ...(txn === null ? {} : { txn }), sub_id: subject, events: { [type]: says } })
  const became = await store.enqueue(queueOf(name, stream), { id: jti, text, forgetAt: after(at, keepFor) }, limit)
  if (became !== 'again') metrics.ssfTold.inc({ receiver: name, event, outcome: became })
  return became
}

/** The same one is put once: its id is made of what it is of, and for whom. */
export function putEvent(ports: LetterPorts, to: Address, { event, says, subject, txn, mark }: Telling): Promise<Put> {
  const { settings: { issuer, queue }, receiver: { name }, stream: { id } } = to
  return put(ports, to, event, { jti: sha256(JSON.stringify([name, id, mark])), type: typeOf(issuer, event), says, subject, txn }, queue)
}

const ofStream = ({ stream: { id } }: Address) => ({ jti: sha256(newSignalId()), subject: { format: 'opaque', id }, txn: null }) as const

export const putVerification = (ports: LetterPorts, to: Address, state: string | null): Promise<Put> =>
  put(ports, to, 'verification', { ...ofStream(to), type: `${SSF}verification`, says: state === null ? {} : { state } }, to.settings.queue + OWN_ROOM)

/** It goes on after a pause that was ours. */
export const putUpdated = (ports: LetterPorts, to: Address, reason: string): Promise<Put> =>
  put(ports, to, 'stream-updated', { ...ofStream(to), type: `${SSF}stream-updated`, says: { status: 'enabled', reason } }, to.settings.queue + OWN_ROOM)
