// What a caller may ask for, and its asking. SPEC: ADM1, ELV1, PUR3
import { isEligible } from '../../core/policy.ts'
import { identityOf } from '../../core/principal.ts'
import { NO_PURPOSES, type Shown } from '../../core/purpose.ts'
import { type Asker, prepare, type Prepared } from '../../approvals/asking.ts'
import { type Declined, isDeclined } from '../../approvals/declined.ts'
import { mayHoldNow } from '../../approvals/holding.ts'
import { type Repeat, REPEAT_KEY, repeatable, statusOf, unrepeated } from '../../approvals/repeat.ts'
import { requestElevation } from '../../approvals/requesting.ts'
import type { Ask } from '../ask.ts'
import { purposesSettled } from '../describe/signed-purposes.ts'
import { onlyValue } from '../http/head.ts'
import type { ProxyRoom } from '../room.ts'
import { elevationAnswer, profileAnswer } from './answers.ts'
import { elevationAsk, parsed, type Wanted } from './asks.ts'
import { type Callers, type Known, wordOf } from './callers.ts'
import { elevationReply, ok, reasonOf, type Reply, says } from './reply.ts'

type Room = Pick<ProxyRoom, 'intake' | 'mirror' | 'lookUp' | 'unreviewed' | 'metrics' | 'world' | 'progress' | 'keeper' | 'holders'>

/** @param asked with what the request shows beside it */
function repeatOf({ arrival: { headers } }: Ask, { life, verified: { principal } }: Known, asked: object): Repeat | 'malformed' {
  const key = onlyValue(headers, 'idempotency-key')
  if (key === null) return unrepeated()
  return key === false || !REPEAT_KEY.test(key) ? 'malformed' : repeatable(life, identityOf(principal), key, asked)
}

export class Asking {
  readonly #room: Room
  readonly #callers: Callers

  constructor(room: Room, callers: Callers) {
    this.#room = room
    this.#callers = callers
  }

  profiles(known: Known): Reply {
    const { live, verified: { principal } } = known
    const [{ policy }, claims] = [this.#room.mirror, this.#callers.claims(known)]
    return ok({ profiles: [...policy.profiles.values()].filter(profile => isEligible(profile, principal, claims) && mayHoldNow(policy, live.record, profile.name)).map(profileAnswer) })
  }

  async request(ask: Ask, known: Known, body: string): Promise<Reply> {
    const asked = parsed(elevationAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const shown = await this.shown(ask, known)
    if (shown === 'malformed') return says('bad_request', 'a purpose header is malformed or stands twice')
    const repeat = repeatOf(ask, known, { ...asked.value, shown: shown.purposes })
    if (repeat === 'malformed') return says('bad_request', '`Idempotency-Key` is one line of at most 255 visible characters')
    return this.wanted(ask, known, asked.value, shown, repeat)
  }

  /** What the request that asks shows of its purposes. */
  shown(ask: Ask, { live }: Known): Promise<Shown | 'malformed'> { return purposesSettled(this.#room, ask, live.record.brokered?.purposes ?? NO_PURPOSES) }

  /** Asked once, and given or waited for; the same again is answered as the first one stands now. */
  async wanted(ask: Ask, known: Known, wanted: Wanted, shown: Shown, repeat: Repeat): Promise<Reply> {
    const before = this.#callers.current(known).record.elevations.find(({ id, asked: same }) => id === repeat.id && same === repeat.asked)
    if (before !== undefined) return { status: statusOf(before), body: elevationAnswer(before, this.#callers.now) }
    const prepared = await this.prepared(ask, known, wanted, shown, repeat)
    if (isDeclined(prepared)) return says(reasonOf(prepared.declined), prepared.says)
    return wanted.dryRun === true ? ok({ ...elevationAnswer(prepared.elevation, this.#callers.now), state: 'dry_run' }) : this.bring(known, wanted, prepared)
  }

  /** What it would become now, or why it cannot. Nothing is written. */
  async prepared(ask: Ask, known: Known, { profile, for: span, purpose, params, reason, startAt, hold }: Wanted, shown: Shown, repeat: Repeat): Promise<Prepared | Declined> {
    const { live, verified } = known
    const asker: Asker = { principal: verified.principal, claims: this.#callers.claims(known), keyThumbprint: verified.evidence.keyThumbprint, workload: ask.workload, shown, holds: live.record, filedBy: identityOf(verified.principal) }
    const prepared = await prepare({ profile, for: span ?? null, purposes: purpose ?? {}, params: params ?? {}, note: reason ?? '', startsAt: startAt ?? null, held: hold === true }, asker, { policy: this.#room.mirror.policy, look: this.#room.lookUp, now: this.#callers.now, unreviewed: this.#room.unreviewed }, repeat)
    if (isDeclined(prepared)) this.#count(profile, prepared.declined)
    return prepared
  }

  /** Into its session. */
  async bring(known: Known, { profile, reason, hold }: Wanted, prepared: Prepared): Promise<Reply> {
    const { record } = known.live
    const { id } = prepared.elevation
    if (hold === true && !(await this.#room.holders.expect(id, record))) return says('limit_reached', 'too many elevations are held')
    const done = await requestElevation({ intake: this.#room.intake, now: this.#callers.now, sessionAt: async key => (await this.#room.mirror.load(key))?.record ?? null }, record.key, prepared, wordOf(known, reason ?? ''))
    if (hold === true && done.rejected !== null && ![this.#callers.current(known).record, done.record].some(each => each?.elevations.some(({ id: there }) => there === id))) this.#room.holders.unexpect(id)
    this.#count(profile, done.rejected?.rejected ?? 'taken')
    return elevationReply(done, id, statusOf, this.#callers.now)
  }

  /** Labels are a closed set: a profile nobody configured is counted without its name. */
  #count(profile: string, answer: string): void {
    const { metrics, mirror } = this.#room
    metrics.elevationsRequested.inc({ profile: mirror.policy.profiles.has(profile) ? profile : '', answer })
  }
}
