// What a request shows of its purposes, with what an orchestrator signed of them. At once for a text known already, at a place in its line known already; what has to be
// verified, or told to all gateways because it is later than anything before, is awaited first. What does not count is as if it were not shown: a baseline needs none, and
// no elevation goes by it. A malformed header is refused as any other. SPEC: PUR5, PUR6
import { overlaid } from '../../core/overlay.ts'
import { type Claims, identityOf } from '../../core/principal.ts'
import type { Position, PurposeKind, Purposes, Shown } from '../../core/purpose.ts'
import { earlier, type Instant, instant } from '../../core/time.ts'
import { isSignedText, type PurposeFault, type SignedPurposes, type SignedReading } from '../../identity/signed-purpose.ts'
import type { Ask } from '../ask.ts'
import { onlyValue } from '../http/head.ts'
import type { ProxyRoom, World } from '../room.ts'
import { metaOf } from '../mcp/meta.ts'
import { purposesShown, saidOnce, valueIn } from './purposes.ts'

type Room = Pick<ProxyRoom, 'mirror' | 'world' | 'progress' | 'metrics' | 'keeper'>

/** What was read for one request, under one configuration. Whatever is still unknown behind it does not count. */
export type Settled = { readonly world: World; readonly readings: ReadonlyMap<PurposeKind, SignedReading> }

type Found = { readonly is: 'found'; readonly value: string; readonly until: Instant; readonly position: Position | null }
type Read = Found | { readonly is: 'fault'; readonly fault: PurposeFault } | 'absent' | 'malformed' | 'await'

/** The time of what is over: it carries nothing any more. */
const OVER = instant(0)
const UNHEARD: Read = { is: 'fault', fault: 'purpose_unheard' }

/** null where it is not shown, or nobody is known for whom it could be; false where it is malformed. */
function textOf({ header, meta }: SignedPurposes, { arrival: { headers }, message }: Ask): string | null | false {
  const text = saidOnce(onlyValue(headers, header), meta === null ? null : valueIn(metaOf(message), meta))
  return typeof text === 'string' && !isSignedText(text) ? false : text
}

const settledUnder = (room: Room, { settled }: Ask): Settled | null => (settled?.world === room.world ? settled : null)

function read(room: Room, ask: Ask, signed: SignedPurposes): Read {
  const text = textOf(signed, ask)
  if (text === false) return 'malformed'
  const { verified } = ask
  if (text === null || verified === null) return 'absent'
  const settled = settledUnder(room, ask)
  const reading = signed.known(text, room.keeper.clock.now()) ?? settled?.readings.get(signed.kind)
  if (reading === undefined) return settled === null ? 'await' : UNHEARD
  if (reading.is !== 'signed') return reading.is === 'malformed' ? 'malformed' : reading
  const { value, at, until } = reading
  const line = signed.line(text, reading, verified)
  if (line === null) return { is: 'fault', fault: 'purpose_foreign' }
  if (at === null) return { is: 'found', value, until, position: null }
  const position: Position = { kind: signed.kind, line, at }
  const standing = room.progress.standing(position)
  if (standing === null) return settled === null ? 'await' : UNHEARD
  return { is: 'found', value, until: standing === 'over' ? OVER : until, position }
}

/** Counted once for a request, however often that is judged. */
function blame({ metrics }: Room, ask: Ask, purpose: PurposeKind, fault: PurposeFault): void {
  if (ask.purposeFault === null) metrics.purposesRefused.inc({ purpose, fault })
  ask.purposeFault ??= fault
}

/** With what changed behind its credential; null where nobody is known. */
function claimsOf({ verified, live }: Ask): Claims | null {
  return verified === null || live === null || live.record.overlay.length === 0 ? (verified?.claims ?? null) : overlaid(verified.claims, live.record.overlay, verified.evidence.issuedAt)
}

/** @param own what its session was opened for @returns `await` where `settle` has to come first */
export function purposesNow(room: Room, ask: Ask, own: Purposes): Shown | 'malformed' | 'await' {
  const plain = purposesShown(room.mirror.policy, ask.arrival.headers, own, claimsOf(ask), metaOf(ask.message))
  const { signedPurposes } = room.world
  if (plain === null) return 'malformed'
  if (signedPurposes.length === 0) return plain
  const purposes: { [K in PurposeKind]?: string } = { ...plain.purposes }
  const positions: Position[] = []
  let [until, waits] = [plain.until, false]
  for (const signed of signedPurposes) {
    const found = read(room, ask, signed)
    if (found === 'malformed') return found
    if (found === 'absent') continue
    delete purposes[signed.kind] // what is signed, and does not count, is not replaced by what is not signed
    if (found === 'await') waits = true
    else if (found.is === 'fault') blame(room, ask, signed.kind, found.fault)
    else {
      if (found.until === OVER) blame(room, ask, signed.kind, 'purpose_reused')
      purposes[signed.kind] = found.value
      until = earlier(until, found.until)
      if (found.position !== null) positions.push(found.position)
    }
  }
  return waits ? 'await' : { purposes, until, positions }
}

async function settleOne(room: Room, ask: Ask, signed: SignedPurposes, text: string): Promise<SignedReading> {
  const now = room.keeper.clock.now()
  const reading = signed.known(text, now) ?? (await signed.read(text, now))
  const { verified } = ask
  if (reading.is !== 'signed' || reading.at === null || verified === null) return reading
  const line = signed.line(text, reading, verified)
  const position = line === null ? null : { kind: signed.kind, line, at: reading.at }
  if (position !== null && room.progress.standing(position) === null) await room.progress.advance(position, reading.value, identityOf(verified.principal))
  return reading
}

/** Reads what is not known yet, and lets every gateway know what begins with this request. */
export async function settle(room: Room, ask: Ask): Promise<void> {
  const { world } = room
  const readings = new Map<PurposeKind, SignedReading>()
  for (const signed of world.signedPurposes) {
    const text = textOf(signed, ask)
    if (typeof text === 'string') readings.set(signed.kind, await settleOne(room, ask, signed, text))
  }
  ask.settled = { world, readings }
}

/** The same for whoever may wait. */
export async function purposesSettled(room: Room, ask: Ask, own: Purposes): Promise<Shown | 'malformed'> {
  for (;;) {
    const shown = purposesNow(room, ask, own)
    if (shown !== 'await') return shown
    await settle(room, ask)
  }
}
