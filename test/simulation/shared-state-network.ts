// The wires between members and servers, with the weather on them: what is slow, lost, doubled, late or cut, which servers there are and what became
// of them. A cut wire keeps what it was given until it heals, as TCP does. Knows nothing of what is said.
import { faultOf, LinkLost, type Wire } from '../../src/sessions/redis/link.ts'
import { type Data, type Flaw, type Hearing, ModelServer } from './shared-state-model.ts'
import { Process, type SimulatedTime } from './simulated-time.ts'

export const START = 1_800_000_000_000
const PATIENCE = 1_000
const INFO = 'redis_version:7.0.15\r\nredis_mode:standalone\r\nmin_slaves_good_slaves:1\r\nmaxmemory_policy:noeviction\r\nmaxmemory:1\r\naof_enabled:1'

type Listener = Parameters<Wire['listen']>[1]
export const PUSHES = ['fair', 'lost', 'doubled', 'late'] as const

/** A gateway's place in the network. */
export class Place extends Process {
  readonly name: string
  /** Milliseconds one way: to a server, from it. */
  up = 1
  down = 1
  pushes: (typeof PUSHES)[number] = 'fair'
  readonly cut = new Set<Host>()
  readonly cables = new Set<Cable>()

  constructor(name: string) {
    super()
    this.name = name
  }
}

export class Host extends Process {
  readonly server: ModelServer
  readonly cables = new Set<Cable>()
  /** What a replica or the disk may have, oldest first. */
  readonly history: { readonly at: number; readonly data: Data | null }[]
  /** A replica has everything up to then. */
  copiedUpTo = -Infinity

  constructor(server: ModelServer) {
    super()
    this.server = server
    this.history = [{ at: -Infinity, data: server.data }]
  }

  /** The data as it was at an instant. */
  dataAt(at: number): Data | null { return this.history.findLast(one => one.at <= at)?.data ?? null }
}

export class Network {
  readonly hosts: Host[] = []
  readonly #time: SimulatedTime
  readonly #hears: Omit<Hearing, 'published'>
  readonly #flaw: Flaw | null
  #made = 0
  /** Until then whoever asks is told of the master before. */
  #rumourUntil = 0

  constructor(time: SimulatedTime, hears: Omit<Hearing, 'published'>, flaw: Flaw | null) {
    this.#time = time
    this.#flaw = flaw
    this.#hears = hears
  }

  get newest(): Host {
    const host = this.hosts.at(-1)
    if (host === undefined) throw new Error('there is no server')
    return host
  }

  /** @param skew of its clock, in milliseconds */
  start(data: Data | null, skew: number, rumour: number): Host {
    const server = new ModelServer(++this.#made, data, () => START + Math.floor(this.#time.now) + skew, { ...this.#hears, published: (_, channel, message) => this.#publish(host, channel, message) }, this.#flaw)
    const host = new Host(server)
    this.hosts.push(host)
    this.#rumourUntil = this.#time.now + rumour
    return host
  }

  /** Every connection to it ends. */
  end(host: Host): void {
    host.state = 'dead'
    for (const cable of host.cables) cable.hangUp()
    host.cables.clear()
  }

  heal(place: Place, host: Host): void {
    if (place.cut.delete(host)) for (const cable of place.cables) if (cable.host === host) cable.healed()
  }

  /** A new connection; the newest master that can be reached is the one. @throws StoreFault */
  async connect(place: Place): Promise<Wire> {
    await new Promise<void>(resolve => setTimeout(resolve, 2 * (place.up + place.down)))
    const up = this.hosts.filter(({ state }) => state !== 'dead').reverse()
    const told = this.#time.now < this.#rumourUntil && up.length > 1 ? up.slice(1) : up
    const host = told.find(each => !place.cut.has(each)) ?? up[0]
    if (host === undefined) throw new LinkLost('connect ECONNREFUSED')
    const cable = new Cable(this.#time, place, host)
    try {
      await cable.ask(() => 'hello')
      return cable
    } catch (error) {
      cable.destroy()
      throw faultOf(error)
    }
  }

  #publish(host: Host, channel: 'ev' | 'ack', message: string): void {
    for (const cable of host.cables) cable.push(channel, message)
  }
}

export class Cable implements Wire {
  readonly host: Host
  onDown: (cause: Error) => void = () => {}
  readonly #time: SimulatedTime
  readonly #place: Place
  readonly #last = { up: 0, down: 0 }
  /** Given to it while it was cut. */
  #kept: (() => void)[] = []
  #listener: Listener | null = null
  #down: Error | null = null
  readonly #waiting = new Set<(cause: Error) => void>()
  #pushes = 0

