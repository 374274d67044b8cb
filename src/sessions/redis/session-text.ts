// A session as its record's text in Redis: by position, without what its reference says and without what every plain live session has alike.
// Exact both ways: what does not fit is written out as JSON. Says nothing of what the members mean. SPEC: STO14
import { NOT_BOUND } from '../../core/binding.ts'
import type { Actor, Principal } from '../../core/principal.ts'
import { type Credential, LIVE, NO_CAP, type Session, type SessionKey } from '../../core/session.ts'
import { type Instant, instant } from '../../core/time.ts'

/** What a plain live session has alike. */
const PLAIN = { bindings: NOT_BOUND, aliases: [], overlay: [], demand: null, brokered: null, drifts: [], cap: NO_CAP, barred: [], frozen: null, elevations: [], stepUps: [], taints: [], state: LIVE, notBefore: null } as const satisfies Partial<Session>
type Special = { readonly [K in keyof typeof PLAIN]?: Session[K] }

type Who = readonly [kind: Principal['kind'], issuer: string, tenant: string, subject: string, client: string, owner?: string | null, actor?: Actor | null]
/** Instants count from the opening. */
type Shown = readonly [id: string, keyId: string | null, issued: number | null, expires: number | null]
type Written = readonly [id: Session['id'], epoch: string, version: number, openedAt: Instant, lasts: number, who: Who, shown: Shown, special?: Special]

const NAMES = Object.keys(PLAIN) as readonly (keyof typeof PLAIN)[] // its own

function specialOf(session: Session): readonly [Special?] {
  const names = NAMES.filter(name => JSON.stringify(session[name]) !== JSON.stringify(PLAIN[name]))
  return names.length === 0 ? [] : [Object.fromEntries(names.map(name => [name, session[name]]))]
}

const whoOf = ({ kind, issuer, tenant, subject, client, owner, actor }: Principal): Who =>
  owner === null && actor === null ? [kind, issuer, tenant, subject, client] : [kind, issuer, tenant, subject, client, owner, actor]

const since = (opened: Instant, at: Instant | null): number | null => (at === null ? null : at - opened)
const atOf = (opened: Instant, since: number | null): Instant | null => (since === null ? null : instant(opened + since))

/** Sums and differences of these are exact. */
const isExact = (...instants: readonly (Instant | null)[]): boolean => instants.every(at => at === null || (Number.isSafeInteger(at) && Math.abs(at) < 2 ** 51))

/** @throws TypeError for what is not JSON */
export function sessionText(session: Session): string {
  const { id, epoch, version, openedAt, endsAt, principal, credential } = session
  if (!isExact(openedAt, endsAt, credential.issuedAt, credential.expiresAt)) return JSON.stringify(session)
  const shown: Shown = [credential.id, credential.keyId, since(openedAt, credential.issuedAt), since(openedAt, credential.expiresAt)]
  return JSON.stringify([id, epoch, version, openedAt, endsAt - openedAt, whoOf(principal), shown, ...specialOf(session)] satisfies Written)
}

/** @param name of its reference: its key. `written` is what `sessionText` wrote by position */
export function sessionOf(name: string, written: readonly unknown[]): Session {
  const [id, epoch, version, openedAt, lasts, [kind, issuer, tenant, subject, client, owner = null, actor = null], [credential, keyId, issued, expires], special = PLAIN] = written as unknown as Written // written by commit
  const { bindings = PLAIN.bindings, aliases = PLAIN.aliases, overlay = PLAIN.overlay, demand = PLAIN.demand, brokered = PLAIN.brokered, drifts = PLAIN.drifts, cap = PLAIN.cap, barred = PLAIN.barred, frozen = PLAIN.frozen, elevations = PLAIN.elevations, stepUps = PLAIN.stepUps, taints = PLAIN.taints, state = PLAIN.state, notBefore = PLAIN.notBefore }: Special = special
  const shown: Credential = { id: credential, keyId, issuedAt: atOf(openedAt, issued), expiresAt: atOf(openedAt, expires) }
  return {
    record: 'session', key: name as SessionKey, id, epoch, version, principal: { kind, issuer, tenant, subject, client, owner, actor }, // a session lies under its key
    bindings, aliases, overlay, demand, brokered, drifts, openedAt, credential: shown, endsAt: instant(openedAt + lasts), cap, barred, frozen, elevations, stepUps, taints, state, notBefore,
  }
}
