// What the library says waits, read. SPEC: STO21
import { instant } from '../../core/time.ts'
import type { Item, Waiting } from '../store.ts'

export function waitingOf(answer: unknown): Waiting {
  const [length, ...rest] = answer as readonly (string | number)[] // as `waiting` returns it
  const items: Item[] = []
  for (let i = 0; i + 2 < rest.length; i += 3) items.push({ id: String(rest[i]), forgetAt: instant(Number(rest[i + 1])), text: String(rest[i + 2]) })
  return { items, length: Number(length) }
}
