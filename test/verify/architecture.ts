// The architecture as a function over a map of files: path under src → source. It returns what is wrong, in words; empty means sound.
// Dependency-free on purpose. The tables are in layers.ts.
import { posix } from 'node:path'
import { DOORS, HARMLESS, LONG_FILES, MAY_IMPORT } from './layers.ts'
import { type Import, importsOf, scan, type Scanned } from './source.ts'

export type FileMap = ReadonlyMap<string, string>
type File = Scanned & { readonly path: string; readonly room: string; readonly source: string; readonly imports: readonly Import[] }
type Rule = (file: File) => readonly string[]

const roomOf = (path: string): string => path.split('/', 1)[0] ?? ''
const isIn = (path: string, prefixes: readonly string[]): boolean => prefixes.some(prefix => path.startsWith(prefix))
const targetOf = (file: File, { to }: Import): string => posix.normalize(posix.join(posix.dirname(file.path), to))
/** `a/b` of a package subpath; Node builtins and scoped packages keep what belongs to their name. */
const packageOf = (to: string): string => (to.startsWith('node:') ? to : to.split('/').slice(0, to.startsWith('@') ? 2 : 1).join('/'))
const when = (wrong: boolean, words: string): readonly string[] => (wrong ? [words] : [])
/** Says `words` where the pattern occurs in the code of a file that is not one of `home`. */
const only = (home: readonly string[], pattern: RegExp, words: string): Rule => ({ path, bare }) => when(!isIn(path, home) && pattern.test(bare), words)

const layers: Rule = file => {
  const allowed = MAY_IMPORT.get(file.room)
  if (allowed === undefined) return [`room ${file.room} is not in the table of layers`]
  return file.imports.filter(({ to }) => to.startsWith('.')).flatMap(edge => {
    const target = targetOf(file, edge)
    const room = roomOf(target)
    if (!target.endsWith('.ts') && !target.endsWith('.json')) return [`imports ${edge.to}: name the .ts source`]
    return when(room !== file.room && !allowed.includes(room), `${file.room} may not import ${target}`)
  })
}

const doors: Rule = file =>
  file.imports.filter(({ to }) => !to.startsWith('.')).flatMap(({ to }) => {
    if (to === '*') return ['imports a computed name']
    if (HARMLESS.includes(to)) return when(file.room === 'core', `core may not import ${to}`)
    const door = DOORS.get(packageOf(to))
    if (door === undefined) return [`imports ${to}, which has no door`]
    return when(!isIn(file.path, door), `${to} comes in only through ${door.join(', ')}`)
  })

