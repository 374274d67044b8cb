// What loading a configuration may ask the world: nothing else reaches it, so a load is a function of its inputs. SPEC: CFG6
export type Environment = {
  /** Absolute directory that relative paths start from. */
  readonly directory: string
  readonly variable: (name: string) => string | undefined
  /** The text of a file, or null where it cannot be read. */
  readonly read: (path: string) => string | null
  readonly exists: (path: string) => boolean
  /** Processors this process may use, from 1. */
  readonly cores: number
}

/** Absolute form of a path written in the file. */
export const absolute = (environment: Environment, path: string): string =>
  path.startsWith('/') ? path : `${environment.directory.replace(/\/$/, '')}/${path.replace(/^(\.\/)+/, '')}`
