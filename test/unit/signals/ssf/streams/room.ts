// Streams against a real transmitter on loopback, over a store in memory and a clock the test sets; what takes their tokens is the test's. For tests only.
import { expect } from 'vitest'
import type { SsfSettings } from '../../../../../src/config/compile/ssf.ts'
import type { Policy } from '../../../../../src/core/policy.ts'
import { duration } from '../../../../../src/core/time.ts'
import { HttpClient } from '../../../../../src/runtime/http-client.ts'
import type { Log } from '../../../../../src/runtime/log.ts'
import { Metrics } from '../../../../../src/runtime/metrics.ts'
import { Intake } from '../../../../../src/signals/intake.ts'
import type { OpenStream } from '../../../../../src/signals/ssf/streams/open-streams.ts'
import type { Received } from '../../../../../src/signals/ssf/streams/polling.ts'
import type { Undelivered } from '../../../../../src/signals/ssf/streams/stream-at-work.ts'
import { Streams } from '../../../../../src/signals/ssf/streams/streams.ts'
import { SsfTransmitter } from '../../../../support/ssf-transmitter.ts'
import { POLICY, World } from '../../../sessions/world.ts'

export type Plan = { readonly settings?: Partial<SsfSettings>; readonly open?: Partial<OpenStream>; readonly policy?: Policy; readonly receive?: (text: string) => Promise<Received> }

export function settingsFor(issuer: string, changes: Partial<SsfSettings> = {}): SsfSettings {
  const events = {} as SsfSettings['events'] // no token is read here
  return {
    name: 'idp', issuer, delivery: 'poll', audience: [], manage: true, endpoint: null, pollUrl: null, authorizationFile: null, access: { is: 'none' }, caFile: null, jwksFile: null, algorithms: ['ES256'],
    issuers: ['https://idp.test'], tenants: [], formats: [], opaque: 'session', addSubjects: false, most: 500, perSecond: 100, freshness: null, onSilence: 'suspend', events, notify: ['ops'], ...changes,
  }
}

export class Room {
  readonly transmitter: SsfTransmitter
  readonly world: World
  readonly streams: Streams
  readonly metrics = new Metrics()
  readonly http = new HttpClient()
  /** Tokens that came, in order. */
  readonly received: string[] = []
  readonly undelivered: Undelivered[] = []
  readonly lines: string[] = []
  readonly #plan: Plan
  /** Times that the store was asked whose stream it is. */
  #shares = 0

  private constructor(transmitter: SsfTransmitter, world: World, plan: Plan) {
    this.transmitter = transmitter
    this.world = world
    this.#plan = plan
    const { store, mirror, clock, ledger } = world
    const say = (_: object, text: string): void => void this.lines.push(text)
    const log: Log = { debug: say, info: say, warn: say, error: say }
    const receive = async (_: string, text: string): Promise<Received> => {
      const became = await (plan.receive ?? (async () => ({ is: 'taken' })))(text)
      this.received.push(text)
      return became
    }
    const counted = new Proxy(store, {
      get: (target, name) => {
        if (name === 'share') this.#shares++
        return Reflect.get(target, name) as unknown
      },
    })
    this.streams = new Streams(new Map([['idp', this.opened()]]), { store: counted, mirror, clock, log, receive, metrics: this.metrics, http: this.http, intake: new Intake(ledger, store, clock, () => {}), undelivered: of => void this.undelivered.push(of) })
  }

  static async open(plan: Plan = {}, prepare: (transmitter: SsfTransmitter) => void = () => {}): Promise<Room> {
    const transmitter = await SsfTransmitter.start()
    prepare(transmitter)
    const freshness = plan.settings?.freshness ?? null
    const streams = freshness === null ? [] : [{ name: 'idp', issuers: ['https://idp.test'], tenants: [], freshness: duration(freshness), onSilence: 'freeze' as const }]
    return new Room(transmitter, await World.start(plan.policy ?? { ...POLICY, streams }), plan)
  }

  static async start(plan: Plan = {}, prepare: (transmitter: SsfTransmitter) => void = () => {}): Promise<Room> {
    const room = await Room.open(plan, prepare)
    room.streams.start()
    return room
  }

  opened(changes: Partial<SsfSettings> = {}): OpenStream {
    return { settings: settingsFor(this.transmitter.issuer, { ...this.#plan.settings, ...changes }), access: { is: 'none' }, ca: null, authorization: null, ...this.#plan.open }
  }

  /** Lets time pass, slowly enough that the stream stays with this gateway. @param ms a multiple of 2500 */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 2_500) {
      const before = this.#shares
      this.world.clock.pass(2_500)
      await expect.poll(() => this.#shares, { timeout: 5_000 }).toBeGreaterThan(before)
    }
  }

  async counted(name: 'ssfPolls' | 'ssfFaults', label: string): Promise<number> {
    const { values } = await this.metrics[name].get()
    return values.filter(({ labels }) => Object.values(labels).includes(label)).reduce((sum, { value }) => sum + value, 0)
  }

  async close(): Promise<void> {
    await this.streams.stop()
    await this.http.close()
    await this.transmitter.close()
    await this.world.close()
  }
}
