// The world that the files of test/golden/config are loaded in: a few variables, and the files under /present.
import type { Environment } from '../../src/config/environment.ts'

const VARIABLES: { readonly [name: string]: string } = { HOME_OF_STATE: '/srv/state', SECRET: 'hunter2Hunter2' }

export const WORLD: Environment = {
  directory: '/work-dir',
  variable: name => VARIABLES[name],
  read: path => ({ '/present/issuer': 'gate-7\n', '/present/secret': 'correct-horse' })[path] ?? null,
  exists: path => path.startsWith('/present/'),
  cores: 4,
}
