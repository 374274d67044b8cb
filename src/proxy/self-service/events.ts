// A session's own event stream: what happened to it and to its exchanges, until it ends or the reader falls behind. SPEC: ADM2
import type { ServerResponse } from 'node:http'
import type { Heard, Hub } from '../../enforcement/hub.ts'

const HEARTBEAT = 15_000
const BEHIND_MAX = 262_144

const told = (heard: Heard): readonly { readonly event: string; readonly data: unknown }[] =>
  heard.is === 'announced'
    ? heard.announcement.facts.map(fact => ({ event: fact.what, data: fact }))
    : [{ event: `exchange.${heard.what}`, data: { exchange: heard.exchange, route: heard.route, grant: heard.grant, reason: heard.reason } }]

const isEnd = (heard: Heard): boolean => heard.is === 'announced' && heard.announcement.record.record === 'session' && heard.announcement.record.state.is !== 'live'

/** @returns false when too many listen already */
export function openEvents(response: ServerResponse, hub: Hub, session: string): boolean {
  const stop = hub.subscribe(heard => {
    if (heard.session !== session) return
    for (const { event, data } of told(heard)) response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    if (isEnd(heard)) response.end()
    else if (response.writableLength > BEHIND_MAX) response.destroy()
  })
  if (stop === null) return false
  const beat = setInterval(() => response.write(':\n\n'), HEARTBEAT)
  response.once('close', () => {
    stop()
    clearInterval(beat)
  })
  response.writeHead(200, ['content-type', 'text/event-stream', 'cache-control', 'no-store'])
  response.write(':\n\n')
  return true
}
