// Which definition of each tool of a route counts: the first that was seen, the one that is configured, or the one that an operator accepted since. Another one
// is a change, until somebody accepts it: one that is what it was before is no acceptance. SPEC: MCP14
import type { AnchorRef, Matter, Selector, ToolPin } from './anchor.ts'
import type { Instant } from './time.ts'

/** Tools of a route that are remembered; those beyond are never accepted. */
export const PINS_MAX = 1_000

/** A definition as its server tells it. `expected`: what is configured; null where nothing is. */
export type Definition = { readonly tool: string; readonly digest: string; readonly expected: string | null }

export type Pinned = Extract<Matter, { is: 'tools' }>
export const NO_PINS: Pinned = { is: 'tools', pins: [] }

/** What became of a definition. */
export type ToolWord = 'tool.pinned' | 'tool.changed' | 'tool.accepted'

/** As locks name a tool: names of routes have no slash. */
export const toolOf = (route: string, tool: string): string => `${route}/${tool}`

export function toolPartsOf(value: string): { readonly route: string; readonly tool: string } {
  const slash = value.indexOf('/')
  return { route: value.slice(0, slash), tool: value.slice(slash + 1) }
}

/** Where it is kept which definitions count on a route. */
export const pinsRef = (route: string): AnchorRef => ({ kind: 'tools', name: route })
/** What the gateway itself locks when a definition is another one. */
export const definitionLock = (route: string, tool: string): Selector => ({ kind: 'definition', value: toolOf(route, tool) })

export const pinsIn = (matter: Matter | null): Pinned => (matter?.is === 'tools' ? matter : NO_PINS)
export const pinOf = ({ pins }: Pinned, tool: string): ToolPin | null => pins.find(pin => pin.tool === tool) ?? null

export function withWord(matter: Matter | null, what: ToolWord, tool: string, digest: string, { at, by }: { readonly at: Instant; readonly by: string }): Pinned {
  const { pins } = pinsIn(matter)
  const told: ToolPin = { tool, ...(what === 'tool.changed' ? { accepted: pins.find(pin => pin.tool === tool)?.accepted ?? digest, changed: digest } : { accepted: digest, changed: null }), since: at, by }
  return { is: 'tools', pins: pins.some(pin => pin.tool === tool) ? pins.map(pin => (pin.tool === tool ? told : pin)) : [...pins, told] }
}
