// Who tells of changes in trust, and of logouts, and what follows from each event. SPEC: CFG3, OUT3, SSF1, LGO1
import type { Effect } from '../../core/outside.ts'
import type { StreamRules } from '../../core/policy.ts'
import type { Duration } from '../../core/time.ts'
import { EVENT_NAMES, type EventName, SUBJECT_FORMATS, type SubjectFormat } from '../schema/signals.ts'
import type { Path } from '../source-map.ts'
import { effectsOf, type WrittenActs } from './acts.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { channelsNamed } from './notify.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

/** Whose news it is, and of whom it may speak. */
type Speaker = {
  readonly name: string
  readonly issuers: readonly string[]
  /** Empty is any. */
  readonly tenants: readonly string[]
  readonly most: number
  readonly perSecond: number
  readonly notify: readonly string[]
}

export type SsfSettings = Speaker & {
  readonly issuer: string
  readonly delivery: 'push' | 'poll'
  /** Empty: as its stream says. */
  readonly audience: readonly string[]
  readonly manage: boolean
  readonly endpoint: string | null
  readonly pollUrl: string | null
  readonly authorizationFile: string | null
  readonly access: { readonly is: 'none' } | { readonly is: 'token'; readonly file: string } | { readonly is: 'oauth'; readonly tokenUrl: string; readonly clientId: string; readonly clientSecretFile: string; readonly scope: string }
  readonly caFile: string | null
  readonly jwksFile: string | null
  readonly algorithms: readonly string[]
  readonly formats: readonly SubjectFormat[]
  readonly opaque: 'session' | 'user' | 'device' | 'tenant'
  readonly addSubjects: boolean
  readonly freshness: Duration | null
  readonly onSilence: 'suspend' | 'freeze'
  /** What follows from each; empty is nothing. */
  readonly events: { readonly [E in EventName]: readonly Effect[] }
}

export type LogoutSettings = Speaker & { readonly issuer: string; readonly audience: readonly string[]; readonly jwksFile: string | null; readonly algorithms: readonly string[]; readonly effects: readonly Effect[] }

type Signals = Compilation['config']['signals']
type WrittenSsf = NonNullable<Signals['ssf']>[number]
type WrittenLogout = NonNullable<Signals['logout']>[number]

const listOf = (written: string | readonly string[]): readonly string[] => [...new Set(typeof written === 'string' ? [written] : written)]
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

// ---- what follows

const LEAST_TRUSTED: WrittenActs = { do: ['endElevations', 'reproof'] }
/** Statements of others that take away are believed; those that give back are not. */
const DEFAULTS: { readonly [E in EventName]?: WrittenActs } = {
  'session-revoked': { do: ['terminate'] },
  'token-claims-change': { do: ['claims'] },
  'session-presented': { do: ['risk'], points: 30 },
  'credential-change.create': { do: ['risk'], points: 20 },
  'credential-change.revoke': LEAST_TRUSTED,
  'credential-change.delete': LEAST_TRUSTED,
  'assurance-level-change.decrease': { ...LEAST_TRUSTED, by: ['signIn'] },
  'device-compliance-change.not-compliant': { do: ['freeze'] },
  'risk-level-change.medium': { do: ['narrow'] },
  'risk-level-change.high': { do: ['freeze'] },
}

function eventsOf(c: Compilation, path: Path, { events }: WrittenSsf, name: string, channels: readonly string[]): SsfSettings['events'] {
  const effects = (event: EventName): readonly Effect[] => {
    const written = events[event] ?? DEFAULTS[event]
    return written === undefined ? [] : effectsOf(c, [...path, 'events', event], written, { name, tellsClaims: event === 'token-claims-change', channels })
  }
  return Object.fromEntries(EVENT_NAMES.map(event => [event, effects(event)])) as SsfSettings['events'] // made of every name
}

// ---- who

/** What is believed must not be changed on the way. */
function secure({ report }: Compilation, path: Path, text: string): URL | null {
  const url = httpUrl(text)
  if (url === null || text.includes('#')) report.error(path, 'expected an https URL without credentials and fragment')
  else if (url.protocol === 'http:' && !isLoopbackUrl(url)) report.error(path, 'what is told there must not be read or changed on the way', 'write https:// instead of http://')
  else return url
  return null
}

