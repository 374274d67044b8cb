// Who an operator is, by the one credential shown. A token of ours is looked up by its digest in the token file and, beside it, the break-glass file;
// any other is for operators.ts. Files are read again at most once a second; one that became unreadable as JSON keeps its last good entries, one that is
// gone has none. Never logs a token. SPEC: ADM11, ADM14, ADM22
import type { Socket } from 'node:net'
import type { Standing, StandingOf } from '../approvals/standing.ts'
import type { Instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { sha256 } from '../runtime/id.ts'
import type { Log } from '../runtime/log.ts'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'
import { keptFrom } from './kept.ts'
import { NOBODY_VOUCHED, type Vouched } from './operators.ts'
import { type Caller, holdsRole, type Role } from './roles.ts'
import { TOKEN, type TokenEntry, tokensOf } from './token-file.ts'

type AuthorizerSettings = {
  readonly tokenFile: string | null
  readonly breakGlassTokenFile: string | null
  /** The token `run` wrote where no file was configured. */
  readonly first: TokenEntry | null
}

type Ports = { readonly clock: Clock; readonly log: Log; /** Text of a file; throws SecretFileError. */ readonly read: (file: string) => Promise<string> }
type Tokens = ReadonlyMap<string, TokenEntry>

const TOKEN_FILE_BYTES = 1024 * 1024
const EVERY_MS = 1_000
const NONE: Tokens = new Map()

class WatchedFile {
  readonly #file: string
  readonly #ports: Ports
  #tokens: Tokens = NONE
  #text: string | null = null
  #readAt = -Infinity
  #reading: Promise<void> | null = null

  constructor(file: string, ports: Ports) {
    this.#file = file
    this.#ports = ports
  }

  async tokens(): Promise<Tokens> {
    if (this.#ports.clock.elapsed() - this.#readAt >= EVERY_MS) this.#reading ??= this.#read().finally(() => { this.#reading = null })
    await this.#reading
    return this.#tokens
  }

  /** @throws Error naming the file and what is wrong with it */
  async check(): Promise<void> {
    const text = await this.#ports.read(this.#file)
    try {
      tokensOf(text)
    } catch (error) {
      throw new Error(`${this.#file}: ${error instanceof Error ? error.message : 'unreadable'}`, { cause: error })
    }
  }

  async #read(): Promise<void> {
    const text = await this.#ports.read(this.#file).catch((error: unknown) => this.#gone(error))
    this.#readAt = this.#ports.clock.elapsed()
    if (text === null || text === this.#text) return
    this.#text = text
    try {
      this.#tokens = tokensOf(text)
    } catch (error) {
      this.#ports.log.error({ file: this.#file, problem: error instanceof Error ? error.message : 'unreadable' }, 'the token file is wrong; its last good entries count')
    }
  }

  #gone(error: unknown): null {
    if (this.#text !== null || this.#readAt === -Infinity) this.#ports.log.error({ problem: error instanceof SecretFileError ? error.message : 'unreadable' }, 'the token file can not be read; nobody in it is known')
    this.#tokens = NONE
    this.#text = null
    return null
  }
}

export class Authorizer {
  #files: readonly { readonly watched: WatchedFile; readonly breakGlass: boolean }[]
  #first: TokenEntry | null
  #vouched: Vouched
  readonly #clock: Clock

  constructor({ tokenFile, breakGlassTokenFile, first }: AuthorizerSettings, ports: Omit<Ports, 'read'>, vouched: Vouched = NOBODY_VOUCHED) {
    const read: Ports['read'] = file => readSecretFile(file, TOKEN_FILE_BYTES)
    const named = [{ file: tokenFile, breakGlass: false }, { file: breakGlassTokenFile, breakGlass: true }]
    this.#files = named.flatMap(({ file, breakGlass }) => (file === null ? [] : [{ watched: new WatchedFile(file, { ...ports, read }), breakGlass }]))
    this.#first = first
    this.#vouched = vouched
    this.#clock = ports.clock
  }

  /** For start and reload, where a wrong file is a reason to refuse. @throws Error naming the file and what is wrong with it */
  async check(): Promise<void> {
    for (const { watched } of this.#files) await watched.check()
  }

  /** From now on knows whom `other` knows, and nobody else. */
  replace(other: Authorizer): void {
    this.#files = other.#files
    this.#first = other.#first
    this.#vouched = other.#vouched
  }

  /** Who proved by a certificate who they are; `none` where none was shown that anybody asked for, null for nobody. Never throws. */
  certified(socket: Socket): Caller | 'none' | null {
    return this.#vouched.byCertificate(socket)
  }

  /** Issuers of everyone whom the files and the first token name, also of those whose time is over. Never throws. */
  async issuers(): Promise<ReadonlySet<string>> {
    return new Set((await this.#entries()).map(({ identity }) => identity.slice(0, identity.indexOf('|'))))
  }

  /** The giver of an approval as it is today, by what was kept of its credential; null where it would not be let in any more. Never throws. */
  async standing({ by, claims }: Parameters<StandingOf>[0]): Promise<Standing | null> {
    const kept = keptFrom(claims)
    const roles = kept === null ? [] : kept.via === 'token' ? await this.#rolesOf(kept.name, by) : this.#vouched.rolesOf(kept.via, kept.claims)
    return kept === null || roles.length === 0 ? null : { claims: kept.claims, holds: role => holdsRole({ roles }, role) }
  }

  /** Who holds this token; null for nobody. Never throws. */
  async identify(token: string): Promise<Caller | null> {
    if (!TOKEN.test(token)) return this.#vouched.byToken(token)
    const digest = sha256(token)
    const now = this.#clock.now()
    if (this.#first !== null && this.#first.sha256 === digest) return callerOf(this.#first, false, now)
    for (const { watched, breakGlass } of this.#files) {
      const entry = (await watched.tokens()).get(digest)
      if (entry !== undefined) return callerOf(entry, breakGlass, now)
    }
    return null
  }

  /** Of the entry of that name and identity, if it still counts. */
  async #rolesOf(name: string, identity: string): Promise<readonly Role[]> {
    const entries = await this.#entries()
    const now = this.#clock.now()
    return entries.filter(entry => entry.name === name && entry.identity === identity && !isOver(entry, now)).flatMap(({ roles }) => roles)
  }

  async #entries(): Promise<readonly TokenEntry[]> {
    const files = await Promise.all(this.#files.map(({ watched }) => watched.tokens()))
    return [...(this.#first === null ? [] : [this.#first]), ...files.flatMap(tokens => [...tokens.values()])]
  }
}

const isOver = ({ expires }: TokenEntry, now: Instant): boolean => expires !== null && expires <= now

function callerOf(entry: TokenEntry, breakGlass: boolean, now: Instant): Caller | null {
  const { name, identity, roles } = entry
  return isOver(entry, now) ? null : { name, via: 'token', identity, roles, claims: { name }, breakGlass }
}
