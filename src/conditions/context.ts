// What conditions read, as views over the judge's input: nothing is built before it is asked for, nothing is copied twice.
// The getters are the whole vocabulary; the types beside them in vocabulary.ts are what load-time checking knows. SPEC: DEC5, CFG4
import { type Call, isTemplate, type ToolTraits } from '../core/call.ts'
import type { ConditionInput, RiskInput, TaskInput } from '../core/condition.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Evaluation } from '../core/evaluation.ts'
import type { PathParams } from '../core/path-pattern.ts'
import type { Claims, Principal } from '../core/principal.ts'
import type { Purposes } from '../core/purpose.ts'
import type { SessionId } from '../core/session.ts'
import type { Stats } from '../core/stats.ts'

export class SubjectView {
  readonly #principal: Principal
  readonly claims: Claims
  constructor(principal: Principal, claims: Claims) {
    this.#principal = principal
    this.claims = claims
  }

  get kind(): string { return this.#principal.kind }
  get issuer(): string { return this.#principal.issuer }
  get subject(): string { return this.#principal.subject }
  get tenant(): string { return this.#principal.tenant }
  get client(): string { return this.#principal.client }
  get owner(): string { return this.#principal.owner ?? '' }
}

function headerMap(headers: readonly string[]): Map<string, string> {
  const map = new Map<string, string>()
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase()
    const value = headers[i + 1] ?? ''
    const before = map.get(name)
    map.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  return map
}

/** All values of each, in their order: none of them stands for the others. */
function added(map: Map<string, string[]>, name: string, value: string): void {
  const known = map.get(name)
  if (known === undefined) map.set(name, [value])
  else known.push(value)
}

function headerValues(headers: readonly string[]): Map<string, string[]> {
  const map = new Map<string, string[]>()
  for (let i = 0; i + 1 < headers.length; i += 2) added(map, (headers[i] ?? '').toLowerCase(), headers[i + 1] ?? '')
  return map
}

/** As forms are read (`+` is a space). Throws URIError where escapes are not UTF-8. */
function queryValues(query: string): Map<string, string[]> {
  const map = new Map<string, string[]>()
  const text = (escaped: string): string => decodeURIComponent(escaped.replaceAll('+', ' '))
  for (const part of query.slice(1).split('&')) {
    const at = part.indexOf('=')
    if (part !== '') added(map, text(at < 0 ? part : part.slice(0, at)), at < 0 ? '' : text(part.slice(at + 1)))
  }
  return map
}

export class RequestView {
  readonly #evaluation: Evaluation
  #headers: Map<string, string> | null = null
  #headerValues: Map<string, string[]> | null = null
  #queryValues: Map<string, string[]> | null = null
  constructor(evaluation: Evaluation) {
    this.#evaluation = evaluation
  }

  get method(): string { return this.#evaluation.action.method }
  get host(): string { return this.#evaluation.resource.host }
  get path(): string { return this.#evaluation.resource.path }
  get query(): string { return this.#evaluation.resource.query }
  get headers(): Map<string, string> { return (this.#headers ??= headerMap(this.#evaluation.context.headers)) }
  get headerValues(): Map<string, string[]> { return (this.#headerValues ??= headerValues(this.#evaluation.context.headers)) }
  get queryValues(): Map<string, string[]> { return (this.#queryValues ??= queryValues(this.#evaluation.resource.query)) }
}

export class SourceView {
  readonly address: string
  constructor(address: string) {
    this.address = address
  }
}

export class SessionView {
  readonly id: string
  constructor(id: SessionId | null) {
    this.id = id ?? ''
  }
}

export class ElevationView {
  readonly #elevation: Elevation
  constructor(elevation: Elevation) {
    this.#elevation = elevation
  }

  get id(): string { return this.#elevation.id }
  get profile(): string { return this.#elevation.profile }
  get purpose(): Purposes { return this.#elevation.purposes }
  get params(): Elevation['params'] { return this.#elevation.params }
}

const NO_ARGS: ReadonlyMap<string, unknown> = new Map()

/** Ints where the configuration says so; nothing else is what it was not. */
function typedArguments(args: ReadonlyMap<string, unknown>, traits: ToolTraits | null): ReadonlyMap<string, unknown> {
  if (traits === null || traits.args === null) return args
  const declared = traits.args
  return new Map([...args].map(([name, value]) => [name, declared.get(name)?.type === 'int' && typeof value === 'number' ? BigInt(value) : value]))
}

export class McpView {
  readonly #call: Call
  readonly #traits: ToolTraits | null
  constructor(call: Call, traits: ToolTraits | null) {
    this.#call = call
    this.#traits = traits
  }

  get method(): string { return this.#call.method }
  get tool(): string { return this.#call.kind === 'tool' ? this.#call.name : '' }
  get prompt(): string { return this.#call.kind === 'prompt' ? this.#call.name : '' }
  /** Throws where it is a template, which is many: what reads it is then an evaluation error. */
  get uri(): string {
    if (isTemplate(this.#call)) throw new RangeError('a template is no one address')
    return this.#call.kind === 'resource' ? this.#call.name : ''
  }
  get class(): string { return this.#traits?.class ?? '' }
  get labels(): readonly string[] { return this.#traits?.labels ?? [] }
  /** Throws where they are forgotten: what reads them is then an evaluation error. */
  get args(): ReadonlyMap<string, unknown> {
    const { args } = this.#call
    if (args === 'forgotten') throw new RangeError('the arguments of this call are not known any more')
    return typedArguments(args ?? NO_ARGS, this.#traits)
  }
}

/** Throws URIError where a parameter's escapes are not UTF-8: the condition is then an evaluation error. */
function decoded(params: PathParams): PathParams | Map<string, string> {
  let map: Map<string, string> | null = null
  for (const name in params) {
    const value = params[name] ?? ''
    if (value.includes('%')) (map ??= new Map(Object.entries(params))).set(name, decodeURIComponent(value))
  }
  return map ?? params
}

export class SubjectContext {
  readonly #principal: Principal
  readonly #claims: Claims
  #subject: SubjectView | null = null
  constructor(principal: Principal, claims: Claims) {
    this.#principal = principal
    this.#claims = claims
  }

  get subject(): SubjectView { return (this.#subject ??= new SubjectView(this.#principal, this.#claims)) }
}

export class RuleContext {
  readonly #input: ConditionInput
  #subject: SubjectView | null = null
  #request: RequestView | null = null
  #path: PathParams | Map<string, string> | null = null
  constructor(input: ConditionInput) {
    this.#input = input
  }

  get subject(): SubjectView { return (this.#subject ??= new SubjectView(this.#input.principal, this.#input.claims)) }
  get request(): RequestView { return (this.#request ??= new RequestView(this.#input.evaluation)) }
  get path(): PathParams | Map<string, string> { return (this.#path ??= decoded(this.#input.params)) }
  get source(): SourceView { return new SourceView(this.#input.evaluation.context.source) }
  get body(): unknown { return this.#input.evaluation.context.body?.value }
  get session(): SessionView { return new SessionView(this.#input.session) }
  get mcp(): McpView | undefined {
    const { evaluation: { action: { call } }, traits } = this.#input
    return call === null ? undefined : new McpView(call, traits)
  }

  /** Absent on baseline, where the judge answers for a condition that reads it. */
  get elevation(): ElevationView | undefined { return this.#input.elevation === null ? undefined : new ElevationView(this.#input.elevation) }
}

export class StatsView implements Stats {
  readonly #stats: Stats
  constructor(stats: Stats) {
    this.#stats = stats
  }

  get requestsPerMinute(): number { return this.#stats.requestsPerMinute }
  get requests5m(): number { return this.#stats.requests5m }
  get refusalsPerMinute(): number { return this.#stats.refusalsPerMinute }
  get refusals5m(): number { return this.#stats.refusals5m }
  get bytesPerMinute(): number { return this.#stats.bytesPerMinute }
  get bytes5m(): number { return this.#stats.bytes5m }
  get tenantsSeen(): number { return this.#stats.tenantsSeen }
  get pathsSeen(): number { return this.#stats.pathsSeen }
  get toolsSeen(): number { return this.#stats.toolsSeen }
  get sourcesSeen(): number { return this.#stats.sourcesSeen }
  get firstTenant(): boolean { return this.#stats.firstTenant }
  get firstTool(): boolean { return this.#stats.firstTool }
  get firstSource(): boolean { return this.#stats.firstSource }
  get unusualRoute(): boolean { return this.#stats.unusualRoute }
  get sessions(): number { return this.#stats.sessions }
}

export class OutcomeView {
  readonly refused: boolean
  readonly reason: string
  constructor({ refused, reason }: RiskInput['outcome']) {
    this.refused = refused
    this.reason = reason
  }
}

export class WindowsView {
  readonly open: (name: string) => boolean
  constructor({ isOpen }: RiskInput) {
    this.open = isOpen
  }
}

export class RouteView {
  readonly name: string
  readonly rule: string
  readonly label: string
  constructor({ route, rule, label }: RiskInput) {
    this.name = route
    this.rule = rule
    this.label = label
  }
}

/** One for all rules that are asked about one request. */
export class RiskContext {
  readonly #input: RiskInput
  #subject: SubjectView | null = null
  #stats: StatsView | null = null
  #request: RequestView | null = null
  constructor(input: RiskInput) {
    this.#input = input
  }

  get subject(): SubjectView { return (this.#subject ??= new SubjectView(this.#input.principal, this.#input.claims)) }
  get stats(): StatsView { return (this.#stats ??= new StatsView(this.#input.stats)) }
  get request(): RequestView { return (this.#request ??= new RequestView(this.#input.evaluation)) }
  get source(): SourceView { return new SourceView(this.#input.evaluation.context.source) }
  get outcome(): OutcomeView { return new OutcomeView(this.#input.outcome) }
  get window(): WindowsView { return new WindowsView(this.#input) }
  get route(): RouteView { return new RouteView(this.#input) }
}

const NO_CLAIMS: Claims = {}

export class TaskContext {
  readonly #input: TaskInput
  constructor(input: TaskInput) {
    this.#input = input
  }

  get subject(): SubjectView { return new SubjectView(this.#input.principal, this.#input.claims ?? NO_CLAIMS) }
  get ticket(): TaskInput['ticket'] { return this.#input.ticket }
  get purpose(): Purposes { return this.#input.purposes }
  get params(): Elevation['params'] { return this.#input.params }
}
