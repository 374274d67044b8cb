// Processor time of processes and everything below them, read from /proc. Linux only.
import { readdirSync, readFileSync } from 'node:fs'

type Entry = { readonly pid: number; readonly parent: number; readonly ticks: number }

/** One line of proc(5) `stat`; null for a process that ended meanwhile. The name in brackets may hold anything, so fields count from the last bracket. */
function entryOf(pid: number): Entry | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return null
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
  const [parent = 0, utime = 0, stime = 0, cutime = 0, cstime = 0] = [fields[1], fields[11], fields[12], fields[13], fields[14]]
  return { pid, parent, ticks: utime + stime + cutime + cstime }
}

/** These processes and all their living descendants. */
function treeOf(roots: readonly number[]): readonly Entry[] {
  const all = readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(name => entryOf(Number(name))).filter(entry => entry !== null)
  const members = new Set(roots)
  for (let before = 0; before < members.size; ) {
    before = members.size
    for (const { pid, parent } of all) if (members.has(parent)) members.add(pid)
  }
  return all.filter(({ pid }) => members.has(pid))
}

export const descendants = (pid: number): readonly number[] => treeOf([pid]).map(entry => entry.pid)

/** User and system time of these processes and their children, ended ones included, in clock ticks. */
export const cpuTicks = (roots: readonly number[]): number => treeOf(roots).reduce((sum, { ticks }) => sum + ticks, 0)
