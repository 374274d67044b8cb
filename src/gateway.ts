// The composition root: the one place where the rooms meet. Opens the parts in order, wires news to enforcement and evidence,
// swaps configurations whole, and shuts down without losing a record. SPEC: CFG10, AUD8, ADM9
import { foldsSubjects } from './admin/vouched-issuers.ts'
import { Drainer } from './audit/drainer.ts'
import { HeadKeeper } from './audit/head-keeper.ts'
import { Noise } from './audit/noise.ts'
import { gatewayName, openRecording, openTrail } from './audit/open-trail.ts'
import { plainYaml } from './config/plain-yaml.ts'
import { Brokered } from './brokered.ts'
import type { ConfigSource } from './config/source.ts'
import type { Settings } from './config/settings.ts'
import { duration } from './core/time.ts'
import { Decisions, openDecisions } from './decisions/decisions.ts'
import { Admission } from './enforcement/admit.ts'
import { Aftereffects } from './enforcement/aftereffects.ts'
import { Budget } from './enforcement/budget.ts'
import type { GateKeeper } from './enforcement/exchange.ts'
import { ExchangeRecorder } from './enforcement/exchange-recorder.ts'
import { gatherSteps } from './enforcement/gather.ts'
import { Hold } from './enforcement/hold.ts'
import { Hub } from './enforcement/hub.ts'
import { Inflight } from './enforcement/inflight.ts'
import { reachOf } from './enforcement/reach.ts'
import { Rates } from './enforcement/rates.ts'
import { Sweeper } from './enforcement/sweeper.ts'
import { ExternalDecisions } from './external.ts'
import { Following } from './following.ts'
import { Front, openDoors, ownToken } from './front.ts'
import { Identifier } from './identity/identify.ts'
import { buildProviders } from './identity/provider.ts'
import { SessionTokens } from './identity/session-tokens.ts'
import { Outside } from './outside.ts'
import { sessionFinder } from './proxy/find-session.ts'
import { describeTarget } from './proxy/describe/target.ts'
import { ForwardAuth } from './proxy/forward-auth/forward-auth.ts'
import { viaOf } from './proxy/http/via.ts'
import { closeUnused, openWorld } from './proxy/open-world.ts'
import { Pipeline } from './proxy/pipeline.ts'
import type { ProxyRoom } from './proxy/room.ts'
import { SelfService } from './proxy/self-service/self-service.ts'
import { type Clock, SystemClock } from './runtime/clock.ts'
import { closeAll, type Closer } from './runtime/close-all.ts'
import { HttpClient } from './runtime/http-client.ts'
import { newKeyText } from './runtime/id.ts'
import { type Log, openLog } from './runtime/log.ts'
import { Metrics } from './runtime/metrics.ts'
import { tellBirth } from './sessions/birth.ts'
import { keptOr } from './sessions/data-set.ts'
import { Holders } from './sessions/holders.ts'
import { Journal } from './sessions/journal.ts'
import { Ledger } from './sessions/ledger.ts'
import { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import { Timekeeper } from './sessions/timekeeper.ts'
import { Intake } from './signals/intake.ts'
import { SteppingUp } from './stepping-up.ts'
import { Progress } from './signals/progress.ts'
import { heard, hearLedger, hearMirror, observe, record, recordingFailed, witnessOf } from './telling.ts'
import { Trust } from './trust.ts'
import { ContextMinter } from './upstream/context.ts'
import { openContextKeys } from './upstream/open-keys.ts'
import { VERSION } from './version.ts'
import { reached } from './waiting.ts'
import type { Seat } from './workers/messages.ts'
import { fileOfSeat } from './workers/worker-settings.ts'
import { Gateway, type Parts } from './running-gateway.ts'

type GatewayOptions = {
  readonly settings: Settings
  /** Where the settings came from; null runs what was given and reloads nothing. */
  readonly source: ConfigSource | null
  readonly log?: Log
  readonly clock?: Clock
  /** Stands between the gateway and the store it opened: for tests of the port's promises. */
  readonly wrapStore?: (store: SessionStore) => SessionStore
  /** Of a worker among several: names the files it writes for itself. */
  readonly seat?: Seat | null
}

/** @throws when a part cannot be opened: a store in use, an unreadable file, an address taken; what was opened before is closed again */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const closers: Closer[] = []
  try {
    return await compose(options, closers)
  } catch (error) {
    await closeAll(closers).catch(() => undefined) // the cause is what went wrong first
    throw error
  }
}