function issuerOf(c: Compilation, path: Path, text: string): URL | null {
  const url = secure(c, path, text)
  if (url !== null && text.includes('?')) c.report.error(path, 'an issuer has no query')
  return url
}

/** News is kept under the name of its source, whichever kind of source that is. */
function nameTaken({ config: { signals: { webhooks = [], ssf = [], logout = [] }, tickets } }: Compilation, name: string): boolean {
  const all = [...webhooks.map(each => each.name), ...Object.keys(tickets), ...ssf.map(ssfName), ...logout.map(each => each.name)]
  return name === 'operator' || all.indexOf(name) !== all.lastIndexOf(name)
}

const ssfName = ({ name, transmitter }: Pick<WrittenSsf, 'name' | 'transmitter'>): string => name ?? httpUrl(transmitter)?.hostname ?? ''

function named(c: Compilation, path: Path, name: string, written: string | undefined): void {
  const place = written === undefined ? path : [...path, 'name']
  if (!NAME.test(name)) c.report.error(place, 'the host of `transmitter` is no name', 'write `name`')
  else if (nameTaken(c, name)) c.report.error(place, name === 'operator' ? 'nobody outside can be called \'operator\'' : `there is a source called '${name}' already`, 'names are told apart over `webhooks`, `tickets`, `ssf` and `logout`')
}

/** Those that are written where nothing reads them. */
function idle({ report }: Compilation, path: Path, written: WrittenSsf, keys: readonly (keyof WrittenSsf)[], where: string): void {
  for (const key of keys) if (written[key] !== undefined) report.errorAtKey([...path, key], `\`${key}\` has a meaning only ${where}`)
}

function deliveredBy(c: Compilation, path: Path, written: WrittenSsf): Pick<SsfSettings, 'endpoint' | 'pollUrl' | 'authorizationFile'> {
  const { delivery, manage, endpoint, pollUrl, authorizationFile } = written
  const { report } = c
  if (delivery !== 'push' || !manage) idle(c, path, written, ['endpoint'], 'with `delivery: push`, where its stream is managed here')
  else if (endpoint === undefined) report.errorAtKey(path, '`endpoint` is missing: its stream is told where to push', 'write the address at which it reaches `/ssf/events/<name>`, or `manage: false`')
  if (delivery !== 'poll' || manage) idle(c, path, written, ['pollUrl'], 'with `delivery: poll` and `manage: false`')
  else if (pollUrl === undefined) report.errorAtKey(path, '`pollUrl` is missing: its stream is not managed here, so nothing says where it is polled')
  if (delivery !== 'push') idle(c, path, written, ['authorizationFile'], 'with `delivery: push`')
  else if (!manage && authorizationFile === undefined) report.warn(path, 'whoever reaches the listener may have signatures checked here', 'agree on an `Authorization`, and write `authorizationFile`')
  if (endpoint !== undefined) secure(c, [...path, 'endpoint'], endpoint)
  if (pollUrl !== undefined) secure(c, [...path, 'pollUrl'], pollUrl)
  return { endpoint: endpoint ?? null, pollUrl: pollUrl ?? null, authorizationFile: existingOrNone(c, [...path, 'authorizationFile'], authorizationFile) }
}

function accessOf(c: Compilation, path: Path, written: WrittenSsf): SsfSettings['access'] {
  const { tokenFile, oauth, manage, delivery } = written
  if (!manage && delivery === 'push') idle(c, path, written, ['tokenFile', 'oauth'], 'where its stream is managed here, or polled')
  if (tokenFile !== undefined && oauth !== undefined) c.report.errorAtKey([...path, 'oauth'], 'only one of `tokenFile` and `oauth` can be given')
  if (oauth !== undefined) {
    const at = [...path, 'oauth']
    secure(c, [...at, 'tokenUrl'], oauth.tokenUrl)
    return { is: 'oauth', ...oauth, clientSecretFile: existing(c, [...at, 'clientSecretFile'], oauth.clientSecretFile) }
  }
  return tokenFile === undefined ? { is: 'none' } : { is: 'token', file: existing(c, [...path, 'tokenFile'], tokenFile) }
}

