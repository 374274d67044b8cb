// Why there is no decision. A denial is none of these: it is an answer. AuthZEN 1.0 §10.1: the body of an error is a text. SPEC: PDP2
const STATUS = { malformed: 400, unauthenticated: 401, forbidden: 403, not_found: 404, method: 405, busy: 429, failed: 500, not_searchable: 501, unseen: 503, stale: 503, unavailable: 503 } as const

export type FaultWord = keyof typeof STATUS

export class DecisionFault extends Error {
  readonly of: FaultWord
  readonly status: number
  readonly headers: { readonly [name: string]: string }

  /** @param message for whoever asked */
  constructor(of: FaultWord, message: string, headers: { readonly [name: string]: string } = {}) {
    super(message)
    this.of = of
    this.status = STATUS[of]
    this.headers = headers
  }
}

export const malformed = (message: string): DecisionFault => new DecisionFault('malformed', message)
