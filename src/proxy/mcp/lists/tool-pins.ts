// What the definitions of tools are compared with, and what follows when one is another: told to every gateway, and where the route says so the tool is locked
// on all of them until an operator accepts it. A list is compared in the turn in which it passes; what is told of it is not waited for. SPEC: MCP14
import { type McpRoute, traitsOf } from '../../../core/call.ts'
import { type Definition, definitionLock, pinsIn, pinsRef, PINS_MAX } from '../../../core/tools.ts'
import type { Route } from '../../../core/route.ts'
import { newLockId, newSignalId } from '../../../runtime/id.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Metrics } from '../../../runtime/metrics.ts'
import type { Ledger } from '../../../sessions/ledger.ts'
import type { Mirror } from '../../../sessions/mirror.ts'
import type { Intake, Word } from '../../../signals/intake.ts'
import { plainCall } from '../message.ts'

type Ports = { readonly mirror: Pick<Mirror, 'anchors' | 'lock'>; readonly ledger: Pick<Ledger, 'applyToAnchor'>; readonly intake: Pick<Intake, 'lock'>; readonly metrics: Pick<Metrics, 'toolChanges' | 'limitReached'>; readonly log: Log }

/** Definitions that are told in one write. */
const AT_ONCE = 50
const BY = 'mcp'

/** As its server tells it now. */
type Seen = { readonly tool: string; readonly digest: string }

export class ToolPins {
  readonly #ports: Ports
  /** By route: what is told of it now. */
  readonly #telling = new Map<string, Promise<void>>()
  /** By route: what has to be told behind that, by tool; as many as are remembered. */
  readonly #waiting = new Map<string, Map<string, Definition>>()
  /** By route: what was seen first of tools that are not on record yet, by tool. */
  readonly #firsts = new Map<string, Map<string, string>>()
  /** By selector: locks that are being set. */
  readonly #locking = new Map<string, Promise<void>>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Waits for what is known of a route's tools, where it is not known here. @throws StoreFault */
  async know({ name, mcp }: Route): Promise<void> {
    const { anchors } = this.#ports.mirror
    if (mcp === null || mcp.onChange === 'off' || anchors.isKnown(pinsRef(name))) return
    await anchors.knowAll([pinsRef(name)])
  }

  /** @returns the tools of a list that must not be shown, for what they are now is not what was accepted */
  take({ name: route }: Route, mcp: McpRoute, tools: readonly Seen[]): ReadonlySet<string> {
    if (mcp.onChange === 'off' || tools.length === 0) return new Set()
    const { anchors } = this.#ports.mirror
    const { pins } = pinsIn(anchors.known(pinsRef(route))?.matter ?? null)
    const byName = new Map(pins.map(pin => [pin.tool, pin]))
    const told = tools.map(({ tool, digest }) => ({ tool, digest, expected: expectedOf(mcp, tool), pin: byName.get(tool) ?? null }))
    const firsts = this.#firsts.get(route)
    const changed = told.filter(({ tool, digest, expected, pin }) => digest !== (expected ?? pin?.accepted ?? firsts?.get(tool) ?? digest))
    const beyond = new Set(told.filter(({ pin }) => pin === null).slice(Math.max(0, PINS_MAX - pins.length)).map(({ tool }) => tool))
    if (beyond.size > 0) this.#ports.metrics.limitReached.inc({ limit: 'pinned_tools' })
    const news = told.filter(({ tool, digest, expected, pin }) => !beyond.has(tool) && (pin === null || (expected !== null && expected !== pin.accepted) || (digest !== (expected ?? pin.accepted) && pin.changed !== digest)))
    const unlocked = locksOut(mcp) ? changed.filter(({ tool }) => this.#ports.mirror.lock(definitionLock(route, tool)) === null).map(({ tool }) => tool) : []
    for (const tool of unlocked) this.#lock(route, mcp, tool)
    if (news.length > 0) this.#tell(route, mcp, news.map(({ tool, digest, expected }) => ({ tool, digest, expected })))
    return locksOut(mcp) ? new Set([...changed.map(({ tool }) => tool), ...beyond]) : new Set()
  }

  /** Resolves when nothing is being told. */
  async settled(): Promise<void> {
    while (this.#telling.size + this.#locking.size > 0) await Promise.all([...this.#telling.values(), ...this.#locking.values()])
  }

  /** One write at a time for a route; what comes meanwhile goes behind it, as it was seen last. */
  #tell(route: string, mcp: McpRoute, definitions: readonly Definition[]): void {
    const waiting = this.#waiting.get(route) ?? new Map<string, Definition>()
    for (const definition of definitions) if (waiting.has(definition.tool) || waiting.size < PINS_MAX) waiting.set(definition.tool, definition)
    this.#waiting.set(route, waiting)
    const firsts = this.#firsts.get(route) ?? new Map<string, string>()
    for (const { tool, digest, expected } of definitions) if (!firsts.has(tool) && firsts.size < PINS_MAX) firsts.set(tool, expected ?? digest)
    this.#firsts.set(route, firsts)
    if (this.#telling.has(route)) return
    const telling = this.#told(route, mcp).catch((error: unknown) => {
      this.#waiting.delete(route)
      this.#ports.log.error({ route, cause: String(error) }, 'definitions of tools could not be told; they are compared again at the next list')
    }).finally(() => {
      this.#telling.delete(route)
      this.#firsts.delete(route)
    })
    this.#telling.set(route, telling)
  }

