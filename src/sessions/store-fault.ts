// What can go wrong with a store that is nobody's decision: faults carry a code and their cause, and never a half-done commit.
// SPEC: STO9, STO11
export type StoreFaultCode =
  | 'in_use' | 'newer_schema' | 'not_ours' | 'corrupt' | 'unwritable' | 'disk_full' | 'not_durable' | 'full' | 'closed' | 'failed'
  /** Of a shared store: nobody answers; it answers and must not be used as it is; its library is missing or another one; a MAC is wrong. */
  | 'unreachable' | 'misconfigured' | 'library' | 'forged'

/** `not_durable`: the commit stands and is enforced, but may not survive a power failure. With every other code nothing was changed or announced. */
export class StoreFault extends Error {
  override readonly name: string = 'StoreFault'
  readonly side = 'internal'
  readonly code: StoreFaultCode

  constructor(code: StoreFaultCode, says: string, cause?: unknown) {
    super(says, { cause })
    this.code = code
  }
}

/** A bounded part of the store is full: commits that give something are refused until it is emptied, restrictive ones never. */
export class StoreFull extends StoreFault {
  override readonly name = 'StoreFull'

  constructor(says: string) {
    super('full', says)
  }
}

/** Somebody else wrote it. */
export const isForged = (error: unknown): boolean => error instanceof StoreFault && error.code === 'forged'
/** The store did not answer; with every other fault it did. What is not a fault of ours counts as no answer. */
export const isUnreachable = (error: unknown): boolean => !(error instanceof StoreFault) || error.code === 'unreachable' || error.code === 'closed'
