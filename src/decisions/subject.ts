// Whom a subject stands for: a live session by its id, with the newest credential seen here; or a principal, judged as a session of its own that opens now would
// be, which is never kept. SPEC: PDP2
import type { PdpServed, PrincipalForm } from '../config/compile/decisions.ts'
import type { ProviderSettings } from '../config/settings.ts'
import { NOT_BOUND } from '../core/binding.ts'
import { effective, shownBy, type Effective, type Trusted } from '../core/effective.ts'
import type { Evidence } from '../core/evidence.ts'
import { baselineOf } from '../core/policy.ts'
import type { Claims, Principal } from '../core/principal.ts'
import { NO_PURPOSES, type Purposes } from '../core/purpose.ts'
import type { Reason } from '../core/reason.ts'
import { NO_STANDING } from '../core/risk.ts'
import type { Route } from '../core/route.ts'
import { LIVE, NO_CAP, type Session, type SessionId, type SessionKey } from '../core/session.ts'
import { after, type Duration, FOREVER, type Instant } from '../core/time.ts'
import { NO_CLAIMS } from '../enforcement/exchange.ts'
import { foldedName, isCanonicalName } from '../identity/canonical-name.ts'
import { issuersOf } from '../identity/issuers-of.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { principalAnchor } from '../sessions/principal-anchor.ts'
import type { Members, Question } from './question.ts'
import type { DecisionsRoom } from './room.ts'

export type Subject = {
  readonly is: 'session' | 'principal'
  readonly live: LiveSession | null
  readonly principal: Principal
  /** null where no credential of it was seen here, so that nobody knows what it says. */
  readonly claims: Claims | null
  readonly evidence: Evidence | null
  /** What its session was opened for. */
  readonly own: Purposes
  /** What it may do now where it has no session; null where it has. */
  readonly standing: (now: Instant) => Effective | null
  /** Until when whoever vouches for its credential was heard. */
  readonly vouchedUntil: Instant
  /** Would its credential be taken there? */
  readonly taken: (route: Route) => boolean
}
export type Found = Subject | { readonly is: 'refused'; readonly reason: Reason; readonly live: LiveSession | null }

const SESSION_ID = /^ses_[a-z2-7]{26}$/

const refused = (reason: Reason, live: LiveSession | null = null): Found => ({ is: 'refused', reason, live })

/** Providers that may be asked about a credential again, and how long an answer counts. */
const freshnessOf = (provider: ProviderSettings | undefined): Duration | null => (provider?.is === 'introspection' ? provider.freshness : provider?.is === 'kubernetes' ? (provider.review?.freshness ?? null) : null)

export class Subjects {
  readonly #room: DecisionsRoom

  constructor(room: DecisionsRoom) {
    this.#room = room
  }

  async find({ principals }: PdpServed, { subject: { type, id }, body }: Question): Promise<Found> {
    if (type === 'session') return this.#session(id)
    const form = principals.get(type)
    return form === undefined ? refused('no_credential') : this.#principal(form, body)
  }

  // ---- a live session

  async #session(id: string): Promise<Found> {
    const live = SESSION_ID.test(id) ? await this.#liveOf(id) : null
    if (live === null) return refused('session_ended')
    return (await this.#isIdle(live)) ? refused('idle', live) : this.#ofSession(live)
  }

