// /livez, /readyz and /metrics: no token, no body, for probes and Prometheus; on the admin listener and on one of their own. SPEC: ADM16
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ListenerSettings } from '../config/settings.ts'
import { type Answer, told } from './answer.ts'
import { AdminFault } from './fault.ts'
import type { HealthRoom } from './room.ts'
import { send, sendFault } from './send.ts'

export type HealthService = 'health' | 'metrics'

export const healthServices = ({ serves }: Pick<ListenerSettings, 'serves'>): readonly HealthService[] => serves.filter(service => service === 'health' || service === 'metrics')

export const livez = (): Answer => told({ ok: true })

export function readyz({ ready }: HealthRoom): Answer {
  const { ok, checks } = ready()
  return told({ ok, checks }, ok ? 200 : 503)
}

export async function metrics({ metrics }: HealthRoom): Promise<Answer> {
  if (metrics === null) throw new AdminFault('store_failed', 'there are no metrics before the store was reached; /readyz says why it was not')
  return { is: 'text', status: 200, type: metrics.contentType, text: await metrics.text() }
}

const PATHS: { readonly [path: string]: { readonly service: HealthService; readonly answer: (room: HealthRoom) => Answer | Promise<Answer> } } = {
  '/livez': { service: 'health', answer: livez },
  '/readyz': { service: 'health', answer: readyz },
  '/metrics': { service: 'metrics', answer: metrics },
}

async function answerFor(room: HealthRoom, serves: readonly HealthService[], { method, url = '' }: IncomingMessage): Promise<Answer> {
  const path = url.split('?', 1)[0] ?? ''
  const found = Object.hasOwn(PATHS, path) ? PATHS[path] : undefined
  if (found === undefined || !serves.includes(found.service)) throw new AdminFault('not_found', 'there is nothing at this path')
  if (method !== 'GET' && method !== 'HEAD') throw new AdminFault('method_not_allowed', 'this path takes GET', { headers: { allow: 'GET, HEAD' } })
  return found.answer(room)
}

/** For a listener that serves `health` or `metrics` only. */
export function healthHandler(room: HealthRoom, serves: readonly HealthService[] = ['health', 'metrics']): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    request.resume()
    answerFor(room, serves, request).then(
      answer => send(request, response, answer, async () => true),
      (error: unknown) => sendFault(request, response, error, room.log),
    )
  }
}
