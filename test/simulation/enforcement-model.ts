// What may live, in as few words as possible: the reference against which enforcement is compared. Knows no records, grants, stamps or timers.
import type { LockEffect } from '../../src/core/anchor.ts'

export type Variant = { readonly baseline: readonly string[]; readonly profiles: { readonly [name: string]: readonly string[] }; readonly closed: readonly string[]; readonly credentialEnd: 'cut' | 'ignore' }
/** One question: by whom, under which credential, for which scope (null needs none), showing which ticket. */
export type Ask = { readonly who: number | null; readonly route: string; readonly path: string; readonly scope: string | null; readonly ticket: string | null; readonly credential: Shown | null }
export type Shown = { readonly id: string; readonly issued: number | null; readonly ends: number | null }
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
    const onRequest = this.#strongest([`route:${ask.route}`, ...(ask.credential === null ? ['all:'] : [`credential:${ask.credential.id}`, ...this.#cutOffs(ask.credential)])])
    const onSession = life === null ? null : this.#strongest([...life.names, `session:${life.id}`, 'all:'])
    if (this.variant.closed.includes(ask.path) || onRequest === 'deny' || onSession === 'deny') return 'cut'
    if (life !== null && ask.credential !== null && !(this.#lives(life, ask.credential) && this.#carried(ask, life, onRequest === 'baseline' || onSession === 'baseline'))) return 'cut'
    return onRequest === 'freeze' || onSession === 'freeze' || life?.frozen ? 'frozen' : 'open'
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
    const credential = this.variant.credentialEnd === 'ignore' ? Infinity : Math.max(shown.ends ?? Infinity, life.newest.ends ?? Infinity)
    return life.over === 'no' && !marked && this.now < life.endsAt && this.now < credential && (life.frozen === null || this.now < life.frozen.until)
  }

  #carried({ who, scope, ticket }: Ask, life: Life, baselineOnly: boolean): boolean {
    if (scope === null) return true
    if (life.only !== null && !life.only.includes(scope)) return false
    if (this.variant.baseline.includes(scope)) return true
    return !baselineOnly && !life.toBaseline && this.raises.some(raise =>
      raise.who === who && raise.life === life.id && !raise.over && raise.until !== null && this.now < raise.until && raise.adds.includes(scope) && this.variant.profiles[raise.profile]?.includes(scope) === true
      && !life.barred.includes(raise.profile) && (raise.ticket === null || raise.ticket === ticket) && this.#strongest([`profile:${raise.profile}`]) === null)
  }

  #cutOffs = ({ issued }: Shown): readonly string[] => [...this.locks.keys()].filter(name => name.startsWith('issuedBefore:') && (issued === null || issued <= Number(name.slice('issuedBefore:'.length))))

  #strongest(names: readonly string[]): LockEffect | null {
    const effects = names.map(name => this.locks.get(name)).flatMap(lock => (lock === undefined || lock.until <= this.now ? [] : [lock.effect]))
    return (['deny', 'freeze', 'baseline'] as const).find(effect => effects.includes(effect)) ?? null
  }
}
