// What callers do for themselves, whichever way they say it: under the reserved prefix, or by tools of MCP. SPEC: ADM1, MCP15
import type { Hub } from '../../enforcement/hub.ts'
import type { ProxyRoom } from '../room.ts'
import { Acting } from './acting.ts'
import { Asking } from './asking.ts'
import { Callers } from './callers.ts'
import { Waiting } from './waiting.ts'

export type OwnSide = { readonly callers: Callers; readonly asking: Asking; readonly acting: Acting; readonly waiting: Waiting }

export function ownSide(room: ProxyRoom, hub: Hub): OwnSide {
  const callers = new Callers(room)
  return { callers, asking: new Asking(room, callers), acting: new Acting(room, callers), waiting: new Waiting(room, hub, callers) }
}
