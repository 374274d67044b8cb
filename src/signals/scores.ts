// Scores from outside: what a signed message says of a caller becomes points under a name. What is no number of points is refused; who has no session and
// is not named whole is nobody. SPEC: RSK9
import type { ScoreMap, ScoreSettings } from '../config/compile/scores.ts'
import type { AnchorRef } from '../core/anchor.ts'
import { identityOf, type Principal } from '../core/principal.ts'
import { SCORE_MAX } from '../core/risk.ts'
import type { Instant } from '../core/time.ts'
import { foldedName } from '../identity/canonical-name.ts'
import type { Mirror } from '../sessions/mirror.ts'
import { principalAnchor } from '../sessions/principal-anchor.ts'
import type { SessionStore } from '../sessions/store.ts'
import type { SessionKey } from '../core/session.ts'
import type { OpenSigned } from './open-signed.ts'
import { momentOf } from './tickets/mapping.ts'

export type OpenScores = OpenSigned<ScoreSettings>

/** Whom it is of: null is any. */
type Whose = { readonly subject: string; readonly issuer: string | null; readonly tenant: string | null; readonly client: string | null }
export type Score = Whose & { readonly name: string; readonly points: number; readonly at: Instant | null }
type Scored = { readonly is: 'score'; readonly score: Score } | { readonly is: 'fault'; readonly of: keyof ScoreMap }

/** Whoever keeps scores. */
export type Scores = { readonly told: (principal: AnchorRef, who: string, name: string, points: number) => void }
export type ScorePorts = {
  readonly store: Pick<SessionStore, 'find' | 'load' | 'mark'>
  readonly mirror: Pick<Mirror, 'known'>
  readonly risk: Scores
  /** Are subjects of this issuer, or with null of any, known in small letters? */
  readonly folds: (issuer: string | null) => boolean
}

/** As long as a name of a principal. */
const TEXT_MAX = 512
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** Sessions of one subject that are looked at. */
const SESSIONS_MAX = 10_000

const isText = (text: string): boolean => text.length <= TEXT_MAX && text.isWellFormed()

/** A text of the message; undefined where it is none. Null where nobody asks for it. */
function textIn(map: ScoreMap, key: 'issuer' | 'tenant' | 'client', message: unknown): string | null | undefined {
  const read = map[key]
  if (read === null) return null
  const text = read.read(message)
  return text === null || !isText(text) ? undefined : text
}

export function scored({ name: webhook, map }: Pick<ScoreSettings, 'name' | 'map'>, message: unknown): Scored {
  const subject = map.subject.read(message)
  if (subject === null || subject === '' || !isText(subject)) return { is: 'fault', of: 'subject' }
  const points = map.score.read(message)
  if (points === null || !(points >= 0 && points <= SCORE_MAX)) return { is: 'fault', of: 'score' }
  const name = map.name === null ? webhook : map.name.read(message)
  if (name === null || !NAME.test(name)) return { is: 'fault', of: 'name' }
  const at = map.at === null ? null : momentOf(map.at.read(message) ?? '')
  if (at === null && map.at !== null) return { is: 'fault', of: 'at' }
  const [issuer, tenant, client] = [textIn(map, 'issuer', message), textIn(map, 'tenant', message), textIn(map, 'client', message)]
  if (issuer === undefined) return { is: 'fault', of: 'issuer' }
  if (tenant === undefined) return { is: 'fault', of: 'tenant' }
  return client === undefined ? { is: 'fault', of: 'client' } : { is: 'score', score: { subject, issuer, tenant, client, name, points, at } }
}

type Named = { readonly ref: AnchorRef; readonly who: string }
type Folds = ScorePorts['folds']

/** As they are known who have that issuer; null for nobody. */
const spelled = (subject: string, issuer: string | null, folds: Folds): string | null => (folds(issuer) ? foldedName(subject) : subject)

const isMeant = ({ issuer, tenant, subject, client }: Principal, whose: Whose, folds: Folds): boolean =>
  subject === spelled(whose.subject, issuer, folds) && (whose.issuer === null || issuer === whose.issuer) && (whose.tenant === null || tenant === whose.tenant) && (whose.client === null || client === whose.client)

/** Who is named whole needs no session; of anybody else those that have one now. */
export async function principalsNamed({ store, mirror, folds }: ScorePorts, whose: Score): Promise<readonly Named[]> {
  const { issuer, tenant, client } = whose
  const subject = spelled(whose.subject, issuer, folds)
  if (issuer !== null && tenant !== null && client !== null) return subject === null ? [] : [{ ref: principalAnchor({ issuer, tenant, subject, client }), who: identityOf({ issuer, subject }) }]
  const found = new Map<string, Named>()
  for (const name of new Set(issuer === null ? [whose.subject, subject] : [subject])) {
    if (name === null) continue
    for (const ref of await store.find({ kind: 'subject', value: issuer === null ? name : identityOf({ issuer, subject: name }) }, SESSIONS_MAX)) {
      const record = mirror.known(ref.name as SessionKey)?.record ?? (await store.load(ref)) // a session lies under its key
      if (record?.record !== 'session' || !isMeant(record.principal, whose, folds)) continue
      const named = principalAnchor(record.principal)
      found.set(named.name, { ref: named, who: identityOf(record.principal) })
    }
  }
  return [...found.values()]
}
