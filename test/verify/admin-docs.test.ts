// docs/admin-api.md and docs/cli.md are what the contract and the command tree say.
import { expect, test } from 'vitest'
import { adminReference } from './admin-reference.ts'
import { cliReference } from './cli-reference.ts'

test('docs/admin-api.md is what admin/contract.ts says', async () => {
  await expect(adminReference()).toMatchFileSnapshot('../../docs/admin-api.md')
})

test('docs/cli.md is what cli/program.ts says', async () => {
  await expect(cliReference()).toMatchFileSnapshot('../../docs/cli.md')
})
