// What a command may touch of the process: two outputs, the environment, signals. Data goes to stdout, talk to stderr. SPEC: ADM10
export type Terminal = {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly env: { readonly [name: string]: string | undefined }
  /** Calls `listener` at each such signal until the returned function is called. */
  readonly onSignal: (signal: 'SIGHUP' | 'SIGINT' | 'SIGTERM', listener: () => void) => () => void
  /** Ends the process at once, whatever it still does. */
  readonly quit: (exit: number) => void
  /** The story with everything it needs, loaded only when asked for. @returns true when every step was observed */
  readonly demo: (options: { readonly stay: boolean }) => Promise<boolean>
}
