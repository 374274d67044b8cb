// How far ordered purposes have come, as far as this gateway was told: the arrival of a later turn or step is news, committed and in force everywhere before the request that
// brings it is judged. It only goes forward; what is not known here is asked by the same news, which changes nothing where it is none. SPEC: PUR6
import { type Anchor, lineKept, progressAnchor } from '../core/anchor.ts'
import type { Position } from '../core/purpose.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Intake } from './intake.ts'

const LINES_MAX = 50_000
/** Lines about which the store is asked at once. */
const UNDERWAY_MAX = 1_000

/** `told`: by the store. What is only in force from memory ends what is earlier, and begins nothing. */
type Known = { readonly at: number; readonly told: boolean }
type Underway = { readonly at: number; readonly done: Promise<void> }

export class Progress {
  readonly #intake: Pick<Intake, 'anchor'>
  readonly #onFull: () => void
  /** By line. */
  readonly #known = new BoundedMap<string, Known>(LINES_MAX)
  readonly #underway = new Map<string, Underway>()

  /** @param onFull hears that a request could not ask */
  constructor(intake: Pick<Intake, 'anchor'>, onFull: () => void) {
    this.#intake = intake
    this.#onFull = onFull
  }

  /** null where nobody here knows yet: `advance` first. */
  standing({ line, at }: Position): 'current' | 'over' | null {
    const known = this.#known.get(line)
    if (known === undefined || known.at < at) return null
    return known.at > at ? 'over' : known.told ? 'current' : null
  }

  /** Never rejects: what the store does not take stays unknown. @param by `issuer|subject` of whoever shows it */
  advance(position: Position, value: string, by: string): Promise<void> {
    const { line, at } = position
    const underway = this.#underway.get(line)
    if (underway !== undefined && underway.at >= at) return underway.done
    if (underway === undefined && this.#underway.size >= UNDERWAY_MAX) {
      this.#onFull()
      return Promise.resolve()
    }
    const done = this.#advance(position, value, by).finally(() => {
      if (this.#underway.get(line)?.done === done) this.#underway.delete(line)
    })
    this.#underway.set(line, { at, done })
    return done
  }

  /** Any gateway's news. */
  heard({ kind, name, matter, version }: Anchor): void {
    const line = matter?.is === 'progress' ? lineKept({ kind, name }) : null
    if (line !== null && matter?.is === 'progress') this.#learn(line, { at: matter.position, told: version > 0 })
  }

  async #advance(position: Position, value: string, by: string): Promise<void> {
    try {
      const { record, assumed } = await this.#intake.anchor(progressAnchor(position), { kind: 'anchor.advanced', position: position.at, value }, { by, note: '', id: null })
      if (record !== null && assumed === null) this.heard(record)
    } catch {
      // whoever asked finds it unknown
    }
  }

  #learn(line: string, news: Known): void {
    const known = this.#known.get(line)
    if (known === undefined || news.at > known.at || (news.at === known.at && news.told)) this.#known.set(line, news)
  }
}
