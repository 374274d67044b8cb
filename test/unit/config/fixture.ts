// A world without variables and with every file, and loading as tests want it.
import type { Environment } from '../../../src/config/environment.ts'
import { load } from '../../../src/config/load.ts'
import { formatProblem } from '../../../src/config/problem.ts'
import type { Settings } from '../../../src/config/settings.ts'

export const WORLD: Environment = { directory: '/work-dir', variable: () => undefined, read: () => null, exists: () => true, cores: 4 }

export function loaded(text: string, world: Environment = WORLD): Settings {
  const result = load(text, 'test.yaml', world)
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.settings
}

export function problems(text: string, world: Environment = WORLD): readonly string[] {
  const result = load(text, 'test.yaml', world)
  return result.ok ? [] : result.problems.map(({ message }) => message)
}

export const SMALL = `
version: 1
authn:
  ci: { jwt: { issuer: https://ci.example, audience: narrowgate } }
routes:
  - name: deploy
    match: { host: deploy.internal }
    upstream: http://deploy:8080
    rules:
      - allow: { methods: [GET] }
`
