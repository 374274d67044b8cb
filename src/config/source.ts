// The configuration file on disk: read whole, loaded whole or not at all, and watched through its directory, so that an editor's or an
// orchestrator's replace-by-rename is seen like a write. Never keeps half of a change. SPEC: CFG1, CFG10
import { accessSync, constants, type FSWatcher, readFileSync, statSync, watch } from 'node:fs'
import { availableParallelism } from 'node:os'
import { sha256 } from '../runtime/id.ts'
import { absolute, type Environment } from './environment.ts'
import { type Loaded, load } from './load.ts'
import { FILE_BYTES_MAX } from './parse.ts'
import { aboutFile, type Problem } from './problem.ts'
import { reloadRefusal } from './reload.ts'
import type { Settings } from './settings.ts'

const VALUE_BYTES_MAX = 64 * 1024
/** Milliseconds without another event before a change is read. */
const SETTLED = 100

function textOf(path: string, most: number): string | null {
  try {
    if (statSync(path).size > most) return null
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch {
    return null
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** The environment of this process; relative paths start at `directory`. */
export const processEnvironment = (directory: string = process.cwd()): Environment => ({
  directory,
  variable: name => process.env[name],
  read: path => textOf(path, VALUE_BYTES_MAX),
  exists: isReadable,
  cores: availableParallelism(),
})

export class ConfigSource {
  readonly #file: string
  readonly #path: string
  readonly #environment: Environment
  #watcher: FSWatcher | null = null
  #timer: NodeJS.Timeout | null = null
  /** Digest of the text that was read last, whatever came of it. */
  #seen = ''
  #current: Settings | null = null
  #warnings: readonly Problem[] = []

  constructor(file: string, environment: Environment = processEnvironment()) {
    this.#file = file
    this.#path = absolute(environment, file)
    this.#environment = environment
  }

  /** As it was named. */
  get file(): string {
    return this.#file
  }

  /** What the last accepted load gave; null before the first. */
  get current(): Settings | null {
    return this.#current
  }

  /** Of the last accepted load. */
  get warnings(): readonly Problem[] {
    return this.#warnings
  }

  /** The first load. Settings are kept as the current ones where nothing was wrong. */
  load(): Loaded {
    return this.#accepted(this.#read())
  }

  /** A later load: also refused where it changes what a running gateway cannot change. The current Settings stay then. */
  reload(): Loaded {
    const loaded = this.#read()
    if (!loaded.ok) return loaded
    const refusal = this.#current === null ? null : reloadRefusal(this.#current, loaded.settings)
    if (refusal !== null) return { ok: false, problems: [aboutFile(this.#file, refusal)] }
    return this.#accepted(loaded)
  }

  /** Tells whenever the file's text is another than the one read last, and once when it cannot be watched any more. Call `close` to stop. */
  watch(onChange: () => void, onLost: (problem: Problem) => void): void {
    this.#watcher?.close()
    const directory = this.#path.slice(0, Math.max(1, this.#path.lastIndexOf('/')))
    this.#watcher = watch(directory, { persistent: false }, () => this.#settle(onChange))
    this.#watcher.on('error', () => {
      this.close()
      onLost(aboutFile(this.#file, 'the file is not watched any more', 'reload by hand, or restart'))
    })
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#watcher?.close()
    this.#timer = null
    this.#watcher = null
  }

  #accepted(loaded: Loaded): Loaded {
    if (!loaded.ok) return loaded
    this.#current = loaded.settings
    this.#warnings = loaded.warnings
    return loaded
  }

  #settle(onChange: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = null
      const text = textOf(this.#path, FILE_BYTES_MAX)
      if (text !== null && sha256(text) !== this.#seen) onChange()
    }, SETTLED)
    this.#timer.unref()
  }

  #read(): Loaded {
    const text = textOf(this.#path, FILE_BYTES_MAX)
    if (text === null) return { ok: false, problems: [aboutFile(this.#file, 'the file cannot be read', 'it must exist, be UTF-8 and no larger than 1 MiB')] }
    this.#seen = sha256(text)
    return load(text, this.#file, this.#environment)
  }
}
