// The source obeys the table of layers; and the checker finds each thing it is there to find.
import { describe, expect, test } from 'vitest'
import { violations } from './architecture.ts'
import { read, textsUnder } from './files.ts'
import { DOORS, LONG_FILES } from './layers.ts'

const sources = textsUnder('src', '.ts')

test('the source obeys the architecture', () => {
  expect(violations(sources)).toEqual([])
})

test('every file named in a table exists, and every dependency has a door', () => {
  expect([...LONG_FILES.keys()].filter(path => !sources.has(path))).toEqual([])
  const { dependencies } = JSON.parse(read('package.json')) as { readonly dependencies: Readonly<Record<string, string>> } // npm's own format
  expect(Object.keys(dependencies).filter(name => !DOORS.has(name))).toEqual([])
})

const DECISION = '// The judge.\nexport const permit = () => 1 as unknown as Permit\n'
const planted: readonly (readonly [what: string, files: Readonly<Record<string, string>>, says: RegExp])[] = [
  ['an import upwards', { 'runtime/a.ts': "import { x } from '../proxy/b.ts'", 'proxy/b.ts': 'export const x = 1' }, /runtime may not import proxy\/b\.ts/],
  ['a type from above', { 'core/a.ts': "import type { X } from '../runtime/b.ts'", 'runtime/b.ts': 'export type X = 1' }, /core may not import runtime/],
  ['rooms of one layer', { 'identity/a.ts': "import { x } from '../sessions/b.ts'", 'sessions/b.ts': 'export const x = 1' }, /identity may not import sessions/],
  ['admin and proxy', { 'admin/a.ts': "import { x } from '../proxy/b.ts'", 'proxy/b.ts': 'export const x = 1' }, /admin may not import proxy/],
  ['a room nobody knows', { 'toolbox/a.ts': 'export const x = 1' }, /room toolbox is not in the table/],
  ['an import over several lines', { 'core/a.ts': "import {\n  x,\n  y,\n} from '../config/b.ts'", 'config/b.ts': 'export const x = 1, y = 2' }, /core may not import config/],
  ['a re-export upwards', { 'core/a.ts': "export { x } from '../config/b.ts'", 'config/b.ts': 'export const x = 1' }, /core may not import config/],
  ['a dynamic import upwards', { 'core/a.ts': "export const x = () => import('../config/b.ts')", 'config/b.ts': 'export const x = 1' }, /core may not import config/],
  ['a computed import', { 'proxy/a.ts': 'export const x = (n: string) => import(n)' }, /computed name/],
  ['a package beside its door', { 'proxy/a.ts': "import { request } from 'undici'" }, /undici comes in only through/],
  ['a subpath of a package', { 'proxy/a.ts': "import x from 'zod/mini'" }, /zod\/mini comes in only through/],
  ['a package without a door', { 'proxy/a.ts': "import x from 'left-pad'" }, /left-pad, which has no door/],
  ['a builtin beside its door', { 'proxy/a.ts': "import { readFileSync } from 'node:fs'" }, /node:fs comes in only through/],
  ['a builtin without its scheme', { 'audit/a.ts': "import { readFileSync } from 'fs'" }, /fs, which has no door/],
  ['any package in core', { 'core/a.ts': "import type { Logger } from 'pino'" }, /pino comes in only through/],
  ['any builtin in core', { 'core/a.ts': "import { join } from 'node:path'" }, /core may not import node:path/],
  ['a side-effect import', { 'core/a.ts': "import 'node:sqlite'" }, /node:sqlite comes in only/],
  ['a clock in core', { 'core/a.ts': 'export const now = () => Date.now()' }, /core may not use Date/],
  ['chance in core', { 'core/a.ts': 'export const x = Math.random()' }, /core may not use Math\.random/],
  ['waiting in core', { 'core/a.ts': 'export const x = async () => 1' }, /core may not use async/],
  ['a clock inside a template', { 'core/a.ts': 'export const x = `at ${Date.now()}`' }, /core may not use Date/],
  ['a Permit made elsewhere', { 'core/decision.ts': DECISION, 'enforcement/a.ts': "import { permit as yes } from '../core/decision.ts'\nyes()" }, /only core\/evaluate\.ts may make a Permit/],
  ['a Permit reached by namespace', { 'core/decision.ts': DECISION, 'enforcement/a.ts': "import * as d from '../core/decision.ts'\nd.permit()" }, /only core\/evaluate\.ts may make a Permit/],
  ['a Permit by cast', { 'proxy/a.ts': 'export const x = {} as unknown as Permit' }, /never cast/],
  ['a dispatch beside admit', { 'proxy/a.ts': 'export const go = (u: U) => u.dispatch(1)' }, /only enforcement\/admit\.ts lets/],
  ['a request sent beside a relay', { 'proxy/a.ts': 'export const go = (upstream: U) => upstream.send(1)' }, /only a relay that was let go sends/],
  ['a tunnel beside a relay', { 'proxy/a.ts': 'export const go = (upstream: U) => upstream.place(1)' }, /only a relay that was let go takes/],
  ['waiting in admit', { 'enforcement/admit.ts': 'export const admit = async () => await 1' }, /admit is synchronous/],
  ['a commit beside the ledger', { 'admin/a.ts': 'export const x = (s: S) => s.commitRestrictive(1)' }, /only sessions\/ledger\.ts commits/],
  ['a fetch beside the client', { 'identity/a.ts': "export const x = fetch('http://a')" }, /go through runtime\/http-client/],
  ['a back door to modules', { 'proxy/a.ts': "export const fs = process.getBuiltinModule('node:fs')" }, /never required/],
  ['a default export', { 'proxy/a.ts': 'export default 1' }, /default export/],
  ['a star export', { 'proxy/a.ts': "export * from './b.ts'", 'proxy/b.ts': 'export const x = 1' }, /re-exports everything/],
  ['a barrel', { 'proxy/index.ts': 'export const x = 1' }, /is a barrel/],
  ['a vague name', { 'proxy/http-utils.ts': 'export const x = 1' }, /says nothing/],
  ['a vague folder', { 'proxy/common/a.ts': 'export const x = 1' }, /says nothing/],
  ['a .js import', { 'proxy/a.ts': "import { x } from './b.js'" }, /name the \.ts source/],
  ['a file that is not there', { 'proxy/a.ts': "import { x } from './gone.ts'" }, /does not exist/],
  ['a cycle', { 'proxy/a.ts': "import { b } from './b.ts'\nexport const a = b", 'proxy/b.ts': "import { a } from './a.ts'\nexport const b = a" }, /import cycle: proxy\/a\.ts → proxy\/b\.ts → proxy\/a\.ts/],
  ['a long file', { 'proxy/a.ts': 'export const x = 1\n'.repeat(301) }, /has 302 lines/],
  ['work left for later', { 'proxy/a.ts': 'export const x = 1 // TO' + 'DO: more' }, /leaves work for later/],
]

