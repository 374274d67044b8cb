// Runs before every test run: the right Node, and where the optional programs are.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Absolute paths of optional programs; null where one is not installed. */
    readonly nginx: string | null
    readonly redisServer: string | null
    readonly curl: string | null
    readonly wrk: string | null
    readonly h2load: string | null
    readonly slowhttptest: string | null
  }
}

function runs(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The first executable of these names on PATH or in the sbin folders. CI requires every one. */
function findProgram(...names: readonly string[]): string | null {
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'].filter(dir => dir !== '')
  const found = names.flatMap(name => dirs.map(dir => join(dir, name))).find(runs) ?? null
  if (found === null && process.env['CI']) throw new Error(`CI needs ${names.join(' or ')}`)
  return found
}

export default function setup(project: TestProject): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 24 || (major === 24 && minor < 15)) throw new Error(`the tests run under ${process.version}; start them with npm test, which finds the project's own Node`)
  project.provide('nginx', findProgram('nginx'))
  project.provide('redisServer', findProgram('redis-server', 'valkey-server'))
  project.provide('curl', findProgram('curl'))
  project.provide('wrk', findProgram('wrk'))
  project.provide('h2load', findProgram('h2load'))
  project.provide('slowhttptest', findProgram('slowhttptest'))
}