  constructor(time: SimulatedTime, place: Place, host: Host) {
    this.#time = time
    this.#place = place
    this.host = host
    place.cables.add(this)
    host.cables.add(this)
  }

  get isDown(): boolean { return this.#down !== null }

  async call(name: string, _key: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.ask(() => this.host.server.call(name, args.map(String)))
    } catch (error) {
      const fault = faultOf(error)
      if (fault instanceof LinkLost) this.#failed(fault)
      throw fault
    }
  }

  async command(name: string): Promise<unknown> {
    return this.ask(() => {
      if (name === 'INFO') return INFO
      this.host.copiedUpTo = this.#time.now // WAIT: what was written before is at a replica
      return '1'
    }).catch((error: unknown) => { throw faultOf(error) })
  }

  async listen(_channels: readonly string[], listener: Listener): Promise<void> {
    await this.ask(() => {
      this.#listener = listener
    })
  }

  destroy(): void { this.#failed(new LinkLost('the connection was given up')) }

  /** Something done at the server; what it answers comes back, or what it throws. */
  ask(doing: () => unknown): Promise<unknown> {
    if (this.#down !== null) return Promise.reject(this.#down)
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const patience = setTimeout(() => reject(new Error('Command timed out')), PATIENCE)
    this.#waiting.add(reject)
    const back = (tell: () => void): void => this.#carry('down', () => {
      clearTimeout(patience)
      this.#waiting.delete(reject)
      tell()
    })
    this.#carry('up', () => {
      const { history, server } = this.host
      try {
        const answer = doing()
        back(() => resolve(answer))
      } catch (error) {
        back(() => reject(error))
      }
      if (history.at(-1)?.data !== server.data) history.push({ at: this.#time.now, data: server.data })
    })
    return promise
  }

  push(channel: 'ev' | 'ack', message: string): void {
    const listener = this.#listener
    const { pushes, down } = this.#place
    if (listener === null || pushes === 'lost') return
    const tell = (): void => {
      if (this.#down === null) listener(`{0}:${channel}`, message)
    }
    if (pushes === 'late' && !this.#place.cut.has(this.host)) this.#time.after(down + (this.#pushes++ % 2 === 0 ? 70 : 5), this.#place, tell)
    else for (let i = 0; i < (pushes === 'doubled' ? 2 : 1); i++) this.#carry('down', tell)
  }

  /** The server's end is gone. */
  hangUp(): void { this.#carry('down', () => this.#failed(new LinkLost('the connection was closed'))) }

  healed(): void {
    for (const carry of this.#kept.splice(0)) carry()
    if (this.#down !== null) this.#place.cables.delete(this)
  }

  /** In order each way, and only while the wire is whole. */
  #carry(way: 'up' | 'down', run: () => void): void {
    if (this.#place.cut.has(this.host)) {
      this.#kept.push(() => this.#carry(way, run))
      return
    }
    const at = Math.max(this.#last[way], this.#time.now + this.#place[way])
    this.#last[way] = at
    this.#time.after(at - this.#time.now, way === 'up' ? this.host : this.#place, run)
  }

  #failed(cause: Error): void {
    if (this.#down !== null) return
    this.#down = cause
    if (this.#kept.length === 0) this.#place.cables.delete(this) // what was sent may still arrive
    this.host.cables.delete(this)
    for (const reject of this.#waiting) reject(new Error('Connection is closed.'))
    this.#waiting.clear()
    this.onDown(cause)
  }
}