const CORE_WORDS = /(?<![\w.$'])(?:Date|Promise|Temporal|performance|globalThis|async|await|setTimeout|setInterval|queueMicrotask|process)\b(?!\s*:)|\bMath\s*\.\s*random\b/
const coreIsPure: Rule = ({ room, bare }) => {
  const word = room === 'core' ? CORE_WORDS.exec(bare)?.[0] : undefined
  return when(word !== undefined, `core may not use ${word}`)
}

const permits: Rule = file => [
  ...file.imports.filter(edge => targetOf(file, edge) === 'core/decision.ts' && !edge.typeOnly).flatMap(({ names }) => when(names.some(name => name === 'permit' || name === '*') && file.path !== 'core/evaluate.ts', 'only core/evaluate.ts may make a Permit')),
  ...when(/\bas\s+(?:unknown\s+as\s+)?Permit\b/.test(file.bare) && file.path !== 'core/decision.ts', 'a Permit is made in core/decision.ts only, never cast'),
]

const admitIsOneTurn: Rule = ({ path, bare }) => when(path === 'enforcement/admit.ts' && /\b(?:async|await)\b|\.then\s*\(/.test(bare), 'admit is synchronous: nothing is awaited between judging and dispatching')

const exits: readonly Rule[] = [
  only(['enforcement/admit.ts'], /\.dispatch\s*\(/, 'only enforcement/admit.ts lets a relay go'),
  only(['upstream/', 'proxy/http/relay.ts', 'proxy/mcp/relay/relay.ts', 'proxy/mcp/relay/errand.ts'], /\bupstream\.send\s*\(/, 'only a relay that was let go sends to an upstream, or takes back what it sent'),
  only(['upstream/', 'proxy/websocket/relay.ts', 'proxy/forwarder.ts'], /\bupstream\.place\s*\(/, 'only a relay that was let go takes a place at an upstream'),
  only(['sessions/ledger.ts'], /(?<!\bthis)\.commit(?:Restrictive)?\s*\(/, 'only sessions/ledger.ts commits to the store'),
  only(['runtime/http-client', 'cli/'], /(?<![\w.$#])fetch\s*\(/, 'outside calls go through runtime/http-client'),
  only([], /\b(?:getBuiltinModule|createRequire)\b|(?<![\w.$])require\s*\(/, 'modules are imported, never required'),
]

const exportsByName: Rule = ({ bare }) => [
  ...when(/\bexport\s+default\b|\bas\s+default\b/.test(bare), 'has a default export'),
  ...when(/\bexport\s+(?:type\s+)?\*/.test(bare), 're-exports everything of a file'),
]

const VAGUE = /(?:^|-)(?:utils?|helpers?|common|misc|managers?|base)(?:-|$)/
const named: Rule = ({ path }) => {
  const name = posix.basename(path, '.ts')
  return [...when(name === 'index', 'is a barrel'), ...when(VAGUE.test(name) || posix.dirname(path).split('/').some(dir => VAGUE.test(dir)), 'has a name that says nothing'), ...when(!/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(name), 'is not named in kebab-case')]
}

const reads: Rule = ({ path, source, comments }) => {
  const lines = source.replace(/^#!.*\n/, '').trimEnd().split('\n')
  const opening = lines.findIndex(line => !line.startsWith('//'))
  const head = opening === -1 ? lines.length : opening
  const long = lines.length > 300
  return [
    ...when(head < 1 || head > 5, `opens with ${head} comment lines; 1 to 5 say what it is`),
    ...when(long && !LONG_FILES.has(path), `has ${lines.length} lines; over 300 needs a reason in layers.ts`),
    ...when(!long && LONG_FILES.has(path), 'is not long any more: take it off the list in layers.ts'),
    ...when(comments.some(comment => /\b(?:TODO|FIXME|XXX)\b/.test(comment)), 'leaves work for later in a comment'),
  ]
}

const RULES: readonly Rule[] = [layers, doors, coreIsPure, permits, admitIsOneTurn, ...exits, exportsByName, named, reads]

/** Cycles of imports that exist at run time, each once, as `a → b → a`. */
function cycles(files: readonly File[]): readonly string[] {
  const edges = new Map(files.map(file => [file.path, file.imports.filter(({ to, typeOnly }) => to.startsWith('.') && !typeOnly).map(edge => targetOf(file, edge))]))
  const state = new Map<string, 'open' | 'done'>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return
    if (state.get(path) === 'open') {
      found.push(`import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' → ')}`)
      return
    }
    state.set(path, 'open')
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path])
    state.set(path, 'done')
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}

const missing = (files: readonly File[], paths: ReadonlySet<string>): readonly string[] =>
  files.flatMap(file => file.imports.filter(({ to }) => to.startsWith('.')).map(edge => targetOf(file, edge)).filter(target => !paths.has(target)).map(target => `${file.path}: imports ${target}, which does not exist`))

/** @param sources path under src → text, the TypeScript files only */
export function violations(sources: FileMap): readonly string[] {
  const files = [...sources].map(([path, source]): File => {
    const scanned = scan(source)
    return { ...scanned, path, source, room: roomOf(path), imports: importsOf(scanned) }
  })
  const perFile = files.flatMap(file => RULES.flatMap(rule => rule(file).map(words => `${file.path}: ${words}`)))
  return [...perFile, ...missing(files, new Set(sources.keys())), ...cycles(files)]
}
