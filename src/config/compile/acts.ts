// What follows from news, as it is written: acts and what they need become effects, in the order of their reference. SPEC: CFG3, OUT3
import type { Effect } from '../../core/outside.ts'
import { scopeOf } from '../../core/scope.ts'
import { type Means, MEANS } from '../../core/step-up.ts'
import { duration } from '../../core/time.ts'
import { SIGNAL_ACTS, type SignalAct } from '../schema/acts.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'

export type WrittenActs = NonNullable<NonNullable<Compilation['config']['signals']['logout']>[number]>['follows']

const SHORTENED = duration(5 * 60_000)
const KEYS: { readonly [K in Exclude<keyof WrittenActs, 'do'>]-?: SignalAct } = { freezeFor: 'freeze', narrowTo: 'narrow', shortenTo: 'shorten', scopes: 'endElevations', by: 'reproof', points: 'risk' }
/** They hold what is over then. */
const OF_THE_LIVING: readonly SignalAct[] = ['freeze', 'narrow', 'shorten', 'endElevations', 'reproof', 'claims']

/** What its own place decides. */
type ActsTerms = {
  /** By what its points are known. */
  readonly name: string
  /** It tells which claims changed. */
  readonly tellsClaims: boolean
  readonly channels: readonly string[]
}

/** @param means by which a session may go on where nothing else is said */
export function effectOf(act: SignalAct, { freezeFor, narrowTo, shortenTo = SHORTENED, scopes, by, points = 0 }: Omit<WrittenActs, 'do'>, name: string, means: readonly Means[]): Effect {
  switch (act) {
    case 'terminate': return { do: 'terminate' }
    case 'freeze': return { do: 'freeze', for: freezeFor ?? null }
    case 'narrow': return { do: 'narrow', to: narrowTo === undefined ? null : scopeOf(narrowTo) }
    case 'shorten': return { do: 'shorten', to: shortenTo }
    case 'endElevations': return { do: 'endElevations', scopes: scopes === undefined ? null : scopeOf(scopes) }
    case 'reproof': return { do: 'reproof', by: [...new Set(by ?? means)] }
    case 'claims': return { do: 'claims', changes: {} }
    case 'risk': return { do: 'risk', name, points }
    case 'notify': return { do: 'notify' }
  }
}

/** Empty is nothing. */
export function effectsOf(c: Compilation, path: Path, written: WrittenActs, { name, tellsClaims, channels }: ActsTerms): readonly Effect[] {
  const { do: acts } = written
  const { report } = c
  for (const [key, act] of Object.entries(KEYS)) if (Object.hasOwn(written, key) && !acts.includes(act)) report.errorAtKey([...path, key], `\`${key}\` has a meaning only with \`${act}\``)
  acts.forEach((act, i) => {
    if (acts.indexOf(act) < i) report.error([...path, 'do', i], `\`${act}\` is written twice`)
    if (acts.includes('terminate') && OF_THE_LIVING.includes(act)) report.error([...path, 'do', i], `\`terminate\` leaves nothing for \`${act}\``)
    if (act === 'claims' && !tellsClaims) report.error([...path, 'do', i], 'only `token-claims-change` tells which claims changed')
    if (act === 'notify' && channels.length === 0) report.error([...path, 'do', i], 'nobody is named who is told', 'name channels with `notify`, beside the events')
  })
  if (acts.includes('risk') && written.points === undefined) report.errorAtKey([...path, 'do'], '`risk` needs `points`')
  return SIGNAL_ACTS.flatMap(act => (acts.includes(act) ? [effectOf(act, written, name, c.config.risk.stepUp.by ?? MEANS)] : []))
}
