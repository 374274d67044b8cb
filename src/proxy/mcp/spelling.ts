// Names that a lax server takes for others: in another case, width or composition, or with other punctuation (`task_id`, `Arguments`, `meta`). Whoever writes
// one means two things at once, and is refused. Pure. SPEC: MCP1
import { folded } from '../../runtime/strict-json.ts'

const PUNCTUATION = /[^\p{L}\p{N}]/gu

const plain = (name: string): string => folded(name).replace(PUNCTUATION, '')

/** Names that mean something, and what else is taken for them. */
export class Names {
  readonly #names: ReadonlySet<string>
  readonly #plain: ReadonlySet<string>

  constructor(names: readonly string[]) {
    this.#names = new Set(names)
    this.#plain = new Set(names.map(plain))
  }

  /** Is it one of them to somebody, without being one? */
  isMisspelt(name: string): boolean { return !this.#names.has(name) && this.#plain.has(plain(name)) }

  isAnyMisspelt(members: ReadonlyMap<string, unknown>): boolean {
    for (const name of members.keys()) if (this.isMisspelt(name)) return true
    return false
  }
}
