// Walks a parsed condition before it is compiled: which roots it reads, and what the type checker cannot see
// (patterns that could take long, address blocks, header names and path parameters that can never match). SPEC: CFG4, CFG5
import type { ASTNode } from '@marcbachmann/cel-js'
import { parseCidr } from './cidr.ts'
import { patternFault } from './pattern.ts'
import { type Root, ROOTS } from './vocabulary.ts'

export type Fault = { readonly message: string; readonly at: number }

/** `windows`: those it asks about. `args`: members of `mcp.args` that it names. Each with where. */
type Survey = { readonly roots: ReadonlySet<Root>; readonly windows: ReadonlyMap<string, number>; readonly args: ReadonlyMap<string, number>; readonly faults: readonly Fault[] }

const LOOPS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])
const LOOP_DEPTH_MAX = 2

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value && 'args' in value

/** The nodes below one node, in whatever form its operator keeps them. */
function childrenOf(value: unknown): readonly ASTNode[] {
  if (isNode(value)) return [value]
  return Array.isArray(value) ? value.flatMap(childrenOf) : []
}

const literalOf = (node: ASTNode | undefined): string | null => (node?.op === 'value' && typeof node.args === 'string' ? node.args : null)

/** `mcp.args` itself. */
const isArguments = (node: ASTNode): boolean => node.op === '.' && node.args[1] === 'args' && node.args[0].op === 'id' && node.args[0].args === 'mcp'

const isRoot = (name: string): name is Root => (ROOTS as readonly string[]).includes(name) // widened to ask

class Surveyor {
  readonly roots = new Set<Root>()
  readonly faults: Fault[] = []
  /** Where each is named. */
  readonly windows = new Map<string, number>()
  readonly args = new Map<string, number>()
  readonly #params: ReadonlySet<string> | null
  constructor(params: ReadonlySet<string> | null) {
    this.#params = params
  }

  walk(node: ASTNode, loops: number): void {
    if (node.op === 'id' && isRoot(node.args)) this.roots.add(node.args)
    if (node.op === 'rcall') this.#call(node.args[0], node.args[1], node.args[2], node, loops)
    if (node.op === '.' || node.op === '.?') this.#access(node.args[0], node.args[1], node.range.end - node.args[1].length)
    if (node.op === '[]' || node.op === '[?]') this.#access(node.args[0], literalOf(node.args[1]), node.args[1].start)
    if (node.op === 'in' && isArguments(node.args[1])) this.#argument(literalOf(node.args[0]), node.args[0].start)
    const inside = node.op === 'rcall' && LOOPS.has(node.args[0]) ? loops + 1 : loops
    for (const child of childrenOf(node.args)) this.walk(child, inside)
  }

  #fault(message: string, at: number): void {
    this.faults.push({ message, at })
  }

  #call(name: string, receiver: ASTNode, args: readonly ASTNode[], node: ASTNode, loops: number): void {
    const [first] = args
    if (name === 'matches') this.#matches(first, node)
    if (name === 'inCidr') this.#block(first, node)
    if (name === 'open' && receiver.op === 'id' && receiver.args === 'window') this.#window(first, node)
    const binds = LOOPS.has(name) || (name === 'bind' && receiver.op === 'id' && receiver.args === 'cel')
    if (binds && first?.op === 'id' && isRoot(first.args)) this.#fault(`a variable must not be called '${first.args}' like a root`, first.start)
    if (LOOPS.has(name) && loops >= LOOP_DEPTH_MAX) this.#fault(`'${name}' is nested more than ${LOOP_DEPTH_MAX} deep`, node.start)
  }

  #matches(pattern: ASTNode | undefined, node: ASTNode): void {
    const text = literalOf(pattern)
    if (pattern === undefined || text === null) return this.#fault('the pattern of matches() must be a literal', (pattern ?? node).start)
    const fault = patternFault(text)
    if (fault !== null) this.#fault(`the pattern ${fault}`, pattern.start)
  }

  #window(named: ASTNode | undefined, node: ASTNode): void {
    const name = literalOf(named)
    if (named === undefined || name === null) return this.#fault('the name of window.open() must be a literal', (named ?? node).start)
    this.windows.set(name, named.start)
  }

  #block(block: ASTNode | undefined, node: ASTNode): void {
    const text = literalOf(block)
    if (block === undefined || text === null) return this.#fault('the block of inCidr() must be a literal', (block ?? node).start)
    if (parseCidr(text) === null) this.#fault(`'${text}' is not an address block such as "10.0.0.0/8"`, block.start)
  }

  #argument(name: string | null, at: number): void {
    if (name !== null && !this.args.has(name)) this.args.set(name, at)
  }

  #access(of: ASTNode, key: string | null, at: number): void {
    if (key === null) return
    if (isArguments(of)) this.#argument(key, at)
    if (of.op === 'id' && of.args === 'path' && this.#params !== null && !this.#params.has(key)) {
      this.#fault(this.#params.size === 0 ? `no path pattern here has a parameter '${key}'` : `no path pattern here has a parameter '${key}'; there is ${[...this.#params].join(', ')}`, at)
    }
    if (of.op === '.' && (of.args[1] === 'headers' || of.args[1] === 'headerValues') && /[A-Z]/.test(key)) this.#fault(`header names are lower case: '${key.toLowerCase()}'`, at)
  }
}

/** @param params names of path parameters the place can have; null where there is no path */
export function survey(ast: ASTNode, params: ReadonlySet<string> | null): Survey {
  const surveyor = new Surveyor(params)
  surveyor.walk(ast, 0)
  return { roots: surveyor.roots, windows: surveyor.windows, args: surveyor.args, faults: surveyor.faults }
}

/** Replaces the calls whose arguments were vetted by their bounded forms. Call on a tree that was not checked yet. */
export function harden(ast: ASTNode, names: ReadonlyMap<string, string>): void {
  if (ast.op === 'rcall') {
    const call = ast.args as [string, ASTNode, ASTNode[]] // the tree is ours alone until it is compiled
    call[0] = names.get(call[0]) ?? call[0]
  }
  for (const child of childrenOf(ast.args)) harden(child, names)
}