  async #liveOf(id: string): Promise<LiveSession | null> {
    const { keeper: { mirror }, store } = this.#room
    const known = mirror.byId(id)
    const [ref] = known === null ? await store.find({ kind: 'session', value: id }, 1) : []
    const key = known?.record.key ?? (ref?.name as SessionKey | undefined) // a session lies under its key
    const live = key === undefined ? null : await mirror.load(key)
    return live?.record.id === id ? live : null
  }

  /** Its next request would find it lapsed. */
  async #isIdle(live: LiveSession): Promise<boolean> {
    const { mirror, clock } = this.#room.keeper
    const isOver = (seen: Instant): boolean => live.pins === 0 && live.record.state.is === 'live' && after(seen, mirror.policy.sessions.idle) <= clock.now()
    return isOver(live.lastSeen) && isOver(await mirror.seenAnywhere(live))
  }

  /** What its requests show: its newest credential, or of a broker's session what it is bound to. */
  #ofSession(live: LiveSession): Subject {
    const { record: { principal, brokered }, record, newest, knownClaims } = live
    const evidence = newest ?? (brokered === null ? null : shownBy(record).evidence)
    return {
      is: 'session', live, principal, claims: knownClaims, evidence, own: brokered?.purposes ?? NO_PURPOSES, standing: () => null, vouchedUntil: this.#vouchedUntil(live),
      taken: ({ authn }) => (newest === null ? authn.some(name => this.#room.providers().get(name)?.is === 'sessionToken') : authn.includes(newest.provider) && this.#room.keeper.vouchesFor(newest)),
    }
  }

  /** Its credential was asked about when it last did something, or since. */
  #vouchedUntil({ newest, lastSeen }: LiveSession): Instant {
    const freshness = newest === null ? null : freshnessOf(this.#room.providers().get(newest.provider))
    return freshness === null ? FOREVER : after(lastSeen, freshness)
  }

  // ---- a principal

  async #principal(form: PrincipalForm, body: Members): Promise<Found> {
    const principal = this.#named(form, body)
    if (principal === null) return refused('bad_request')
    const { keeper: { mirror } } = this.#room
    const claims: Claims = Object.fromEntries([...form.claims].map(([name, value]) => [name, value.read(body)] as const).filter(([, value]) => value !== undefined))
    const anchor = await mirror.anchor(principalAnchor(principal))
    const trusted = anchor?.matter?.is === 'principal' ? anchor.matter : NO_STANDING
    const evidence = (now: Instant): Evidence => ({ provider: '', fingerprint: '', credential: '', issuer: principal.issuer, keyId: null, issuedAt: now, expiresAt: null, keyThumbprint: null, device: null, claimed: NO_PURPOSES })
    return {
      is: 'principal', live: null, principal, claims, evidence: evidence(this.#room.keeper.clock.now()), own: NO_PURPOSES, standing: now => this.#standing(principal, claims, trusted, now), vouchedUntil: FOREVER,
      taken: ({ authn }) => authn.some(name => this.#vouches(this.#room.providers().get(name), principal.issuer)),
    }
  }

  /** null where one of its names is none. */
  #named({ issuer, kind, ...form }: PrincipalForm, body: Members): Principal | null {
    const written = form.subject.read(body)
    const subject = isCanonicalName(written) && this.#room.folds(issuer) ? foldedName(written) : written
    const [tenant, client] = [form.tenant, form.client].map(name => (name === null ? '' : name.read(body)))
    const isName = (name: string | null | undefined): name is string => name === '' || isCanonicalName(name)
    if (!isCanonicalName(subject) || !isName(tenant) || !isName(client) || (form.tenant !== null && tenant === '')) return null
    return { kind, issuer, tenant, subject, client, owner: null, actor: null }
  }

  #standing(principal: Principal, claims: Claims, trusted: Trusted, now: Instant): Effective {
    const { policy, anchors, locks } = this.#room.keeper.mirror
    const session: Session = {
      record: 'session', key: '' as SessionKey, id: '' as SessionId, epoch: '', version: 0, // of none: nobody looks it up
      principal, bindings: NOT_BOUND, aliases: this.#room.aliasesOf(principal.issuer, claims), overlay: [], demand: null, brokered: null, drifts: [],
      openedAt: now, credential: { id: '', keyId: null, issuedAt: now, expiresAt: null }, endsAt: after(now, policy.sessions.max), cap: NO_CAP, barred: [], frozen: null,
      elevations: [], stepUps: [], taints: [], state: LIVE, notBefore: null,
    }
    return effective(session, baselineOf(policy, principal, claims), anchors, locks, policy, now, { is: 'gone' }, claims, trusted)
  }

  /** Certificates of whoever signs for others name their issuer themselves. */
  #vouches(provider: ProviderSettings | undefined, issuer: string): boolean {
    if (provider === undefined) return false
    return issuersOf(provider).includes(issuer) || (provider.is === 'mtls' && provider.by !== 'spiffe' && issuer.startsWith('x509:'))
  }
}

/** As conditions read them. */
export const claimsOf = ({ claims }: Subject): Claims => claims ?? NO_CLAIMS
