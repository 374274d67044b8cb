// A refused call that somebody's word would let: where its client can show people a page, the gateway asks for the elevation itself, shows them the page, and lets the
// call go on once it is given. Only where one profile alone opens it and a person has to decide: nothing is given here that was not asked for. SPEC: MCP16
import { accessibleBy } from '../../../approvals/offering.ts'
import { isDeclined } from '../../../approvals/declined.ts'
import { repeatedLately } from '../../../approvals/repeat.ts'
import type { McpRoute } from '../../../core/call.ts'
import type { Refusal } from '../../../core/decision.ts'
import { type Elevation, type ElevationId, isOver } from '../../../core/elevation.ts'
import { identityOf } from '../../../core/principal.ts'
import { PURPOSE_KINDS, type Purposes } from '../../../core/purpose.ts'
import { after, earlier, FOREVER } from '../../../core/time.ts'
import type { Ask } from '../../ask.ts'
import type { ProxyRoom } from '../../room.ts'
import type { Known } from '../../self-service/callers.ts'
import type { OwnSide } from '../../self-service/own-side.ts'
import { fault, type Message, type MessageFault } from '../message.ts'
import { metaOf } from '../meta.ts'
import { knownOf } from './own-calls.ts'
import { type Going, isOurs, type WayBack, WAY_LASTS, WaysBack } from './way-back.ts'

type Room = Pick<ProxyRoom, 'mirror' | 'digestKey'>

/** Requests that may be answered by a question (MCP 2026-07-28). */
const ASKABLE: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read'])
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
/** Our question among those of one answer. */
const QUESTION = 'narrowgate'
const INVALID = -32_602
/** Seconds that a call which came back waits for its answer. */
const WAITS = 25

/** A call that came back with the way that it was given. */
export type Returned = WayBack & {
  /** What was done with the question; null where nothing is said. */
  readonly said: string | null
  /** It has waited. */
  readonly waited: boolean
}

const isMap = (value: unknown): value is ReadonlyMap<string, unknown> => value instanceof Map

/** Can its client show somebody a page? */
function showsPages(message: Message): boolean {
  const capabilities = metaOf(message).get(CAPABILITIES)
  const elicitation = isMap(capabilities) ? capabilities.get('elicitation') : null
  return isMap(elicitation) && isMap(elicitation.get('url'))
}

function saidBy({ params }: Message): string | null {
  const responses = params.get('inputResponses')
  const own = isMap(responses) ? responses.get(QUESTION) : null
  const action = isMap(own) ? own.get('action') : null
  return typeof action === 'string' ? action : null
}

/** What is asked about; null where a call cannot be. */
type About = { readonly message: Message; readonly mcp: McpRoute; readonly page: string; readonly going: Going; readonly known: Known }

function aboutOf(ask: Ask): About | null {
  const { message, place, live, verified } = ask
  const mcp = place?.route.mcp ?? null
  if (message === null || place === null || mcp === null || mcp.approvalPage === null || live === null || verified === null) return null
  if (message.era !== 'modern' || message.is !== 'request' || message.own !== null || !ASKABLE.has(message.method)) return null
  return { message, mcp, page: mcp.approvalPage, going: { life: live.record.id, route: place.route.name, call: message.call }, known: knownOf(ask, live, verified) }
}

const isFor = (wanted: Purposes, purposes: Purposes): boolean => PURPOSE_KINDS.every(kind => wanted[kind] === undefined || wanted[kind] === purposes[kind])
const isPending = ({ state: { is } }: Elevation): boolean => is === 'requested' || is === 'scheduled'

const ENDED: { readonly [S in Elevation['state']['is']]?: string } = {
  denied: 'the elevation that was asked for was denied', withdrawn: 'the elevation that was asked for was withdrawn', expired: 'nobody decided on the elevation in time', ended: 'the elevation that was asked for has ended',
}

export class Eliciting {
  readonly #room: Room
  readonly #side: OwnSide
  readonly #ways: WaysBack

  constructor(room: Room, side: OwnSide) {
    this.#room = room
    this.#side = side
    this.#ways = new WaysBack(room.digestKey)
  }

  /** Looks at the way that a call came back by, as soon as it was read. @returns why it leads nowhere */
  returning(ask: Ask): MessageFault | null {
    const { message, live, place } = ask
    const state = message?.params.get('requestState')
    if (message === null || live === null || place === null || !isOurs(state)) return null
    const way = this.#ways.read(state, { life: live.record.id, route: place.route.name, call: message.call }, this.#side.callers.now)
    if (typeof way === 'string') return fault('message_malformed', way, message.id, INVALID)
    ask.returned = { ...way, said: saidBy(message), waited: false }
    return null
  }

