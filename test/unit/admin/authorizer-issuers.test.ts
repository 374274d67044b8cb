// Whose issuers operators have: those of every entry of the files, of the first token, and of what a reload put in their place.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Authorizer } from '../../../src/admin/authorize.ts'
import { entryFor, newToken } from '../../../src/admin/first-token.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { openLog } from '../../../src/runtime/log.ts'

const directory = mkdtempSync(join(tmpdir(), 'ng-issuers-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const PORTS = { clock: new SystemClock(), log: openLog('silent') }
const FIRST = entryFor(newToken(), 'local', ['operator'], 'local|operator')

function fileOf(name: string, identities: readonly string[], more: object = {}): string {
  const file = join(directory, name)
  writeFileSync(file, JSON.stringify({ tokens: identities.map((identity, i) => ({ ...entryFor(newToken(), `p${i}`, ['viewer'], identity), expires: undefined, ...more })) }), { mode: 0o600 })
  return file
}

test('[ADM23, ADM11] they are those of the token file, the break-glass file and the first token, of entries that are over too', async () => {
  const tokenFile = fileOf('tokens', ['ops|boss', 'ops|ann', 'https://idp.example|a|b'])
  const authorizer = new Authorizer({ tokenFile, breakGlassTokenFile: fileOf('glass', ['emergency|oncall'], { expires: '2020-01-01T00:00:00Z' }), first: FIRST }, PORTS)
  expect(await authorizer.issuers()).toEqual(new Set(['local', 'ops', 'https://idp.example', 'emergency']))
})

test('[ADM23, ADM11] a reload puts others in their place, and a file that changed has other ones', async () => {
  const authorizer = new Authorizer({ tokenFile: fileOf('before', ['ops|boss']), breakGlassTokenFile: null, first: FIRST }, PORTS)
  expect(await authorizer.issuers()).toEqual(new Set(['local', 'ops']))
  authorizer.replace(new Authorizer({ tokenFile: fileOf('after', ['staff|boss']), breakGlassTokenFile: null, first: null }, PORTS))
  expect(await authorizer.issuers()).toEqual(new Set(['staff']))
  fileOf('after', ['crew|boss'])
  await expect.poll(() => authorizer.issuers(), { timeout: 5_000 }).toEqual(new Set(['crew']))
})

test('[ADM23] where nobody is named there is none', async () => {
  expect(await new Authorizer({ tokenFile: null, breakGlassTokenFile: null, first: null }, PORTS).issuers()).toEqual(new Set())
})
