// Policy decision points, and what rules ask them: addresses that nobody reads on the way, names that are there, expressions that are checked. SPEC: CFG3, PEP1
import type { RuleDecision, Values } from '../../core/external.ts'
import type { Duration } from '../../core/time.ts'
import { sha256 } from '../../runtime/id.ts'
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { valueExpression } from './conditions.ts'
import { type Compilation, existingOrNone } from './context.ts'
import { channelsNamed } from './notify.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

export type PdpSettings = { readonly name: string; readonly url: string; readonly discover: boolean; readonly tokenFile: string | null; readonly caFile: string | null; readonly timeout: Duration }

type Written = Compilation['config']['pdps'][string]
type WrittenRoute = Compilation['config']['routes'][number]
type WrittenRule = WrittenRoute['rules'][number]
type WrittenDecision = NonNullable<WrittenRule['decision']>

function urlAt({ report }: Compilation, path: Path, { url: text, discover }: Written): void {
  const url = httpUrl(text)
  if (url === null || text.includes('#')) report.error(path, 'expected an https URL without credentials and fragment')
  else if (url.protocol === 'http:' && !isLoopbackUrl(url)) report.error(path, 'what is asked there, and what is answered, must not be read or changed on the way', 'write https:// instead of http://')
  else if (discover && url.search !== '') report.error(path, 'an identifier has no query', 'write `discover: false` where this is the address of its evaluation endpoint')
}

function pdp(c: Compilation, name: string, written: Written): PdpSettings {
  const path: Path = ['pdps', name]
  const { url, discover, tokenFile, caFile, timeout } = written
  urlAt(c, [...path, 'url'], written)
  return { name, url, discover, tokenFile: existingOrNone(c, [...path, 'tokenFile'], tokenFile), caFile: existingOrNone(c, [...path, 'caFile'], caFile), timeout }
}

export const pdpsOf = (c: Compilation): ReadonlyMap<string, PdpSettings> => new Map(Object.entries(c.config.pdps).map(([name, written]) => [name, pdp(c, name, written)]))

// ---- what rules ask

function valuesOf(c: Compilation, path: Path, written: { readonly [name: string]: string }, params: ReadonlySet<string>): Values {
  const compiled = Object.entries(written).map(([name, source]) => [name, valueExpression(c, [...path, name], source, params)] as const)
  return new Map(compiled.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])))
}

function entityOf(c: Compilation, path: Path, { type, id, properties }: WrittenDecision['subject'], params: ReadonlySet<string>): RuleDecision['subject'] {
  return { type: valueExpression(c, [...path, 'type'], type, params), id: valueExpression(c, [...path, 'id'], id, params), properties: valuesOf(c, [...path, 'properties'], properties, params) }
}

function compiled(c: Compilation, written: WrittenDecision, path: Path, params: ReadonlySet<string>): RuleDecision {
  const { pdp: name, subject, action, resource, context, obligations } = written
  if (!Object.hasOwn(c.config.pdps, name)) c.report.error([...path, 'pdp'], `there is no policy decision point '${name}'`, didYouMean(name, Object.keys(c.config.pdps)) ?? 'name one of `pdps`')
  return {
    pdp: name, digest: sha256(JSON.stringify([written, c.config.pdps[name] ?? null])),
    subject: entityOf(c, [...path, 'subject'], subject, params),
    action: { name: valueExpression(c, [...path, 'action', 'name'], action.name, params), properties: valuesOf(c, [...path, 'action', 'properties'], action.properties, params) },
    resource: entityOf(c, [...path, 'resource'], resource, params),
    context: valuesOf(c, [...path, 'context'], context, params),
    for: written.for,
    notify: channelsNamed(c, [...path, 'obligations', 'notify'], obligations.notify ?? []),
  }
}

const readsBody = ({ subject, action, resource, context }: RuleDecision): boolean =>
  [subject.type, subject.id, action.name, resource.type, resource.id, ...[subject.properties, action.properties, resource.properties, context].flatMap(values => [...values.values()])].some(expression => expression?.readsBody === true)

/** Of the route, for its rules. */
export const routeDecision = (c: Compilation, { decision }: WrittenRoute, path: Path, params: ReadonlySet<string>): RuleDecision | null => (decision === undefined ? null : compiled(c, decision, path, params))

/** @param path of the rule. @param ofRoute what rules without one of their own ask, compiled */
export function decisionOf(c: Compilation, ofRoute: RuleDecision | null, rule: WrittenRule, path: Path, params: ReadonlySet<string>): RuleDecision | null {
  const inherited = rule.deny !== undefined || rule.anonymous ? null : ofRoute
  const decision = rule.decision === undefined ? inherited : compiled(c, rule.decision, [...path, 'decision'], params)
  if (decision !== null && readsBody(decision) && rule.inspect === undefined) {
    c.report.errorAtKey(rule.decision === undefined ? path : [...path, 'decision'], 'nobody reads the `body` that its decision point is asked about', 'add `inspect: json`')
  }
  return decision
}
