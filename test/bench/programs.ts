// The outside programs the bench needs, and what they call themselves.
import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { cpus } from 'node:os'
import { delimiter, join } from 'node:path'

/** Absolute paths. */
export type Programs = { readonly nginx: string; readonly redis: string; readonly wrk: string; readonly taskset: string; /** Makes certificates; found by its name. */ readonly openssl: string }

function runs(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function find(...names: readonly string[]): string | null {
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'].filter(dir => dir !== '')
  return names.flatMap(name => dirs.map(dir => join(dir, name))).find(runs) ?? null
}

/** Throws an Error that names everything missing at once. */
export function findPrograms(): Programs {
  const [nginx, redis, wrk, taskset, openssl] = [find('nginx'), find('redis-server', 'valkey-server'), find('wrk'), find('taskset'), find('openssl')]
  const missing = [nginx ?? 'nginx', redis ?? 'redis-server', wrk ?? 'wrk', taskset ?? 'taskset (util-linux)', openssl ?? 'openssl'].filter(name => !name.startsWith('/'))
  if (cpus().length < 2) missing.push('a second processor core (proxies run on one, load and upstream on the other)')
  if (nginx === null || redis === null || wrk === null || taskset === null || openssl === null || missing.length > 0) throw new Error(`the bench needs ${missing.join(', ')}`)
  return { nginx, redis, wrk, taskset, openssl }
}

const firstVersion = (text: string): string => /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0] ?? 'unknown'

/** Versions without paths; `-v` answers on either stream and wrk with exit code 1. */
function versionOf(program: string, flag: string): string {
  const { stdout, stderr } = spawnSync(program, [flag], { encoding: 'utf8', timeout: 5_000 })
  return firstVersion(`${stdout}${stderr}`)
}

/** One line: processor, cores, and versions; no host names, no paths. */
export function describeMachine(programs: Programs): string {
  const cores = cpus()
  return [
    `${cores[0]?.model.trim() ?? 'unknown processor'}, ${cores.length} cores`,
    `Node ${process.versions.node}`,
    `nginx ${versionOf(programs.nginx, '-v')}`,
    `redis ${versionOf(programs.redis, '--version')}`,
    `wrk ${versionOf(programs.wrk, '-v')}`,
  ].join(' · ')
}

/** Clock ticks per second in which the kernel counts processor time. */
export const clockTicks = (): number => Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8', timeout: 5_000 }))
