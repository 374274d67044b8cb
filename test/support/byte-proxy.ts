// A TCP proxy of the test's own between clients and one Redis on loopback, with faults to switch on: lost, late, cut, refused, messages dropped or shuffled.
// It knows where RESP frames begin and end and nothing else of Redis; TLS passes as opaque bytes. It never damages a frame that it lets through.
import { once } from 'node:events'
import { connect, createServer, type Server, Socket } from 'node:net'

const WAITING_BYTES = 8 * 1024 * 1024
const HELD_BACK = { messages: 4, ms: 30 }
const TLS_HANDSHAKE = 0x16

/** `up`: from the client to the server. */
type Way = 'up' | 'down' | 'both'
type Decide = (frame: Buffer) => boolean
type Fate = 'passed' | 'dropped' | 'doubled' | 'heldBack'

const waysOf = (way: Way): readonly ('up' | 'down')[] => (way === 'both' ? ['up', 'down'] : [way])

/** How many frames the head of an aggregate announces; an attribute (`|`) comes before the value it belongs to. */
const PARTS: ReadonlyMap<string, (size: number) => number> = new Map([['*', size => Math.max(size, 0)], ['~', size => size], ['>', size => size], ['%', size => 2 * size], ['|', size => 2 * size + 1]])

/** Cuts a stream of RESP2, RESP3 or inline commands into whole top-level frames. */
class Frames {
  /** What came of a frame that is not whole. */
  rest = Buffer.alloc(0)
  #read = 0
  #open = 1
  #opaque: boolean | null = null

