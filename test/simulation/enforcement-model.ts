// What may live, in as few words as possible: the reference against which enforcement is compared. Knows no records, grants, stamps or timers.
import type { LockEffect } from '../../src/core/anchor.ts'

export type Variant = { readonly baseline: readonly string[]; readonly profiles: { readonly [name: string]: readonly string[] }; readonly closed: readonly string[]; readonly credentialEnd: 'cut' | 'ignore'; /** Callers whose key is not listed any more. */ readonly distrusted: readonly number[] }
/** One question: by whom, under which credential, for which scope (null needs none), showing which ticket. */
export type Ask = { readonly who: number | null; readonly route: string; readonly path: string; readonly scope: string | null; readonly ticket: string | null; readonly credential: Shown | null; /** What it shows besides, as locks name it. */ readonly shows: readonly string[] }
export type Shown = { readonly id: string; /** As locks name the key that signed it. */ readonly keys: readonly string[]; readonly issued: number | null; readonly ends: number | null }
export type Life = {
  readonly names: readonly string[]; id: string; openedAt: number; over: 'no' | 'lapsed' | 'revoked'; mark: number | null; endsAt: number; newest: Shown
  frozen: { readonly until: number } | null; toBaseline: boolean; only: readonly string[] | null; barred: readonly string[]
}
export type Raise = { readonly id: string; readonly who: number; readonly life: string; readonly profile: string; readonly adds: readonly string[]; readonly ticket: string | null; readonly for: number; until: number | null; over: boolean }
export type Standing = { readonly effect: LockEffect; readonly until: number }

export class Model {
  now: number
  variant: Variant
  readonly lives: Life[] = []
  readonly raises: Raise[] = []
  readonly locks = new Map<string, Standing>()

  constructor(now: number, variant: Variant) {
    this.now = now
    this.variant = variant
  }

  verdict(ask: Ask): 'open' | 'frozen' | 'cut' {
    const life = ask.who === null ? null : (this.lives[ask.who] ?? null)
    const onRequest = this.#effects([`route:${ask.route}`, ...(ask.credential === null ? ['all:'] : [`credential:${ask.credential.id}`, ...ask.credential.keys.map(key => `keyId:${key}`), ...ask.shows, ...this.#cutOffs(ask.credential, life)])])
    const onSession = life === null ? [] : this.#effects([...life.names, `session:${life.id}`, 'all:'])
    const effects = [...onRequest, ...onSession]
    if (this.variant.closed.includes(ask.path) || effects.includes('deny')) return 'cut'
    if (life === null || ask.credential === null) return effects.includes('freeze') ? 'frozen' : 'open'
    const carried = this.#lives(life, ask.credential) && !this.variant.distrusted.includes(ask.who ?? -1) ? this.#carried(ask, life, effects.includes('baseline')) : 'cut'
    return carried === 'open' && (effects.includes('freeze') || life.frozen !== null) ? 'frozen' : carried
  }

  /** What time alone has decided. */
  pass(): void {
    for (const life of this.lives) {
      if (life.over === 'no' && life.endsAt <= this.now) life.over = 'lapsed'
      else if (life.over === 'no' && life.frozen !== null && life.frozen.until <= this.now) [life.over, life.mark] = ['revoked', this.now]
    }
  }

  /** Instants at which something may change by itself. */
  boundaries(): readonly number[] {
    return [...this.lives.flatMap(({ endsAt, frozen, newest }) => [endsAt, frozen?.until ?? Infinity, newest.ends ?? Infinity]), ...this.raises.map(({ until }) => until ?? Infinity), ...[...this.locks.values()].map(({ until }) => until)]
  }

  #lives(life: Life, shown: Shown): boolean {
    const marked = life.mark !== null && (shown.issued === null || shown.issued <= life.mark)
    const credential = this.variant.credentialEnd === 'ignore' ? Infinity : newer(shown, life.newest).ends ?? Infinity
    return life.over === 'no' && !marked && this.now < life.endsAt && this.now < credential && (life.frozen === null || this.now < life.frozen.until)
  }

  #carried({ who, scope, ticket }: Ask, life: Life, baselineOnly: boolean): 'open' | 'frozen' | 'cut' {
    if (scope === null) return 'open'
    if (life.only !== null && !life.only.includes(scope)) return 'cut'
    if (this.variant.baseline.includes(scope)) return 'open'
    if (baselineOnly || life.toBaseline) return 'cut'
    const raises = this.raises.filter(raise => raise.who === who && raise.life === life.id && !raise.over && raise.until !== null && this.now < raise.until && (raise.ticket === null || raise.ticket === ticket)
      && raise.adds.includes(scope) && this.variant.profiles[raise.profile]?.includes(scope) === true && !life.barred.includes(raise.profile))
    const held = raises.map(({ profile }) => this.#effects([`profile:${profile}`]))
    return held.some(effects => effects.length === 0) ? 'open' : held.some(effects => effects.includes('freeze')) ? 'frozen' : 'cut'
  }

  /** For everybody, or for the subject that stands behind the time. */
  #cutOffs = ({ issued }: Shown, life: Life | null): readonly string[] => [...this.locks.keys()].filter(name => {
    const [, before, subject] = /^issuedBefore:(\d+)(?: (.+))?$/.exec(name) ?? []
    return before !== undefined && (issued === null || issued <= Number(before)) && (subject === undefined || life?.names.includes(`subject:${subject}`) === true)
  })

  #effects = (names: readonly string[]): readonly LockEffect[] => names.map(name => this.locks.get(name)).flatMap(lock => (lock === undefined || lock.until <= this.now ? [] : [lock.effect]))
}

/** Greatest issue time, then latest end. */
export const newer = (a: Shown, b: Shown): Shown => ((a.issued ?? 0) - (b.issued ?? 0) || (a.ends ?? Infinity) - (b.ends ?? Infinity) || 0) > 0 ? a : b
