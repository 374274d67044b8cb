// The chart's own words, run as the pod would: what initialises the store, and that no chart is rendered without a route.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const directory = mkdtempSync(join(tmpdir(), 'ng-chart-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const template = (name: string): string => readFileSync(join(ROOT, 'helm', 'narrowgate', 'templates', name), 'utf8')

test('[STO11, ADM10] the init container installs an empty volume, takes one that is there for done, and fails on anything else', async () => {
  const [, words = ''] = /command: \[sh, -c, '(.+)'\]/.exec(template('deployment.yaml')) ?? []
  expect(words).toContain('node dist/main.js store init -c /etc/narrowgate/gateway.yaml')
  const file = join(directory, 'gateway.yaml')
  const command = words.replace('node dist/main.js', `'${process.execPath}' '${join(ROOT, 'src', 'main.ts')}'`).replace('/etc/narrowgate/gateway.yaml', `'${file}'`)
  const ran = () => promisify(execFile)('sh', ['-c', command]).then(() => 0, (error: { readonly code: number }) => error.code)
  writeFileSync(file, 'version: 1\n')
  expect(await ran()).not.toBe(0)
  writeFileSync(file, `
version: 1
stateDir: ${directory}/state
authn: { ci: { jwt: { issuer: https://ci.test, audience: narrowgate } } }
routes: [{ name: api, match: { host: api.test }, upstream: 'http://api:80', rules: [{ allow: {} }] }]
`)
  expect([await ran(), await ran()]).toEqual([0, 0])
})

test('[STO11] only an installation initialises, and the notes name no command that a running pod refuses', () => {
  expect(template('deployment.yaml')).toMatch(/if and \.Release\.IsInstall \.Values\.initStore[^]*initContainers/)
  expect(template('NOTES.txt')).not.toContain('store init')
})

test('[CFG3] a chart without a route is not rendered', () => {
  expect(template('configmap.yaml')).toMatch(/if not \.Values\.config\.routes[^]*fail/)
})