  /** @returns whether it is to be judged again, once that is known; null where nobody is asked, and it is refused as it is */
  refused(ask: Ask, refusal: Refusal): Promise<boolean> | null {
    const about = refusal.requestable ? aboutOf(ask) : null
    if (about === null) return null
    if (ask.returned !== null) return this.#returned(ask, about, ask.returned)
    return !showsPages(about.message) || about.message.params.has('requestState') ? null : this.#first(ask, about) // a way of the upstream's own would be lost
  }

  async #first(ask: Ask, about: About): Promise<boolean> {
    const elevation = await this.#filed(ask, about)
    if (elevation === null) return false
    const until = after(this.#side.callers.now, WAY_LASTS)
    this.#ask(ask, about, { elevation: elevation.id, until: elevation.state.is === 'requested' ? earlier(until, elevation.state.expiresAt ?? FOREVER) : until }, true)
    return false
  }

  /** What waits for its word already, or is asked for now; null where the caller has to choose, or nobody has to decide. */
  async #filed(ask: Ask, { message, known }: About): Promise<Elevation | null> {
    const { asking, callers } = this.#side
    const { live, verified: { principal } } = known
    const scope = ask.place?.rule?.scope ?? null
    if (scope === null || callers.standing(known, 'elevations') !== null) return null
    const [profile, ...others] = accessibleBy(this.#room.mirror.policy, scope, live.record, callers.claims(known))
    const shown = await asking.shown(ask, known)
    if (profile === undefined || others.length > 0 || shown === 'malformed') return null
    const own = (): readonly Elevation[] => callers.current(known).record.elevations
    const pending = own().find(each => each.profile === profile.name && isPending(each) && isFor(each.purposes, shown.purposes))
    if (pending !== undefined) return pending
    const { method, name, digest } = message.call
    const wanted = { profile: profile.name, reason: `the gateway asks for a call: ${method} ${name.slice(0, 256)}${digest === null ? '' : `, arguments sha256:${digest}`}` }
    const prepared = await asking.prepared(ask, known, wanted, shown, repeatedLately(live.record, identityOf(principal), { ...wanted, shown: shown.purposes }, callers.now))
    if (isDeclined(prepared) || prepared.elevation.stages.length === 0 || callers.standing(known, 'elevations') !== null) return null
    const reply = await asking.bring(known, wanted, prepared)
    return reply !== 'streaming' && 'status' in reply ? (own().find(({ id }) => id === prepared.elevation.id) ?? null) : null
  }

  /** It came back: it waits for the answer once, and is judged again where that changed anything. */
  async #returned(ask: Ask, about: About, returned: Returned): Promise<boolean> {
    const { callers, waiting, acting } = this.#side
    const { known } = about
    const find = (): Elevation | undefined => callers.current(known).record.elevations.find(({ id }) => id === returned.elevation)
    const first = find()
    if (first !== undefined && first.state.is === 'requested' && returned.said === 'decline') await acting.giveBack(known, first.id, '{}', 'withdraw')
    if (returned.said === 'decline' || returned.said === 'cancel') return this.#over(ask, 'whoever was shown the page declined')
    if (first !== undefined && isPending(first) && !returned.waited) {
      const path = `elevations/${first.id}`
      const full = await waiting.for(ask, known, path, Math.min(WAITS, (returned.until - callers.now) / 1_000), () => find()?.state.is !== first.state.is || callers.standing(known, path) !== null)
      ask.returned = { ...returned, waited: true }
      if (full === null) return true
    }
    return this.#stands(ask, about, returned, find())
  }

  #stands(ask: Ask, about: About, returned: Returned, elevation: Elevation | undefined): boolean {
    if (elevation === undefined) return this.#over(ask, 'the elevation that was asked for is not known any more')
    if (isOver(elevation)) return this.#over(ask, ENDED[elevation.state.is] ?? null)
    if (isPending(elevation) && returned.until > this.#side.callers.now) this.#ask(ask, about, returned, returned.said !== 'accept')
    return false
  }

  #over(ask: Ask, says: string | null): boolean {
    ask.detail = says
    return false
  }

  /** @param shows the page too: whoever saw it is not shown it again */
  #ask(ask: Ask, { page, going }: About, way: WayBack, shows: boolean): void {
    const { name } = going.call
    const message = `${name.slice(0, 256)} needs an approval. Open the page to see what is asked for and who may decide; the call goes on when it is given.`
    const question = { method: 'elicitation/create', params: { mode: 'url', message, url: pageOf(page, way.elevation) } }
    ask.elicited = { resultType: 'input_required', ...(shows ? { inputRequests: { [QUESTION]: question } } : {}), requestState: this.#ways.write(going, way) }
  }
}

const pageOf = (page: string, elevation: ElevationId): string => page.replaceAll('{elevation}', elevation)
