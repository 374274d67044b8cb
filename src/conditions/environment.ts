// The two CEL environments: what a rule's condition may say, and what a condition about the caller alone may say.
// `matches` and `inCidr` are rewritten to bounded forms whose literals were compiled at load. SPEC: CFG4, CFG5
import { Environment } from '@marcbachmann/cel-js'
import { type Cidr, inCidr, parseCidr } from './cidr.ts'
import { ElevationView, McpView, OutcomeView, RequestView, RouteView, SessionView, SourceView, StatsView, SubjectView, WindowsView } from './context.ts'
import { SUBJECT_MAX } from './pattern.ts'
import { type Root, ROOTS, VOCABULARY } from './vocabulary.ts'

/** Compiled literals by their text. Only text that was vetted at load gets here; past the limit all are compiled anew. */
class Literals<T> {
  readonly #compiled = new Map<string, T>()
  readonly #compile: (text: string) => T
  constructor(compile: (text: string) => T) {
    this.#compile = compile
  }

  get(text: string): T {
    const known = this.#compiled.get(text)
    if (known !== undefined) return known
    if (this.#compiled.size >= 4096) this.#compiled.clear()
    const made = this.#compile(text)
    this.#compiled.set(text, made)
    return made
  }
}

const PATTERNS = new Literals(text => new RegExp(text))
const BLOCKS = new Literals((text): Cidr => {
  const block = parseCidr(text)
  if (block === null) throw new RangeError('not an address block')
  return block
})

/** Names that no author can write: an identifier of CEL has no space. */
export const VETTED_MATCHES = 'matches vetted'
export const VETTED_IN_CIDR = 'inCidr vetted'

function boundedMatch(subject: string, pattern: string): boolean {
  if (subject.length > SUBJECT_MAX) throw new RangeError(`text longer than ${SUBJECT_MAX} characters`)
  return PATTERNS.get(pattern).test(subject)
}

const CLASSES: { readonly [R in Root]?: Function } = { stats: StatsView, outcome: OutcomeView, window: WindowsView, route: RouteView, subject: SubjectView, request: RequestView, source: SourceView, session: SessionView, elevation: ElevationView, mcp: McpView }

function environment(roots: readonly Root[]): Environment {
  const env = new Environment({
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 50, maxCallArguments: 8 },
  })
  for (const root of roots) {
    const { type, members } = VOCABULARY[root]
    const ctor = CLASSES[root]
    if (ctor !== undefined) env.registerType(type, { ctor, fields: Object.fromEntries(Object.entries(members).map(([name, member]) => [name, member.type])) })
    env.registerVariable(root, type)
  }
  if (roots.includes('window')) env.registerFunction('Windows.open(string): bool', (windows: WindowsView, name: string) => windows.open(name))
  if (roots.includes('source')) env.registerFunction('Source.inCidr(string): bool', () => false)
  env.registerFunction({ name: VETTED_MATCHES, receiverType: 'string', returnType: 'bool', params: [{ name: 'pattern', type: 'string' }], handler: boundedMatch })
  if (roots.includes('source')) {
    const handler = (source: SourceView, block: string): boolean => inCidr(BLOCKS.get(block), source.address)
    env.registerFunction({ name: VETTED_IN_CIDR, receiverType: 'Source', returnType: 'bool', params: [{ name: 'block', type: 'string' }], handler })
  }
  return env
}

const OF_RULES: ReadonlySet<Root> = new Set<Root>(['subject', 'request', 'path', 'source', 'session', 'elevation', 'body', 'mcp'])

/** `risk`: a caller's conduct. `task`: who asks, for what, and what the ticket says. `message`: what a connector heard. `rule`: everything a rule's `if` may read. `subject`: the caller alone, for `eligible` and `when`. `identity`: what an operator's credential says, for roles. */
export const ENVIRONMENTS = {
  rule: environment(ROOTS.filter(root => OF_RULES.has(root))), subject: environment(['subject']), identity: environment(['identity']),
  task: environment(['subject', 'ticket', 'purpose', 'params']), message: environment(['body']), risk: environment(['subject', 'stats', 'outcome', 'window', 'route', 'request', 'source']),
} as const
export type ContextKind = keyof typeof ENVIRONMENTS
