// What http-proxy takes for the caller's socket, and what in truth stands between both: it holds back every byte until the upstream switched
// protocols as it was asked to, and then passes frames both ways, each hand-off behind an open gate. Nothing is buffered by a stream below it:
// `write`, `pipe` and `end` are its own, so that a byte passes in the turn in which it was judged. SPEC: WIRE18, ENF2, ENF6, UPG-003
import type { ClientRequest } from 'node:http'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Reason } from '../../core/reason.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { AnswerHead, UpstreamFault } from '../../upstream/handler.ts'
import type { CallerStream } from '../arrival.ts'
import { reset } from '../reset.ts'
import { closeCode, closeCodeUp } from './close-code.ts'
import type { Dialling } from './dial.ts'
import { pongFrame } from './frames.ts'
import { endCaller, endUpstream, maskKey } from './good-bye.ts'
import { type Offer, switchOf } from './handshake.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { MessageJudge, MessageReader } from './messages.ts'
import type { TunnelOwner } from './tunnel-owner.ts'
import { UpstreamAnswer } from './upstream-answer.ts'
import { upstreamFault } from './upstream-fault.ts'

const PARTING = 2_000 // longest the two ends may take to part behind their Close frames
const NOTHING = Buffer.alloc(0)

export class Tunnel extends Duplex implements Dialling, LaneOwner {
  readonly #owner: TunnelOwner
  readonly #offer: Offer
  /** The caller speaks HTTP/1.1, and is told that its key was read. */
  readonly #accepts: boolean
  readonly #judge: MessageJudge
  /** Set where messages are read. */
  readonly #reader: MessageReader | null
  readonly #answer = new UpstreamAnswer()
  #request: ClientRequest | null = null
  #upstream: Socket | null = null
  #caller: CallerStream | null = null
  #up: Lane | null = null
  #down: Lane | null = null
  /** Waits for the gate: the switch, or an ordinary answer with so many bytes. */
  #ready: { readonly body: Buffer; readonly act: () => void } | null = null
  #code: number | null = null
  #callerEnded = false
  #upstreamEnded = false
  #parting = false
  #over = false

  constructor(owner: TunnelOwner, offer: Offer, accepts: boolean, inspected: boolean, clock: Clock) {
    super({ autoDestroy: false, emitClose: true })
    this.#owner = owner
    this.#offer = offer
    this.#accepts = accepts
    this.#judge = new MessageJudge(clock)
    this.#reader = inspected ? new MessageReader() : null
    this.on('error', () => undefined)
  }

