// How a command ended, for scripts: a closed list whose numbers never change. SPEC: ADM10
export const EXIT = {
  ok: 0, failure: 1, usage: 2, configuration: 3, tests: 4, denied: 5, notFound: 6, conflict: 7, timedOut: 8, unreachable: 9, auditBroken: 10,
} as const
export type Exit = keyof typeof EXIT

export const EXIT_SAYS: { readonly [E in Exit]: string } = {
  ok: 'done', failure: 'it failed', usage: 'wrong use of the command', configuration: 'the configuration is invalid', tests: 'policy tests failed', denied: 'not allowed',
  notFound: 'there is no such thing', conflict: 'the state of things forbids it', timedOut: 'no answer in time', unreachable: 'the gateway can not be reached',
  auditBroken: 'the audit trail is not whole',
}

/** Ends a command: what is told on stderr, and the exit code. */
export class Failure extends Error {
  readonly exit: Exit

  constructor(exit: Exit, says: string) {
    super(says)
    this.exit = exit
  }
}

/** Ends a command with the exit code of another one that it ran. */
export class CommandEnded extends Error {
  readonly code: number

  constructor(code: number) {
    super(`the command ended with ${code}`)
    this.code = code
  }
}

const OF_STATUS: { readonly [status: number]: Exit } = { 400: 'usage', 401: 'denied', 403: 'denied', 404: 'notFound', 408: 'timedOut', 409: 'conflict', 413: 'usage', 415: 'usage', 422: 'configuration' }

/** What an answer of the admin API means for the command. */
export const exitOfStatus = (status: number): Exit => (status < 400 ? 'ok' : (OF_STATUS[status] ?? 'failure'))
