// Operators whom others vouch for, as a start opens them: what a wrong file of keys is told as, and that nobody is known where nothing is configured.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openOperators } from '../../../src/admin/operators.ts'
import type { AdminSettings } from '../../../src/config/settings.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { openLog } from '../../../src/runtime/log.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { loaded, SMALL } from '../config/fixture.ts'

const nothing = (): Promise<never> => Promise.reject(new Error('nothing is fetched'))
const TOOLS = { clock: new SystemClock(), log: openLog('silent'), http: { getJson: nothing, post: nothing }, findSession: nothing, parseYaml: () => null, notice: () => {} }
const settings = (file: string, operator: string): AdminSettings =>
  loaded(`${SMALL}\nadmin: { auth: { oidc: { issuer: "https://login.example", audience: narrowgate-admin, jwksFile: ${file}, roles: { viewer: "true", operator: ${JSON.stringify(operator)} } } } }`).admin

async function inRoom(work: (file: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'ng-operators-'))
  try {
    await work(join(directory, 'keys.json'))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

test('[ADM22, CFG3] a file of keys that is missing or wrong is told with its place, without its content', () => inRoom(async file => {
  await expect(openOperators(settings(file, 'true'), TOOLS)).rejects.toThrow(/^admin\.auth\.oidc: .*keys\.json/)
  for (const text of ['not-json-secret', '{"keys":[]}', '{"keys":[{"kty":"OKP","d":"not-json-secret"}]}']) {
    writeFileSync(file, text)
    const told = await openOperators(settings(file, 'true'), TOOLS).then(() => '', String)
    expect(told).toMatch(/admin\.auth\.oidc: .*keys\.json: /)
    expect(told).not.toContain('not-json-secret')
  }
}))

test('[ADM22] each role is held where its own condition is true', () => inRoom(async file => {
  const issuer = await TokenIssuer.create({ audience: 'narrowgate-admin' })
  await issuer.writeJwks(file)
  const operators = await openOperators(settings(file, 'identity.team == "secops"'), TOOLS)
  const known = async (claims: { readonly [name: string]: unknown }) => operators.byToken(await issuer.sign({ sub: 'olga', ...claims }))
  expect(await known({ team: 'secops' })).toMatchObject({ name: 'olga', via: 'oidc', identity: 'https://login.example|olga', roles: ['viewer', 'operator'], claims: { team: 'secops' }, breakGlass: false })
  for (const claims of [{}, { team: 'other' }, { team: ['secops'] }]) expect((await known(claims))?.roles).toEqual(['viewer'])
  expect(await known({ act: { sub: 'robot' } })).toBeNull()
}))

test('[ADM22] where nothing is configured nobody is known, and certificates are not asked about', async () => {
  const operators = await openOperators({ tokenFile: null, breakGlassTokenFile: null, oidc: null, mtls: null }, TOOLS)
  const issuer = await TokenIssuer.create()
  expect(await operators.byToken(await issuer.sign())).toBeNull()
  expect(operators.byCertificate(new Socket())).toBe('none')
})