  push(chunk: Buffer): readonly Buffer[] {
    this.#opaque ??= chunk[0] === TLS_HANDSHAKE
    if (this.#opaque) return [chunk]
    this.rest = Buffer.concat([this.rest, chunk])
    const whole: Buffer[] = []
    while (this.#step()) {
      if (this.#open > 0) continue
      whole.push(this.rest.subarray(0, this.#read))
      this.rest = this.rest.subarray(this.#read)
      this.#read = 0
      this.#open = 1
    }
    return whole
  }

  #step(): boolean {
    const end = this.rest.indexOf('\r\n', this.#read)
    if (end === -1) return false
    const kind = this.rest.toString('latin1', this.#read, this.#read + 1)
    const size = Number(this.rest.toString('latin1', this.#read + 1, end))
    const next = end + 2 + ('$=!'.includes(kind) && size >= 0 ? size + 2 : 0)
    if (this.rest.length < next) return false
    this.#read = next
    this.#open += (PARTS.get(kind)?.(size) ?? 0) - 1
    return true
  }
}

const isMessage = (frame: Buffer): boolean => /^>\d+\r\n\$\d+\r\n[sp]?message\r\n/.test(frame.toString('latin1', 0, 40))

/** One way of one connection: a queue of frames, each with the time it may go on. */
class Lane {
  #deaf = false
  #stopped = false
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  readonly #waiting: { readonly frame: Buffer | 'end'; readonly due: number }[] = []
  readonly #from: Socket
  readonly #to: Socket
  readonly #delay: () => number

  constructor(from: Socket, to: Socket, delay: () => number, pass: (frame: Buffer) => readonly Buffer[]) {
    this.#from = from
    this.#to = to
    this.#delay = delay
    const frames = new Frames()
    from.on('data', (chunk: Buffer) => frames.push(chunk).forEach(frame => this.#deaf || pass(frame).forEach(passed => this.send(passed))))
    from.on('end', () => [frames.rest, 'end' as const].forEach(last => this.send(last)))
    to.on('drain', () => this.#flow())
    from.on('close', hadError => hadError && !this.#deaf && to.resetAndDestroy())
  }

  send(frame: Buffer | 'end'): void {
    if (this.#deaf) return
    this.#waiting.push({ frame, due: performance.now() + this.#delay() })
    this.#bytes += frame.length
    this.#pump()
  }

  /** Hears no more; what waits still goes on. */
  deafen(): void {
    this.#deaf = true
    this.#flow()
  }

  /** Hears no more, and what waits is lost. */
  lose(): void {
    this.#waiting.length = 0
    this.deafen()
  }

  stop(on: boolean): void {
    this.#stopped = on
    this.#pump()
  }

  #pump(): void {
    clearTimeout(this.#timer)
    for (let first = this.#waiting[0]; !this.#stopped && first !== undefined && first.due <= performance.now(); first = this.#waiting[0]) {
      this.#waiting.shift()
      this.#bytes -= first.frame.length
      if (first.frame === 'end') this.#to.end()
      else this.#to.write(first.frame)
    }
    const [next] = this.#waiting
    if (!this.#stopped && next !== undefined) this.#timer = setTimeout(() => this.#pump(), Math.max(0, next.due - performance.now()))
    this.#flow()
  }

  #flow(): void {
    if (!this.#deaf && (this.#stopped || this.#bytes > WAITING_BYTES || this.#to.writableNeedDrain)) this.#from.pause()
    else this.#from.resume()
  }
}

type Link = { readonly client: Socket; readonly server: Socket; readonly up: Lane; readonly down: Lane }

/**
 * Listens on `port` of 127.0.0.1 and connects each client to the target. A client whose target does not listen is accepted, then reset. All knobs hold for open and new connections unless said otherwise.
 * - `blackhole(on)`: connections stay open, bytes are swallowed. Off again: new connections work, the ones of that time stay dead, what was swallowed stays lost. `up` or `down` alone swallows one way.
 * - `pauseDown` / `resumeDown`: nothing is read from the server; nothing is lost. `delay(ms)`: every frame is that late, from now on.
 * - `dropConnections()` resets all; `refuse(on)` resets new ones; `retarget(port)` is for new ones.
 * - `killAfterRequest(matches)`: `matches` sees each request frame (`*2\r\n$3\r\nGET…`), and all after it on that connection are swallowed. The promise resolves when the server has executed it and the client was reset: once.
 * - `dropMessages(decide)`, `duplicateAndReorderPushes(random)`: only RESP3 pushes `message`, `pmessage`, `smessage` (the whole frame, channel and payload inside); null switches off. `random` is in [0, 1).
 *   A third each passes, passes twice, or waits until another has passed (at most 30 ms, so that also a later reply may overtake it).
 */
export class ByteProxy {
  readonly messages: Record<Fate, number> = { passed: 0, dropped: 0, doubled: 0, heldBack: 0 }
  /** Connections that were ever accepted, the refused ones too. */
  accepted = 0
  readonly #server: Server
  readonly #links = new Set<Link>()
  readonly #delays = { up: 0, down: 0 }
  readonly #holes = { up: false, down: false }
  #target: number
  #downStopped = false
  #refusing = false
  #cut: { readonly matches: Decide; readonly happened: PromiseWithResolvers<void> } | null = null
  #drop: Decide | null = null
  #random: (() => number) | null = null

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, client => this.#onConnection(client))
  }

  static async start(targetPort: number): Promise<ByteProxy> {
    const proxy = new ByteProxy(targetPort)
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy is not listening')
    return address.port
  }

  /** Connections whose client has not ended. */
  get connections(): number { return [...this.#links].filter(({ client }) => !client.destroyed && !client.readableEnded).length }

  pauseDown(): void { this.#stopDown(true) }
  resumeDown(): void { this.#stopDown(false) }
  delay(ms: number, way: Way = 'both'): void { for (const one of waysOf(way)) this.#delays[one] = ms }
  dropConnections(): void { for (const { client, server } of this.#links) [client, server].forEach(socket => socket.resetAndDestroy()) }
  refuse(on: boolean): void { this.#refusing = on }
  retarget(port: number): void { this.#target = port }
  dropMessages(decide: Decide | null): void { this.#drop = decide }
  duplicateAndReorderPushes(random: (() => number) | null): void { this.#random = random }

  blackhole(on: boolean, way: Way = 'both'): void {
    for (const one of waysOf(way)) {
      this.#holes[one] = on
      if (on) for (const link of this.#links) link[one].lose()
    }
  }

  killAfterRequest(matches: Decide): Promise<void> {
    this.#cut = { matches, happened: Promise.withResolvers() }
    return this.#cut.happened.promise
  }

  async close(): Promise<void> {
    this.#server.close()
    this.dropConnections()
    await once(this.#server, 'close')
  }

  #stopDown(on: boolean): void {
    this.#downStopped = on
    for (const { down } of this.#links) down.stop(on)
  }

  #onConnection(client: Socket): void {
    this.accepted += 1
    client.on('error', () => undefined) // its lane resets the other side
    if (this.#refusing) return void client.resetAndDestroy()
    const server = this.#holes.up && this.#holes.down ? new Socket() : connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    server.on('error', () => undefined)
    const heldBack: Buffer[] = []
    const down: Lane = new Lane(server, client, () => this.#delays.down, frame => (isMessage(frame) ? this.#message(frame, heldBack, down) : [frame]))
    const up: Lane = new Lane(client, server, () => this.#delays.up, frame => this.#request(frame, link))
    const link: Link = { client, server, up, down }
    this.#links.add(link)
    for (const socket of [client, server]) socket.on('close', () => client.destroyed && server.destroyed && this.#links.delete(link))
    for (const way of waysOf('both')) if (this.#holes[way]) link[way].lose()
    down.stop(this.#downStopped)
  }

  #request(frame: Buffer, { client, server, up, down }: Link): readonly Buffer[] {
    const cut = this.#cut
    if (cut === null || !cut.matches(frame)) return [frame]
    this.#cut = null
    down.lose()
    up.send(frame)
    up.send('end') // the server sees this, and closes, only after it has executed the request
    up.deafen()
    server.once('close', () => {
      client.resetAndDestroy()
      cut.happened.resolve()
    })
    return []
  }

  #message(frame: Buffer, heldBack: Buffer[], down: Lane): readonly Buffer[] {
    const fate = this.#fateOf(frame)
    this.messages[fate] += 1
    const release = (): readonly Buffer[] => heldBack.splice(0).reverse()
    if (fate === 'dropped') return []
    if (fate !== 'heldBack') return [...(fate === 'doubled' ? [frame, frame] : [frame]), ...release()]
    heldBack.push(frame)
    setTimeout(() => release().forEach(held => down.send(held)), HELD_BACK.ms)
    return heldBack.length < HELD_BACK.messages ? [] : release()
  }

  #fateOf(message: Buffer): Fate {
    if (this.#drop?.(message)) return 'dropped'
    const draw = this.#random?.() ?? 0
    if (draw < 1 / 3) return 'passed'
    return draw < 2 / 3 ? 'doubled' : 'heldBack'
  }
}
