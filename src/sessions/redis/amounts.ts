// Numbers that callers of the port name: whole, and not negative. SPEC: STO8, STO12
export function assertLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`a limit is a whole number from 1, not ${limit}`)
}

export function assertAmount(...amounts: readonly number[]): void {
  if (amounts.some(amount => !Number.isSafeInteger(amount) || amount < 0)) throw new RangeError(`an amount is a whole number from 0, not ${amounts.join(', ')}`)
}