  get passes(): boolean { return !this.#over && this.#owner.passes }
  /** The caller was switched over. */
  get isOpen(): boolean { return this.#caller !== null }
  /** The upstream has answered, the whole of a head at least. */
  get isAnswered(): boolean { return this.#answer.head !== null }

  // ---- towards the upstream

  requested(request: ClientRequest): void {
    this.#request = request
    request.on('close', () => { if (!this.#over && this.#ready === null && !this.isOpen) this.#fail('upstream_reset') })
    request.on('socket', socket => {
      this.#upstream = socket
      if (this.#over) return void socket.destroy()
      if (!('secureConnecting' in socket && socket.secureConnecting === true) && !socket.connecting) return this.#ask()
      socket.cork() // the head stays here until it is asked whether it may go
      socket.once('encrypted' in socket ? 'secureConnect' : 'connect', () => {
        this.#ask()
        if (!this.#over) socket.uncork()
      })
    })
  }

  #ask(): void {
    if (!this.#over && !this.#owner.mayAsk()) this.#letGo()
  }

  failed(error: Error): void { this.#fail(upstreamFault(error)) }

  #fail(fault: UpstreamFault): void {
    if (!this.#over && !this.#parting) this.#owner.end(this.#owner.frozenLately ? 'frozen_peer_closed' : fault)
  }

  // ---- what http-proxy does with a socket

  /** From the upstream: an answer's head first, then its body or frames. */
  override write(chunk: Buffer | string): boolean {
    if (this.#over) return true
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk
    if (this.#down !== null) {
      this.#down.arrived(bytes)
      return !this.#down.stopped
    }
    if (!this.#answer.take(bytes)) this.#owner.end('upstream_malformed')
    else if (this.#answer.head?.status === 101) this.#switch(this.#answer.head)
    return true
  }

  /** Towards the upstream: not by what a stream has buffered, but by the turn. */
  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    if (destination instanceof Socket && !this.#over) {
      this.#upstream = destination
      this.#up?.to(destination)
    }
    return destination
  }

  override end(): this {
    if (this.#over) return this
    if (this.#down === null) this.#answerEnded()
    else {
      this.#upstreamEnded = true
      this.#settle()
    }
    return this
  }

  destroySoon(): void { this.end() }
  override _read(): void {}
  setTimeout(): this { return this }
  setNoDelay(): this { return this }
  setKeepAlive(): this { return this }

  // ---- the upstream's answer

  #switch(head: AnswerHead): void {
    const agreed = switchOf(head, this.#offer, this.#accepts, shown => this.#owner.relayed(shown))
    if (agreed === null || (this.#reader !== null && agreed.deflate)) return this.#owner.end('upstream_malformed')
    this.#down = new Lane(this, { stop: () => undefined, go: () => this.emit('drain') }, false, agreed.deflate)
    this.#up = new Lane(this, { stop: () => this.#caller?.socket.pause(), go: () => this.#caller?.socket.resume() }, true, agreed.deflate)
    this.#ready = { body: NOTHING, act: () => this.#open(agreed.headers) }
    this.#goOn()
  }

  #answerEnded(): void {
    const { head } = this.#answer
    if (head === null) return this.#fail('upstream_reset')
    const body = this.#answer.body()
    const shown = body === null ? null : this.#owner.relayed(head)
    if (body === null || shown === null) return this.#owner.end('upstream_malformed')
    this.#ready = { body, act: () => {
      this.#letGo()
      this.#owner.answered(shown, body)
    } }
    this.#goOn()
  }

  /** Does what waits for the gate. */
  #goOn(): void {
    if (this.#ready === null || this.#over) return
    if (!this.#owner.passes) return this.#owner.doubt()
    const { body, act } = this.#ready
    if (!this.#owner.pays('down', body)) return
    this.#ready = null
    act()
  }

  #open(headers: readonly string[]): void {
    const caller = this.#owner.takeOver(headers)
    if (caller === null) return this.#owner.end('caller_closed')
    this.#caller = caller
    const { socket, head } = caller
    const ended = (): void => {
      this.#callerEnded = true
      this.#settle()
    }
    socket.on('error', () => undefined).on('data', (chunk: Buffer) => this.#fromCaller(chunk))
    socket.on('end', ended).on('close', () => this.#callerGone())
    this.#down?.to(socket)
    if (head.length > 0) this.#fromCaller(head)
    if (socket.destroyed) this.#callerGone()
    else if (socket.readableEnded) ended() // before it was switched over
  }

  #fromCaller(chunk: Buffer): void {
    const rules = this.#owner.rules()
    if (this.#over) return
    if (this.#reader === null || rules === null) return this.#up?.arrived(chunk)
    const whole = this.#reader.take(chunk, rules)
    if (whole === 'broken') return this.#owner.end('protocol_error')
    if (!Array.isArray(whole)) return this.#object(whole.reason, whole.code)
    for (const message of whole) this.#up?.arrived(message)
    if (this.#owner.frozen && this.#reader.partial) this.#up?.stop()
  }

  // ---- what the lanes tell

  agrees(lane: Lane, bytes: Buffer): boolean {
    if (lane !== this.#up) return true
    const rules = this.#owner.rules()
    if (rules === null) return true
    const objection = this.#reader === null ? { reason: 'denied' as const, code: closeCode('denied') } : this.#judge.objection(bytes, rules)
    if (objection !== null) this.#object(objection.reason, objection.code)
    return objection === null
  }

  #object(reason: Reason, code: number): void {
    this.#code = code
    this.#owner.end(reason)
  }

  doubt(): void { this.#owner.doubt() }
  pays(lane: Lane, piece: Buffer): boolean { return this.#owner.pays(lane === this.#up ? 'up' : 'down', piece) }
  handed(lane: Lane, bytes: Buffer): void {
    if (lane === this.#up) this.#owner.handedUp(bytes)
    else this.#owner.handedDown(bytes)
  }

  broken(lane: Lane): void { this.#owner.end(lane === this.#up ? 'protocol_error' : 'upstream_malformed') }
  leaving(): void { this.#owner.end('frozen_peer_closed') }
  emptied(): void { this.#settle() }

  ponged(lane: Lane, payload: Buffer): boolean {
    const [back, socket] = lane === this.#up ? [this.#down, this.#caller?.socket] : [this.#up, this.#upstream]
    if (back?.between !== true || back.closing || socket == null || socket.writableNeedDrain) return false
    socket.write(pongFrame(payload, lane === this.#up ? null : maskKey()))
    return true
  }

  // ---- the peers' own ends

  /** One of them is at its end: with a Close frame on record they part, without one the exchange broke off. */
  #settle(): void {
    if (this.#over || this.#parting || !(this.#callerEnded || this.#upstreamEnded)) return
    if (this.#owner.frozen) return this.#owner.end('frozen_peer_closed')
    if ((this.#callerEnded && this.#up?.waiting === true) || (this.#upstreamEnded && this.#down?.waiting === true)) return
    if (this.#up?.closing === true || this.#down?.closing === true) this.#part()
    else this.#owner.end(this.#owner.frozenLately ? 'frozen_peer_closed' : this.#upstreamEnded ? 'upstream_reset' : 'caller_closed')
  }

  #part(): void {
    this.#parting = true
    const [caller, upstream] = [this.#caller, this.#upstream]
    if (this.#upstreamEnded) this.#up?.shut()
    caller?.socket.end()
    upstream?.end()
    setTimeout(() => {
      upstream?.destroy()
      caller?.socket.destroy()
    }, PARTING).unref()
  }

  #callerGone(): void {
    if (this.#over) return
    this.#callerEnded = true
    this.#up?.shut()
    this.#down?.shut()
    if (!this.#parting) this.#settle()
    if (this.#parting) this.#finish()
  }

  #finish(): void {
    this.#over = true
    this.#upstream?.destroySoon()
    this.destroy()
    this.#owner.left()
  }

  // ---- the verbs

  freeze(): void {
    this.#up?.freeze()
    this.#down?.freeze()
  }

  thaw(): void {
    this.#goOn()
    if (this.#caller === null) return
    this.#up?.release()
    this.#down?.release()
  }

  /** Ends both sides now: politely where the caller's stream stands between two frames and nothing of ours waits for it, else by a reset. */
  cut(reason: Reason): void {
    const [caller, down, up, upstream] = [this.#caller, this.#down, this.#up, this.#upstream]
    if (this.#over) return
    this.#over = true
    for (const lane of [up, down]) lane?.shut()
    if (caller !== null && up !== null && upstream !== null) endUpstream(upstream, up, closeCodeUp(reason))
    this.#letGo()
    if (caller !== null) endCaller(caller, down, this.#code ?? closeCode(reason), reason)
  }

  /** Gives the upstream up; behind the head of an ordinary answer, and behind a cut. */
  #letGo(): void {
    this.#over = true
    const upstream = this.#upstream
    if (upstream === null || 'encrypted' in upstream || upstream.connecting || (this.isAnswered && !this.isOpen)) upstream?.destroy()
    else reset(upstream)
    this.#request?.destroy()
    this.destroy()
  }
}