  async #told(route: string, mcp: McpRoute): Promise<void> {
    for (let waiting = this.#waiting.get(route); waiting !== undefined; waiting = this.#waiting.get(route)) {
      const next = [...waiting.values()].slice(0, AT_ONCE)
      for (const { tool } of next) waiting.delete(tool)
      if (waiting.size === 0) this.#waiting.delete(route)
      await this.#pin(route, mcp, next)
    }
  }

  /** Where two gateways see a tool first, and each another one, the first counts. */
  async #pin(route: string, mcp: McpRoute, definitions: readonly Definition[]): Promise<void> {
    const { facts } = await this.#ports.ledger.applyToAnchor(pinsRef(route), { kind: 'tools.seen', definitions, id: newSignalId(), by: BY, note: '' })
    for (const fact of facts) {
      if (!('tool' in fact)) continue
      if (fact.what === 'tool.accepted') await this.#ports.intake.lock(definitionLock(route, fact.tool), { kind: 'lock.lifted' }, word('the configuration names this definition'))
      if (fact.what !== 'tool.changed') continue
      this.#ports.metrics.toolChanges.inc({ route })
      this.#ports.log.warn({ route, tool: fact.tool, digest: fact.digest, does: mcp.onChange }, 'a tool is not what was accepted: its definition changed')
      if (locksOut(mcp)) this.#lock(route, mcp, fact.tool)
    }
  }

  /** At once, whatever else is told: it holds whether or not the store takes the rest. */
  #lock(route: string, { onChange }: McpRoute, tool: string): void {
    const selector = definitionLock(route, tool)
    if (this.#locking.has(selector.value)) return
    const setting = this.#ports.intake.lock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect: onChange === 'freeze' ? 'freeze' : 'deny', reason: 'tool_changed', until: null }, word('its definition is not the accepted one'))
    const locking = setting.then(() => undefined, (error: unknown) => this.#ports.log.error({ route, tool, cause: String(error) }, 'a tool that changed could not be locked; it is locked at the next list')).finally(() => this.#locking.delete(selector.value))
    this.#locking.set(selector.value, locking)
  }
}

const locksOut = ({ onChange }: McpRoute): boolean => onChange === 'hide' || onChange === 'freeze'
const word = (note: string): Word => ({ by: BY, note, id: null })

/** What is configured for exactly this tool. */
const expectedOf = (mcp: McpRoute, tool: string): string | null => traitsOf(mcp, { ...plainCall('tool', 'tools/call'), name: tool })?.digest ?? null
