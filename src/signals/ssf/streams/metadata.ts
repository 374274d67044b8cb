// What a transmitter says of itself (SSF 1.0 §7): where its keys are, where its streams are managed, what a receiver must understand. It counts only
// where it names exactly the issuer it was asked for, and only places that are as safe as that issuer. SPEC: SSF4
import { httpUrl, isLoopbackUrl } from '../../../config/compile/url.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { HttpAsk, HttpClient } from '../../../runtime/http-client.ts'
import { HttpFault } from '../../../runtime/http-client.ts'
import { duration } from '../../../core/time.ts'
import { type Members, membersOf, textIn } from './json.ts'

/** A place it names is null where it names none. */
export type Metadata = {
  readonly issuer: string
  /** `1_0-ID1` where it does not say. */
  readonly version: string
  readonly jwksUri: URL | null
  readonly configuration: URL | null
  readonly status: URL | null
  readonly addSubject: URL | null
  readonly verification: URL | null
  /** Members of complex subjects: who cannot process one of these discards the event. */
  readonly critical: readonly string[]
  /** Events come only for subjects that were asked for. */
  readonly wantsSubjects: boolean
}

/** What is served there is no metadata of that issuer. */
export class MetadataFault extends Error {
  override readonly name = 'MetadataFault'
}

const LIMITS = { timeout: duration(5_000), bytes: 256 * 1024 } as const
/** Asked for again after so long, in milliseconds; where that fails what was read before counts on. */
const FRESH_FOR = 3_600_000
const AGAIN_IN = 5_000
const CRITICAL_MAX = 64

/** Between host and path, without the last slash (SSF 1.0 §7.2); the second is where it was before it was a standard. */
export function metadataUrls(issuer: string): readonly [URL, URL] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [new URL(`${origin}/.well-known/ssf-configuration${path}`), new URL(`${origin}/.well-known/risc-configuration${path}`)]
}

/** https, or http of this machine; null for anything else. */
export function safeUrl(text: string): URL | null {
  const url = httpUrl(text)
  return url !== null && (url.protocol === 'https:' || isLoopbackUrl(url)) ? url : null
}

function placeIn(of: Members, name: string): URL | null {
  if (of[name] === undefined || of[name] === null) return null
  const url = safeUrl(textIn(of, name) ?? '')
  if (url === null) throw new MetadataFault(`the metadata names no usable ${name}`)
  return url
}

function criticalIn({ critical_subject_members: named = [] }: Members): readonly string[] {
  if (!Array.isArray(named) || named.length > CRITICAL_MAX || !named.every(each => typeof each === 'string')) throw new MetadataFault('critical_subject_members is no list of names')
  return named
}

/** @throws MetadataFault */
export function metadataIn(value: unknown, issuer: string): Metadata {
  const of = membersOf(value)
  if (of === null) throw new MetadataFault('the metadata is no object')
  if (of['issuer'] !== issuer) throw new MetadataFault(`the metadata is not of the issuer ${issuer}`)
  return {
    issuer, version: textIn(of, 'spec_version') ?? '1_0-ID1', jwksUri: placeIn(of, 'jwks_uri'), configuration: placeIn(of, 'configuration_endpoint'), status: placeIn(of, 'status_endpoint'),
    addSubject: placeIn(of, 'add_subject_endpoint'), verification: placeIn(of, 'verification_endpoint'), critical: criticalIn(of), wantsSubjects: of['default_subjects'] !== 'ALL',
  }
}

type Tools = { readonly http: Pick<HttpClient, 'ask'>; readonly clock: Pick<Clock, 'elapsed'> }

/** Of one transmitter, read again from time to time. */
export class MetadataSource {
  readonly #issuer: string
  readonly #ca: string | null
  readonly #tools: Tools
  #known: Metadata | null = null
  #dueAt = -Infinity
  #asking: Promise<Metadata> | null = null
  #fault: unknown = null

  constructor(issuer: string, ca: string | null, tools: Tools) {
    this.#issuer = issuer
    this.#ca = ca
    this.#tools = tools
  }

  /** One attempt at a time, however many wait for it, and after one that failed none for a moment. @throws HttpFault, MetadataFault */
  async get(): Promise<Metadata> {
    if (this.#tools.clock.elapsed() < this.#dueAt) {
      if (this.#known !== null) return this.#known
      throw this.#fault
    }
    this.#asking ??= this.#read().finally(() => { this.#asking = null })
    return this.#asking
  }

  async #read(): Promise<Metadata> {
    try {
      this.#known = metadataIn(await this.#ask(), this.#issuer)
      this.#dueAt = this.#tools.clock.elapsed() + FRESH_FOR
      return this.#known
    } catch (error) {
      this.#fault = error
      this.#dueAt = this.#tools.clock.elapsed() + AGAIN_IN
      if (error instanceof MetadataFault) this.#known = null // it speaks for somebody else now
      if (this.#known === null) throw error
      return this.#known
    }
  }

  async #ask(): Promise<unknown> {
    const [place, before] = metadataUrls(this.#issuer)
    const asked: HttpAsk = { method: 'GET', body: null, headers: {}, ca: this.#ca, statuses: [200, 404] }
    const { status, text } = await this.#tools.http.ask(place, asked, LIMITS, 'open')
    const answer = status === 200 ? text : (await this.#tools.http.ask(before, { ...asked, statuses: [200] }, LIMITS, 'open')).text
    try {
      return JSON.parse(answer)
    } catch (error) {
      throw new HttpFault('not_json', `${place.origin}${place.pathname} did not answer with JSON`, 200, error)
    }
  }
}
