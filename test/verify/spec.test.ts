// src/SPEC.md, the tests and the headers of the source name the same rules.
import { expect, test } from 'vitest'
import { read, textsUnder } from './files.ts'
import { claimedBy, expand, idsOf, proofsIn } from './titles.ts'

const RULE = /^- \*\*([A-Z]{3,4}\d+)\*\* — (.+)$/
const PREFIXES = ['SES', 'ELV', 'SCP', 'BND', 'PUR', 'RSK', 'DEC', 'SIG', 'ENF', 'APR', 'AUD', 'CFG', 'WIRE', 'ADM', 'STO', 'WIN', 'TKT', 'LIM', 'INS', 'REC', 'NOT', 'RPT', 'CND', 'STU', 'RAT', 'EXP', 'OUT', 'SSF', 'LGO', 'TRM', 'PEP', 'PDP', 'FWA', 'CTX', 'CRD', 'MCP']
const isRule = (id: string): boolean => /^[A-Z]{3,4}\d+$/.test(id)

const lines = read('src/SPEC.md').split('\n')
const spec = lines.flatMap(line => RULE.exec(line)?.[1] ?? [])
const known = new Set(spec)
const tests = new Map([...textsUnder('test', '.test.ts'), ...textsUnder('test', '-contract.ts')]) // a suite that several stores share is no test file itself
const proofs = proofsIn(tests)

test('every line of SPEC.md that looks like a rule is one: `- **ENF3** — sentence.`', () => {
  expect(lines.filter(line => /^\s*[-*]\s+\*\*/.test(line) && !RULE.test(line))).toEqual([])
  expect(spec.length).toBeGreaterThan(0)
})

test('ids are unique and of a known family', () => {
  expect(spec.filter((id, i) => spec.indexOf(id) !== i)).toEqual([])
  expect(spec.filter(id => !PREFIXES.includes(id.replace(/\d+$/, '')))).toEqual([])
})

test('every rule is quoted by a test', () => {
  expect(spec.filter(id => !proofs.has(id))).toEqual([])
})

test('every rule a test quotes exists', () => {
  expect([...proofs].filter(([id]) => isRule(id) && !known.has(id)).flatMap(([id, by]) => by.map(title => `${id}: ${title}`))).toEqual([])
})

test('every rule a source file claims exists', () => {
  const claims = [...textsUnder('src', '.ts')].flatMap(([path, source]) => claimedBy(source).filter(id => !known.has(id)).map(id => `${path}: ${id}`))
  expect(claims).toEqual([])
})

test('no test is skipped, postponed or favoured by hand', () => {
  const marks = [...tests].filter(([path, source]) => !path.startsWith('verify/') && /\b(?:test|it|describe)\s*\.\s*(?:skip|todo|only|fails)\b/.test(source)).map(([path]) => path)
  expect(marks).toEqual([])
})

test('the readers read what they say', () => {
  const file = "test('[ENF3, SES2] a', f)\nit.each(rows)('[STO1] %s', f)\ntest.skipIf(!x)(`[S11.c] ${y}`, f)\nconst s = '[CFG9] not a title'\nexpect('[CFG1]x')\n// test('[CFG2] in a comment', f)"
  expect([...proofsIn(new Map([['a.test.ts', file]])).keys()]).toEqual(['ENF3', 'SES2', 'STO1', 'S11.c'])
  expect([...proofsIn(new Map([['b.test.ts', "for (const c of [{ id: 'PATH-001' }, { id: 'S5.a' }]) test(`[${c.id}] ${c.title}`, f)"]])).keys()]).toEqual(['PATH-001', 'S5.a'])
  expect(proofsIn(new Map([['c.test.ts', "const ids = ['PATH-001']\ntest('none of them', f)"]])).size).toBe(0)
  expect(idsOf('[PATH-001] dots')).toEqual(['PATH-001'])
  expect([idsOf('[ENF3][SES2, STO1] [AUD1] a'), idsOf('[ENF3][SES2]a'), idsOf('a [ENF3] b')]).toEqual([['ENF3', 'SES2', 'STO1', 'AUD1'], [], []])
  expect(expand('ELV8-ELV10')).toEqual(['ELV8', 'ELV9', 'ELV10'])
  expect(claimedBy('// What it is.\n// SPEC: DEC1–DEC3,\n// SES9 — by SHA256\nexport const x = 1')).toEqual(['DEC1', 'DEC2', 'DEC3', 'SES9'])
})
