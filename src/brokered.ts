// Credentials towards upstreams, wired: where they come from, what is told of them, and what ends them. Decides nothing itself. SPEC: CRD1-CRD9
import type { Trail } from './audit/trail.ts'
import type { Settings } from './config/settings.ts'
import type { Clock } from './runtime/clock.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import { Broker, type BrokerWitness } from './enforcement/brokered/broker.ts'
import type { Told } from './enforcement/brokered/held.ts'
import { Source } from './enforcement/brokered/source.ts'

type Tools = { readonly clock: Clock; readonly http: Pick<HttpClient, 'ask'>; readonly metrics: Metrics; readonly log: Log }
type Parts = Tools & { readonly mirror: Mirror; readonly store: SessionStore; readonly trail: Pick<Trail, 'credential'> }
/** Milliseconds. */
const TOLD_EVERY = 2_000

type Sources = ReadonlyMap<string, Source>

/** An upstream that did not change keeps its source, and what came from it. @throws SecretFileError */
async function sourcesOf({ upstreams }: Settings, before: Sources, tools: Tools): Promise<Sources> {
  const sources = new Map<string, Source>()
  try {
    for (const [name, { brokered }] of upstreams) {
      if (brokered === null) continue
      const known = before.get(name)
      const isSame = known !== undefined && JSON.stringify(known.settings) === JSON.stringify(brokered)
      if (isSame) await known.check()
      sources.set(name, isSame ? known : await Source.open(name, brokered, tools, unreadBy(name, tools), known ?? null))
    }
    return sources
  } catch (error) {
    closeUnused(sources, before)
    throw error
  }
}

const unreadBy = (upstream: string, { metrics, log }: Pick<Tools, 'metrics' | 'log'>) => ({
  unread(error: Error, first: boolean): void {
    metrics.secretFileErrors.inc({ upstream })
    if (first) log.error({ upstream, problem: error.message }, 'the file of a credential cannot be read; what was read last counts')
  },
})

function closeUnused(before: Sources, now: Sources): void {
  for (const [name, source] of before) if (now.get(name) !== source) source.close()
}

export class Brokered {
  readonly broker: Broker
  readonly #tools: Tools
  /** Read for a configuration that was not taken, perhaps. */
  #next: Sources = new Map()

  /** @throws SecretFileError where a file is not what it must be */
  static async open(settings: Settings, parts: Parts): Promise<Brokered> {
    return new Brokered(await sourcesOf(settings, new Map(), parts), parts)
  }

  private constructor(sources: Sources, parts: Parts) {
    this.#tools = parts
    this.broker = new Broker(sources, { ...parts, witness: witnessOf(parts) })
  }

  /** Those of another configuration: read before anything is swapped. @throws SecretFileError */
  readonly sources = async (settings: Settings): Promise<Sources> => {
    closeUnused(this.#next, this.broker.sources)
    this.#next = await sourcesOf(settings, this.broker.sources, this.#tools)
    return this.#next
  }

  take(sources: Sources): void {
    const before = this.broker.sources
    this.broker.take(sources)
    closeUnused(before, sources)
  }

  async stop(): Promise<void> {
    closeUnused(this.broker.sources, new Map())
    await this.broker.stop()
  }
}

/** For the log. */
const named = ({ id, lease, upstream, session, elevation }: Told): Omit<Told, 'id' | 'expiresAt'> & { readonly credential: string } => ({ credential: id, lease, upstream, session, elevation })

/** Each kind of trouble of each upstream is told once in a while, however many requests meet it. */
function pacedBy({ elapsed }: Pick<Clock, 'elapsed'>): (what: string) => boolean {
  const toldAt = new Map<string, number>()
  return what => {
    const isNews = elapsed() - (toldAt.get(what) ?? -Infinity) >= TOLD_EVERY
    if (isNews) toldAt.set(what, elapsed())
    return isNews
  }
}

function witnessOf({ metrics, log, trail, clock }: Parts): BrokerWitness {
  const isNews = pacedBy({ elapsed: () => clock.elapsed() })
  const { brokeredCredentials: obtained, credentialRevocations: revocations, credentialRevocationsPending: pending, limitReached } = metrics
  return {
    obtained(told) {
      obtained.inc({ upstream: told.upstream, outcome: 'obtained' })
      trail.credential('credential.obtained', { ...named(told), until: told.expiresAt })
    },
    failed(upstream, outcome, cause) {
      obtained.inc({ upstream, outcome })
      if (outcome === 'full') limitReached.inc({ limit: 'brokered_credentials' })
      if (isNews(`${upstream} ${outcome}`)) log.warn({ upstream, outcome, cause }, 'the credential for an upstream could not be obtained')
    },
    revoked({ told, attempts, ms }, confirmedAt) {
      revocations.inc({ upstream: told.upstream, outcome: 'confirmed' })
      trail.credential('credential.revoked', { ...named(told), confirmedAt, attempts, ms })
    },
    retried(told, cause) {
      revocations.inc({ upstream: told.upstream, outcome: 'retried' })
      if (isNews(`${told.upstream} taking back`)) log.warn({ ...named(told), cause }, 'a credential could not be taken back yet; it is tried again')
    },
    unrevoked({ told, attempts, ms }, cause) {
      revocations.inc({ upstream: told.upstream, outcome: 'alarm' })
      log.error({ ...named(told), attempts, ms, cause }, 'a credential is over, and nobody confirms that it was taken back')
      trail.credential('credential.not_revoked', { ...named(told), because: cause, attempts, ms })
    },
    stuck(told) {
      revocations.inc({ upstream: told.upstream, outcome: 'alarm' })
      log.error(named(told), 'a credential is over, and nothing here can take it back: its upstream, its revocation or its secret is not configured any more')
      trail.credential('credential.not_revoked', { ...named(told), because: 'nothing here can open it', attempts: 0, ms: 0 })
    },
    expired: ({ upstream }) => revocations.inc({ upstream, outcome: 'expired' }),
    full: () => limitReached.inc({ limit: 'credential_revocations' }),
    unread: cause => log.warn({ cause: String(cause) }, 'what has to be taken back could not be read; it is asked for again'),
    pending: count => pending.set(count),
  }
}
