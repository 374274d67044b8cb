// What the caller of a message reads last where its answer has begun and is cut: the error that its request ends with, as an event, or that a subscription
// is over. A stream of the older protocol just ends: what comes next tells why. SPEC: MCP8, RULES 17
import type { Reason } from '../../../core/reason.ts'
import type { Exchange } from '../../../enforcement/exchange.ts'
import { evaluationIdOf } from '../../../runtime/id.ts'
import type { Ask } from '../../ask.ts'
import { refusalText } from '../../refusal.ts'
import { rpcFormOf } from '../rpc-form.ts'
import { rpcBody } from '../rpc-refusal.ts'
import { eventText, LISTEN, subscriptionOver } from './subscription.ts'

const NOTHING: Buffer = Buffer.alloc(0)

export function lastWords(ask: Ask, { id: exchange }: Exchange, reason: Reason): Buffer {
  const { message, live } = ask
  if (message === null || message.id === null) return NOTHING
  if (message.method === LISTEN && message.era === 'modern') return eventText(JSON.stringify(subscriptionOver(message.id)))
  const form = rpcFormOf(ask)
  if (form === null) return NOTHING
  return eventText(rpcBody(refusalText(reason, { session: live?.record.id ?? null, evaluation: evaluationIdOf(exchange), rpc: form }), form).body.toString())
}
