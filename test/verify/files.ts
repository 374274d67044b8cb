// Where the repository is, and its text files by folder.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')

export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Path under `folder` → text, for every file whose name ends so, sorted by path. */
export function textsUnder(folder: string, ending: string): ReadonlyMap<string, string> {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith(ending)).sort()
  return new Map(names.map(name => [name, read(join(folder, name))]))
}
