// One protected API: its addresses and their connections, what is injected towards it, and which address takes a request.
// A request is tried elsewhere only when no byte of it was processed. SPEC: WIRE12, WIRE20, ENF10
import { X509Certificate } from 'node:crypto'
import type { Retriable, UpstreamSettings } from '../config/settings.ts'
import { duration } from '../core/time.ts'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'
import { WatchedSecret } from '../runtime/watched-secret.ts'
import { nextOf } from './balance.ts'
import { Dialer } from './dial.ts'
import { Endpoint, type EndpointOwner, type TunnelPlace, type Turn } from './endpoint.ts'
import { readContextKey } from './context-key.ts'
import type { Sending, UpstreamFault, UpstreamHandler } from './handler.ts'
import type { Ended } from './own-address.ts'
import { HealthChecks } from './health.ts'
import { Resolver } from './resolver.ts'
import { type SigningKey, signingKeyOf } from './signing-key.ts'

const CONNECT_TIMEOUT_MAX = 10_000
/** How long ends that nobody waits for may hold the event loop in one turn, in milliseconds. */
const BEHIND_SLICE = 0.5
/** Longest wait of the first of them, in milliseconds, while ever more come. */
const BEHIND_AT_LAST = 500
const NONE: readonly Endpoint[] = []
/** Characters of a value that is a secret: a shorter one is a word, and stands in many a field that tells nothing. */
const SECRET_LEAST = 12
/** Before the secret itself, where the value has one. */
const SCHEME = /^[A-Za-z][\w-]* +/

/** Who counts what became of its addresses, and knows where the gateway itself listens. */
export interface UpstreamWitness {
  isOwn(ended: Ended): boolean
  ejected(upstream: string): void
  retried(upstream: string, on: Retriable): void
  /** The file of its credential could not be read again, and the value before counts; `first`: it could the time before. */
  unread(upstream: string, error: Error, first: boolean): void
}

type Secrets = { readonly ca: string | null; readonly cert: string | null; readonly key: string | null; readonly injected: string | null; readonly signing: SigningKey | null }

/** `secret`: what of it no field of an answer may tell; null where that is too short to be one. */
type Injection = { readonly header: string; readonly value: string; readonly secret: string | null }

function injectionOf(header: string, value: string): Injection {
  const secret = value.replace(SCHEME, '')
  return { header, value, secret: secret.length < SECRET_LEAST ? null : secret }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false // not PEM, or not of a certificate
  }
}

async function readCertificates(file: string): Promise<string> {
  const pem = await readSecretFile(file)
  if (!isCertificate(pem)) throw new SecretFileError(file, 'is not a certificate in PEM')
  return pem
}

/** The files an upstream names, read and tried. @throws Error naming the file, or the upstream whose certificate and key do not belong together */
export async function readSecrets({ name, tls, inject, signature }: UpstreamSettings): Promise<Secrets> {
  const { caFile = null, certFile = null, keyFile = null } = tls ?? {}
  const ca = caFile === null ? null : await readCertificates(caFile)
  const cert = certFile === null ? null : await readCertificates(certFile)
  const key = keyFile === null ? null : await readSecretFile(keyFile)
  try {
    new Dialer({ ca, cert, key, servername: '', alpn: [] }, duration(0), () => true)
  } catch {
    throw new Error(`upstream ${name}: ${String(keyFile)} is not the private key of ${String(certFile)}`)
  }
  return { ca, cert, key, injected: inject === null ? null : await readSecretFile(inject.valueFile), signing: signature?.key.is === 'file' ? signingKeyOf(await readContextKey(signature.key.file), signature.key.keyId) : null }
}