/** @param closers gets what has to be closed, in the order of closing */
async function compose(options: GatewayOptions, closers: Closer[]): Promise<Gateway> {
  const { settings, source, seat = null } = options
  let { digest } = settings
  const ownLog = openLog(settings.logLevel)
  const log = options.log ?? ownLog
  const metrics = new Metrics()
  const { store: opened, clock } = await reached({ settings, clock: options.clock ?? new SystemClock(), seat }, metrics, log, () => digest)
  const store = options.wrapStore?.(opened) ?? opened
  closers.unshift(() => store.close())
  const gateway = await gatewayName(fileOfSeat(`${settings.stateDir}/gateway.id`, seat))
  const mirror = new Mirror(store, settings.policy, settings.limits.mirroredSessions)
  const journal = settings.store.home.is === 'redis' ? await Journal.open(fileOfSeat(`${settings.stateDir}/journal.jsonl`, seat), () => clock.now()) : null
  if (journal !== null && journal.damaged > 0) log.error({ lines: journal.damaged }, 'lines of the journal could not be read; the file is kept beside it')
  const ledger = new Ledger(store, mirror, clock, journal)
  hearLedger(ledger, metrics, log, store)
  const intake = new Intake(ledger, store, clock, (kind, outcome) => metrics.signals.inc({ kind, outcome }), settings.store.home.is === 'redis' ? { lease: settings.store.lease, policy: () => mirror.policy } : null)
  const timekeeper = new Timekeeper(mirror, ledger, store, clock)
  const holders = Holders.beside(mirror, ledger, store, clock, { full: () => metrics.limitReached.inc({ limit: 'held_elevations' }), failed: cause => log.warn({ cause: String(cause) }, 'who holds an elevation could not be told') })
  const trail = await openTrail(settings, gateway, { store, clock, log })
  const noise = new Noise({ file: settings.audit.noise.file, gateway, maxBytes: settings.audit.noise.maxBytes }, clock, cause => log.warn({ cause: String(cause) }, 'refusals without a session are lost until they can be written again'))
  const drainer = new Drainer({ source: store, trail, fsync: settings.audit.trail.fsync, also: page => outside.facts(page), failed: (cause, retryInMs) => log.error({ cause: String(cause), retryInMs }, 'facts could not be moved to the trail') })
  const headKeeper = new HeadKeeper({ gateway, store, trail, failed: cause => log.warn({ cause: String(cause) }, 'the trail head could not be kept') })
  let started = false
  const stopped = (): void => { if (started) trail.gatewayStopped({ reason: 'closed' }) }
  closers.unshift(() => holders.stop(), () => timekeeper.stop(), () => ledger.stop(), () => ledger.settled(), () => drainer.stop(), stopped, () => noise.close(), () => trail.close(), () => headKeeper.stop(), () => journal?.close())
  const hub = new Hub(cause => log.error({ cause: String(cause) }, 'an event listener failed and is dropped'))
  const keeper: GateKeeper = { clock, mirror, confirmedUntil: () => store.confirmedUntil(), vouchesFor: evidence => identifier.vouchesFor(evidence) }
  const inflight = new Inflight()
  const listening: { front: Front | null } = { front: null }
  const witness = witnessOf(metrics, log, () => listening.front?.bound.values() ?? [])
  const recording = openRecording(settings, gateway, { clock, log, failed: () => recordingFailed({ inflight, reassessor, mirror, intake, metrics, log }) })
  const recorder = new ExchangeRecorder(trail, recording, metrics, clock, hub, exchange => brokered.broker.heldFor(exchange)?.told.id ?? null)
  const steppingUp = new SteppingUp({ keeper, ledger, intake, metrics, log })
  const reassessor = steppingUp.reassessor(inflight, recorder)
  const contextKeys = await openContextKeys(settings.context, { store, clock, log })
  const minter = new ContextMinter(contextKeys, settings.context.issuer, clock)
  const budget = new Budget({ store, clock, metrics, ledger, reassessor })
  const http = new HttpClient()
  const external = await ExternalDecisions.open(settings, { keeper, reassessor, intake, http, metrics, log, tell: told => following.tell(told) })
  const brokered = await Brokered.open(settings, { mirror, store, trail, clock, http, metrics, log })
  const steps = gatherSteps(recorder, minter, budget, steppingUp.uses, external.asking, brokered.broker, new Aftereffects({ door: intake, clock, mirror, ledger, lease: settings.store.home.is === 'redis' ? settings.store.lease : duration(0) }), () => room.world.settings.audit.trail.fsync)
  const admission = new Admission(keeper, inflight, recorder, reassessor, steps, metrics, () => room.world.settings.limits.exchanges)
  const following = await Following.open(settings, { settings: () => room.world.settings, authorizer: () => doors.authorizer, intake, ledger, mirror, store, trail, clock, http, metrics, log })
  const trust = new Trust({ settings, recorder, intake, ledger, mirror, store, clock, metrics, log, tell: following.tell })
  const digestKey = Buffer.from(await keptOr(store, 'digest.key', newKeyText), 'base64')
  const outside = await Outside.open(settings, { digestKey, tell: following.tell, risk: trust.risk, intake, ledger, mirror, store, noise, clock, http, metrics, log })
  closers.unshift(() => brokered.stop(), () => contextKeys.stop(), () => external.stop(), () => outside.stop(), () => trust.stop(), () => following.stop(), () => reassessor.close(), () => http.close(), () => recording.close())
  const sessionTokens = new SessionTokens(digestKey)
  const tools = { clock, http, findSession: sessionFinder(mirror, store, sessionTokens), parseYaml: plainYaml, notice: (provider: string, error: Error) => log.warn({ provider, error: error.message }, 'keys could not be fetched') }
  const identifier = new Identifier(await buildProviders(settings.providers, tools), { clock, digestKey, sessionKey: settings.policy.sessions.key, aliases: settings.policy.sessions.aliases, marks: store, wantsNonces: () => room.world.settings.dpopNonces, sessions: settings.limits.mirroredSessions })
  const sweeper = new Sweeper(keeper, inflight, reassessor, { streams: () => room.world.settings.store.hold.streams, frozen: upstream => room.world.upstreams.get(upstream)?.frozenShare ?? Infinity })
  const hold = new Hold(keeper, () => room.world.settings.store.hold.requests, () => metrics.limitReached.inc({ limit: 'held_requests' }))
  const room: ProxyRoom = {
    world: await openWorld(settings, null, witness), digestKey, keeper, mirror, ledger, store, timekeeper, holders, intake, identifier, admission, hold, inflight, reassessor, rates: new Rates({ store, clock, metrics }),
    steps, external, brokered: brokered.broker, minter, metrics, log, via: viaOf(gateway), lookUp: outside.lookUp, unreviewed: following.unreviewed, stepUps: steppingUp.stepUps, risk: trust.risk, progress: new Progress(intake, () => metrics.limitReached.inc({ limit: 'purpose_lines' })),
    refused: refused => record(refused, { trail, noise, metrics }), completed: (exchange, status) => recorder.completed(exchange, status),
  }
  const pipeline = new Pipeline(room, new SelfService(room, hub))
  const forwardAuth = new ForwardAuth(room, pipeline)
  const decisions = new Decisions(await openDecisions(settings), {
    keeper, store, trail, metrics, log, describeTarget, providers: () => room.world.settings.providers, folds: issuer => foldsSubjects(room.world.settings, issuer),
    aliasesOf: (issuer, claims) => identifier.aliases(issuer, claims), refused: refused => noise.refused(refused),
  })
  mirror.onSurvey = selector => reachOf(selector, mirror, inflight, clock.now())
  mirror.onAnnounced = announcement => heard(announcement, { drainer, hub, identifier, progress: room.progress, holders, following, outside, trust, broker: brokered.broker })
  hearMirror(mirror, timekeeper, reassessor, metrics)
  const doors = await openDoors(settings, await ownToken(settings), { ...tools, log })
  const named = async (): Promise<void> => { // another data set gets the keys that are in use
    await store.keepFirst('digest.key', digestKey.toString('base64'))
    await contextKeys.named()
    await outside.named()
  }
  const bear = (): Promise<void> => tellBirth(opened, ledger, settings.ephemeral, log)
  await mirror.start({
    confirmed() {
      hold.confirmed()
      sweeper.sweep()
    },
    async lost(news, replaced) {
      if (replaced) await named()
      trust.risk.sayAgain()
      brokered.broker.lost()
      await Promise.all([ledger.sayAgain(news, replaced), budget.sayAgain()])
      if (replaced) await bear()
    },
  })
  await bear()
  await ledger.recall().catch((error: unknown) => log.error({ cause: String(error) }, 'ends of earlier runs are owed to the store; it takes them first'))
  await drainer.drainNow()
  trail.gatewayStarted({ version: VERSION, config: settings.digest })
  started = true
  const parts: Parts = { gateway, settings: () => room.world.settings, clock, log, metrics, store, mirror, ledger, intake, inflight, reassessor, hub, trail, trailFile: settings.audit.trail.file, noise, pipeline, forwardAuth, decisions, identifier, sessionTokens, minter, drainer, following, outside, trust, steps: room.steps }
  if (opened.gauges !== null) metrics.store.observe(opened.gauges)
  observe(metrics, parts, () => room.world.upstreams.values())
  const swap = async (next: Settings): Promise<void> => {
    const providers = await buildProviders(next.providers, tools)
    const [nextDoors, channels, connectors, pdps] = [await openDoors(next, await ownToken(next), { ...tools, log }), await following.channels(next), await outside.connectors(next), await external.pdps(next)]
    const nextDecisions = await openDecisions(next)
    const sources = await brokered.sources(next)
    const [before, world] = [room.world, await openWorld(next, room.world, witness)] // last: from here on nothing can fail
    room.world = world
    digest = next.digest
    identifier.replace(providers, next.policy.sessions.key, next.policy.sessions.aliases)
    front.take(nextDoors)
    following.take(channels)
    outside.take(connectors)
    decisions.take(nextDecisions)
    external.take(pdps)
    brokered.take(sources)
    ownLog.level = next.logLevel
    await mirror.replacePolicy(next.policy)
    timekeeper.reconfigured()
    closeUnused(before, world)
  }
  const front = listening.front = new Front(parts, { file: source?.file ?? '', running: () => running.running, reload: by => running.reload(by) }, doors)
  closers.unshift(() => front.shut(), () => sweeper.stop(), () => source?.close(), () => room.world.upstreams.forEach(upstream => upstream.close()))
  const running = new Gateway(parts, { front, source, swap, closers })
  timekeeper.start()
  sweeper.start()
  brokered.broker.start()
  await following.start()
  outside.start()
  await front.listen()
  running.watch()
  return running
}
