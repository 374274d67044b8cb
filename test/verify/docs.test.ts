// Docs and code say the same: generated pages are diffed, commands and rooms that are named exist, and those that exist are named.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { read, ROOT, textsUnder } from './files.ts'
import { reasonsReference } from './reasons-reference.ts'

const { scripts, version } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>>; readonly version: string } // npm's own format
const docs = new Map([...textsUnder('docs', '.md')].map(([path, text]) => [`docs/${path}`, text]))
const single = ['README.md', 'CHANGELOG.md', 'SECURITY.md', 'src/ARCHITECTURE.md', 'src/SPEC.md']
for (const path of single) if (existsSync(join(ROOT, path))) docs.set(path, read(path))

const rooms = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => name)

test('the single files are there', () => {
  expect([...single, 'LICENSE', 'Dockerfile'].filter(path => !existsSync(join(ROOT, path)))).toEqual([])
})

test('docs/reasons.md is what core/reason.ts says', async () => {
  await expect(reasonsReference()).toMatchFileSnapshot('../../docs/reasons.md')
})

test('every npm command in the docs is a script of package.json', () => {
  const commands = [...docs].flatMap(([path, text]) => [...text.matchAll(/\bnpm (?:run (?:-s )?([\w:]+)|(test|start)\b)/g)].map(([, run, short]) => ({ path, name: run ?? short ?? '' })))
  expect(commands.filter(({ name }) => scripts[name] === undefined)).toEqual([])
  expect(commands.map(({ name }) => name)).toEqual(expect.arrayContaining(['demo', 'test', 'bench', 'verify']))
})

test('every file a page links to or names in code exists', () => {
  const broken = [...docs].flatMap(([path, text]) => {
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(([, to]) => join(path, '..', to ?? ''))
    const named = [...text.matchAll(/`((?:src|test|docs|config|helm|\.ci)\/[\w./-]*\w)`/g)].map(([, to]) => to ?? '')
    return [...links, ...named].filter(to => !existsSync(join(ROOT, to))).map(to => `${path}: ${to}`)
  })
  expect(broken).toEqual([])
})

test('ARCHITECTURE.md is a map: at most 150 lines, every room of src on it, and no room that is not', () => {
  const map = read('src/ARCHITECTURE.md')
  expect(map.trimEnd().split('\n').length).toBeLessThanOrEqual(150)
  expect(rooms.filter(room => !map.includes(`\`${room}/\``))).toEqual([])
  expect([...map.matchAll(/^\|[^|]*`([a-z-]+)\/`/gm)].map(([, room]) => room).filter(room => room !== undefined && !rooms.includes(room))).toEqual([])
})

test('every runtime dependency beyond the founding list is accounted for in ARCHITECTURE.md', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { readonly dependencies: Readonly<Record<string, string>> } // npm's own format
  const founding = ['undici', 'http-proxy', 'jose', 'ioredis', 'prom-client', 'yaml', 'zod', '@marcbachmann/cel-js', 'pino', 'commander', 'lit']
  const map = read('src/ARCHITECTURE.md')
  expect(Object.keys(dependencies).filter(name => !founding.includes(name) && !map.includes(name))).toEqual([])
})

test('promises.md has the seventeen promises, each with its five lines, and names rules that exist', () => {
  const text = read('docs/promises.md')
  const parts = text.split(/^## (?=\d+\. )/m).slice(1)
  expect(parts.map(part => Number.parseInt(part, 10))).toEqual(Array.from({ length: 17 }, (_, i) => i + 1))
  const lacking = parts.flatMap(part => ['Bound', 'Precondition', 'On failure', 'Metric', 'Test'].filter(line => !part.includes(`- **${line}:**`)).map(line => `${Number.parseInt(part, 10)}: ${line}`))
  expect(lacking).toEqual([])
  expect(text).toContain('## Not promised')
  const spec = read('src/SPEC.md')
  expect([...text.matchAll(/\[([A-Z]{3,4}\d+)\]/g)].map(([, id]) => id ?? '').filter(id => !spec.includes(`**${id}**`))).toEqual([])
})

test('every metric, reason and key the promises name exists', () => {
  const declared = [...textsUnder('src', '.ts').values()].join('\n')
  const named = [...read('docs/promises.md').matchAll(/`(?:narrowgate_)?([a-z]+(?:_[a-z]+)+)(?:\{[^`]*\})?`/g)].map(([, name]) => name ?? '')
  expect([...new Set(named)].filter(name => !declared.includes(name))).toEqual([])
})

test('the changelog keeps its form, and the chart and package agree on the version', () => {
  const changelog = read('CHANGELOG.md')
  expect(changelog).toMatch(/^# Changelog\n/)
  expect(changelog).toMatch(/^## \[Unreleased\]$/m)
  expect([...changelog.matchAll(/^### (.+)$/gm)].map(([, kind]) => kind ?? '').filter(kind => !['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'].includes(kind))).toEqual([])
  expect(read('helm/narrowgate/Chart.yaml')).toContain(`appVersion: "${version}"`)
})
