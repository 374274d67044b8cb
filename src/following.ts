// What follows from what a gateway wrote, wired: notices to people, what an end leaves behind, reviews of emergencies; and whether what was approved may still
// start. Decides nothing itself. SPEC: APR6, APR7, ELV11, ELV12, NOT1
import type { Authorizer } from './admin/authorize.ts'
import { Aftermath } from './approvals/aftermath.ts'
import type { Review, Unreviewed } from './approvals/review.ts'
import { Reviews } from './approvals/reviews.ts'
import { isStillUnasked, lostApproval, mayStillAsk } from './approvals/standing.ts'
import type { Trail } from './audit/trail.ts'
import type { Settings } from './config/settings.ts'
import type { Elevation } from './core/elevation.ts'
import type { Fact, SessionFact } from './core/fact.ts'
import { identityOf } from './core/principal.ts'
import type { EndReason } from './core/reason.ts'
import type { StoredRecord } from './core/record.ts'
import type { Session } from './core/session.ts'
import type { Channels } from './notify/channel.ts'
import { Notifier } from './notify/notifier.ts'
import { missedNotice, noticesOf, stepUpNotices, type Told } from './notify/occasions.ts'
import { openChannels } from './notify/open-channels.ts'
import type { Clock } from './runtime/clock.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import type { Intake } from './signals/intake.ts'

type Parts = {
  readonly settings: () => Settings
  readonly authorizer: () => Pick<Authorizer, 'standing'>
  readonly intake: Intake
  readonly ledger: Ledger
  readonly mirror: Mirror
  readonly store: SessionStore
  readonly trail: Pick<Trail, 'adminChanged'>
  readonly clock: Clock
  readonly http: HttpClient
  readonly metrics: Metrics
  readonly log: Log
}

export class Following {
  readonly #parts: Parts
  readonly #notifier: Notifier
  readonly #aftermath: Aftermath
  readonly #reviews: Reviews

  /** @throws SecretFileError where a channel's file is not what it must be */
  static async open({ notify: { channels } }: Settings, parts: Parts): Promise<Following> {
    return new Following(parts, await openChannels(channels))
  }

  private constructor(parts: Parts, channels: Channels) {
    const { intake, ledger, mirror, store, clock, http, metrics, log } = parts
    this.#parts = parts
    this.#notifier = new Notifier({ channels, http, clock, log, count: (kind, outcome) => metrics.notifications.inc({ kind, outcome }) })
    this.#aftermath = new Aftermath({ desk: intake, log, policy: () => mirror.policy })
    this.#reviews = new Reviews({ store, desk: intake, clock, log, policy: () => mirror.policy, missed: (review, locked) => this.#missed(review, locked) })
    const before = ledger.onCommitted
    ledger.onCommitted = (record, facts) => {
      before(record, facts)
      try {
        this.#committed(record, facts)
      } catch (error) {
        log.error({ cause: String(error) }, 'what follows from a commit failed') // it is written all the same
      }
    }
    ledger.objection = this.objection
  }

  start(): Promise<void> { return this.#reviews.start() }

  /** Channels of another configuration: read before anything is swapped. @throws SecretFileError */
  readonly channels = ({ notify }: Settings): Promise<Channels> => openChannels(notify.channels)

  take(channels: Channels): void { this.#notifier.swap(channels) }

  /** Before the store and the HTTP client close. */
  async stop(): Promise<void> {
    await this.#reviews.stop()
    await this.#aftermath.stop()
    await this.#notifier.stop()
  }

  heard(record: StoredRecord): void { this.#reviews.heard(record) }

  readonly unreviewed: Unreviewed = identity => this.#reviews.unreviewed(identity)

  /** Why what was approved must not start, as everything is today. */
  readonly objection = async (session: Session, elevation: Elevation): Promise<EndReason | null> => {
    const { authorizer, mirror, clock, log } = this.#parts
    const world = { policy: mirror.policy, locks: mirror.locks, now: clock.now() }
    const lost = await lostApproval(session, elevation, world, approval => authorizer().standing(approval))
    if (lost !== null) log.warn({ session: session.id, elevation: elevation.id, approver: lost.by }, 'an approval counts no more')
    if (lost !== null) return 'approval_withdrawn'
    const ticket = elevation.ticket === null ? null : await mirror.anchor(elevation.ticket)
    const holder = { principal: session.principal, claims: mirror.known(session.key)?.knownClaims ?? null, changed: session.overlay.length > 0 }
    if (!mayStillAsk(world, session, elevation, holder)) return 'not_eligible'
    return isStillUnasked(world, elevation, holder, { find: () => ticket }) ? null : 'approval_withdrawn'
  }

  #committed(record: StoredRecord, facts: readonly Fact[]): void {
    if (record.record !== 'session') return
    const own = facts as readonly SessionFact[] // a session's record comes with facts of it
    this.#aftermath.committed(record, own)
    for (const fact of own) if (fact.what === 'elevation.activated') this.#emergency(record, record.elevations.find(({ id }) => id === fact.elevation))
    const { publicUrl } = this.#parts.settings().notify
    for (const told of [...noticesOf(record, own, this.#parts.mirror.policy, publicUrl), ...stepUpNotices(record, own, publicUrl)]) this.#tell(told)
  }

  /** Loud on purpose: the metric is what alarms are built on. */
  #emergency({ id: session, principal }: Session, elevation: Elevation | undefined): void {
    if (elevation === undefined || elevation.unasked !== 'break_glass') return
    const { metrics, log, trail } = this.#parts
    const { id, profile, because } = elevation
    const subject = identityOf(principal)
    metrics.breakGlassElevations.inc({ profile })
    log.warn({ session, elevation: id, profile, subject, because }, 'an elevation was taken in an emergency, without asking')
    trail.adminChanged({ who: subject, action: 'break_glass.activated', target: id, note: because })
  }

  #missed(review: Review, locked: boolean): void {
    const { metrics, log, trail, mirror, settings, clock } = this.#parts
    const { elevation, profile, subject, session } = review
    metrics.breakGlassReviewsMissed.inc({ profile })
    log.error({ session, elevation, profile, subject, locked }, 'nobody reviewed an emergency in time')
    trail.adminChanged({ who: 'reviews', action: 'break_glass.review_missed', target: elevation, note: subject })
    this.#tell(missedNotice(review, locked, mirror.policy, settings().notify.publicUrl, clock.now()))
  }

  /** Likewise, of what somebody else found out. */
  readonly tell = (told: Told): void => this.#tell(told)

  #tell({ channels, notice }: Told): void { this.#notifier.tell(channels, notice) }
}
