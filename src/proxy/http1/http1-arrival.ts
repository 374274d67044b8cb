// A request of HTTP/1.1 or 1.0 on its connection, and the way back. SPEC: WIRE15
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Instant } from '../../core/time.ts'
import type { CertificateRead } from '../../identity/certificate/client-certificate.ts'
import type { Arrival, CallerStream } from '../arrival.ts'
import { reset } from '../reset.ts'
import type { AnswerOwner } from './answer-owner.ts'
import { Http1Answer } from './http1-answer.ts'
import type { Http1Caller } from './http1-room.ts'
import { NO_BODY, RequestBody } from './request-body.ts'
import type { RequestParser } from './request-parser.ts'
import { plainLines } from './response-text.ts'

/** The connection's side. */
export interface ArrivalOwner extends AnswerOwner {
  readonly secure: boolean
  readonly caller: Http1Caller
  /** There is room for more of the body. */
  wanted(): void
  /** Gives the socket up for another protocol. @returns what had come behind the head; null where it is gone */
  giveUp(): Buffer | null
}

const NONE: readonly string[] = []
const VERSIONS = ['1.0', '1.1'] as const

export class Http1Arrival implements Arrival {
  readonly protocol = 'http1'
  readonly connects = null
  readonly version: '1.0' | '1.1'
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
  readonly expectsContinue: boolean
  readonly keeps: boolean
  readonly at: Instant
  readonly body: Readable
  readonly answer: Http1Answer
  complete: boolean
  trailers = NONE
  readonly #upgrades: boolean
  readonly #owner: ArrivalOwner

  constructor({ method, target, minor, headers, framing: { content, keeps, expectsContinue, upgrades } }: RequestParser, owner: ArrivalOwner) {
    this.version = VERSIONS[minor] ?? '1.1'
    this.method = method
    this.target = target
    this.headers = headers
    this.expectsContinue = expectsContinue
    this.keeps = keeps && !upgrades
    this.at = owner.now()
    this.complete = content === 'none'
    this.body = content === 'none' ? NO_BODY : new RequestBody(owner)
    this.answer = new Http1Answer(this, owner)
    this.#upgrades = upgrades
    this.#owner = owner
  }

  get peer(): string { return this.#owner.caller.peer }
  get secure(): boolean { return this.#owner.secure }
  get serverName(): string | null { return this.#owner.caller.serverName }
  get certificate(): CertificateRead | null { return this.#owner.caller.certificate }
  get socket(): Socket { return this.#owner.socket }

  takeOver(headers: readonly string[]): CallerStream | null {
    const lines = plainLines(headers)
    const head = this.#upgrades && lines !== null && this.answer.unsaid ? this.#owner.giveUp() : null
    if (head === null) return null
    const { socket, raw } = this.#owner
    this.answer.overtake()
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n${lines ?? ''}\r\n`, 'latin1')
    return { socket, head, reset: () => reset(raw, socket) }
  }
}
