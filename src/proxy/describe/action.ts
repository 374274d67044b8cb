// What a request wants to do, as the judge reads it. SPEC: DEC1, WIRE15
import type { Evaluation } from '../../core/evaluation.ts'
import type { Arrival } from '../arrival.ts'
import type { Ask } from '../ask.ts'

/** An extended CONNECT is the GET of an upgrade in another form (RFC 8441). */
export const methodOf = ({ method, connects }: Pick<Arrival, 'method' | 'connects'>): string => (connects === null ? method : 'GET')

export const actionOf = ({ arrival, head: { upgrade }, message }: Pick<Ask, 'arrival' | 'head' | 'message'>): Evaluation['action'] => ({ method: methodOf(arrival), upgrade, call: message === null ? null : message.call })