function heardFrom({ report }: Compilation, path: Path, { freshness, onSilence, manage, delivery }: WrittenSsf): void {
  if (freshness === undefined && onSilence === 'freeze') report.error([...path, 'onSilence'], '`onSilence` has a meaning only with `freshness`')
  if (freshness !== undefined && !manage && delivery === 'push') report.warn([...path, 'freshness'], 'its stream is not managed here, so that nothing asks it to prove that it is there: it counts as silent whenever nothing happens')
}

const isServed = ({ config: { server } }: Compilation): boolean => server.listeners?.some(({ serves }) => serves.includes('signals')) === true

function ssfIn(c: Compilation, path: Path, written: WrittenSsf): SsfSettings {
  const { transmitter, delivery, manage, audience, opaque, addSubjects, onSilence } = written
  const name = ssfName(written)
  named(c, path, name, written.name)
  issuerOf(c, [...path, 'transmitter'], transmitter)
  if (audience === undefined && !manage) c.report.errorAtKey(path, '`audience` is missing: its stream is not managed here, so nothing says for whom its tokens are')
  if (delivery === 'push' && !isServed(c)) c.report.error([...path, 'delivery'], 'no listener serves `signals`: nobody can push', 'add a listener with `serves: [signals]`')
  heardFrom(c, path, written)
  const notify = channelsNamed(c, [...path, 'notify'], written.notify ?? [])
  return {
    name, issuer: transmitter, delivery, manage, opaque, addSubjects, onSilence,
    audience: audience === undefined ? [] : listOf(audience),
    ...deliveredBy(c, path, written),
    access: accessOf(c, path, written),
    caFile: existingOrNone(c, [...path, 'caFile'], written.caFile), jwksFile: existingOrNone(c, [...path, 'jwksFile'], written.jwksFile),
    algorithms: listOf(written.algorithms), issuers: listOf(written.issuers ?? transmitter), tenants: listOf(written.tenants ?? []), formats: written.formats ?? SUBJECT_FORMATS,
    most: written.maxSessionsPerEvent, perSecond: written.perSecond, freshness: written.freshness ?? null, notify,
    events: eventsOf(c, path, written, name, notify),
  }
}

export const ssfOf = (c: Compilation): ReadonlyMap<string, SsfSettings> =>
  new Map((c.config.signals.ssf ?? []).map((written, i) => ssfIn(c, ['signals', 'ssf', i], written)).map(settings => [settings.name, settings]))

function logoutIn(c: Compilation, path: Path, written: WrittenLogout): LogoutSettings {
  const { name, issuer, audience, maxSessionsPerEvent: most, perSecond } = written
  named(c, path, name, name)
  issuerOf(c, [...path, 'issuer'], issuer)
  if (!isServed(c)) c.report.error(path, 'no listener serves `signals`: nobody can tell of a logout', 'add a listener with `serves: [signals]`')
  const notify = channelsNamed(c, [...path, 'notify'], written.notify ?? [])
  return {
    name, issuer, issuers: [issuer], tenants: [], audience: listOf(audience), jwksFile: existingOrNone(c, [...path, 'jwksFile'], written.jwksFile), algorithms: listOf(written.algorithms), most, perSecond, notify,
    effects: effectsOf(c, [...path, 'follows'], written.follows, { name, tellsClaims: false, channels: notify }),
  }
}

export const logoutOf = (c: Compilation): ReadonlyMap<string, LogoutSettings> =>
  new Map((c.config.signals.logout ?? []).map((written, i) => logoutIn(c, ['signals', 'logout', i], written)).map(settings => [settings.name, settings]))

/** On whom elevations depend. */
export const streamsOf = (ssf: ReadonlyMap<string, SsfSettings>): readonly StreamRules[] =>
  [...ssf.values()].flatMap(({ name, issuers, tenants, freshness, onSilence }) => (freshness === null ? [] : [{ name, issuers, tenants, freshness, onSilence }]))
