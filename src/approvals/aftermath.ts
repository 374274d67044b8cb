// What an elevation's end leaves behind: the pause of its principal, and the resource it held, free. By whoever wrote the end; tried again a few times, and
// never the other way round: until it is written nobody gets more. SPEC: ELV11, ELV12
import { setTimeout as pause } from 'node:timers/promises'
import { type AnchorRef, type Matter, pausing } from '../core/anchor.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Fact } from '../core/fact.ts'
import type { Policy } from '../core/policy.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import type { AnchorNews, SignalId } from '../core/signal.ts'
import { after, type Instant } from '../core/time.ts'
import type { Log } from '../runtime/log.ts'
import { principalAnchor } from '../sessions/principal-anchor.ts'
import { resourceAnchor } from './requesting.ts'

type Ports = {
  readonly desk: { anchor(ref: AnchorRef, news: AnchorNews, word: { readonly by: string; readonly note: string; readonly id: SignalId | null }): Promise<unknown> }
  readonly log: Log
  readonly policy: () => Policy
}

const ATTEMPTS = 5
const FIRST_PAUSE = 500
const BY = 'aftermath'

type Left = { readonly ref: AnchorRef; readonly matter: Matter }

function leftBehind({ key, principal }: Session, { id, profile, resource }: Elevation, { profiles }: Policy, at: Instant): readonly Left[] {
  const cooldown = profiles.get(profile)?.cooldown ?? null
  const paused: Left[] = cooldown === null ? [] : [{ ref: principalAnchor(principal), matter: pausing({ [profile]: after(at, cooldown) }) }]
  const freed: Left[] = resource === null ? [] : [{ ref: resourceAnchor(resource), matter: { is: 'resource', holder: { elevation: id, session: key, since: at, until: at } } }]
  return [...paused, ...freed]
}

export class Aftermath {
  readonly #ports: Ports
  readonly #writing = new Set<Promise<void>>()
  readonly #stopping = new AbortController()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** What this gateway wrote. */
  committed(record: StoredRecord, facts: readonly Fact[]): void {
    if (record.record !== 'session') return
    for (const fact of facts) {
      if (fact.what !== 'elevation.ended' && fact.what !== 'elevation.denied' && fact.what !== 'elevation.withdrawn' && fact.what !== 'elevation.expired') continue
      const elevation = record.elevations.find(({ id }) => id === fact.elevation)
      if (elevation !== undefined) for (const left of leftBehind(record, elevation, this.#ports.policy(), fact.at)) this.#behind(this.#write(left, elevation))
    }
  }

  /** Resolves when nothing is left to write; what fails is not tried again. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#writing)
  }

  #behind(work: Promise<void>): void {
    const tracked: Promise<void> = work.finally(() => this.#writing.delete(tracked))
    this.#writing.add(tracked)
  }

  async #write({ ref, matter }: Left, { id }: Elevation): Promise<void> {
    const { desk, log } = this.#ports
    for (let attempt = 1; ; attempt++) {
      try {
        await desk.anchor(ref, { kind: 'anchor.told', matter }, { by: BY, note: id, id: null })
        return
      } catch (error) {
        if (attempt >= ATTEMPTS || this.#stopping.signal.aborted) return log.warn({ elevation: id, anchor: ref.kind, cause: String(error) }, 'what an elevation leaves behind could not be written')
      }
      await pause(FIRST_PAUSE * 2 ** (attempt - 1), undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined) // stopped: once more, at once
    }
  }
}