export class Upstream implements EndpointOwner {
  readonly name: string
  readonly settings: UpstreamSettings
  /** Signs what goes to it; null where nothing does, or the key of Narrowgate-Context. */
  readonly signingKey: SigningKey | null
  readonly #witness: UpstreamWitness
  readonly #resolvers: readonly Resolver[]
  readonly #checks: HealthChecks | null
  readonly #secret: WatchedSecret | null
  #inject: Injection | null = null
  #endpoints: readonly Endpoint[] = NONE
  /** No addresses of it any more, but still with connections. */
  #former: readonly Endpoint[] = NONE
  #behind: Sending[] = []
  /** How many there were in the turn before, and since when the first of them waits. */
  #behindBefore = 0
  #behindSince = 0
  /** Where those were tried that were sent once more. */
  readonly #again = new WeakMap<UpstreamHandler, Turn>()
  #closed = false

  /** @internal use `open` */
  constructor(settings: UpstreamSettings, { ca, cert, key, injected, signing }: Secrets, witness: UpstreamWitness) {
    this.name = settings.name
    this.settings = settings
    this.signingKey = signing
    this.#secret = this.#watch(settings.inject, injected)
    this.#witness = witness
    const timeout = duration(Math.min(settings.timeout, CONNECT_TIMEOUT_MAX))
    const alpn = settings.protocol === 'http2' ? ['h2'] : ['http/1.1']
    this.#resolvers = settings.addresses.map(({ host, port, weight }) => {
      const dialer = new Dialer(settings.tls === null ? null : { ca, cert, key, servername: settings.tls.serverName ?? host, alpn }, timeout, ended => witness.isOwn(ended))
      return new Resolver(host, settings.resolve, at => new Endpoint({ host: at, port }, weight, settings, dialer, this), () => this.#resolved())
    })
    this.#resolved()
    this.#checks = settings.health === null ? null : new HealthChecks(settings.health, () => this.#endpoints)
  }

  /** @throws Error naming the file that cannot be read, holds no certificate where one is wanted, or does not fit the other */
  static async open(settings: UpstreamSettings, witness: UpstreamWitness): Promise<Upstream> {
    return new Upstream(settings, await readSecrets(settings), witness)
  }

  /** The static credential, as its file has it. */
  get inject(): Injection | null { return this.#inject }

  #watch(inject: UpstreamSettings['inject'], value: string | null): WatchedSecret | null {
    if (inject === null || value === null) return null
    const { header, valueFile } = inject
    this.#inject = injectionOf(header, value)
    return new WatchedSecret(valueFile, value, { changed: now => { this.#inject = injectionOf(header, now) }, unread: (error, first) => this.#witness.unread(this.name, error, first) })
  }

  /** Connections that carry something now, or are being made. */
  get busy(): number {
    let sum = 0
    for (const endpoint of this.#endpoints) sum += endpoint.busy
    for (const endpoint of this.#former) sum += endpoint.busy
    return sum
  }

  /** How many of its addresses are well, and how many are not. */
  get addresses(): { readonly well: number; readonly out: number } {
    const well = this.#endpoints.filter(endpoint => endpoint.well).length
    return { well, out: this.#endpoints.length - well }
  }

  /** Exchanges that may stand frozen towards it: half of what its connections carry (RULES 16). */
  get frozenShare(): number {
    const { connections, protocol, streams } = this.settings
    return Math.floor((connections * (protocol === 'http2' ? streams : 1)) / 2)
  }

  /** Called by relays alone, which admission alone tells to. */
  send(handler: UpstreamHandler): void {
    const endpoint = this.#closed ? null : nextOf(this.#endpoints, NONE)
    if (endpoint === null) handler.failed('upstream_unavailable')
    else if (!endpoint.sendNow(handler)) endpoint.open({ handler, tried: [endpoint] })
  }

  /** For a handler that nothing is to be sent for any more: no connection is made for its sake, and its place among those that wait is free. */
  withdraw(handler: UpstreamHandler): void {
    for (const endpoint of this.#endpoints) endpoint.withdraw(handler)
    for (const endpoint of this.#former) endpoint.withdraw(handler)
  }

  /** For a tunnel, which has a connection of its own from its first byte to its last. */
  place(source: string): TunnelPlace | UpstreamFault {
    const endpoint = this.#closed || this.settings.protocol !== 'http1' ? null : nextOf(this.#endpoints, NONE)
    if (endpoint === null) return 'upstream_unavailable'
    return this.hasRoom() ? endpoint.place(source) : 'upstream_busy'
  }

  // ---- what its addresses tell

  hasRoom(): boolean {
    let spare = this.settings.connections
    for (const endpoint of this.#endpoints) spare -= endpoint.held
    for (const endpoint of this.#former) spare -= endpoint.held
    while (spare <= 0 && this.#endpoints.some(endpoint => endpoint.giveWay())) spare++
    return spare > 0
  }

  /** Another address may have a stream to spare. */
  crowdedOut({ handler }: Turn): void {
    if (!this.#endpoints.some(endpoint => endpoint.well && endpoint.sendNow(handler))) handler.failed('upstream_busy')
  }

  unsent(turn: Turn, fault: UpstreamFault, on: Retriable): void {
    if (!this.#tryAgain(turn, on)) turn.handler.failed(fault)
  }

  sendAgain(handler: UpstreamHandler, from: Endpoint): boolean {
    return this.#tryAgain(this.#again.get(handler) ?? { handler, tried: [from] }, 'refused')
  }

  /** Where there is one address only, a refusal has it asked once more: a server that winds a connection down takes the next one. */
  #tryAgain(turn: Turn, on: Retriable): boolean {
    if (!this.#mayRetry(turn, on)) return false
    const next = nextOf(this.#endpoints, turn.tried) ?? (on === 'refused' ? nextOf(this.#endpoints, NONE) : null)
    if (next === null) return false
    this.#again.set(turn.handler, turn)
    this.#witness.retried(this.name, on)
    turn.tried.push(next)
    if (!next.sendNow(turn.handler)) next.open(turn)
    return true
  }

  #mayRetry({ handler, tried }: Turn, on: Retriable): boolean {
    const { attempts, on: retriable } = this.settings.retries
    return !this.#closed && handler.source !== null && tried.length <= attempts && retriable.includes(on)
  }

  mayEject(endpoint: Endpoint): boolean {
    const now = performance.now()
    const out = this.#endpoints.filter(other => other !== endpoint && other.wellness.isEjected(now)).length
    return (out + 1) * 100 <= this.#endpoints.length * (this.settings.ejection?.atMost ?? 0)
  }

  ejected(): void {
    this.#witness.ejected(this.name)
  }

  #resolved(): void {
    const before = this.#endpoints
    this.#endpoints = this.#resolvers.flatMap(({ endpoints }) => endpoints)
    this.#former = [...this.#former, ...before.filter(endpoint => !this.#endpoints.includes(endpoint))].filter(({ held }) => held > 0)
  }

  // ---- ends that nobody waits for

  /** Gives up soon what was sent whole, a few at a time and behind a cut of many: that takes longer than to end an answer, and no byte of it counts any more. */
  endBehind(sending: Sending): void {
    if (this.#behind.push(sending) > 1) return
    this.#behindBefore = 1
    this.#behindSince = performance.now()
    setImmediate(() => this.#endSome())
  }

  #endSome(): void {
    const now = performance.now()
    const grows = this.#behind.length > this.#behindBefore && now - this.#behindSince < BEHIND_AT_LAST
    let done = 0
    while (!grows && done < this.#behind.length && performance.now() - now < BEHIND_SLICE) this.#behind[done++]?.abort()
    this.#behind = this.#behind.slice(done)
    this.#behindBefore = this.#behind.length
    if (this.#behind.length > 0) setImmediate(() => this.#endSome())
  }

  /** Lets running exchanges finish; nothing new is taken. */
  close(): void {
    this.#closed = true
    this.#secret?.close()
    this.#checks?.stop()
    for (const resolver of this.#resolvers) resolver.stop()
    for (const endpoint of this.#endpoints) endpoint.retire()
  }
}
