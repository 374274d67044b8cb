// What is seen of tools' definitions, and whose word makes one count. SPEC: MCP14
import type { Anchor, AnchorRef } from '../anchor.ts'
import type { AnchorHappening } from '../fact.ts'
import type { SignalOf } from '../signal.ts'
import { type Definition, pinOf, pinsIn, PINS_MAX, type Pinned, type ToolWord } from '../tools.ts'
import { NOTHING, type Outcome, reject } from './rule.ts'

type Rule<K extends 'tools.seen' | 'tool.accepted'> = (ref: AnchorRef, anchor: Anchor | null, signal: SignalOf<K>) => Outcome<AnchorHappening>

const tells = ({ kind, name }: AnchorRef, what: ToolWord, tool: string, digest: string): AnchorHappening => ({ what, kind, name, tool, digest })

function seenOne(ref: AnchorRef, pinned: Pinned, { tool, digest, expected }: Definition): readonly AnchorHappening[] {
  const pin = pinOf(pinned, tool)
  const accepted = expected ?? pin?.accepted ?? digest
  const change = digest === accepted ? [] : [tells(ref, 'tool.changed', tool, digest)]
  if (pin === null) return [tells(ref, 'tool.pinned', tool, accepted), ...change]
  if (pin.accepted !== accepted) return [tells(ref, 'tool.accepted', tool, accepted), ...change]
  return pin.changed === digest ? [] : change
}

/** Each tool is named once. */
export const seen: Rule<'tools.seen'> = (ref, anchor, { definitions }) => {
  const pinned = pinsIn(anchor?.matter ?? null)
  let room = PINS_MAX - pinned.pins.length
  return definitions.flatMap(definition => (pinOf(pinned, definition.tool) === null && --room < 0 ? [] : seenOne(ref, pinned, definition)))
}

/** Only what was seen: whoever accepts has read that and nothing else. */
export const accepts: Rule<'tool.accepted'> = (ref, anchor, { tool, digest }) => {
  const pin = pinOf(pinsIn(anchor?.matter ?? null), tool)
  if (pin === null) return reject('not_found', 'no definition of this tool was seen')
  if (digest !== pin.changed && digest !== pin.accepted) return reject('conflict', 'the definition that was seen last is another one')
  return pin.changed === null ? NOTHING : [tells(ref, 'tool.accepted', tool, digest)]
}
