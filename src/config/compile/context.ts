// What every part of the compiler is given. Each part reports what is wrong and still returns something, so that all is said at once.
import type { Environment } from '../environment.ts'
import { absolute } from '../environment.ts'
import type { Report } from '../report.ts'
import type { Config } from '../schema/document.ts'
import type { Path } from '../source-map.ts'

export type Compilation = { readonly config: Config; readonly report: Report; readonly environment: Environment }

/** The absolute path of a file that must be there. SPEC: CFG3 */
export function existing({ report, environment }: Compilation, path: Path, file: string): string {
  const full = absolute(environment, file)
  if (!environment.exists(full)) report.error(path, `the file ${file} does not exist or cannot be read`)
  return full
}

export const existingOrNone = (c: Compilation, path: Path, file: string | undefined): string | null => (file === undefined ? null : existing(c, path, file))