const mapOf = (files: Readonly<Record<string, string>>) => new Map(Object.entries(files).map(([path, text]) => [path, text.startsWith('//') ? text : `// Planted.\n${text}\n`]))

describe('the checker finds', () => {
  test.each(planted)('%s', (_, files, says) => {
    expect(violations(mapOf(files)).join('\n')).toMatch(says)
  })

  test('a file that does not say what it is', () => {
    expect(violations(new Map([['proxy/a.ts', 'export const x = 1\n']]))).toEqual(['proxy/a.ts: opens with 0 comment lines; 1 to 5 say what it is'])
  })
})

describe('the checker leaves alone', () => {
  const sound: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['imports downwards, also of types', { 'proxy/a.ts': "import type { X } from '../core/b.ts'\nimport { y } from '../enforcement/c.ts'\nexport const z: X = y", 'core/b.ts': 'export type X = 1', 'enforcement/c.ts': 'export const y = 1' }],
    ['words in comments, texts and regular expressions', { 'core/a.ts': "// await Date.now(), 'quoted\nexport const x = 'async import x from \"node:fs\"' + `Date ${1} await`\nexport const y = /['\"]async Date/.test(x)" }],
    ['members that share a forbidden name', { 'core/a.ts': 'export type T = { readonly process: 1 }\nexport const f = (x: { Date: 1 }) => x.Date' }],
    ['a cycle of types only', { 'core/a.ts': "import type { B } from './b.ts'\nexport type A = B | 1", 'core/b.ts': "import type { A } from './a.ts'\nexport type B = A | 2" }],
    ['the judge making a Permit', { 'core/decision.ts': DECISION, 'core/evaluate.ts': "import { permit } from './decision.ts'\nexport const x = permit()" }],
    ['admit dispatching and the ledger committing', { 'enforcement/admit.ts': 'export const x = (u: U) => u.dispatch(1)', 'sessions/ledger.ts': 'export const y = async (s: S) => await s.commit(1)' }],
  ]
  test.each(sound)('%s', (_, files) => {
    expect(violations(mapOf(files))).toEqual([])
  })
})
